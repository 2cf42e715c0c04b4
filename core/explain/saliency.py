"""Saliency that follows from a model's own attention: the published map and our corrected one (models.md, item 7).

``readings`` gives all that an architecture declares; the roll-out lives in ``rollout.py``. Plain numpy over a Trace.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.models.trace import AttentionMap, Trace


@dataclass(frozen=True)
class SaliencyMap:
    """``values_batch`` is B x L, one value per look-back step; ``values`` its first window. ``resolution`` is the
    steps below which the map cannot tell apart. ``speaks_for`` is the share of the forecast's change that passes
    through what the map shows (0 to 1); ``sentence`` says which branches."""

    method: str
    title: str
    values_batch: np.ndarray
    resolution: int
    speaks_for: float
    sentence: str

    @property
    def values(self) -> np.ndarray:
        return self.values_batch[0]


def readings(trace: Trace, kinds: Sequence[str], lookback: int, variate: int) -> list[SaliencyMap]:
    """What ``Capabilities.saliency`` declares, of one variate; empty where this configuration has no map over time."""
    from core.explain.rollout import rollout

    if not any(m.over_time for m in trace.maps):
        return []
    known = {
        "published": lambda: published(trace),
        "corrected": lambda: corrected(trace),
        "rollout": lambda: rollout(trace, lookback, variate),
    }
    return [known[kind]() for kind in kinds]


def shares(trace: Trace) -> np.ndarray:
    """Each scale's share of the forecast, B x M: mean |contribution| over steps and variates, each variate in units of
    its own mean over the scales, so that a variate with large numbers does not speak for all. Sums to one."""
    size_MBC = np.stack([np.abs(scale.contribution).mean(axis=1) for scale in trace.scales])
    per_variate = size_MBC / np.maximum(size_MBC.sum(axis=0, keepdims=True), 1e-12)
    return per_variate.mean(axis=2).T


def published(trace: Trace) -> SaliencyMap:
    """The paper's map, faults and all: per scale m >= 1 the mean over queries of the patch attention times
    sigmoid(w_m), stretched to L and divided by its sum (where the weight cancels), then the sum over scales."""
    patch = [m for m in trace.maps if m.branch == "patch"]
    length = lookback(trace)
    total = np.zeros((len(trace.forecast), length), np.float32)
    for found in patch:
        weight = next(s.weight for s in trace.scales if s.scale == found.scale)
        row = stretch(found.weights.mean(axis=1) * weight, length)
        total += row / row.sum(axis=1, keepdims=True)
    resolution = max((int(np.ptp(m.key.spans[0])) for m in patch), default=length)
    share = float(shares(trace)[0, 1:].sum()) if patch else 0.0
    return SaliencyMap(
        "published",
        "Published attention",
        total,
        resolution,
        share,
        f"Patch attention of the {counted(len(patch), 'coarse scale')}, every scale counted alike. The finest scale "
        "and the attention inside patches do not enter.",
    )


def corrected(trace: Trace) -> SaliencyMap:
    """Ours: each scale's attention between and inside patches, weighted by the norm of the value it carries, padding
    left out, normalised first; then the sum weighted by each scale's share of the forecast. The map sums to the share
    it speaks for."""
    patch = [m for m in trace.maps if m.branch == "patch"]
    length, share_BM = lookback(trace), shares(trace)
    total = np.zeros((len(trace.forecast), length), np.float32)
    for found in patch:
        position = next(i for i, s in enumerate(trace.scales) if s.scale == found.scale)
        # every point of a patch asks as its patch does
        row = _carried(found, length) * max(trace.scales[position].patch, 1)
        near = trace.map("local", found.scale)
        row = row if near is None else row + _carried(near, length)
        total += row / np.maximum(row.sum(axis=1, keepdims=True), 1e-12) * share_BM[:, position, None]
    speaks_for = float(total[0].sum()) if patch else 0.0
    local = [m for m in trace.maps if m.branch == "local"]
    return SaliencyMap(
        "corrected",
        "Corrected attention",
        total,
        min((int(np.ptp(m.key.spans[0])) for m in (*patch, *local)), default=length),
        speaks_for,
        f"Attention between and inside patches of the {counted(len(patch), 'coarse scale')}, weighted by the value "
        f"carried and by each scale's share of the forecast: together {speaks_for:.0%}. The other "
        f"{1 - speaks_for:.0%} comes from the finest scale, which has no attention.",
    )


def _carried(found: AttentionMap, length: int) -> np.ndarray:
    """What all queries together take from each step, B x length: weight times the norm of the value, no padding."""
    row = found.weights.sum(axis=1)
    row = row if found.carried is None else row * found.carried
    return spread(found, row if found.real is None else row * found.real, length)


def counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def lookback(trace: Trace) -> int:
    return trace.scales[0].seen.shape[1]


def spread(found: AttentionMap, row_BK: np.ndarray, length: int) -> np.ndarray:
    """Each key's value shared evenly by the steps it spans, B x length."""
    out = np.zeros((len(row_BK), length), np.float32)
    for j, (first, last) in enumerate(found.key.spans):
        out[:, first:last] = row_BK[:, j, None] / max(last - first, 1)
    return out


def stretch(row_BK: np.ndarray, length: int) -> np.ndarray:
    """Linear interpolation to ``length`` points with half-pixel centres, as the published code stretches its map."""
    keys = row_BK.shape[1]
    at = np.clip((np.arange(length) + 0.5) * keys / length - 0.5, 0, keys - 1)
    low = np.floor(at).astype(int)
    high, part = np.minimum(low + 1, keys - 1), (at - low).astype(np.float32)
    return row_BK[:, low] * (1 - part) + row_BK[:, high] * part
