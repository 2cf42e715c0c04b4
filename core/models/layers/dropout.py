"""Dropout whose random numbers cost less than the layer it regularises."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def keep_mask(shape: tuple[int, ...], dropout: float, like: Tensor) -> Tensor:
    """Dropout as a factor: 0, or 1 / (share kept). One random byte decides a value on the CPU, where drawing a float
    for each costs more than the layer it regularises; the rate is then a multiple of 1/256."""
    if like.device.type != "cpu":
        return F.dropout(torch.ones(shape, device=like.device, dtype=like.dtype), dropout)
    count, cut = math.prod(shape), max(1, round(dropout * 256))
    draws = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)[:count]
    return (draws >= cut).view(shape).to(like.dtype).mul_(256 / (256 - cut))


class Dropout(nn.Module):
    """``nn.Dropout`` by ``keep_mask``."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return x
        return x * keep_mask(tuple(x.shape), self.dropout, x)
