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
    daily = bool((local == local.normalize()).all())
    return list(local.strftime("%Y-%m-%d" if daily else "%Y-%m-%d %H:%M"))


def thin(values: np.ndarray, most: int = 2000) -> np.ndarray:
    """Positions to draw of a long line: the lowest and the highest point of each of ``most / 2`` bins."""
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), most // 2 + 1).astype(int)[:-1]
    kept = {0, len(values) - 1}
    for first, last in zip(edges, [*edges[1:], len(values)], strict=True):
        part = np.nan_to_num(values[first:last])
        kept |= {first + int(part.argmin()), first + int(part.argmax())}
    return np.array(sorted(kept))


def _rows(table: Table) -> list[Mapping[str, Any]]:
    found = table.astype(object).where(table.notna(), None)
    return [{str(k): _plain(v) for k, v in row.items()} for row in found.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return value.isoformat() if isinstance(value, pd.Timestamp) else value
