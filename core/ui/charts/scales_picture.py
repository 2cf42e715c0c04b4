"""What each scale sees of one window: the pooled line with its patches, one row a scale, fine to coarse.

A row is a ``Grid``: a scale of the whole window, a branch that sees only its end, or the window taken whole. Patches
that overlap stand in lanes, so that each can be told from its neighbours. Pooling here is for the picture only; the
model's own is in ``core/models``, what a scale really saw in the Trace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pandas as pd

from core.ui.theme import Colors, palette, style

if TYPE_CHECKING:
    from core.models.contract import Grid

ROW, LOW_ROW = 72, 62  # pixels; the lower one where there are more than four
AXIS = 54  # pixels of the time axis, which a page takes off the height of the whole
MOST = 24  # patches drawn in one lane


def tables(values: np.ndarray, grids: Sequence[Grid]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and patches of a window.

    ``values`` is L in the data's units; ``grids`` say what each scale sees of it, fine to coarse. Points: ``scale,
    step, value, level`` with ``step`` the middle of the pooled steps, counted from now (-L to 0), and ``level`` the
    value's height within the row, 0 to 1 over the window's range. Patches: ``scale, start, stop, odd, lane, lanes``.
    """
    length = len(values)
    low, high = np.nanmin(values), np.nanmax(values)
    reach = (high - low) or 1.0
    points, spans = [], []
    for scale, grid in enumerate(grids):
        count = min(grid.points, (length - grid.first) // grid.factor)
        seen = values[grid.first : grid.first + count * grid.factor]
        pooled = seen.reshape(count, grid.factor).mean(axis=1)
        middle = grid.first + (np.arange(count) + 0.5) * grid.factor - length
        level = (pooled - low) / reach
        points.append(pd.DataFrame({"scale": scale, "step": middle, "value": pooled, "level": level}))
        if grid.patch * grid.factor > 1:
            every = drawn(grid)
            step, wide = every * (grid.stride or grid.patch) * grid.factor, grid.patch * grid.factor
            start = grid.first + np.arange(math.ceil(grid.patches / every)) * step
            start = start[start < length]
            lanes = math.ceil(wide / step)
            order = np.arange(len(start))
            span = {"start": start - length, "stop": np.minimum(start + wide, length) - length}
            lane = {"odd": (order // lanes) % 2 == 1, "lane": order % lanes, "lanes": lanes}
            spans.append(pd.DataFrame({"scale": scale, **span, **lane}))
    empty = pd.DataFrame({name: [] for name in ("scale", "start", "stop", "odd", "lane", "lanes")})
    return pd.concat(points, ignore_index=True), pd.concat(spans, ignore_index=True) if spans else empty


def drawn(grid: Grid) -> int:
    """One patch in how many is drawn, so that no lane of the row has more than ``MOST``."""
    stride, every = grid.stride or grid.patch, 1
    while grid.patches / every > MOST * math.ceil(grid.patch / (every * stride)):
        every += 1
    return every


def told(grid: Grid, name: str, attends: bool) -> list[str]:
    """The words at the left of a row: name, what a point is, what a patch is, and how many patches are drawn.
    ``attends``: some row of this picture has patches."""
    pooled = f"every {grid.factor} steps" if grid.factor > 1 else "every step"
    steps = f"last {grid.points * grid.factor:,} steps" if grid.first else pooled
    if not grid.patch:
        return [name, steps, "no attention" if attends else "no patches"]
    if grid.patch * grid.factor == 1:
        return [name, steps, "each step a patch"]
    points = f"{grid.patch} point{'s' * (grid.patch != 1)}"
    overlap = grid.stride and grid.stride != grid.patch
    patch = f"{grid.patch} every {grid.stride}" if overlap else f"{points} a patch"
    every = drawn(grid)
    return [name, steps, patch] + ([f"1 in {every} drawn"] if every > 1 else [])


def scales_picture(
    values: np.ndarray, grids: Sequence[Grid], names: Sequence[str], unit: str, colors: Colors
) -> alt.LayerChart | alt.FacetChart:
    """One row a scale on one time axis, for ``values`` (L) of one variate called ``unit`` (see ``tables``)."""
    scales, length = len(grids), len(values)
    row = ROW if scales <= 4 else LOW_ROW
    points, spans = tables(values, grids)
    for table in (points, spans):
        table["top"] = scales - table["scale"]
    points["y"] = points["top"] - 0.88 + 0.76 * points["level"]
    height = 0.94 / spans["lanes"]
    spans["high"] = spans["top"] - 0.03 - spans["lane"] * height
    spans["low"] = spans["high"] - height
    attends = any(grid.patch for grid in grids)
    words = [told(grid, name, attends) for grid, name in zip(grids, names, strict=True)]
    lines = pd.DataFrame(
        [
            {"y": scales - m - 0.5 - (i - (len(said) - 1) / 2) * 15 / row, "text": text, "bold": i == 0}
            for m, said in enumerate(words)
            for i, text in enumerate(said)
        ]
    )
    x = alt.Scale(domain=[-length, 0], nice=False)
    y = alt.Scale(domain=[0, scales], nice=False)
    color = alt.Color(
        "scale:O", scale=alt.Scale(domain=list(range(scales)), range=palette(scales, colors)), legend=None
    )
    axis = alt.Axis(
        title="steps before the forecast", grid=False, labelExpr="datum.value === 0 ? 'now' : datum.label", tickCount=8
    )
    bands = (
        alt.Chart(spans)
        .mark_rect(cornerRadius=2)
        .encode(
            x=alt.X("start:Q", scale=x, axis=axis),
            x2="stop:Q",
            y=alt.Y("low:Q", scale=y, axis=None),
            y2="high:Q",
            color=color,
            opacity=alt.condition("datum.odd", alt.value(0.20), alt.value(0.10)),
        )
    )
    line = (
        alt.Chart(points)
        .mark_line(point={"size": 14, "filled": True} if len(points) <= 64 * scales else False)
        .encode(
            x=alt.X("step:Q", scale=x, axis=axis),
            y=alt.Y("y:Q", scale=y, axis=None),
            color=color,
            tooltip=[alt.Tooltip("step:Q", title="step"), alt.Tooltip("value:Q", title=unit, format=".4~g")],
        )
    )
    at = alt.Chart(lines).encode(x=alt.value(-104), y=alt.Y("y:Q", scale=y, axis=None), text="text:N")
    about = [
        at.transform_filter("datum.bold").mark_text(align="left", fontWeight="bold", color=colors.text),
        at.transform_filter("!datum.bold").mark_text(align="left", color=colors.muted),
    ]
    return style(alt.layer(bands, line, *about, height=row * scales + AXIS))


def scale_name(scale: int, scales: int) -> str:
    """``fine``, ``scale 1``, ..., ``coarse``: one name per scale on every page."""
    if scale == 0:
        return "fine"
    return "coarse" if scale == scales - 1 and scales > 2 else f"scale {scale}"
