"""The whole of a dataset, and any part of it: lines of at most a few thousand points that the store has thinned (M4).

Table -> ``alt.Chart``. M4 keeps the first, last, lowest and highest value of every pixel column, so the line looks as
if every row had been drawn.
"""

import altair as alt
import pandas as pd

from core.ui.theme import Colors, style

ROW = 104  # pixels of one variate


def strip(table: pd.DataFrame, clock: bool, colors: Colors) -> alt.LayerChart:
    """One variate over its whole length, thin, to brush a part of. ``table`` is ``t, value``; selection ``span``."""
    brush = alt.selection_interval(
        name="span", encodings=["x"], mark=alt.BrushConfig(fill=colors.accent, fillOpacity=0.16, stroke=colors.accent)
    )
    line = (
        alt.Chart(table)
        .mark_line(color=colors.muted, strokeWidth=1)
        .encode(x=_time(clock, title=None), y=alt.Y("value:Q", axis=None, scale=alt.Scale(zero=False)))
        .add_params(brush)
    )
    return style(alt.layer(line, height=56))


def rows(
    table: pd.DataFrame, variate: str, color: str, clock: bool, zone: str, last: bool, colors: Colors
) -> alt.LayerChart:
    """One variate in detail. ``table`` is ``t, value``; only the ``last`` of a stack names the time axis."""
    title = (f"time, {zone}" if clock else "row") if last else None
    line = (
        alt.Chart(table)
        .mark_line(color=color, strokeWidth=1.2)
        .encode(
            x=_time(clock, title=title, labels=last),
            y=alt.Y(
                "value:Q",
                title=None,
                scale=alt.Scale(zero=False),
                axis=alt.Axis(minExtent=44, maxExtent=44, tickCount=3, format="~s" if _large(table) else ""),
            ),
            tooltip=[
                alt.Tooltip("t:T" if clock else "t:Q", title="time" if clock else "row", format=_stamp(clock)),
                alt.Tooltip("value:Q", title=variate, format=".5~g"),
            ],
        )
    )
    return style(alt.layer(line, height=ROW + (34 if last else 0)))


def _time(clock: bool, title: str | None, labels: bool = True) -> alt.X:
    axis = alt.Axis(title=title, labels=labels, ticks=labels, grid=True, tickCount=8)
    if clock:
        return alt.X("t:T", axis=axis, scale=alt.Scale(type="utc", nice=False))
    return alt.X("t:Q", axis=axis, scale=alt.Scale(nice=False, zero=False))


def _stamp(clock: bool) -> str:
    return "%Y-%m-%d %H:%M" if clock else ",d"


def _large(table: pd.DataFrame) -> bool:
    return bool((table["value"].abs() >= 10_000).any())
