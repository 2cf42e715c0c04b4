"""The frozen reading of a model (ours, saliency.md): all that is not linear along the path of the value is held at what
one window made of it, so that the forecast is an affine map of the window and can be split, exactly.

Held are attention weights, gates, the slopes of activations (what comes out over what goes in), the deviation in a
LayerNorm, and Mamba's delta, B and C. Within ``with Frozen():`` softmax, sigmoid, activations, LayerNorm and torch's
own attention are held wherever a model calls them; what is a factor by its meaning alone, a layer marks with ``held``.
Layers with a gradient of their own ask ``frozen()`` and then take their plain form.
"""

import math
import threading
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

NEAR_ZERO = 1e-6  # below, an activation's slope is taken for its slope at zero

_active = threading.local()


def frozen() -> bool:
    """Whether a frozen reading is under way in this thread."""
    return getattr(_active, "reading", None) is not None


def held(factor: Tensor) -> Tensor:
    """A factor of the value: as it is, or in a frozen reading what the window made of it."""
    reading: Frozen | None = getattr(_active, "reading", None)
    return factor if reading is None else reading.hold(factor)


def part(value: Tensor, *, scale: int | None = None, branch: str | None = None) -> Tensor:
    """Marks what passes through a scale or a branch; a frozen reading of the others stops it here."""
    reading: Frozen | None = getattr(_active, "reading", None)
    return value if reading is None or reading.lets(scale, branch) else value.detach()


class Frozen(TorchFunctionMode):
    """``scale`` lets only that scale's marks through, ``without`` stops those branches: gradients, not values.

    A second ``with`` of the same object gives back what the first held, in the same order: the same affine map, for
    another input of the same shape.
    """

    def __init__(self, scale: int | None = None, without: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.scale, self.without = scale, without
        self._held: list[Tensor] = []
        self._next: int | None = None  # None while it notes

    def __enter__(self) -> "Frozen":
        self._next = 0 if self._held else None
        _active.reading = self
        return super().__enter__()

    def __exit__(self, *failed: Any) -> None:
        _active.reading = None
        super().__exit__(*failed)

    def hold(self, factor: Tensor) -> Tensor:
        if self._next is None:
            self._held.append(factor.detach())
            return self._held[-1]
        self._next += 1
        return self._held[self._next - 1]

    def lets(self, scale: int | None, branch: str | None) -> bool:
        return not (scale is not None and self.scale is not None and scale != self.scale) and branch not in self.without

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in FACTORS:
            return self.hold(func(*args, **kwargs))
        if func in ACTIVATIONS:
            return self._activation(func, *args, **kwargs)
        if func is F.layer_norm:
            return self._layer_norm(*args, **kwargs)
        if func in MAX_POOLING:
            return self._max_pool(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        return func(*args, **kwargs)

    def _activation(self, func: Callable, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with torch.no_grad():
            small = x.abs() < NEAR_ZERO
            at = torch.where(small, NEAR_ZERO, x)  # not in place: ``func`` may be
            slope = func(at.clone(), *args, **kwargs) / at
        return x * self.hold(slope)

    def _layer_norm(
        self,
        x: Tensor,
        normalized_shape: list[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor:
        axes = tuple(range(-len(normalized_shape), 0))
        centred = x - x.mean(axes, keepdim=True)
        y = centred * self.hold((centred.square().mean(axes, keepdim=True) + eps).rsqrt())
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    def _max_pool(self, x: Tensor, kernel_size: int, **_: Any) -> Tensor:
        windows = x.unfold(-1, kernel_size, kernel_size)
        return (windows * self.hold(F.one_hot(windows.argmax(-1), kernel_size).to(x))).sum(-1)

    def _attention(self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, **_: Any) -> Tensor:
        logits = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
        if attn_mask is not None:
            logits = logits.masked_fill(~attn_mask, -torch.inf)
        return self.hold(logits.softmax(-1)) @ v


FACTORS = {torch.softmax, F.softmax, Tensor.softmax, torch.sigmoid, F.sigmoid, Tensor.sigmoid}
MAX_POOLING = {F.max_pool1d, torch.max_pool1d}
ACTIVATIONS = {F.relu, torch.relu, Tensor.relu, torch.relu_, Tensor.relu_, F.gelu, F.silu}
