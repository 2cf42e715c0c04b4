"""Feature ablation: what the forecast loses when a whole variate becomes the baseline. It tells variates apart, no
steps."""

import torch
from captum.attr import FeatureAblation
from torch import Tensor

from core.explain.methods.contract import Method, Probe


def attribute(probe: Probe) -> Tensor:
    """B x L x C, in units of the z-scored forecast; the steps of a variate share what it costs."""
    L, C = probe.x_BLC.shape[1:]
    found = (
        FeatureAblation(probe.value)
        .attribute(
            probe.x_BLC,
            baselines=probe.baseline_BLC,
            feature_mask=torch.arange(C).expand(1, L, C),
            additional_forward_args=(probe.rows_B,),
            perturbations_per_eval=max(probe.at_once // len(probe.x_BLC), 1),
        )
        .detach()
    )
    found = found / L
    return probe.without_withheld(found if probe.question.step is not None else found.abs())


METHOD = Method(
    "ablation",
    "Variate left out",
    "captum's feature ablation",
    "What the forecast loses when a whole variate becomes the baseline.",
    attribute,
    per_step=False,
)
