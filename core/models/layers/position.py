"""The sinusoidal position code (Vaswani et al. 2017)."""

import math

import torch
from torch import Tensor


def position_code(length: int, width: int) -> Tensor:
    """length x width: sine and cosine by turns, ever slower along the features."""
    code = torch.zeros(length, width)
    step = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(length)[:, None] * step
    code[:, 0::2], code[:, 1::2] = angle.sin(), angle.cos()[:, : width // 2]
    return code
