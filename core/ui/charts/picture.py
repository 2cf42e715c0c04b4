"""A picture: one Vega-Lite specification, the tables it draws, and the sentence that says what it shows.

The pictures of the Inspect pages are written as plain Vega-Lite, not with Altair's classes: the Attention picture
takes 0.6 s to build and check as Altair objects and 2 ms as dictionaries, and a page rerun has 0.3 s for everything.
(``Picture.chart`` gives the Altair chart; the tests check every picture against Altair's schema that way.)
Tables stay apart from the specification, so that a change of window sends new rows into the same drawing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core.ui.theme import Colors, config

Table = pd.DataFrame
Encoding = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """``spec`` refers to ``tables`` by name; ``takeaway`` is the text for people who do not see the picture."""

    spec: dict[str, Any]
    tables: dict[str, Table]
    takeaway: str

    def whole(self, colors: Colors, width: int | None = None, title: Sequence[str] = ()) -> dict[str, Any]:
        """One self-contained specification on an opaque ground, with ``title`` lines, for files."""
        spec = {**self.spec, "config": config(colors) | {"background": colors.ground}, "description": self.takeaway}
        spec["datasets"] = {name: _rows(table) for name, table in self.tables.items()}
        if width and "vconcat" in spec:
            spec["vconcat"] = [{**row, "width": width} for row in spec["vconcat"]]
        elif width:
            spec["width"] = width
        if title:
            words = {"fontSize": 14, "subtitleFontSize": 11, "subtitleColor": colors.muted, "offset": 12}
            spec["title"] = {"text": title[0], "subtitle": list(title[1:]), "anchor": "start", **words}
        spec["padding"] = 16
        return spec

    def chart(self, colors: Colors, width: int = 800) -> Any:
        """As an Altair chart, checked against the schema."""
        return alt.Chart.from_dict(self.whole(colors, width))


def mark(kind: str, table: str, encoding: Encoding, **looks: Any) -> dict[str, Any]:
    """One layer: ``kind`` of mark over the named table. ``transform`` and ``name`` belong to the layer."""
    layer: dict[str, Any] = {"data": {"name": table}, "mark": {"type": kind}, "encoding": encoding}
    for name, value in looks.items():
        (layer if name in ("transform", "name") else layer["mark"])[name] = value
    return layer


def quantity(field: str, **options: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", **options}


def tip(*fields: tuple[str, str]) -> list[dict[str, Any]]:
    """Tooltip lines (field, title); the fields hold finished text."""
    return [{"field": field, "type": "nominal", "title": title} for field, title in fields]


def number(value: float) -> str:
    """Three significant digits; empty where there is no number."""
    if value is None or not np.isfinite(value):
        return ""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.3g}"


def stamps(times: np.ndarray, zone: str) -> list[str]:
    """Times for people, in the reader's zone; whole numbers stay as they are."""
    if not np.issubdtype(times.dtype, np.datetime64):
        return [f"{int(t):,}" for t in times]
    local = pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(zone)
    daily = all(t == t.normalize() for t in local[:48])
    return list(local.strftime("%Y-%m-%d" if daily else "%Y-%m-%d %H:%M"))


def thin(values: np.ndarray, most: int = 2000) -> np.ndarray:
    """Positions to draw of a long line: the lowest and the highest point of each of ``most / 2`` bins, and a missing
    one where a bin has some, so that the line breaks there."""
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), most // 2 + 1).astype(int)[:-1]
    kept = {0, len(values) - 1}
    for first, last in zip(edges, [*edges[1:], len(values)], strict=True):
        part = values[first:last]
        known = np.isfinite(part)
        if known.any():
            kept |= {first + int(np.nanargmin(part)), first + int(np.nanargmax(part))}
        if not known.all():
            kept.add(first + int(known.argmin()))
    return np.array(sorted(kept))


