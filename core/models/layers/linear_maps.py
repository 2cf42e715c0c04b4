"""Operations along time that are linear, written as matrices that are multiplied from the right: y = x @ M.

Pooling, moving-average decomposition, patch means and stretching are each one small constant matrix, so that a model
applies them as one product instead of a chain of transposes, pads and slices.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def pooling(length: int, factor: int) -> Tensor:
    """Average pooling, ``length`` x (length // factor); steps beyond the last full group are left out."""
    points = length // factor
    matrix = torch.zeros(length, points)
    rows = torch.arange(points * factor)
    matrix[rows, rows // factor] = 1.0 / factor
    return matrix


def moving_average(length: int, window: int) -> Tensor:
    """Trend of the moving-average decomposition, ``length`` x ``length``: the mean over ``window`` steps, with the
    first and last value repeated beyond the edges. The seasonal part is x - x @ M."""
    left = (window - 1) // 2
    source = (torch.arange(length)[:, None] + torch.arange(window)[None] - left).clamp(0, length - 1)
    matrix = torch.zeros(length, length)
    matrix.index_put_(
        (source.flatten(), torch.arange(length).repeat_interleave(window)), torch.tensor(1.0 / window), accumulate=True
    )
    return matrix


def stretching(length: int, to: int) -> Tensor:
    """Linear interpolation from ``length`` to ``to`` points, ``length`` x ``to`` (half-pixel centres)."""
    return F.interpolate(torch.eye(length)[None], size=to, mode="linear", align_corners=False)[0].contiguous()


def padding(length: int, patch: int, mode: str) -> Tensor:
    """Fills the end up to whole patches, ``length`` x (patches * patch): ``replicate`` repeats the last value,
    ``zero`` adds zeros as the public code does."""
    padded = math.ceil(length / patch) * patch
    matrix = torch.zeros(length, padded)
    matrix[torch.arange(length), torch.arange(length)] = 1.0
    if mode == "replicate":
        matrix[length - 1, length:] = 1.0
    return matrix
