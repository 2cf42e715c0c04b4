"""SmoothGrad: the gradient averaged over windows with a little noise (Smilkov et al. 2017)."""

from typing import cast

import torch
from captum.attr import NoiseTunnel, Saliency
from torch import Tensor

from core.explain.methods.contract import Method, Probe

SAMPLES, NOISE = 12, 0.15  # noise in units of the training part's deviation; ours


def attribute(probe: Probe) -> Tensor:
    """B x L x C, forecast per unit of the z-scored input."""
    ask = NoiseTunnel(Saliency(probe.at))

    def one(x: Tensor, _: Tensor, steps: Tensor, rows: Tensor) -> Tensor:
        found = ask.attribute(
            x,
            nt_type="smoothgrad",
            nt_samples=SAMPLES,
            nt_samples_batch_size=max(probe.at_once // len(x), 1),
            stdevs=NOISE,
            abs=False,
            additional_forward_args=(steps, rows),
        )
        return cast(Tensor, found)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(probe.question.seed)
        return probe.by_step(one)


METHOD = Method(
    "smoothgrad",
    "SmoothGrad",
    "Smilkov et al. 2017, by captum",
    f"The gradient, averaged over {SAMPLES} windows with a little noise.",
    attribute,
    per_unit=True,
)
