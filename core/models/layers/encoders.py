"""The seasonal and the trend encoder of a scale, as CrossScaleNet (arXiv 2509.22839) and LMS-AutoTSF (arXiv 2412.06866)
have them: a gate along time on the lag-1 difference, a layer pair along the variates, a linear layer to the horizon.

Shape suffixes: B batch, H horizon, C variates, l points of a scale, d width, S = 2 (seasonal, trend), N = C * B. Time
is last and variates first: every layer is one matrix product, for seasonal and trend together. Ours: dropout acts on
the gate h only.
"""

import math

import torch
from torch import Tensor, nn

from core.models.layers import linear_maps
from core.models.layers.dropout import keep_mask
from core.models.layers.frozen import frozen, held


def affine(count: int, fan_in: int, fan_out: int, bias_shape: tuple[int, ...]) -> tuple[nn.Parameter, nn.Parameter]:
    """``count`` stacked linear layers with the usual uniform start, weights count x fan_in x fan_out."""
    bound = 1 / math.sqrt(fan_in)
    weight = torch.empty(count, fan_in, fan_out).uniform_(-bound, bound)
    return nn.Parameter(weight), nn.Parameter(torch.empty(bias_shape).uniform_(-bound, bound))


class EncoderPair(nn.Module):
    """The seasonal and the trend encoder of one scale, stacked (S = 2).

    r = z + g (+ variate mixing of g), g = h * D, D the lag-1 difference of z, h a two-layer gate along time; then one
    linear layer to the horizon. ``represent`` gives r, ``head`` and ``head_bias`` are that last layer.

    With ``window`` the input is a series, split here by a moving average of that many points; without, the two parts.
    """

    trend: Tensor | None

    def __init__(
        self,
        points: int,
        horizon: int,
        variates: int,
        width: int,
        *,
        mix_variates: bool = True,
        window: int | None = None,
        dropout: float = 0.0,
        head_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        d = width
        self.gate_in, self.gate_in_bias = affine(2, points, d, (2, 1, d))
        self.gate_out, self.gate_out_bias = affine(2, d, points, (2, 1, points))
        self.head, self.head_bias = affine(2, points, horizon, (2, 1, horizon))
        self.variates, self.mixes = variates, mix_variates
        self.dropout, self.head_dropout = dropout, head_dropout
        if self.mixes:
            # along variates the matrix stands on the left: S x d x C and S x C x d
            mix_in, self.mix_in_bias = affine(2, variates, d, (2, d, 1))
            mix_out, self.mix_out_bias = affine(2, d, variates, (2, variates, 1))
            self.mix_in = nn.Parameter(mix_in.detach().transpose(1, 2).contiguous())
            self.mix_out = nn.Parameter(mix_out.detach().transpose(1, 2).contiguous())
        trend = linear_maps.moving_average(points, window) if window else None
        self.register_buffer("trend", trend, persistent=False)

    def forward(self, series: Tensor) -> Tensor:
        """Seasonal and trend outputs, S x C x B x H, of a series C x B x l or of its parts S x C x B x l."""
        C, B, _ = series.shape[-3:]
        return torch.baddbmm(self.head_bias, self.represent(series), self.head).view(2, C, B, -1)

    def represent(self, series: Tensor) -> Tensor:
        """r, S x N x l: what the last layer maps to the horizon."""
        C, B, points = series.shape[-3:]
        x = series.reshape(*series.shape[:-3], C * B, points)
        keep_SNl = keep_mask((2, C * B, points), self.dropout, x) if self.training and self.dropout else None
        mixing = (self.mix_in, self.mix_in_bias, self.mix_out, self.mix_out_bias) if self.mixes else (None,) * 4
        gates = (self.gate_in, self.gate_in_bias, self.gate_out, self.gate_out_bias)
        encode = FastRepresentation.apply if x.device.type == "cpu" and not frozen() else representation
        r_SNl = encode(x, self.trend, keep_SNl, C, *gates, *mixing)
        if self.training and self.head_dropout:
            r_SNl = r_SNl * keep_mask(tuple(r_SNl.shape), self.head_dropout, r_SNl)
        return r_SNl


def representation(
    x: Tensor,
    trend: Tensor | None,
    keep_SNl: Tensor | None,
    variates: int,
    gate_in: Tensor,
    gate_in_bias: Tensor,
    gate_out: Tensor,
    gate_out_bias: Tensor,
    mix_in: Tensor | None,
    mix_in_bias: Tensor | None,
    mix_out: Tensor | None,
    mix_out_bias: Tensor | None,
) -> Tensor:
    """The readable form of ``EncoderPair.represent``: runs on CUDA and in a frozen reading, and is what the fast form
    is tested against.

    ``x`` is N x l and split by the matrix ``trend``, or the parts themselves, S x N x l, where that is None.
    """
    z_SNl = x
    if trend is not None:
        trend_Nl = x @ trend
        z_SNl = torch.stack([x - trend_Nl, trend_Nl])
    a_SNd = torch.baddbmm(gate_in_bias, z_SNl, gate_in).relu()
    h_SNl = torch.baddbmm(gate_out_bias, a_SNd, gate_out)
    if keep_SNl is not None:
        h_SNl = h_SNl * keep_SNl
    difference_SNl = torch.cat([z_SNl[..., :1], z_SNl[..., 1:] - z_SNl[..., :-1]], dim=-1)
    g_SNl = held(h_SNl) * difference_SNl
    r_SNl = z_SNl + g_SNl
    if mix_in is not None and mix_in_bias is not None and mix_out is not None and mix_out_bias is not None:
        u_SdM = torch.baddbmm(mix_in_bias, mix_in, g_SNl.view(2, variates, -1)).relu()
        r_SNl = r_SNl + torch.baddbmm(mix_out_bias, mix_out, u_SdM).view_as(r_SNl)
    return r_SNl


class FastRepresentation(torch.autograd.Function):
    """``representation`` with its gradient written out: a third of the passes over memory that autograd would make.

    Names as there; ``d_`` is the gradient of what follows it. M = B * l, the columns of a variate.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx, x, trend, keep_SNl, variates, gate_in, gate_in_bias, gate_out, gate_out_bias, *mixing
    ):
        z_SNl = x
        if trend is not None:
            z_SNl = x.new_empty(2, *x.shape)
            torch.mm(x, trend, out=z_SNl[1])
            torch.sub(x, z_SNl[1], out=z_SNl[0])
        a_SNd = torch.baddbmm(gate_in_bias, z_SNl, gate_in).relu_()
        h_SNl = torch.baddbmm(gate_out_bias, a_SNd, gate_out)
        difference_SNl = z_SNl.clone()
        difference_SNl[..., 1:].sub_(z_SNl[..., :-1])
        if keep_SNl is not None:
            h_SNl.mul_(keep_SNl)
        g_SNl = h_SNl * difference_SNl
        r_SNl = z_SNl + g_SNl
        u_SdM = None
        if mixing[0] is not None:
            mix_in, mix_in_bias, mix_out, mix_out_bias = mixing
            u_SdM = torch.baddbmm(mix_in_bias, mix_in, g_SNl.view(2, variates, -1)).relu_()
            r_SCM = r_SNl.view(2, variates, -1).add_(mix_out_bias)
            r_SNl = r_SCM.baddbmm_(mix_out, u_SdM).view_as(z_SNl)
        ctx.save_for_backward(
            trend, keep_SNl, gate_in, gate_out, mixing[0], mixing[2], z_SNl, a_SNd, h_SNl, difference_SNl, g_SNl, u_SdM
        )
        ctx.variates = variates
        return r_SNl

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_r_SNl):  # type: ignore[override]
        trend, keep_SNl, gate_in, gate_out, mix_in, mix_out, z_SNl, a_SNd, h_SNl, difference_SNl, g_SNl, u_SdM = (
            ctx.saved_tensors
        )
        d_r_SNl = d_r_SNl.contiguous()
        d_mixing: tuple[Tensor | None, ...] = (None,) * 4
        if mix_in is None:
            d_g_SNl = d_r_SNl
        else:
            d_r_SCM, g_SCM = d_r_SNl.view(2, ctx.variates, -1), g_SNl.view(2, ctx.variates, -1)
            d_u_SdM = torch.bmm(mix_out.transpose(1, 2), d_r_SCM)
            d_u_SdM = torch.ops.aten.threshold_backward(d_u_SdM, u_SdM, 0)
            d_mixing = (
                torch.bmm(d_u_SdM, g_SCM.transpose(1, 2)),
                d_u_SdM.sum(-1, keepdim=True),
                torch.bmm(d_r_SCM, u_SdM.transpose(1, 2)),
                d_r_SCM.sum(-1, keepdim=True),
            )
            d_g_SNl = torch.baddbmm(d_r_SCM, mix_in.transpose(1, 2), d_u_SdM).view_as(d_r_SNl)
        d_h_SNl = d_g_SNl * difference_SNl
        if keep_SNl is not None:
            d_h_SNl.mul_(keep_SNl)
        d_difference_SNl = h_SNl.mul_(d_g_SNl)  # h is not needed again
        d_z_SNl = d_r_SNl + d_difference_SNl
        d_z_SNl[..., :-1].sub_(d_difference_SNl[..., 1:])
        d_a_SNd = torch.bmm(d_h_SNl, gate_out.transpose(1, 2))
        d_a_SNd = torch.ops.aten.threshold_backward(d_a_SNd, a_SNd, 0)
        d_gates = (
            torch.bmm(z_SNl.transpose(1, 2), d_a_SNd),
            d_a_SNd.sum(1, keepdim=True),
            torch.bmm(a_SNd.transpose(1, 2), d_h_SNl),
            d_h_SNl.sum(1, keepdim=True),
        )
        d_z_SNl.baddbmm_(d_a_SNd, gate_in.transpose(1, 2))
        d_x = d_z_SNl
        if trend is not None:  # trend = x T and seasonal = x - x T
            d_x = torch.addmm(d_z_SNl[0], d_z_SNl[1] - d_z_SNl[0], trend.T)
        return d_x, None, None, None, *d_gates, *d_mixing
