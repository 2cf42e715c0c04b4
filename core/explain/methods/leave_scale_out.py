"""Leave one scale out: what the forecast loses when the head is computed again without it (ours; exact, because the
forecast is a sum over scales). It tells scales apart, no steps."""

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError
from core.explain.methods.contract import Method, Probe


def by_scale(probe: Probe) -> list[tuple[str, Tensor]]:
    """Name of every scale, fine to coarse, and what the forecast of the asked step loses without it, B each; over all
    steps the sum of the absolute losses. Raises UserError for a model without scales."""
    return [(name, lost_B) for name, _, lost_B in _lost(probe)]


def attribute(probe: Probe) -> Tensor:
    """B x L x C, in units of the z-scored forecast; the steps that a scale sees share what it costs, all variates."""
    found = torch.zeros_like(probe.x_BLC)
    _, L, C = found.shape
    for _, first, lost_B in _lost(probe):
        found[:, first:] += lost_B[:, None, None] / ((L - first) * C)
    return probe.without_withheld(found)


def _lost(probe: Probe) -> list[tuple[str, int, Tensor]]:
    step, variate = probe.question.step, probe.question.variate
    scales = probe.trace().scales
    if not scales:
        raise UserError("This model has no scales to leave out: its forecast is not a sum of parts.")
    found = []
    for scale in scales:
        part_BH = scale.contribution[..., variate]
        lost_B = part_BH[:, step] if step is not None else np.abs(part_BH).sum(1)
        found.append((scale.name or f"scale {scale.scale}", scale.first, torch.from_numpy(lost_B.copy())))
    return found


METHOD = Method(
    "leave_scale_out",
    "Scale left out",
    "ours, exact: the head computed again without a scale",
    "What the forecast loses without each scale, shared by the steps that the scale sees.",
    attribute,
    per_step=False,
    scales=True,
)
