"""Occlusion by step: what the forecast loses when one value of one variate becomes the baseline (Zeiler & Fergus
2014)."""

import math

from captum.attr import Occlusion
from torch import Tensor

from core.explain.methods.contract import Method, Probe

MOST = 4096  # changed windows for each window; beyond, neighbouring variates are taken away together (ours)


def attribute(probe: Probe) -> Tensor:
    """B x L x C, in units of the z-scored forecast."""
    L, C = probe.x_BLC.shape[1:]
    return occluded(probe, 1, math.ceil(L * C / MOST))


def occluded(probe: Probe, steps: int, variates: int) -> Tensor:
    """Spans of so many steps of so many variates at a time; each of its values gets an even share of what it costs."""
    L, C = probe.x_BLC.shape[1:]
    steps, variates = min(steps, L), min(variates, C)
    ask = Occlusion(probe.value)
    found = ask.attribute(
        probe.x_BLC,
        sliding_window_shapes=(steps, variates),
        strides=(steps, variates),
        baselines=probe.baseline_BLC,
        additional_forward_args=(probe.rows_B,),
        perturbations_per_eval=max(probe.at_once // len(probe.x_BLC), 1),
    ).detach()
    found = found / (steps * variates)
    # over all steps the clean window's value is 0 and every change counts as its size
    return probe.without_withheld(found if probe.question.step is not None else found.abs())


METHOD = Method(
    "occlusion",
    "Occlusion",
    "Zeiler & Fergus 2014, by captum",
    "What the forecast loses when a value becomes the baseline, one after the other.",
    attribute,
)
