"""Self-attention of tokens that ask only their neighbours: |i - j| <= w (Longformer, Beltagy et al. 2020).

The local branch of SST and S2TX. On the CPU a narrow band is computed by its 2w + 1 diagonals, each one product of two
shifted rows, without the weights outside the band; elsewhere as a P x P matrix with the rest left out.

Shape suffixes: N sequences, P tokens, D width, h heads, d width of a head, T = N * P tokens of all sequences one after
the other, O = 2w + 1 diagonals.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.contract import Attention
from core.models.layers.attention import attend, fixed_order
from core.models.layers.frozen import frozen, part

NEVER = -1e30  # added to a logit that may not take part; finite, so that it can be added twice


class BandAttention(nn.Module):
    """Multi-head self-attention within a band of ``band`` tokens to each side.

    ``inverted`` leaves out the neighbours instead and asks all others (what SST's public code does). With ``residual``
    the logits of the layer below are added to this layer's (RealFormer, He et al. 2021).
    """

    allowed: Tensor

    def __init__(
        self, width: int, heads: int, tokens: int, band: int, inverted: bool = False, residual: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.tokens, self.band, self.residual = heads, tokens, min(band, tokens - 1), residual
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        position = torch.arange(tokens)
        near = (position[:, None] - position).abs() <= band
        self.register_buffer("allowed", ~near if inverted else near, persistent=False)
        # with 4 features a head a diagonal costs no more than its share of the matrix; wider heads gain less
        self.narrow = not inverted and 2 * (2 * self.band + 1) <= tokens

    def forward(
        self, x_NPD: Tensor, use: Attention = "learned", below: Tensor | None = None, whole: bool = False
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """The new tokens N x P x D; with ``residual`` the logits, for the layer above; and, if ``whole``, the weights
        N x h x P x P and the norms of what each key carries, N x h x P.

        ``use`` and ``whole`` must be the same in all layers: ``below`` is laid out accordingly.
        """
        N, P, D = x_NPD.shape
        qkv = torch.addmm(self.qkv.bias[:, None], self.qkv.weight, x_NPD.reshape(N * P, D).T)
        q, k, v = qkv.view(3, self.heads, D // self.heads, N * P).unbind(0)
        logits, found = None, {}
        if self.narrow and use == "learned" and not (whole or frozen()) and x_NPD.device.type == "cpu":
            out_hdT, logits = Diagonals.apply(q, k, v, self._outside(N, x_NPD), below)  # type: ignore[misc]
        else:
            q, k, v = (part.view(self.heads, -1, N, P).permute(2, 0, 3, 1) for part in (q, k, v))
            if self.residual:
                out_NhPd, weights, logits = self._attend(q, k, v, use, below)
            else:
                out_NhPd, weights = attend(q, k, v, use, mask=self.allowed, whole=whole)
            out_hdT = out_NhPd.permute(1, 3, 0, 2).reshape(self.heads, -1, N * P)
            if whole and weights is not None:
                found = {"weights": weights, "carried": v.norm(dim=-1)}
        y_TD = F.linear(out_hdT.reshape(D, N * P).T, self.out.weight, self.out.bias)
        return y_TD.view(N, P, D), logits if self.residual else None, found

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, use: Attention, below: Tensor | None) -> tuple[Tensor, ...]:
        """As ``attend``, with the logits of the layer below, and with its own."""
        if use == "permuted":
            k = k[..., fixed_order(k.shape[-2], k.device), :]
        logits = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
        if below is not None:
            logits = logits + below
        if use == "uniform":
            logits = torch.zeros_like(logits)
        weights = logits.masked_fill(~self.allowed, NEVER).softmax(-1)
        return part(weights @ v, branch="attention"), weights, logits

    def _outside(self, sequences: int, like: Tensor) -> Tensor:
        """O x 1 x T: what keeps a diagonal from reaching beyond either end of its sequence."""
        w, P = self.band, self.tokens
        reached = torch.arange(P) + torch.arange(-w, w + 1)[:, None]
        outside = torch.where((reached >= 0) & (reached < P), 0.0, NEVER)
        return outside[:, None].repeat(1, 1, sequences).to(like)


class Diagonals(torch.autograd.Function):
    """Attention within a band, diagonal by diagonal, with its gradient written out: contiguous products over all
    tokens of all sequences, a third of the passes that autograd would make."""

    @staticmethod
    def forward(ctx, q_hdT, k_hdT, v_hdT, outside_O1T, below_OhT):  # type: ignore[override]
        h, d, T = q_hdT.shape
        diagonals = len(outside_O1T)
        # the first and last tokens' neighbours beyond the end: weight zero, any value
        key, value = F.pad(torch.stack([k_hdT, v_hdT]), (diagonals // 2, diagonals // 2)).unbind(0)
        logits_OhT, product = q_hdT.new_empty(diagonals, h, T), q_hdT.new_empty(h, d, T)
        for o in range(diagonals):
            torch.sum(torch.mul(q_hdT, key[..., o : o + T], out=product), 1, out=logits_OhT[o])
        logits_OhT = torch.add(outside_O1T, logits_OhT, alpha=1 / math.sqrt(d))
        if below_OhT is not None:
            logits_OhT.add_(below_OhT)
        weights_OhT = logits_OhT.softmax(0)
        out_hdT = weights_OhT[0, :, None] * value[..., :T]
        for o in range(1, diagonals):
            out_hdT.addcmul_(weights_OhT[o, :, None], value[..., o : o + T])
        ctx.save_for_backward(q_hdT, key, value, weights_OhT)
        ctx.residual = below_OhT is not None
        ctx.set_materialize_grads(False)
        return out_hdT, logits_OhT

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_out_hdT, d_logits_OhT):  # type: ignore[override]
        q_hdT, key, value, weights_OhT = ctx.saved_tensors
        diagonals, _, T = weights_OhT.shape
        d_out_hdT = d_out_hdT.contiguous()
        d_weights_OhT, product = torch.empty_like(weights_OhT), torch.empty_like(q_hdT)
        d_value = torch.zeros_like(value)
        for o in range(diagonals):
            torch.sum(torch.mul(d_out_hdT, value[..., o : o + T], out=product), 1, out=d_weights_OhT[o])
            d_value[..., o : o + T].addcmul_(d_out_hdT, weights_OhT[o, :, None])
        d_own_OhT = torch.ops.aten._softmax_backward_data(d_weights_OhT, weights_OhT, 0, weights_OhT.dtype)
        if d_logits_OhT is not None:
            d_own_OhT.add_(d_logits_OhT)
        d_below = d_own_OhT.clone() if ctx.residual else None
        d_own_OhT.div_(math.sqrt(q_hdT.shape[1]))
        d_q_hdT, d_key = torch.zeros_like(q_hdT), torch.zeros_like(key)
        for o in range(diagonals):
            d_q_hdT.addcmul_(key[..., o : o + T], d_own_OhT[o, :, None])
            d_key[..., o : o + T].addcmul_(q_hdT, d_own_OhT[o, :, None])
        inside = slice(diagonals // 2, diagonals // 2 + T)
        return d_q_hdT, d_key[..., inside], d_value[..., inside], None, d_below
