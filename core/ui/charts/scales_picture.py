"""What each scale sees of one window: the pooled line with its patches, one row a scale, fine to coarse.

Pooling here is for the picture only; the model's own is in ``core/models``, what a scale really saw in the Trace.
"""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from core.ui.theme import Colors, palette, style

ROW = 84  # pixels


def tables(values: np.ndarray, factors: Sequence[int], patches: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and patches of a window.

    ``values`` is L in the data's units; ``factors`` original steps per point, ``patches`` points per patch (0: no
    attention), one per scale, fine to coarse. Points: ``scale, step, value, level`` with ``step`` the middle of the
    pooled steps, counted from now (-L to 0), and ``level`` the value's height within the row, 0 to 1 over the window's
    range. Patches: ``scale, start, stop, odd``.
    """
    length = len(values)
    low, high = np.nanmin(values), np.nanmax(values)
    reach = (high - low) or 1.0
    points, spans = [], []
    for scale, (factor, patch) in enumerate(zip(factors, patches, strict=True)):
        count = length // factor
        pooled = values[: count * factor].reshape(count, factor).mean(axis=1)
        middle = (np.arange(count) + 0.5) * factor - length
        level = (pooled - low) / reach
        points.append(pd.DataFrame({"scale": scale, "step": middle, "value": pooled, "level": level}))
        if patch:
            start = np.arange(0, count * factor, patch * factor)
            stop = np.minimum(start + patch * factor, length) - length
            odd = np.arange(len(start)) % 2 == 1
            spans.append(pd.DataFrame({"scale": scale, "start": start - length, "stop": stop, "odd": odd}))
    empty = pd.DataFrame({"scale": [], "start": [], "stop": [], "odd": []})
    return pd.concat(points, ignore_index=True), pd.concat(spans, ignore_index=True) if spans else empty


def scales_picture(
    values: np.ndarray, factors: Sequence[int], patches: Sequence[int], unit: str, colors: Colors
) -> alt.LayerChart | alt.FacetChart:
    """One row a scale on one time axis, for ``values`` (L) of one variate called ``unit`` (see ``tables``)."""
    scales, length = len(factors), len(values)
    points, spans = tables(values, factors, patches)
    for table in (points, spans):
        table["top"] = scales - table["scale"]
    points["y"] = points["top"] - 0.88 + 0.76 * points["level"]
    spans["low"], spans["high"] = spans["top"] - 0.97, spans["top"] - 0.03
    names = pd.DataFrame(
        {
            "scale": range(scales),
            "y": [scales - m - 0.5 for m in range(scales)],
            "name": [scale_name(m, scales) for m in range(scales)],
            "steps": [f"every {f} steps" if f > 1 else "every step" for f in factors],
            "patch": [f"{p} point{'s' * (p != 1)} a patch" if p else "no attention" for p in patches],
        }
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
        .mark_line(point={"size": 14, "filled": True} if length // factors[-1] <= 64 else False)
        .encode(
            x=alt.X("step:Q", scale=x, axis=axis),
            y=alt.Y("y:Q", scale=y, axis=None),
            color=color,
            tooltip=[alt.Tooltip("step:Q", title="step"), alt.Tooltip("value:Q", title=unit, format=".4~g")],
        )
    )
    words = alt.Chart(names).encode(x=alt.value(-104), y=alt.Y("y:Q", scale=y, axis=None))
    about = [
        words.mark_text(align="left", dy=-18, fontWeight="bold", color=colors.text).encode(text="name:N"),
        words.mark_text(align="left", color=colors.muted).encode(text="steps:N"),
        words.mark_text(align="left", dy=16, color=colors.muted).encode(text="patch:N"),
    ]
    return style(alt.layer(bands, line, *about, height=ROW * scales))


def scale_name(scale: int, scales: int) -> str:
    """``fine``, ``scale 1``, ..., ``coarse``: one name per scale on every page."""
    if scale == 0:
        return "fine"
    return "coarse" if scale == scales - 1 and scales > 2 else f"scale {scale}"
