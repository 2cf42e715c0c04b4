"""The gradient of the forecast: how fast it would change with each value of the window (Simonyan et al. 2014)."""

from captum.attr import Saliency
from torch import Tensor

from core.explain.methods.contract import Method, Probe


def attribute(probe: Probe) -> Tensor:
    """B x L x C, forecast per unit of the z-scored input."""
    ask = Saliency(probe.at)
    return probe.by_step(lambda x, _, steps, rows: ask.attribute(x, abs=False, additional_forward_args=(steps, rows)))


METHOD = Method(
    "gradient",
    "Gradient",
    "Simonyan et al. 2014, by captum",
    "How fast the forecast would change with each value. It says nothing of how large the value is.",
    attribute,
    per_unit=True,
)
