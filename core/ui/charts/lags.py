"""A strip of lags, the present at the right as on every time axis: those of a rule in the colour of a known truth.

Drawing over the strip or clicking a lag is told back as selections ``span`` and ``one``; what they turn on or off is
decided here (``Strokes``), apart from any widget.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from core.data.lags import toggle
from core.ui.theme import Colors, style

if TYPE_CHECKING:
    import altair as alt

SHOWN = 100  # lags; more where the rule reaches farther
TALL = 84  # pixels, the axis with it


def strip(lags: Collection[int], colors: Colors, drawn: bool) -> alt.LayerChart | alt.FacetChart:
    """One mark a lag. ``drawn``: it can be drawn over (selection ``span``) and clicked (selection ``one``)."""
    import altair as alt
    import pandas as pd

    rule, last = set(lags), max([SHOWN, *lags])
    every = range(1, last + 1)
    table = pd.DataFrame(
        {
            "lag": list(every),
            "from": [lag - 0.5 for lag in every],
            "to": [lag + 0.5 for lag in every],
            "rule": [lag in rule for lag in every],
            "text": [f"lag {lag:,}, {'' if lag in rule else 'not '}in the rule" for lag in every],
        }
    )
    ticks = [1, *range(10, last + 1, 10 if last <= 200 else 100)]
    marks = (
        alt.Chart(table)
        .mark_rect(stroke=colors.ground, strokeWidth=0.5, cursor="crosshair" if drawn else "default")
        .encode(
            x=alt.X(
                "from:Q",
                scale=alt.Scale(domain=[0.5, last + 0.5], reverse=True, nice=False),
                axis=alt.Axis(title="lag, steps back", values=ticks, grid=False, format=",d"),
            ),
            x2="to:Q",
            color=alt.condition("datum.rule", alt.value(colors.truth), alt.value(colors.line)),
            tooltip="text:N",
            description="text:N",
        )
    )
    if drawn:
        brush = alt.BrushConfig(fill=colors.accent, fillOpacity=0.12, stroke=colors.accent, cursor="crosshair")
        span = alt.selection_interval(name="span", encodings=["x"], mark=brush, translate=False, zoom=False)
        one = alt.selection_point(name="one", fields=["lag"], toggle="true", clear=False)
        marks = marks.add_params(span, one)
    return style(alt.layer(marks, height=TALL))


@dataclass(frozen=True)
class Strokes:
    """What was drawn on a strip so far, so that the next message of the browser can be understood.

    A slow hand sends a stroke in pieces that keep one end: each piece replaces the one before it, on the lags as they
    were when the stroke began. Clicks arrive as the set of lags that were clicked an odd number of times; the
    click that ends a stroke changes nothing.
    """

    before: tuple[int, ...] = ()
    span: tuple[float, ...] = ()
    clicked: frozenset[int] = frozenset()

    def then(self, selection: Mapping[str, Any], lags: tuple[int, ...]) -> tuple[Strokes, tuple[int, ...]]:
        """The strokes after this message, and the lags after it."""
        span = tuple(sorted((selection.get("span") or {}).get("from") or ()))
        clicked = frozenset(int(each["lag"]) for each in selection.get("one") or [])
        if not span:
            for lag in clicked ^ self.clicked:
                lags = toggle(lags, [lag])
            return Strokes(lags, span, clicked), lags
        if span == self.span:
            return Strokes(self.before, span, clicked), lags
        piece = any(a == b for a, b in zip(span, self.span, strict=False))
        before = self.before if piece else lags
        return Strokes(before, span, clicked), toggle(before, over(span))


def over(span: tuple[float, ...]) -> range:
    """The lags that a span touches; the mark of a lag is one wide, with the lag in its middle.

    >>> over((7.6, 4.2)), over((4.1, 4.3))
    (range(4, 9), range(4, 5))
    """
    low, high = (round(at, 6) for at in sorted(span))
    return range(max(floor(low + 0.5), 1), ceil(high - 0.5) + 1)
