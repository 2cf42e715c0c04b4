"""Integrated gradients: gradient x input, averaged on the straight way from the baseline to the window (Sundararajan et
al. 2017). The attributions of one step ahead add up to the change of its forecast."""

from captum.attr import IntegratedGradients
from torch import Tensor

from core.explain.methods.contract import Method, Probe

POINTS = 24  # of the Gauss-Legendre rule; ours


def attribute(probe: Probe) -> Tensor:
    """B x L x C, in units of the z-scored forecast."""
    ask = IntegratedGradients(probe.at)

    def one(x: Tensor, base: Tensor, steps: Tensor, rows: Tensor) -> Tensor:
        return ask.attribute(
            x,
            base,
            additional_forward_args=(steps, rows),
            n_steps=POINTS,
            internal_batch_size=max(probe.at_once, len(x)),
        )

    return probe.by_step(one)


METHOD = Method(
    "integrated_gradients",
    "Integrated gradients",
    "Sundararajan et al. 2017, by captum",
    "Gradient times input, averaged between the baseline and the window; adds up to the change between the two.",
    attribute,
)