def _rows(table: Table) -> list[Mapping[str, Any]]:
    found = table.astype(object).where(table.notna(), None)
    return [{str(k): _plain(v) for k, v in row.items()} for row in found.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


# A page gives every row of a picture the same width, axes included. So the gutter for names and axis labels lies
# inside the plot, and one step is at one pixel column in every row and every card.
GUTTER = "(width < 520 ? 96 : 124)"


class Stage:
    """One time axis of ``lookback`` + ``horizon`` steps that the rows of a picture share.

    ``patch`` places the ticks on borders of patches; ``title`` is set for the row that carries the labels; ``right``
    are pixels kept free at the right end.
    """

    def __init__(
        self,
        lookback: int,
        horizon: int,
        patch: int,
        colors: Colors,
        grid: bool = False,
        title: str = "",
        right: int = 8,
    ) -> None:
        self.past, self.total, self.colors, self.grid, self.title = lookback, lookback + horizon, colors, grid, title
        self.borders = ticks(lookback, horizon, patch)
        self.range = [{"expr": GUTTER}, {"expr": f"width - {right}"}]
        self.scale = {"domain": [0, self.total], "range": self.range, "nice": False, "clamp": True}

    def x(self, field: str = "at") -> Encoding:
        axis = {
            "values": self.borders,
            "title": self.title or None,
            "titleAnchor": "start",
            "titleX": {"expr": GUTTER},
            "titleAlign": "left",
            "labels": bool(self.title),
            "labelSeparation": 5,
            "ticks": False,
            "domain": False,
            "grid": self.grid,
            "labelExpr": f"datum.value < {self.past} ? datum.value : datum.value == {self.past} ? 'now' "
            f": '+' + (datum.value - {self.past})",
        }
        return quantity(field, scale=self.scale, axis=axis)

    def between(self, first: str = "from", last: str = "to", **more: Any) -> Encoding:
        return {"x": self.x(first), "x2": {"field": last}, **more}

    def words(self, rows: list[tuple[str, float, str, str]], room: int = 4, size: int = 12) -> list[dict[str, Any]]:
        """Left-aligned text in the gutter, ``room`` pixels short of it: (text, y in pixels, colour, weight)."""
        return gutter_words(rows, room, size)

    def future(self) -> dict[str, Any]:
        """The part after now, tinted."""
        ends = {"data": {"values": [{"from": self.past, "to": self.total}]}}
        return ends | {
            "mark": {"type": "rect", "color": self.colors.accent_soft, "opacity": 0.6},
            "encoding": self.between(),
        }


def gutter_words(
    rows: list[tuple[str, float, str, str]], room: int = 4, size: int = 12, indent: int = 0
) -> list[dict[str, Any]]:
    looks = {"align": "left", "baseline": "middle", "fontSize": size, "limit": {"expr": f"{GUTTER} - {room}"}}
    return [
        {
            "data": {"values": [{"label": text}]},
            "mark": {"type": "text", "color": color, "fontWeight": weight, **looks},
            "encoding": {"text": {"field": "label", "type": "nominal"}, "x": {"value": indent}, "y": {"value": y}},
        }
        for text, y, color, weight in rows
    ]


def left_axis(**options: Any) -> dict[str, Any]:
    """A value axis whose labels stand in the gutter."""
    return {
        "offset": {"expr": f"-({GUTTER})"},
        "grid": False,
        "labelPadding": 6,
        "tickCount": 4,
        "title": None,
        **options,
    }


def ticks(lookback: int, horizon: int, patch: int) -> list[int]:
    """Borders of patches, at most eight before the forecast and three after it."""
    patch = max(1, patch)
    every = patch * max(1, round(lookback / patch / 6))
    after = max(1, -(-horizon // 3))
    after = max(every // 2, 1) if every // 2 * 3 >= horizon and every // 2 < horizon else after
    return [*range(0, lookback, every), lookback, *range(lookback + after, lookback + horizon, after)]


def color_legend(title: str, y: float, values: list[float], full: float = 0.0) -> dict[str, Any]:
    """A small horizontal legend at the right end of a row's head. Where the colours end below ``full``, the last label
    has a plus: that much or more."""
    return {
        "title": title,
        "titleOrient": "left",
        "titlePadding": 8,
        "orient": "none",
        "direction": "horizontal",
        "legendX": {"expr": "width - 96 - (width < 520 ? 150 : 160)"},
        "legendY": y,
        "gradientLength": 84,
        "gradientThickness": 8,
        "values": values,
        "labelExpr": f"format(datum.value, '.2~r') + (datum.value == {values[-1]} && {values[-1]} < {full} ? '+' : '')",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleLimit": 200,
    }
