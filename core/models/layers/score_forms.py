"""The convolutions of CASA's score in three forms that agree: three convolutions with stride 2 along the features, ReLU
after each, and three transposed ones back, ReLU after the first two. ``score_logits`` picks the fastest that runs here:
``score.cpp`` on the CPU where a C++ compiler is, else matrix products in torch, else (CUDA) torch's own convolutions,
which are also what the other two are tested against.

A layer's weights are kernel x channels of the longer series x channels of the shorter, its input going down, its output
coming up. ``parameters`` are the six layers' weights, then their biases. All take N x T x d to N x T x d.

Shape suffixes: N windows (or windows x variates), T tokens, d width, n positions along the features, c channels,
k kernel, m = n / 2.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.models.layers import compiled


def score_logits(z_NTd: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Before the sigmoid. Gradients reach every input, once, on the CPU."""
    if z_NTd.device.type != "cpu":
        return convolutions(z_NTd, *parameters)
    form = MatrixScore if library() is None or z_NTd.dtype not in KINDS else CompiledScore
    return form.apply(z_NTd, *parameters)  # type: ignore[return-value]


def convolutions(z_NTd: Tensor, *parameters: Tensor) -> Tensor:
    """The readable form."""
    x, half = z_NTd, len(parameters[0]) // 2
    for i, (weight, bias) in enumerate(zip(parameters[:6], parameters[6:], strict=True)):
        weight = weight.permute(2, 1, 0)
        if i < 3:
            x = F.conv1d(x, weight, bias, stride=2, padding=half)
        else:
            x = F.conv_transpose1d(x, weight, bias, stride=2, padding=half, output_padding=1)
        x = x if i == 5 else x.relu()
    return x


class MatrixScore(torch.autograd.Function):
    """Matrix products on channels-last positions, with the gradient written out. Going down, every
    second window of k positions is one row of a product; coming up, one product gives what every position adds to its
    k neighbours. The two are each other's gradient, so ``windows`` and ``overlap`` are all that moves data.

    ``d_`` is the gradient of what follows it; rows are (N * m).
    """

    @staticmethod
    def forward(ctx, z_NTd, *parameters):  # type: ignore[override]
        N, k = len(z_NTd), len(parameters[0])
        x_Nnc = padded(z_NTd.transpose(1, 2), k)
        inputs = [x_Nnc]
        for i in range(3):
            y = torch.addmm(parameters[6 + i], windows(x_Nnc, k), parameters[i].flatten(0, 1))
            if i < 2:
                x_Nnc = padded(y.view(N, -1, y.shape[1]), k, relu=True)
                inputs.append(x_Nnc)
        x = y.relu_()
        for i in range(3, 6):
            inputs.append(x)
            y = torch.addmm(middle_taps(parameters[6 + i], k), x, parameters[i].flatten(0, 1).T)
            y_Nnc = overlap(y.view(N, -1, *parameters[i].shape[:2]))
            if i < 5:
                x = y_Nnc.clamp_min(0).view(-1, y_Nnc.shape[2])
        ctx.save_for_backward(*inputs, *parameters[:6])
        return y_Nnc.transpose(1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_out_NTd):  # type: ignore[override]
        inputs, weights = ctx.saved_tensors[:6], ctx.saved_tensors[6:]
        N, k = len(d_out_NTd), len(weights[0])
        d_weights, d_biases = list(weights), list(weights)
        d_y_Nnc = d_out_NTd.transpose(1, 2).contiguous()
        for i in (5, 4, 3):
            x, weight = inputs[i], weights[i].flatten(0, 1)
            d_biases[i] = d_y_Nnc.sum((0, 1))
            d_rows = windows(padded(d_y_Nnc, k), k)
            d_weights[i] = (d_rows.T @ x).view_as(weights[i])
            d_y = torch.ops.aten.threshold_backward(d_rows @ weight, x, 0)
            d_y_Nnc = d_y.view(N, -1, d_y.shape[1])
        for i in (2, 1, 0):
            x_Nnc, weight = inputs[i], weights[i].flatten(0, 1)
            d_y = d_y_Nnc.view(-1, d_y_Nnc.shape[2])
            d_biases[i] = d_y.sum(0)
            d_weights[i] = (windows(x_Nnc, k).T @ d_y).view_as(weights[i])
            d_y_Nnc = overlap((d_y @ weight.T).view(N, -1, k, x_Nnc.shape[2]))
            if i > 0:
                d_y_Nnc = torch.ops.aten.threshold_backward(d_y_Nnc, inside(x_Nnc, k), 0)
        return d_y_Nnc.transpose(1, 2), *d_weights, *d_biases


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


