"""Cutting a window into patches: ``patch`` steps every ``stride``, the end filled by repeating the last step.

Time is last everywhere.
"""

import torch.nn.functional as F
from torch import Tensor


def count_padded(steps: int, patch: int, stride: int) -> int:
    """Patches of a window whose end is lengthened by one stride, so that every step lies in a patch (PatchTST)."""
    return (steps - patch) // stride + 2


def cut(series: Tensor, patch: int, stride: int, count: int) -> Tensor:
    """``count`` patches of ``series`` (... x steps): ... x count x patch. Where the last ones reach beyond the end,
    the last step is repeated; what lies behind the last patch is left out."""
    short = (count - 1) * stride + patch - series.shape[-1]
    if short > 0:
        flat = series.reshape(1, -1, series.shape[-1])
        series = F.pad(flat, (0, short), mode="replicate").view(*series.shape[:-1], -1)
    return series.unfold(-1, patch, stride)[..., :count, :]
