"""What a model did inside, as plain numpy with named axes, so that pages, tests and exports read it alike. No torch.

Every array has the batch B first. Time spans are half-open in steps of the look-back window: (0, 16) is the first
16 steps, (L - 1, L) the last observed one.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

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

    ``branch`` names the kind within a model: "patch" and "local" (CrossScaleNet), "self" (tokens of one axis ask each
    other), "cross" (tokens of one scale ask another's), "core" (SOFTS), "score" (CASA). ``scale`` is the scale of the
    queries, ``key_scale`` that of the keys where it is another; None where the model has no scales. ``variate`` is the
    variate this map belongs to, None where one map serves all. ``carried`` is B x K, the norm of the value each key
    carries; ``real`` is K booleans, False where a key is padding. Maps stand in the order in which they are computed.
    """

    branch: str
    weights: np.ndarray
    query: Axis
    key: Axis
    scale: int | None = None
    layer: int = 0
    head: int = 0
    variate: int | None = None
    key_scale: int | None = None
    carried: np.ndarray | None = None
    real: np.ndarray | None = None

    @property
    def over_time(self) -> bool:
        return self.query.kind == "time" and self.key.kind == "time"


@dataclass(frozen=True)
class ScaleOutput:
    """One part of the forecast: a scale, a level or a branch. ``factor`` is original steps per point; ``patch`` points
    per patch (0: no attention).

    ``seen`` is its input, B x l x C, from step ``first`` of the window; ``contribution`` what it adds to the forecast,
    B x H x C, exactly ``seasonal`` + ``trend`` where the model splits it so, else both are None. ``weight`` is the
    model's own weight of it (1 where it has none); ``name`` what pages call it (empty: by its number).
    """

    scale: int
    factor: int
    patch: int
    weight: float
    seen: np.ndarray
    contribution: np.ndarray
    seasonal: np.ndarray | None = None
    trend: np.ndarray | None = None
    first: int = 0
    name: str = ""


@dataclass(frozen=True)
class Trace:
    """``forecast`` (B x H x C) = sum of the scales' contributions + ``rest``, exactly (to float rounding).

    ``rest`` is what belongs to no scale: the head's bias and the window's own level; the whole forecast for a model
    without scales.
    """

    forecast: np.ndarray
    rest: np.ndarray
    scales: tuple[ScaleOutput, ...] = ()
    maps: tuple[AttentionMap, ...] = field(default=())

    def map(self, branch: str, scale: int | None = None) -> AttentionMap | None:
        """The first map of this branch and scale, or None where the model has none."""
        return next((m for m in self.maps if m.branch == branch and m.scale == scale), None)


def array(tensor: Any) -> np.ndarray:
    """A torch tensor as a contiguous float32 array of its own."""
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def time_axis(first: int, span: int, stride: int, count: int, lookback: int) -> Axis:
    """``count`` spans of ``span`` steps, one every ``stride`` from step ``first``, cut at the window's end. A span that
    begins beyond the end (padding) is given the last step."""
    begin = np.minimum(first + stride * np.arange(count), lookback - 1)
    return Axis("time", np.stack([begin, np.minimum(begin + span, lookback)], axis=1))


def numbered(kind: Literal["variate", "feature", "horizon"], count: int) -> Axis:
    """One entry for each of ``count`` variates, features or steps of the horizon."""
    return Axis(kind, np.stack([np.arange(count), np.arange(1, count + 1)], axis=1))
