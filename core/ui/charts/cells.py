"""One attention map as a table of cells with what each says in words; any axes: steps, variates, features.

No drawing here (``attention.py`` over time, ``attention_map.py`` over anything else) and no Streamlit.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from core.models.trace import AttentionMap, Axis
from core.ui.charts.picture import number

MOST_CELLS = 1800  # marks that leave the server, per map
PLURAL = {"variate": "variates", "feature": "features", "horizon": "steps ahead"}


def average(maps: Sequence[AttentionMap]) -> AttentionMap:
    """Several heads as one map: the mean of their weights."""
    first = maps[0]
    if len(maps) == 1:
        return first
    return replace(first, weights=np.mean([m.weights for m in maps], axis=0), carried=None)


def cells(found: AttentionMap, names: Sequence[str] = (), batch: int = 0) -> pd.DataFrame:
    """One row per cell of a map: ``q, k`` (numbers), ``q0, q1, from, to`` (where it is drawn), ``asks from, asks to,
    step from, step to`` (what it spans, the last one included), ``asks, answers`` (that in a few letters), ``weight,
    even, text``.

    Keys of the same span (one per variate, say) are added up. Cells of exactly zero weight in a map that is mostly
    zeros (attention inside patches only) are no cells at all. Above ``MOST_CELLS`` neighbours are merged: weights
    summed over keys, averaged over queries. Where spans overlap, cells are drawn border to border. ``names`` are those
    of the variates.
    """
    weights = np.asarray(found.weights[batch], float)
    real = np.ones(weights.shape[1], bool) if found.real is None else np.asarray(found.real, bool)
    queries, keys = np.asarray(found.query.spans), np.asarray(found.key.spans)
    weights, keys = _same_keys(weights[:, real], keys[real])
    merge = 1
    while True:
        w, q, k = _merged(weights, queries, keys, merge)
        here = w > 0 if (w == 0).mean() > 0.5 else np.ones_like(w, bool)
        if here.sum() <= MOST_CELLS or min(w.shape) <= 2:
            break
        merge += 1
    rows, columns = np.nonzero(here)
    even = 1 / np.maximum(here.sum(1), 1)
    drawn_q, drawn_k = borders(q), borders(k)
    asks = [short(found.query, a, b, names) for a, b in q]
    answers = [short(found.key, a, b, names) for a, b in k]
    long = (
        [_begun(found.query, words(found.query, a, b, names)) for a, b in q],
        [words(found.key, a, b, names) for a, b in k],
    )
    one = [b - a <= 1 for a, b in q]
    table = pd.DataFrame(
        {
            "q": rows,
            "k": columns,
            "q0": drawn_q[rows, 0],
            "q1": drawn_q[rows, 1],
            "from": drawn_k[columns, 0],
            "to": drawn_k[columns, 1],
            "asks from": q[rows, 0],
            "asks to": q[rows, 1] - 1,
            "step from": k[columns, 0],
            "step to": k[columns, 1] - 1,
            "asks": [asks[i] for i in rows],
            "answers": [answers[j] for j in columns],
            "weight": w[rows, columns],
            "even": even[rows],
        }
    )
    table["text"] = [
        sentence(long[0][i], long[1][j], one[i], weight, share, found.query.kind == found.key.kind)
        for i, j, weight, share in zip(rows, columns, table["weight"], table["even"], strict=True)
    ]
    return table


def contribution_cells(values_SL: np.ndarray, steps_S: np.ndarray, horizon: int) -> pd.DataFrame:
    """The same table for what every step adds to the forecast: rows are steps ahead (from 0, some of them or all),
    columns steps of the window, ``weight`` is signed. Neighbours are merged above ``MOST_CELLS``: sums over the steps
    of the window, means over the steps ahead."""
    ends = np.append(steps_S[1:], horizon)
    queries = np.stack([steps_S, ends], axis=1)
    keys = np.stack([np.arange(values_SL.shape[1]), np.arange(1, values_SL.shape[1] + 1)], axis=1)
    merge = max(1, math.ceil(values_SL.size / MOST_CELLS))
    w, q, k = values_SL, queries, keys
    if merge > 1:
        firsts = np.arange(0, len(keys), merge)
        w = np.add.reduceat(values_SL, firsts, axis=1)
        k = np.stack([firsts, np.minimum(firsts + merge, len(keys))], axis=1)
    rows, columns = (index.ravel() for index in np.indices(w.shape))
    ahead = [_ahead(a, b) for a, b in q]
    table = pd.DataFrame(
        {
            "q": rows,
            "k": columns,
            "q0": q[rows, 0],
            "q1": q[rows, 1],
            "from": k[columns, 0],
            "to": k[columns, 1],
            "asks from": q[rows, 0] + 1,
            "asks to": q[rows, 1],
            "step from": k[columns, 0],
            "step to": k[columns, 1] - 1,
            "asks": [f"+{q[i, 0] + 1}" for i in rows],
            "answers": [short_span(*k[j]) for j in columns],
            "weight": w[rows, columns],
            "even": 0.0,
        }
    )
    table["text"] = [
        f"{span(*k[j]).capitalize()} add{'s' if k[j][1] - k[j][0] == 1 else ''} {signed(value)} to {ahead[i]}"
        for i, j, value in zip(rows, columns, table["weight"], strict=True)
    ]
    return table


def _ahead(first: int, last: int) -> str:
    one = f"the forecast {first + 1} step{'s' if first else ''} ahead"
    return one if last - first <= 1 else f"the forecast {first + 1} to {last} steps ahead"


def signed(value: float) -> str:
    """Three significant digits with the sign."""
    return f"{'−' if value < 0 else '+'}{number(abs(value))}"


def _same_keys(w: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    unique, inverse = np.unique(k, axis=0, return_inverse=True)
    if len(unique) == len(k):
        return w, k
    summed = np.zeros((len(w), len(unique)))
    np.add.at(summed.T, inverse.reshape(-1), w.T)
    return summed, unique


def _merged(w: np.ndarray, q: np.ndarray, k: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if n == 1:
        return w, q, k
    rows, columns = np.arange(0, len(q), n), np.arange(0, len(k), n)
    heights = np.diff(np.append(rows, len(q)))
    merged = np.add.reduceat(np.add.reduceat(w, columns, axis=1), rows, axis=0) / heights[:, None]

    def spans(s: np.ndarray, first: np.ndarray) -> np.ndarray:
        return np.stack([s[first, 0], s[np.minimum(first + n, len(s)) - 1, 1]], axis=1)

    return merged, spans(q, rows), spans(k, columns)


def borders(spans: np.ndarray) -> np.ndarray:
    """Where to draw spans: as they are, or, where neighbours overlap, up to the middle of what they share."""
    drawn = np.array(spans)
    low, high = spans[1:, 0], spans[:-1, 1]
    overlap = (high > low) & (low >= spans[:-1, 0])
    middle = (low + high) // 2
    drawn[1:, 0] = np.where(overlap, middle, low)
    drawn[:-1, 1] = np.where(overlap, middle, high)
    return drawn


def sentence(asks: str, answers: str, one: bool, weight: float, even: float, same: bool = True) -> str:
    """For example "Steps 48 to 63 look at 32 to 47, weight 0.82, even share would be 0.167". ``same``: both ends are
    of one kind, which need not be named twice. A variate's name stays as it was uploaded."""
    if same:
        answers = answers.removeprefix("steps ").removeprefix("step ")
    verb = "looks" if one else "look"
    return f"{asks} {verb} at {answers}, weight {number(weight)}, even share would be {number(even)}"


