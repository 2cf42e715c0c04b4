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
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError
from core.models.contract import Attention
from core.models.layers.attention import fixed_order


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
            f"works: width {nearest}."
        )
    if kernel % 2 == 0 or kernel < 3:
        raise UserError(
            f"A score's kernel must be odd, so that it has a middle, and at least 3; {kernel} is not. The nearest that "
            f"works: kernel {max(3, kernel + 1)}."
        )


class ScoreAttention(nn.Module):
    """``width`` divisible by 8, ``kernel`` odd and at least 3 (``check_score``); bound to its number of tokens."""

    def __init__(self, tokens: int, width: int, kernel: int = 3) -> None:
        super().__init__()
        d = width
        down, up = [(tokens, d // 4), (d // 4, d // 2), (d // 2, d)], [(d, d // 2), (d // 2, d // 4), (d // 4, tokens)]
        # weights lie as the fast form multiplies them: k x in x out going down, in x k x out coming up
        self.down = nn.ParameterList(_uniform((kernel, i, o), kernel * i) for i, o in down)
        self.down_bias = nn.ParameterList(_uniform((o,), kernel * i) for i, o in down)
        self.up = nn.ParameterList(_uniform((i, kernel, o), kernel * o) for i, o in up)
        self.up_bias = nn.ParameterList(_uniform((o,), kernel * o) for _, o in up)
        self.value = nn.Linear(d, d)

    def forward(self, z_NTd: Tensor, use: Attention = "learned", *, whole: bool = False) -> Scored:
        T = z_NTd.shape[1]
        if use == "uniform":
            weights_NTd = torch.full_like(z_NTd, 1 / T)
        else:
            score = FastScore.apply if z_NTd.device.type == "cpu" else convolutions
            parameters = (*self.down, *self.down_bias, *self.up, *self.up_bias)
            weights_NTd = cast(Tensor, score(z_NTd, *parameters)).softmax(1)
            if use == "permuted":
                weights_NTd = weights_NTd[:, fixed_order(T, z_NTd.device)]
        return Scored(weights_NTd * self.value(z_NTd), weights_NTd if whole else None)

    @staticmethod
    def from_public(public: dict[str, Tensor], name: str) -> dict[str, Tensor]:
        """The public code's weights below ``name`` (``<name>.score.*`` and ``<name>.value``) under our names."""
        ours = {f"value.{part}": public[f"{name}.value.{part}"] for part in ("weight", "bias")}
        for i in range(3):
            down, up = f"{name}.score.encoder.{2 * i}", f"{name}.score.decoder.{2 * i}"
            ours[f"down.{i}"] = public[f"{down}.weight"].permute(2, 1, 0)
            ours[f"up.{i}"] = public[f"{up}.weight"].permute(0, 2, 1)
            ours[f"down_bias.{i}"], ours[f"up_bias.{i}"] = public[f"{down}.bias"], public[f"{up}.bias"]
        return ours


def _uniform(shape: tuple[int, ...], fan_in: int) -> nn.Parameter:
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def convolutions(z_NTd: Tensor, *parameters: Tensor) -> Tensor:
    """The score in its readable form: runs on CUDA, and is what the fast form is tested against. N x T x d."""
    down, down_bias, up, up_bias = (parameters[i : i + 3] for i in (0, 3, 6, 9))
    x, half = z_NTd, len(down[0]) // 2
    for weight, bias in zip(down, down_bias, strict=True):
        x = F.conv1d(x, weight.permute(2, 1, 0), bias, stride=2, padding=half).relu()
    for weight, bias in zip(up, up_bias, strict=True):
        x = F.conv_transpose1d(x, weight.permute(0, 2, 1), bias, stride=2, padding=half, output_padding=1)
        x = x.relu() if weight is not up[-1] else x.sigmoid()
    return x + z_NTd


class FastScore(torch.autograd.Function):
    """``convolutions`` as matrix products on channels-last positions, with the gradient written out. Going down, every
    second window of k positions is one row of a product; coming up, one product gives what every position adds to its
    k neighbours. The two are each other's gradient, so ``windows`` and ``overlap`` are all that moves data.

    ``d_`` is the gradient of what follows it; rows are (N * m).
    """

    @staticmethod
    def forward(ctx, z_NTd, *parameters):  # type: ignore[override]
        down, down_bias, up, up_bias = (parameters[i : i + 3] for i in (0, 3, 6, 9))
        N, k = len(z_NTd), len(down[0])
        x_Nnc = padded(z_NTd.transpose(1, 2), k)
        inputs = [x_Nnc]
        for weight, bias in zip(down, down_bias, strict=True):
            y = torch.addmm(bias, windows(x_Nnc, k), weight.flatten(0, 1))
            if weight is not down[-1]:
                x_Nnc = padded(y.view(N, -1, y.shape[1]), k, relu=True)
                inputs.append(x_Nnc)
        x = y.relu_()
        for weight, bias in zip(up, up_bias, strict=True):
            inputs.append(x)
            y = torch.addmm(middle_taps(bias, k), x, weight.flatten(1))
            y_Nnc = overlap(y.view(N, -1, *weight.shape[1:]))
            if weight is not up[-1]:
                x = y_Nnc.clamp_min(0).view(-1, y_Nnc.shape[2])
        s_NTd = y_Nnc.transpose(1, 2).sigmoid()
        ctx.save_for_backward(*inputs, s_NTd, *down, *up)
        return s_NTd + z_NTd

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_out_NTd):  # type: ignore[override]
        inputs, (s_NTd, *weights) = ctx.saved_tensors[:6], ctx.saved_tensors[6:]
        N, k = len(s_NTd), len(weights[0])
        d_weights, d_biases = [], []
        d_y_Nnc = torch.ops.aten.sigmoid_backward(d_out_NTd, s_NTd).transpose(1, 2)
        for i in (5, 4, 3):
            x, weight = inputs[i], weights[i].flatten(1)
            d_biases.append(d_y_Nnc.sum((0, 1)))
            d_rows = windows(padded(d_y_Nnc, k), k)
            d_weights.append((x.T @ d_rows).view_as(weights[i]))
            d_y = torch.ops.aten.threshold_backward(d_rows @ weight.T, x, 0)
            d_y_Nnc = d_y.view(N, -1, d_y.shape[1])
        for i in (2, 1, 0):
            x_Nnc, weight = inputs[i], weights[i].flatten(0, 1)
            d_y = d_y_Nnc.view(-1, d_y_Nnc.shape[2])
            d_biases.append(d_y.sum(0))
            d_weights.append((windows(x_Nnc, k).T @ d_y).view_as(weights[i]))
            d_y_Nnc = overlap((d_y @ weight.T).view(N, -1, k, x_Nnc.shape[2]))
            if i > 0:
                d_y_Nnc = torch.ops.aten.threshold_backward(d_y_Nnc, inside(x_Nnc, k), 0)
        d_z_NTd = d_out_NTd + d_y_Nnc.transpose(1, 2)
        d_down, d_up = (d[::-1] for d in (d_weights[3:], d_weights[:3]))
        return d_z_NTd, *d_down, *d_biases[:2:-1], *d_up, *d_biases[2::-1]


def inside(x_Nnc: Tensor, kernel: int) -> Tensor:
    """What ``padded`` was given: a view without the zeros at both ends."""
    return x_Nnc[:, kernel // 2 : x_Nnc.shape[1] - kernel // 2]


def padded(x_Nnc: Tensor, kernel: int, relu: bool = False) -> Tensor:
    """kernel // 2 zeros at both ends of the positions, contiguous."""
    N, n, c = x_Nnc.shape
    out = x_Nnc.new_zeros(N, n + kernel - 1, c)
    if relu:
        torch.clamp_min(x_Nnc, 0, out=inside(out, kernel))
    else:
        inside(out, kernel).copy_(x_Nnc)
    return out


def windows(x_Nnc: Tensor, kernel: int) -> Tensor:
    """Every second window of ``kernel`` positions of a padded series: (N * m) x (kernel * c)."""
    N, n, c = x_Nnc.shape
    m = (n - kernel + 1) // 2
    return x_Nnc.as_strided((N, m, kernel * c), (n * c, 2 * c, 1)).reshape(N * m, kernel * c)


def overlap(y_Nmkc: Tensor) -> Tensor:
    """The transpose of ``windows``, less the padding: adds every window to the positions it covers, N x 2m x c."""
    N, m, k, c = y_Nmkc.shape
    middle = k // 2
    # the two taps in the middle fall on a window's own two positions, the others on its neighbours'
    out_Nm2c = y_Nmkc[:, :, middle : middle + 2].contiguous()
    for tap in (*range(middle), *range(middle + 2, k)):
        shift, side = divmod(tap - middle, 2)
        if abs(shift) < m:
            out_Nm2c[:, max(shift, 0) : m + min(shift, 0), side] += y_Nmkc[:, max(-shift, 0) : m - max(shift, 0), tap]
    return out_Nm2c.view(N, 2 * m, c)


def middle_taps(bias: Tensor, kernel: int) -> Tensor:
    """The bias of every position, as what a window's own two positions receive: kernel * c."""
    c, before = len(bias), kernel // 2
    return F.pad(bias.repeat(2), (before * c, (kernel - before - 2) * c))
