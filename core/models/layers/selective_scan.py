"""The selective scan of Mamba (Gu and Dao 2023, arXiv 2312.00752), in four forms that agree:

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t        y_t = (C_t h_t + D x_t) * silu(gate_t)

``selective_scan`` picks the fastest that runs here and ``scan_path`` says which and why: mamba-ssm's kernel on CUDA,
the loop of ``selective_scan.cpp`` on the CPU, and ``torch_scan`` wherever these cannot be had. ``reference_scan`` is
the equation as one reads it, kept for the tests and as the last word on what the others mean.

A parallel scan is not among them: it does more arithmetic and, on two cores, takes several times as long.

Shape suffixes: B batch, L steps, E channels, N states, K steps of a chunk. All forms take x, delta and gate as
B x L x E, B and C as B x L x N, A as E x N, D as E. A is negative and delta positive, so that every exponential is of a
number that is not positive and no state can grow however long the sequence or large delta.
"""

import ctypes
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from core.models.layers import compiled

# ``torch_scan`` keeps the state every so many steps and computes those between again in its backward pass: at most
# CHUNK, and no more than keep a buffer of them within the processor's cache
CHUNK, CHUNK_VALUES = 16, 2**20


class ScanPath(NamedTuple):
    """Which form runs on a device, and why that one."""

    name: str
    reason: str


