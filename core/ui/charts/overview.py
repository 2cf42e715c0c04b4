"""The whole of a dataset, and any part of it: lines of at most a few thousand points that the store has thinned (M4).

Table -> chart. M4 keeps the first, last, lowest and highest value of every pixel column, so a line looks as if every
row had been drawn. Stamps are turned into wall-clock time of the dataset's zone here and drawn on a UTC scale, so
that no browser shifts them a second time.
"""

from datetime import datetime
from typing import Any

import altair as alt
import pandas as pd

from core.ui.theme import Colors, style

ROW, FOOT, STRIP = 96, 38, 52  # pixels: one variate, its time axis, the strip to brush


def in_zone(table: pd.DataFrame, zone: str) -> pd.DataFrame:
    """``table`` with ``t`` as wall-clock time of ``zone`` and ``when`` as text. Row numbers stay what they are."""
    if not pd.api.types.is_datetime64_any_dtype(table["t"]):
        return table.assign(when=table["t"].map("row {:,}".format))
    t = table["t"].dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)
    return table.assign(t=t, when=t.dt.strftime("%Y-%m-%d %H:%M:%S").str.removesuffix(":00"))


def span(selected: dict[str, Any], zone: str, clock: bool) -> tuple[Any, Any] | None:
    """What was brushed in the strip, as the store takes it: two stamps in UTC, or two row numbers; None for nothing."""
    ends = selected.get("t")
    if not ends:
        return None
    low, high = sorted(ends)
    if not clock:
        return int(low), int(high) + 1
    stamps = [
        pd.Timestamp(end, unit="ms").tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        for end in (low, high)
    ]
    first, last = (stamp.tz_convert("UTC").to_pydatetime() for stamp in stamps)
    return (first, last) if first < last else None


def strip(table: pd.DataFrame, clock: bool, colors: Colors) -> alt.LayerChart | alt.FacetChart:
    """One variate over its whole length, thin, to brush a part of. ``table`` is ``t, value``; selection ``span``."""
    brush = alt.selection_interval(
        name="span",
        encodings=["x"],
        mark=alt.BrushConfig(fill=colors.accent, fillOpacity=0.18, stroke=colors.accent, cursor="grab"),
    )
    line = (
        alt.Chart(table)
        .mark_line(color=colors.muted, strokeWidth=1)
        .encode(
            x=_time(clock, alt.Axis(title=None, labels=False, ticks=False, grid=False)),
            y=alt.Y("value:Q", scale=alt.Scale(zero=False), axis=_gutter(labels=False)),
        )
        .add_params(brush)
    )
    return style(alt.layer(line, height=STRIP))


def row(
    table: pd.DataFrame, variate: str, color: str, clock: bool, axis_title: str | None, colors: Colors
) -> alt.LayerChart | alt.FacetChart:
    """One variate in detail. ``table`` is ``t, when, value``; only the last of a stack has an ``axis_title``."""
    last = axis_title is not None
    axis = alt.Axis(title=axis_title, labels=last, ticks=last, grid=True, tickCount=8, labelFlush=True)
    large = bool((table["value"].abs() >= 10_000).any())
    line = (
        alt.Chart(table)
        .mark_line(color=color, strokeWidth=1.2, interpolate="linear")
        .encode(
            x=_time(clock, axis),
            y=alt.Y("value:Q", scale=alt.Scale(zero=False), axis=_gutter(format=".3~s" if large else ",.4~g")),
            tooltip=[alt.Tooltip("when:N", title="time" if clock else "row"), alt.Tooltip("value:Q", format=".5~g")],
        )
    )
    name = alt.Chart(pd.DataFrame({"name": [variate]})).mark_text(
        align="left", baseline="bottom", fontWeight="bold", color=colors.text, dy=-4
    )
    label = name.encode(x=alt.value(0), y=alt.value(0), text="name:N")
    return style(alt.layer(line, label, height=ROW + (FOOT if last else 0)))


def _gutter(labels: bool = True, format: str = "") -> alt.Axis:
    """The same room left of every row, so that all share one time axis."""
    return alt.Axis(
        title=None, minExtent=46, maxExtent=46, tickCount=3, labels=labels, grid=labels, format=format or alt.Undefined
    )


def _time(clock: bool, axis: alt.Axis) -> alt.X:
    if clock:
        return alt.X("t:T", axis=axis, scale=alt.Scale(type="utc", nice=False))
    return alt.X("t:Q", axis=axis, scale=alt.Scale(nice=False, zero=False))


def shown(start: Any, stop: Any) -> str:
    """The part in words, for alt texts: two dates or two row numbers."""
    if isinstance(start, datetime):
        return f"{start:%Y-%m-%d} to {stop:%Y-%m-%d}"
    return f"rows {start:,} to {stop:,}"
