"""Attention among tokens of any kind (steps, patches, variates): softmax(q k^T / sqrt(e)) v over heads (Vaswani et al.
2017), with a fast path and one that gives its weights. CASA's attention by score is in ``score.py``.

Shape suffixes: N windows (or windows x variates), T tokens that ask, S tokens that are asked, d width, h heads, e = d/h
features of a head.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError
from core.models.contract import Attention
from core.models.layers.dropout import keep_mask
from core.models.layers.frozen import part


class Attended(NamedTuple):
    """``out`` is N x T x d; ``weights`` N x h x T x S, each row summing to one, or None on the fast path."""

    out: Tensor
    weights: Tensor | None


def check_heads(width: int, heads: int) -> None:
    """Raises UserError where the heads do not divide the width, naming the nearest that do."""
    if width % heads:
        fitting = min((h for h in range(1, width + 1) if width % h == 0), key=lambda h: abs(h - heads))
        raise UserError(
            f"A width of {width} cannot be shared by {heads} heads. The nearest that works: {fitting} "
            f"head{'s' * (fitting != 1)}, or a width of {-(-width // heads) * heads}.",
            {"heads": fitting},
        )


def fixed_order(tokens: int, device: torch.device | None = None) -> Tensor:
    """The order in which ``permuted`` takes the keys: always the same for a count, and no token keeps its place."""
    cycle = torch.randperm(tokens, generator=torch.Generator().manual_seed(tokens))
    order = torch.empty_like(cycle)
    order[cycle] = cycle.roll(1)
    return order.to(device)


def attend(
    q_NhTe: Tensor,
    k_NhSe: Tensor,
    v_NhSe: Tensor,
    use: Attention = "learned",
    *,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    whole: bool = False,
) -> Attended:
    """Scaled dot-product attention, N x h x T x e. ``mask`` is boolean, broadcast to N x h x T x S, True where a token
    may look; every row needs one True. ``whole`` gives the weights too. ``uniform`` and ``permuted`` keep to the mask.
    """
    if use == "learned" and not whole and not dropout:
        out_NhTe = F.scaled_dot_product_attention(q_NhTe, k_NhSe, v_NhSe, attn_mask=mask)
        return Attended(part(out_NhTe, branch="attention"), None)
    if use == "permuted":
        k_NhSe = k_NhSe[..., fixed_order(k_NhSe.shape[-2], k_NhSe.device), :]
    logits_NhTS = (q_NhTe / math.sqrt(q_NhTe.shape[-1])) @ k_NhSe.transpose(-1, -2)
    if use == "uniform":
        logits_NhTS = torch.zeros_like(logits_NhTS)
    if mask is not None:
        logits_NhTS = logits_NhTS.masked_fill(~mask, -torch.inf)
    weights_NhTS = logits_NhTS.softmax(-1)
    kept_NhTS = weights_NhTS * keep_mask(tuple(weights_NhTS.shape), dropout, weights_NhTS) if dropout else weights_NhTS
    return Attended(part(kept_NhTS @ v_NhSe, branch="attention"), weights_NhTS if whole else None)


class MultiHeadAttention(nn.Module):
    """Tokens ask each other, or (with ``key_width``) the tokens of another sequence of that width.

    Projections in and out have biases; ``dropout`` acts on the weights, in training.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, key_width: int | None = None) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        # what is asked of one sequence is one product: q, k, v of the own tokens, or k, v of the others
        self.project = nn.Linear(width, 3 * width if key_width is None else width)
        self.project_other = None if key_width is None else nn.Linear(key_width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x_NTd: Tensor,
        other_NSd: Tensor | None = None,
        use: Attention = "learned",
        *,
        mask: Tensor | None = None,
        whole: bool = False,
    ) -> Attended:
        N, T, d = x_NTd.shape
        if (self.project_other is None) != (other_NSd is None):
            raise TypeError("another sequence is given exactly where key_width was")
        if self.project_other is None or other_NSd is None:
            q_NhTe, k_NhSe, v_NhSe = self._heads(self.project(x_NTd), 3)
        else:
            (q_NhTe,) = self._heads(self.project(x_NTd), 1)
            k_NhSe, v_NhSe = self._heads(self.project_other(other_NSd), 2)
        dropout = self.dropout if self.training else 0.0
        out_NhTe, weights = attend(q_NhTe, k_NhSe, v_NhSe, use, mask=mask, dropout=dropout, whole=whole)
        return Attended(self.out(out_NhTe.transpose(1, 2).reshape(N, T, d)), weights)

    def _heads(self, joined: Tensor, count: int) -> tuple[Tensor, ...]:
        """N x T x (count * d) as ``count`` tensors N x h x T x e."""
        N, T, _ = joined.shape
        return joined.view(N, T, count, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
