"""Attention roll-out (Abnar & Zuidema 2020): the attention of a whole stack of layers, followed down to steps.

For any architecture whose maps run over time. A token begins as its own span, or as the finer tokens it was joined
from; each attention replaces half of it by what it looked at, the residual keeps the other half. Heads are averaged.
It is an approximation: it knows neither the values that attention carries nor the layers in between, and says so.

Shape suffixes: B batch, P tokens of a stream, K keys, L look-back.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from core.explain.saliency import SaliencyMap, shares
from core.models.trace import AttentionMap, Axis, Trace

Stream = tuple[int | None, bytes]  # tokens that are updated together: their scale, their spans


def rollout(trace: Trace, lookback: int, variate: int) -> SaliencyMap:
    """The roll-out of one variate's maps (or of those that serve all), B x L, summing to the share it speaks for.

    All tokens of a scale count alike; scales count by their share of the forecast where the trace splits it.
    """
    maps = [m for m in trace.maps if m.over_time and m.variate in (None, variate)]
    rows: dict[Stream, np.ndarray] = {}
    asked: list[Stream] = []
    for _, heads in groupby(maps, key=lambda m: (m.branch, m.scale, m.key_scale, m.layer)):
        layer = list(heads)
        query, key = _streams(layer[0])
        for stream, axis in ((query, layer[0].query), (key, layer[0].key)):
            if stream not in rows:
                rows[stream] = _begin(rows, stream, axis, len(layer[0].weights), lookback)
        weights_BPK = _mean([_real(m) for m in layer])
        rows[query] = 0.5 * (rows[query] + weights_BPK @ rows[key])
        if query not in asked:
            asked.append(query)
    share_B = _share(trace, asked)
    values = np.zeros((len(trace.forecast), lookback), np.float32)
    for stream in asked:
        row_BL = rows[stream].mean(axis=1)
        values += row_BL / np.maximum(row_BL.sum(axis=1, keepdims=True), 1e-12) * share_B[stream][:, None]
    layers = len({(m.branch, m.scale, m.layer) for m in maps})
    return SaliencyMap(
        "rollout",
        "Rolled-out attention",
        values,
        min((_resolution(m.key) for m in maps), default=lookback),
        float(values[0].sum()),
        f"The attention of {layers} layer{'s' * (layers != 1)} followed down to the steps, heads averaged, half of "
        "every token kept by the residual. An approximation: what the values carry and the layers in between do not "
        "enter.",
    )


def _streams(found: AttentionMap) -> tuple[Stream, Stream]:
    """Where the queries and where the keys of this map come from."""
    key_scale = found.scale if found.key_scale is None else found.key_scale
    return (found.scale, _bytes(found.query)), (key_scale, _bytes(found.key))


def _bytes(axis: Axis) -> bytes:
    return np.ascontiguousarray(axis.spans, np.int64).tobytes()


def _begin(rows: dict[Stream, np.ndarray], stream: Stream, axis: Axis, batch: int, lookback: int) -> np.ndarray:
    """B x P x L: each token as the mean of the next finer scale's tokens whose middle it covers, else as its span."""
    scale, own_PL = stream[0], spread(axis, lookback)
    finer = next((other for other in reversed(rows) if scale is not None and other[0] == scale - 1), None)
    own_BPL = np.broadcast_to(own_PL, (batch, *own_PL.shape))
    if finer is None:
        return own_BPL
    middle_K = np.frombuffer(finer[1], np.int64).reshape(-1, 2).mean(axis=1)
    covers_PK = (axis.spans[:, :1] <= middle_K) & (middle_K < axis.spans[:, 1:])
    count_P1 = covers_PK.sum(axis=1, keepdims=True)
    return np.where(count_P1 > 0, covers_PK / np.maximum(count_P1, 1) @ rows[finer], own_BPL)


def spread(axis: Axis, lookback: int) -> np.ndarray:
    """Each token as an even share of the steps it spans, P x L."""
    rows = np.zeros((len(axis), lookback), np.float32)
    for i, (first, last) in enumerate(axis.spans):
        rows[i, first:last] = 1 / max(last - first, 1)
    return rows


def _real(found: AttentionMap) -> np.ndarray:
    """The weights with padding left out, each row summing to one."""
    if found.real is None:
        return found.weights
    weights = found.weights * found.real
    return weights / np.maximum(weights.sum(axis=2, keepdims=True), 1e-12)


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return sum(arrays[1:], arrays[0]) / len(arrays)


def _share(trace: Trace, streams: Sequence[Stream]) -> dict[Stream, np.ndarray]:
    """What each stream is worth, B each: its scale's share of the forecast, or all alike."""
    at: dict[int | None, int] = {part.scale: i for i, part in enumerate(trace.scales)}
    if all(scale in at for scale, _ in streams):
        share_BM = shares(trace)
        return {stream: share_BM[:, at[stream[0]]] for stream in streams}
    even = np.full(len(trace.forecast), 1 / max(len(streams), 1), np.float32)
    return dict.fromkeys(streams, even)


def _resolution(axis: Axis) -> int:
    """Steps from one token to the next; of one token alone, its span."""
    firsts = np.unique(axis.spans[:, 0])
    return int(np.diff(firsts).min()) if len(firsts) > 1 else int(np.ptp(axis.spans[0]))