def selective_scan(
    x_BLE: Tensor,
    delta_BLE: Tensor,
    A_EN: Tensor,
    B_BLN: Tensor,
    C_BLN: Tensor,
    D_E: Tensor | None = None,
    gate_BLE: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """y, B x L x E, in the type of ``x_BLE``; ``reverse`` lets time run from the last step to the first.

    Computed in float32 (float64 where an input is), under autocast too. Gradients reach every input, once: a second
    derivative raises RuntimeError.
    """
    wide = torch.float64 in {x_BLE.dtype, delta_BLE.dtype, A_EN.dtype, B_BLN.dtype, C_BLN.dtype}
    dtype = torch.float64 if wide else torch.float32
    given = (x_BLE, delta_BLE, A_EN, B_BLN, C_BLN, D_E, gate_BLE)
    with torch.autocast(x_BLE.device.type, enabled=False):
        scan, _ = _chosen(x_BLE.device.type, wide)
        return scan(*(tensor if tensor is None else tensor.to(dtype) for tensor in given), reverse).to(x_BLE.dtype)


def scan_path(device: str = "cpu") -> ScanPath:
    """The form that runs in float32 on ``cpu`` or ``cuda``, with the reason. The first call may compile (seconds)."""
    return _chosen(device, wide=False)[1]


@cache
def _chosen(device: str, wide: bool) -> tuple[Callable[..., Tensor], ScanPath]:
    """The form for a device type; found out once, by running it on a small example."""
    if device == "cpu":
        candidate, name, why = compiled_scan, "compiled loop", "built from this project's C++ source"
    elif device == "cuda" and not wide:
        candidate, name, why = kernel_scan, "mamba-ssm", "its CUDA kernel runs here"
    else:
        return torch_scan, ScanPath("torch", f"there is no other form for {device}{' in float64' if wide else ''}")
    try:
        _agrees(candidate, device, torch.float64 if wide else torch.float32)
    except Exception as error:  # of a compiler, a loader, a GPU package: all mean that this form cannot be had
        return torch_scan, ScanPath("torch", f"{name} cannot be had: {compiled.first_line(error)}")
    return candidate, ScanPath(name, why)


def _agrees(scan: Callable[..., Tensor], device: str, dtype: torch.dtype) -> None:
    """Raises where a form, freshly built or installed, gives other numbers than the reference."""
    with torch.inference_mode(False), torch.enable_grad():
        steps = torch.linspace(-1, 1, 2 * 5 * 3, device=device, dtype=dtype).view(2, 5, 3)
        values = (steps.sin(), steps.exp(), -steps[0, :3].exp(), steps.cos(), steps + 1)
        x, delta, A, B, C = leaf = [tensor.clone().requires_grad_() for tensor in values]
        results = [form(x, delta, A, B, C) for form in (scan, reference_scan)]
        found = [(y, *torch.autograd.grad(y.square().sum(), leaf)) for y in results]
        for ours, expected in zip(*found, strict=True):
            if not torch.allclose(ours, expected, rtol=1e-3, atol=1e-4):
                raise ArithmeticError("its numbers differ from the reference's")


def reference_scan(
    x_BLE: Tensor,
    delta_BLE: Tensor,
    A_EN: Tensor,
    B_BLN: Tensor,
    C_BLN: Tensor,
    D_E: Tensor | None = None,
    gate_BLE: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """The equation, a step at a time; slow, and autograd keeps every state."""
    B, L, E = x_BLE.shape
    h_BEN = x_BLE.new_zeros(B, E, A_EN.shape[1])
    y: list[Tensor] = [h_BEN] * L
    for t in reversed(range(L)) if reverse else range(L):
        decay_BEN = torch.exp(delta_BLE[:, t, :, None] * A_EN)
        h_BEN = decay_BEN * h_BEN + (delta_BLE[:, t] * x_BLE[:, t])[..., None] * B_BLN[:, t, None]
        y[t] = (h_BEN * C_BLN[:, t, None]).sum(-1)
    return _finish(torch.stack(y, dim=1), x_BLE, D_E, gate_BLE)


def _finish(y_BLE: Tensor, x_BLE: Tensor, D_E: Tensor | None, gate_BLE: Tensor | None) -> Tensor:
    if D_E is not None:
        y_BLE = torch.addcmul(y_BLE, D_E, x_BLE)
    return y_BLE if gate_BLE is None else y_BLE * F.silu(gate_BLE)


# In torch alone


def torch_scan(
    x_BLE: Tensor,
    delta_BLE: Tensor,
    A_EN: Tensor,
    B_BLN: Tensor,
    C_BLN: Tensor,
    D_E: Tensor | None = None,
    gate_BLE: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """A chunk of steps at a time, with the gradient written out; runs on any device."""
    given = (x_BLE, delta_BLE, A_EN, B_BLN, C_BLN)
    if _learns(given):
        y_BLE: Tensor = ChunkedScan.apply(*given, reverse)  # type: ignore[assignment]
    else:
        y_BLE = ChunkedScan.forward(None, *given, reverse)
    return _finish(y_BLE, x_BLE, D_E, gate_BLE)


@dataclass
class Chunk:
    """K steps of the inputs, time first, with the decay of each and the states before and after it (K x B x N x E)."""

    x: Tensor
    delta: Tensor
    B: Tensor
    C: Tensor
    input: Tensor  # delta * x
    decay: Tensor
    before: Tensor
    after: Tensor


class Walk:
    """Goes through a sequence in chunks, in the order of the scan, in buffers that every chunk uses again."""

    def __init__(
        self, x_BLE: Tensor, delta_BLE: Tensor, A_NE: Tensor, B_BLN: Tensor, C_BLN: Tensor, reverse: bool
    ) -> None:
        self.inputs, self.reverse = (x_BLE, delta_BLE, B_BLN, C_BLN), reverse
        self.rates_NE = A_NE * math.log2(math.e)  # powers of two take half the time of powers of e
        step, L = (len(x_BLE), *A_NE.shape), x_BLE.shape[1]
        K = min(L, CHUNK, max(1, CHUNK_VALUES // math.prod(step)))
        cuts = [(begin, min(begin + K, L)) for begin in range(0, L, K)]
        self.chunks = cuts[::-1] if reverse else cuts
        self.decay, self.h = x_BLE.new_empty(K, *step), x_BLE.new_empty(K + 1, *step)

    def states(self, begin: int, end: int, start_BNE: Tensor) -> Chunk:
        """The steps from ``begin`` to ``end``, with the state ``start_BNE`` before the first of them in the scan."""
        x, delta, B, C = (tensor[:, begin:end].transpose(0, 1).contiguous() for tensor in self.inputs)
        decay, h = self.decay[: end - begin], self.h[: end - begin + 1]
        torch.mul(delta[:, :, None], self.rates_NE, out=decay).exp2_()
        before, after = (h[1:], h[:-1]) if self.reverse else (h[:-1], h[1:])
        before[-1 if self.reverse else 0] = start_BNE
        chunk = Chunk(x, delta, B, C, delta * x, decay, before, after)
        torch.mul(B[..., None], chunk.input[:, :, None], out=after)
        for decay_BNE, before_BNE, after_BNE in in_order(zip(decay, before, after, strict=True), self.reverse):
            after_BNE.addcmul_(decay_BNE, before_BNE)
        return chunk


class ChunkedScan(torch.autograd.Function):
    """C_t h_t, K steps at a time. Keeps the state at the start of every chunk and works in buffers of one chunk, small
    enough for the processor's cache. ``d_`` is the gradient of what follows it; time first and channels last (K x B x N
    x E), so that one step is contiguous and the innermost loops run along the channels.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x_BLE: Tensor, delta_BLE: Tensor, A_EN: Tensor, B_BLN: Tensor, C_BLN: Tensor, reverse: bool
    ) -> Tensor:
        A_NE = A_EN.T.contiguous()
        walk = Walk(x_BLE, delta_BLE, A_NE, B_BLN, C_BLN, reverse)
        h_BNE, y_BLE, kept = x_BLE.new_zeros(len(x_BLE), *A_NE.shape), torch.empty_like(x_BLE), []
        for begin, end in walk.chunks:
            kept.append(h_BNE)
            chunk = walk.states(begin, end, h_BNE)
            h_BNE = chunk.after[0 if reverse else -1].clone()
            y_BLE[:, begin:end] = (chunk.C[:, :, None] @ chunk.after).squeeze(2).transpose(0, 1)
        if ctx is not None:
            ctx.save_for_backward(x_BLE, delta_BLE, A_NE, B_BLN, C_BLN, *kept)
            ctx.reverse = reverse
        return y_BLE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y_BLE: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x_BLE, delta_BLE, A_NE, B_BLN, C_BLN, *kept = ctx.saved_tensors
        walk = Walk(x_BLE, delta_BLE, A_NE, B_BLN, C_BLN, ctx.reverse)
        d_x_BLE, d_delta_BLE = torch.empty_like(x_BLE), torch.empty_like(delta_BLE)
        d_B_BLN, d_C_BLN = torch.empty_like(B_BLN), torch.empty_like(C_BLN)
        d_A_BNE, carried_BNE = torch.zeros_like(kept[0]), torch.zeros_like(kept[0])
        d_h_buffer, carried_buffer = torch.empty_like(walk.decay), torch.empty_like(walk.decay)
        for (begin, end), start_BNE in zip(reversed(walk.chunks), reversed(kept), strict=True):
            chunk = walk.states(begin, end, start_BNE)
            d_y = d_y_BLE[:, begin:end].transpose(0, 1).contiguous()
            d_h, carried = d_h_buffer[: end - begin], carried_buffer[: end - begin]
            steps = zip(d_h, carried, chunk.decay, chunk.C[..., None], d_y[:, :, None], strict=True)
            for d_h_BNE, into_BNE, decay_BNE, C_BN1, d_y_B1E in in_order(steps, not walk.reverse):
                torch.addcmul(carried_BNE, C_BN1, d_y_B1E, out=d_h_BNE)
                carried_BNE = torch.mul(d_h_BNE, decay_BNE, out=into_BNE)
            carried_BNE = carried_BNE.clone()
            # a row times a matrix, which takes a fifth of the time of the matrix times a column
            d_C_BLN[:, begin:end] = (d_y[:, :, None] @ chunk.after.mT).squeeze(2).transpose(0, 1)
            d_B_BLN[:, begin:end] = (chunk.input[:, :, None] @ d_h.mT).squeeze(2).transpose(0, 1)
            d_input = (chunk.B[:, :, None] @ d_h).squeeze(2)
            d_exponent = carried.mul_(chunk.before)
            for d_exponent_BNE, delta_B1E in zip(d_exponent, chunk.delta[:, :, None], strict=True):
                d_A_BNE.addcmul_(d_exponent_BNE, delta_B1E)
            d_delta = d_exponent.mul_(A_NE).sum(2).addcmul_(d_input, chunk.x)
            d_x_BLE[:, begin:end] = d_input.mul_(chunk.delta).transpose(0, 1)
            d_delta_BLE[:, begin:end] = d_delta.transpose(0, 1)
        return d_x_BLE, d_delta_BLE, d_A_BNE.sum(0).T, d_B_BLN, d_C_BLN, None


def in_order(steps: Iterable[tuple[Tensor, ...]], reverse: bool) -> list[tuple[Tensor, ...]]:
    return list(steps)[:: -1 if reverse else 1]


def _learns(tensors: tuple[Tensor | None, ...]) -> bool:
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


# As a compiled loop


class Sizes(ctypes.Structure):
    """``Sizes`` of selective_scan.cpp."""

    _fields_ = [(name, ctypes.c_int64) for name in ("batch", "length", "channels", "states", "threads", "reverse")]


class Rows(ctypes.Structure):
    """``Rows``: where a tensor begins, and the distance from one step to the next."""

    _fields_ = (("data", ctypes.c_void_p), ("stride", ctypes.c_int64))


class Tensors(ctypes.Structure):
    """``Inputs`` and ``Gradients``."""

    _fields_ = [(name, Rows) for name in ("x", "delta", "B", "C", "gate")] + [
        (name, ctypes.c_void_p) for name in ("A", "D")
    ]


@cache
def _library() -> ctypes.CDLL:
    """The compiled loop. Raises what building or loading it raises."""
    library = compiled.load(Path(__file__).with_suffix(".cpp"))
    library.scan_chunk.restype = ctypes.c_int64
    for name in ("float32", "float64"):
        for call, pointers in ((f"scan_forward_{name}", 4), (f"scan_backward_{name}", 5)):
            getattr(library, call).argtypes = [ctypes.c_void_p] * pointers
            getattr(library, call).restype = None
    return library


def compiled_scan(
    x_BLE: Tensor,
    delta_BLE: Tensor,
    A_EN: Tensor,
    B_BLN: Tensor,
    C_BLN: Tensor,
    D_E: Tensor | None = None,
    gate_BLE: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """``selective_scan.cpp``, for the CPU. Inputs may be slices of wider rows."""
    given = (x_BLE, delta_BLE, A_EN, B_BLN, C_BLN, D_E, gate_BLE)
    if _learns(given):
        return CompiledScan.apply(*given, reverse)  # type: ignore[return-value]
    return CompiledScan.forward(None, *given, reverse)


class CompiledScan(torch.autograd.Function):
    """Forward and backward of the compiled loop, which keeps a state in so many steps."""

    @staticmethod
    def forward(ctx: Any, x, delta, A, B, C, D, gate, reverse: bool) -> Tensor:  # type: ignore[override]
        library, kind = _library(), str(x.dtype).removeprefix("torch.")
        x, B, C, delta, A = in_rows(x), in_rows(B), in_rows(C), delta.contiguous(), A.contiguous()
        gate, D = gate if gate is None else in_rows(gate), D if D is None else D.contiguous()
        sizes = Sizes(*x.shape, A.shape[1], torch.get_num_threads(), reverse)
        y = x.new_empty(x.shape)
        kept = None
        if ctx is not None:
            kept = x.new_empty(sizes.batch, -(-sizes.length // library.scan_chunk()), sizes.states, sizes.channels)
        inputs = _tensors(x, delta, B, C, gate, A, D)
        getattr(library, f"scan_forward_{kind}")(
            ctypes.byref(sizes), ctypes.byref(inputs), y.data_ptr(), kept if kept is None else kept.data_ptr()
        )
        if ctx is not None:
            ctx.save_for_backward(x, delta, A, B, C, D, gate, kept)
            ctx.reverse = reverse
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, delta, A, B, C, D, gate, kept = ctx.saved_tensors
        library, kind = _library(), str(x.dtype).removeprefix("torch.")
        sizes = Sizes(*x.shape, A.shape[1], torch.get_num_threads(), ctx.reverse)
        d_y = d_y.contiguous()
        d_x, d_delta = x.new_empty(x.shape), x.new_empty(x.shape)
        d_gate = None if gate is None else x.new_empty(x.shape)
        d_B, d_C = x.new_zeros(B.shape), x.new_zeros(C.shape)
        # each thread sums over its own share of the batch
        d_A, d_D = x.new_zeros(sizes.threads, *A.shape), x.new_zeros(sizes.threads, len(A))
        inputs = _tensors(x, delta, B, C, gate, A, D)
        gradients = _tensors(d_x, d_delta, d_B, d_C, d_gate, d_A, d_D)
        getattr(library, f"scan_backward_{kind}")(
            ctypes.byref(sizes), ctypes.byref(inputs), d_y.data_ptr(), kept.data_ptr(), ctypes.byref(gradients)
        )
        return d_x, d_delta, d_A.sum(0), d_B, d_C, None if D is None else d_D.sum(0), d_gate, None


def in_rows(tensor: Tensor) -> Tensor:
    """The same values where a step is a contiguous row and all rows are equally far apart: as it is, where it can."""
    _, L, width = tensor.shape
    batch, step, value = tensor.stride()
    return tensor if (value == 1 or width == 1) and batch == L * step >= L * width else tensor.contiguous()


def _tensors(x, delta, B, C, gate, A, D) -> Tensors:
    rows = [
        Rows() if tensor is None else Rows(tensor.data_ptr(), tensor.stride(1)) for tensor in (x, delta, B, C, gate)
    ]
    return Tensors(*rows, *(None if tensor is None else tensor.data_ptr() for tensor in (A, D)))


# On CUDA, by mamba-ssm


@cache
def _kernel() -> Callable[..., Tensor]:
    """mamba-ssm's scan. Importing it fails in many ways where triton, a GPU or its CUDA build is missing."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # type: ignore[import-not-found]

    return selective_scan_fn


def kernel_scan(
    x_BLE: Tensor,
    delta_BLE: Tensor,
    A_EN: Tensor,
    B_BLN: Tensor,
    C_BLN: Tensor,
    D_E: Tensor | None = None,
    gate_BLE: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """mamba-ssm's kernel, which wants time last (B x E x L, B x N x L) and knows one direction only."""

    def time_last(tensor: Tensor) -> Tensor:
        return (tensor.flip(1) if reverse else tensor).transpose(1, 2).contiguous()

    x_BEL, delta_BEL, B_BNL, C_BNL = (time_last(tensor) for tensor in (x_BLE, delta_BLE, B_BLN, C_BLN))
    z_BEL = None if gate_BLE is None else time_last(gate_BLE)
    y_BLE = _kernel()(x_BEL, delta_BEL, A_EN.contiguous(), B_BNL, C_BNL, D=D_E, z=z_BEL).transpose(1, 2)
    return y_BLE.flip(1) if reverse else y_BLE