def _begun(axis: Axis, text: str) -> str:
    return text if axis.kind == "variate" else text[:1].upper() + text[1:]


def words(axis: Axis, first: int, last: int, names: Sequence[str] = ()) -> str:
    """A half-open span of this axis: "steps 32 to 47", "feature 12", a variate's own name."""
    if axis.kind == "time":
        return span(first, last)
    if axis.kind == "variate" and last <= len(names):
        return names[first] if last - first <= 1 else f"{names[first]} to {names[last - 1]}"
    name = "step ahead" if axis.kind == "horizon" else axis.kind
    return f"{name} {first}" if last - first <= 1 else f"{PLURAL[axis.kind]} {first} to {last - 1}"


def short(axis: Axis, first: int, last: int, names: Sequence[str] = ()) -> str:
    """The same in a few letters, for the margin: "32–47", "12", a variate's name."""
    if axis.kind == "variate" and last <= len(names):
        return names[first] if last - first <= 1 else f"{names[first]} … {names[last - 1]}"
    return short_span(first, last)


def short_span(first: int, last: int) -> str:
    return f"{int(first)}" if last - first <= 1 else f"{int(first)}–{int(last) - 1}"


def span(first: int, last: int) -> str:
    """Half-open span of steps in words: "steps 32 to 47", "step 5"."""
    return f"step {int(first)}" if last - first <= 1 else f"steps {int(first)} to {int(last) - 1}"
