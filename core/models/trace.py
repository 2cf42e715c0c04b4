"""What a model did inside, as plain numpy with named axes, so that pages, tests and exports read it alike. No torch.

Every array has the batch B first. Time spans are half-open in steps of the look-back window: (0, 16) is the first
16 steps, (L - 1, L) the last observed one.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Axis:
    """One axis of a map. ``spans`` is n x 2 (first, one past the last): steps for ``time`` and ``horizon``,
    variate numbers for ``variate``, feature numbers for ``feature``."""

    kind: Literal["time", "horizon", "variate", "feature"]
    spans: np.ndarray

    def __len__(self) -> int:
        return len(self.spans)


@dataclass(frozen=True)
class AttentionMap:
    """Weights of one attention, B x Q x K, each row summing to one over the keys.

    ``branch`` names the kind ("patch", "local", ...) within a model; ``scale`` is None where the model has none.
    ``carried`` is B x K, the norm of the value each key carries; ``real`` is K booleans, False where a key is padding.
    """

    branch: str
    weights: np.ndarray
    query: Axis
    key: Axis
    scale: int | None = None
    layer: int = 0
    head: int = 0
    carried: np.ndarray | None = None
    real: np.ndarray | None = None


@dataclass(frozen=True)
class ScaleOutput:
    """One scale. ``factor`` is original steps per point; ``patch`` points per patch (0: no attention).

    ``seen`` is the pooled input, B x l x C; ``contribution`` what it adds to the forecast, B x H x C, exactly
    ``seasonal`` + ``trend``; ``weight`` is sigmoid(w_m).
    """

    scale: int
    factor: int
    patch: int
    weight: float
    seen: np.ndarray
    contribution: np.ndarray
    seasonal: np.ndarray
    trend: np.ndarray


@dataclass(frozen=True)
class Trace:
    """``forecast`` (B x H x C) = sum of the scales' contributions + ``rest``, exactly (to float rounding).

    ``rest`` is what belongs to no scale: the head's bias and the window's own level.
    """

    forecast: np.ndarray
    rest: np.ndarray
    scales: tuple[ScaleOutput, ...] = ()
    maps: tuple[AttentionMap, ...] = field(default=())

    def map(self, branch: str, scale: int | None = None) -> AttentionMap | None:
        """The map of this branch and scale, or None where the model has none."""
        return next((m for m in self.maps if m.branch == branch and m.scale == scale), None)
