"""Attention by score (CASA, arXiv 2505.02011): a small convolutional autoencoder over the features, with the tokens as
channels, says how much each token counts for each feature. It never compares two tokens, so its cost is linear in
their number, and it has no token x token weights to show: its map is token x feature.

Score = three convolutions with stride 2 (T -> d/4 -> d/2 -> d channels, ReLU) and three transposed ones back (ReLU, the
last sigmoid), plus the tokens themselves; weights = softmax of it over the tokens; out = weights * Linear(tokens).
The same attention serves any token axis: variates, patches, steps.

Shape suffixes: N windows (or windows x variates), T tokens, d width, n positions along the features, c channels,
k kernel, m = n / 2.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.models.contract import Attention
from core.models.layers.attention import fixed_order
from core.models.layers.frozen import part
from core.models.layers.score_forms import score_logits


class Scored(NamedTuple):
    """``out`` is N x T x d; ``weights`` N x T x d sums to one over the tokens, None on the fast path."""

    out: Tensor
    weights: Tensor | None


def check_score(width: int, kernel: int) -> None:
    """Raises UserError where a score of this width and kernel cannot be built, naming the nearest."""
    if width % 8:
        nearest = max(8, 8 * round(width / 8))
        raise UserError(
            f"A score halves the width three times, so it must be divisible by 8, and {width} is not. The nearest that "
            f"works: width {nearest}.",
            {"width": nearest},
        )
    if kernel % 2 == 0 or kernel < 3:
        raise UserError(
            f"A score's kernel must be odd, so that it has a middle, and at least 3; {kernel} is not. The nearest that "
            f"works: kernel {max(3, kernel + 1)}.",
            {"kernel": max(3, kernel + 1)},
        )


class ScoreAttention(nn.Module):
    """``width`` divisible by 8, ``kernel`` odd and at least 3 (``check_score``); bound to its number of tokens."""

    def __init__(self, tokens: int, width: int, kernel: int = 3) -> None:
        super().__init__()
        d = width
        down, up = [(tokens, d // 4), (d // 4, d // 2), (d // 2, d)], [(d, d // 2), (d // 2, d // 4), (d // 4, tokens)]
        # kernel x channels of the longer series x channels of the shorter, whichever of them goes in
        down_weights = [_uniform((kernel, i, o), kernel * i) for i, o in down]
        self.weights = nn.ParameterList(down_weights + [_uniform((kernel, o, i), kernel * o) for i, o in up])
        down_biases = [_uniform((o,), kernel * i) for i, o in down]
        self.biases = nn.ParameterList(down_biases + [_uniform((o,), kernel * o) for _, o in up])
        self.value = nn.Linear(d, d)

    def forward(self, z_NTd: Tensor, use: Attention = "learned", *, whole: bool = False) -> Scored:
        T = z_NTd.shape[1]
        if use == "uniform":
            weights_NTd = torch.full_like(z_NTd, 1 / T)
        else:
            weights_NTd = (score_logits(z_NTd, (*self.weights, *self.biases)).sigmoid() + z_NTd).softmax(1)
            if use == "permuted":
                weights_NTd = weights_NTd[:, fixed_order(T, z_NTd.device)]
        return Scored(part(weights_NTd * self.value(z_NTd), branch="attention"), weights_NTd if whole else None)

    @staticmethod
    def from_public(public: dict[str, Tensor], name: str) -> dict[str, Tensor]:
        """The public code's weights below ``name`` (``<name>.score.*`` and ``<name>.value``) under our names."""
        ours = {f"value.{part}": public[f"{name}.value.{part}"] for part in ("weight", "bias")}
        layers = [f"{name}.score.{half}.{2 * i}" for half in ("encoder", "decoder") for i in range(3)]
        for i, layer in enumerate(layers):
            ours[f"weights.{i}"] = public[f"{layer}.weight"].permute(2, 1, 0)
            ours[f"biases.{i}"] = public[f"{layer}.bias"]
        return ours


def _uniform(shape: tuple[int, ...], fan_in: int) -> nn.Parameter:
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
