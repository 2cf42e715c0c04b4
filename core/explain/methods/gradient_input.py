"""Gradient times how far the value is from the baseline (Shrikumar et al. 2017): for a linear model, what each value
adds to the forecast."""

from captum.attr import Saliency
from torch import Tensor

from core.explain.methods.contract import Method, Probe


def attribute(probe: Probe) -> Tensor:
    """B x L x C, in units of the z-scored forecast."""
    ask = Saliency(probe.at)
    return probe.by_step(
        lambda x, base, steps, rows: ask.attribute(x, abs=False, additional_forward_args=(steps, rows)) * (x - base)
    )


METHOD = Method(
    "gradient_input",
    "Gradient × input",
    "Shrikumar et al. 2017, gradient by captum",
    "The gradient times how far the value is from the baseline: what each value adds, were the model linear.",
    attribute,
)