# ``score.cpp``: the C types by dtype, and the library


KINDS = {torch.float32: "float32", torch.float64: "float64"}


class Sizes(ctypes.Structure):
    """As in ``score.cpp``."""

    _fields_ = [(name, ctypes.c_int64) for name in ("windows", "tokens", "width", "kernel", "threads")]


class CompiledScore(torch.autograd.Function):
    """The compiled form: no window is copied together, and each thread passes its share of the windows through all
    layers while they are in its cache."""

    @staticmethod
    def forward(ctx, z_NTd, *parameters):  # type: ignore[override]
        z_NTd, parameters = z_NTd.contiguous(), [p.contiguous() for p in parameters]
        sizes = Sizes(*z_NTd.shape, len(parameters[0]), torch.get_num_threads())
        learns = any(ctx.needs_input_grad)
        kept = z_NTd.new_empty(len(z_NTd), library().score_kept(ctypes.byref(sizes))) if learns else None
        out_NTd = torch.empty_like(z_NTd)
        getattr(library(), f"score_forward_{KINDS[z_NTd.dtype]}")(
            ctypes.byref(sizes),
            z_NTd.data_ptr(),
            addresses(parameters[:6]),
            addresses(parameters[6:]),
            out_NTd.data_ptr(),
            None if kept is None else kept.data_ptr(),
        )
        if learns:
            ctx.save_for_backward(kept, *parameters)
        return out_NTd

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_out_NTd):  # type: ignore[override]
        kept, *parameters = ctx.saved_tensors
        d_out_NTd = d_out_NTd.contiguous()
        sizes = Sizes(*d_out_NTd.shape, len(parameters[0]), min(torch.get_num_threads(), len(kept)))
        counts = [p.numel() for p in parameters]
        # each thread sums over its own share of the windows
        gradients = kept.new_zeros(sizes.threads, sum(counts))
        d_z_NTd = torch.empty_like(d_out_NTd)
        getattr(library(), f"score_backward_{KINDS[kept.dtype]}")(
            ctypes.byref(sizes),
            d_out_NTd.data_ptr(),
            addresses(parameters[:6]),
            kept.data_ptr(),
            d_z_NTd.data_ptr(),
            gradients.data_ptr(),
            sum(counts),
        )
        summed = gradients[0] if sizes.threads == 1 else gradients.sum(0)
        found = [part.view_as(p) for part, p in zip(summed.split(counts), parameters, strict=True)]
        return d_z_NTd, *found


def addresses(tensors: Sequence[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


@cache
def library() -> Any:
    """The compiled form's library, or None where it cannot be had. The first call may compile (seconds)."""
    try:
        found = compiled.load(Path(__file__).with_name("score.cpp"))
    except (OSError, RuntimeError):
        return None
    found.score_kept.restype = ctypes.c_int64
    for kind in KINDS.values():
        getattr(found, f"score_forward_{kind}").argtypes = [ctypes.c_void_p] * 6
        getattr(found, f"score_backward_{kind}").argtypes = [ctypes.c_void_p] * 6 + [ctypes.c_int64]
        getattr(found, f"score_forward_{kind}").restype = getattr(found, f"score_backward_{kind}").restype = None
    return found
