"""What a study draws: tiles with their numbers, lines, or labelled points, from a ``Figure`` that knows no colours."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from core.studies.study import Figure
from core.ui.charts.picture import Picture, mark, quantity, tip
from core.ui.charts.tiles import tiles
from core.ui.theme import Colors


def study_picture(figure: Figure, colors: Colors) -> Picture:
    """The picture of a study; every facet is a row of its own."""
    parts = list(facets(figure))
    if len(parts) == 1:
        return facet_picture(figure, colors)
    tables, rows = {}, []
    for n, part in enumerate(parts):
        one = facet_picture(part, colors, f"part{n}")
        tables |= one.tables
        rows.append({k: v for k, v in one.spec.items() if k != "padding"})
    spec: dict[str, Any] = {"vconcat": rows, "spacing": 22, "resolve": {"scale": {"color": "independent"}}}
    return Picture(spec, tables, figure.takeaway)


def facets(figure: Figure) -> Iterator[Figure]:
    """Its facets one by one, for a page that gives each a width of its own."""
    for facet in dict.fromkeys(figure.table["facet"]):
        yield replace(figure, table=figure.table[figure.table["facet"] == facet])


def facet_picture(figure: Figure, colors: Colors, name: str = "part0") -> Picture:
    """The picture of a figure that has one facet."""
    draw = {"tiles": _tiles, "lines": _lines, "points": _points}[figure.kind]
    table = figure.table.assign(told=[_told(figure, row) for row in figure.table.to_dict("records")])
    spec, facet = draw(figure, name, table, colors), str(figure.table["facet"].iloc[0])
    if facet:
        spec["title"] = {"text": facet, "anchor": "start", "fontSize": 12, "color": colors.muted, "offset": 6}
    return Picture(spec, {name: table}, figure.takeaway)


def _told(figure: Figure, row: dict[str, Any]) -> str:
    return f"{row['y']}, {figure.x} {row['x']}: {format(row['value'], figure.form)}"


def _tiles(figure: Figure, name: str, table: Any, colors: Colors) -> dict[str, Any]:
    legend = figure.value if name == "part0" else ""
    return tiles(name, table, figure.low, figure.high, figure.form, colors, legend)


def _lines(figure: Figure, name: str, table: Any, colors: Colors) -> dict[str, Any]:
    names = list(dict.fromkeys(table["y"]))
    ramp = {"domain": names, "range": [colors.variates[i % len(colors.variates)] for i in range(len(names))]}
    place = {
        "x": quantity("x", title=figure.x, axis={"tickMinStep": 1, "format": "d"}, scale={"zero": False}),
        "y": quantity("value", title=figure.value or None, scale={"zero": False}),
        "color": {"field": "y", "type": "nominal", "scale": ramp, "title": None},
        "tooltip": tip(("told", " ")),
    }
    return {
        "layer": [mark("line", name, place, strokeWidth=1.5), mark("point", name, place, size=30, filled=True)],
        "height": 150,
    }


def _points(figure: Figure, name: str, table: Any, colors: Colors) -> dict[str, Any]:
    """Names stand on the side where there is room: left of a point in the right half."""
    wide = [*table["x"], *([] if math.isnan(figure.rule) else [figure.rule])]
    middle = (min(wide) + max(wide)) / 2
    place = {
        "x": quantity("x", title=figure.x, scale={"zero": False, "padding": 24}),
        "y": quantity("value", title=figure.value, scale={"zero": False, "padding": 16}),
    }
    written = place | {"text": {"field": "y", "type": "nominal"}}
    layers = [mark("point", name, place | {"tooltip": tip(("told", " "))}, size=60, filled=True, color=colors.accent)]
    for side, align, off in (("<=", "left", 9), (">", "right", -9)):
        text = mark("text", name, written, align=align, dx=off, fontSize=11, color=colors.muted)
        layers.append(text | {"transform": [{"filter": f"datum.x {side} {middle}"}]})
    if not math.isnan(figure.rule):
        line = {"data": {"values": [{"x": figure.rule}]}, "encoding": {"x": quantity("x")}}
        layers.insert(0, line | {"mark": {"type": "rule", "strokeDash": [4, 3], "color": colors.baseline}})
    return {"layer": layers, "height": 180}
