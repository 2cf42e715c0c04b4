"""The map that adds up (ours, saliency.md): what each value adds to the forecast, read off the model with everything
held that is not linear along the path of the value (``core.models.layers.frozen``).

The frozen model is an affine map of its input, so that forecast = rest + the sum of the contributions, exactly; the
rest is what the same map makes of the baseline. A reading of the model at one window, not a cause.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.explain.methods.contract import Method, Probe
from core.models.layers.frozen import Frozen


@dataclass(frozen=True)
class Contributions:
    """Of one window and one variate, at the steps ahead ``steps_H`` (all of them, or those that were asked for):
    ``values_HLC`` signed, in units of the z-scored forecast; ``forecast_H``; ``rest_H``, the forecast of the frozen
    model at the baseline."""

    steps_H: np.ndarray
    values_HLC: np.ndarray
    rest_H: np.ndarray
    forecast_H: np.ndarray

    @property
    def off(self) -> float:
        """By how much the sum misses the forecast at most: rounding."""
        return float(np.abs(self.rest_H + self.values_HLC.sum(axis=(1, 2)) - self.forecast_H).max())


def contributions(
    probe: Probe, steps: Sequence[int] = (), scale: int | None = None, without: tuple[str, ...] = ()
) -> Contributions:
    """The first window of a probe, at these steps ahead (from 0; without: all). With ``scale`` what reaches the
    forecast through that scale alone, with ``without`` what does not pass these branches; the rest and the forecast
    stay the whole model's."""
    x_1LC, base_1LC = probe.x_BLC[:1], probe.baseline_BLC[:1]
    steps_H = torch.tensor(list(steps) or range(probe.horizon))
    parts, rest, forecast = [], [], []
    for steps_N in steps_H.split(probe.at_once):
        rows_N = torch.zeros_like(steps_N)
        x_NLC = x_1LC.expand(len(steps_N), -1, -1).clone().requires_grad_()
        reading = Frozen(scale, without)
        with torch.enable_grad(), reading:
            y_N = probe.at(x_NLC, steps_N, rows_N)
            slope_NLC = _slope(y_N, x_NLC)
        with torch.no_grad(), reading:
            rest.append(probe.at(base_1LC.expand_as(x_NLC), steps_N, rows_N))
        parts.append(probe.without_withheld(slope_NLC * (x_1LC - base_1LC)))
        forecast.append(y_N.detach())
    return Contributions(steps_H.numpy(), *(torch.cat(found).numpy() for found in (parts, rest, forecast)))


def share_of_attention(probe: Probe, steps: Sequence[int] = ()) -> float:
    """How much of the contributions' size passes through attention, 0 to 1; 0 for a model without."""
    whole, beside = (contributions(probe, steps, without=w).values_HLC for w in ((), ("attention",)))
    through, past = np.abs(whole - beside).sum(), np.abs(beside).sum()
    return float(through / max(through + past, 1e-12))


def attribute(probe: Probe) -> Tensor:
    """B x L x C, in units of the z-scored forecast."""

    def one(x: Tensor, base: Tensor, steps: Tensor, rows: Tensor) -> Tensor:
        with Frozen():
            return _slope(probe.at(x, steps, rows), x) * (x - base)

    return probe.by_step(one)


def _slope(y_N: Tensor, x_NLC: Tensor) -> Tensor:
    """Zeros where a forecast does not depend on its window at all."""
    if not y_N.requires_grad:
        return torch.zeros_like(x_NLC)
    (slope_NLC,) = torch.autograd.grad(y_N.sum(), x_NLC, allow_unused=True)
    return torch.zeros_like(x_NLC) if slope_NLC is None else slope_NLC


METHOD = Method(
    "adds_up",
    "Contributions",
    "ours: the model with its attention, gates, slopes and statistics held",
    "What each value adds to the forecast, with attention, gates and slopes held at what this window made of them. "
    "Together with a rest it is the forecast.",
    attribute,
)
