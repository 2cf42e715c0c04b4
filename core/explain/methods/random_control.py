"""The control: numbers drawn at random. A map that scores no better says nothing."""

import torch
from torch import Tensor

from core.explain.methods.contract import Method, Probe


def attribute(probe: Probe) -> Tensor:
    """B x L x C, uniform between 0 and 1; the same for the same seed."""
    draw = torch.Generator().manual_seed(probe.question.seed)
    return probe.without_withheld(torch.rand(probe.x_BLC.shape, generator=draw))


METHOD = Method("random", "Random", "a control", "Drawn at random: what a map must beat.", attribute, signed=False)
