"""The data flow of an architecture as a picture: boxes with the shapes of a configuration, arrows, scales as rows.

Kinds are told apart by their outline: series in and out are rounded and filled, layers are plain, attention has the
accent as its ground, and what joins several flows has a dashed outline. A box of a scale wears that scale's colour.
The layout is ``flow``'s; here its places become pixels, which only the browser knows.
"""

from collections.abc import Sequence

import pandas as pd

from core.models.diagram import Diagram
from core.ui.charts.flow import LINE, Across, Flow, labels, lay_out, letters, wrapped
from core.ui.charts.picture import Encoding, Picture, mark, tip
from core.ui.theme import Colors, palette

LEGEND = (
    "Rounded: a series. Plain: a layer. Tinted: attention. Dashed: flows are joined. Under each name is the shape of "
    "what leaves the box; B is the number of windows."
)
NARROW = "(width < 560)"
GUTTER = f"({NARROW} ? 12 : 26)"
BOX = f"min((width - {GUTTER} * (2 + datum.count - 1)) / datum.count, 230)"
X = (
    f"width / 2 + (datum.index - (datum.count - 1) / 2) * ({BOX} + {GUTTER})"
    f" + datum.side * {BOX} / 2 + datum.gutters * {GUTTER} + datum.pixels"
)
HEAD = "M0,0L-4,8L4,8Z"  # an arrow's head, its point at its place


def diagram_picture(diagram: Diagram, names: Sequence[str], colors: Colors, title: str) -> Picture:
    """The picture of ``diagram``. ``names`` are the scales', fine to coarse; ``title`` is the architecture's."""
    flow = lay_out(diagram)
    scales = sorted({box.scale for box in diagram.boxes if box.scale is not None})
    hue = dict(zip(scales, palette(len(scales), colors), strict=True))
    tables = {
        "bands": _bands(flow, names),
        "boxes": _boxes(flow, hue, colors),
        "lines": _lines(flow),
        "heads": _heads(flow),
        "words": _words(flow),
        "labels": _labels(diagram, flow, colors),
    }
    whole = {"x": _pixels("x"), "x2": {"field": "x2"}, "y": _pixels("top"), "y2": {"field": "bottom"}}
    box_looks = {
        "fill": {"field": "fill", "type": "nominal", "scale": None},
        "stroke": {"field": "stroke", "type": "nominal", "scale": None},
        "tooltip": tip(("text", "box"), ("shape", "what leaves it")),
    }
    edges = [{"calculate": _at(-1), "as": "x"}, {"calculate": _at(1), "as": "x2"}]
    place = {"x": _pixels("x"), "y": _pixels("y")}
    here = [{"calculate": X, "as": "x"}]
    fitting = [{"filter": f"datum.narrow == {NARROW}"}, *here]
    small = {"expr": f"{NARROW} ? 10 : 12"}
    label = {
        "transform": fitting,
        "align": "left",
        "baseline": "middle",
        "fontSize": {"expr": f"{NARROW} ? 9.5 : 11"},
    }
    ground = {"field": "ground", "type": "nominal", "scale": None}
    halo = {"color": ground, "stroke": ground}
    written = {**place, "text": {"field": "text", "type": "nominal"}}
    layers = [
        mark("rect", "bands", whole, transform=_band_edges(), color=colors.panel, cornerRadius=6),
        mark(
            "line",
            "lines",
            {**place, "detail": {"field": "route", "type": "nominal"}, "order": {"field": "corner"}},
            transform=here,
            color=colors.baseline,
            strokeWidth=1.2,
            strokeJoin="round",
        ),
        mark(
            "point",
            "heads",
            {**place, "angle": {"field": "turn", "type": "quantitative", "scale": None}},
            transform=here,
            shape=HEAD,
            size=1,
            fill=colors.baseline,
            strokeWidth=0,
            opacity=1,
        ),
        *(
            mark(
                "rect",
                "boxes",
                {**whole, **box_looks},
                transform=[{"filter": {"field": "kind", "equal": kind}}, *edges],
                strokeWidth=1.6,
                **looks,
            )
            for kind, looks in (
                ("layer", {"cornerRadius": 3}),
                ("attention", {"cornerRadius": 3}),
                ("data", {"cornerRadius": 14}),
                ("sum", {"cornerRadius": 3, "strokeDash": [4, 3]}),
            )
        ),
        *(
            mark(
                "text",
                "words",
                written,
                transform=[{"filter": f"datum.bold == {str(bold).lower()}"}, *fitting],
                align="center",
                baseline="middle",
                fontSize=small,
                fontWeight="bold" if bold else "normal",
                color=colors.text if bold else colors.muted,
            )
            for bold in (True, False)
        ),
        # letters above an arrow stand on a ground of their own
        mark("text", "labels", {**written, **halo}, **label, strokeWidth=4, strokeJoin="round"),
        mark("text", "labels", written, **label, color=colors.muted),
        mark(
            "text",
            "bands",
            {"x": _pixels("x"), "y": _pixels("top"), "text": {"field": "name", "type": "nominal"}},
            transform=_band_edges(),
            align="left",
            baseline="middle",
            dx=8,
            dy=10,
            fontSize=11,
            fontWeight="bold",
            color=colors.text,
        ),
    ]
    spec = {"layer": layers, "height": flow.height, "padding": {"left": 0, "right": 0, "top": 0, "bottom": 0}}
    return Picture(spec, tables, takeaway(diagram, title))


def takeaway(diagram: Diagram, title: str) -> str:
    """The picture in one sentence."""
    first, last = diagram.boxes[0], diagram.boxes[-1]
    attention = sum(box.kind == "attention" for box in diagram.boxes)
    scales = len({box.scale for box in diagram.boxes if box.scale is not None})
    parts = f", in {scales} rows" if scales > 1 else ""
    weigh = f"{attention} of them attention" if attention else "none of them attention"
    return (
        f"Data flow of {title}: from {first.text.lower()} ({first.shape}) to {last.text.lower()} ({last.shape}) "
        f"through {len(diagram.boxes) - 2} boxes{parts}, {weigh}."
    )


def diagram_table(diagram: Diagram, names: Sequence[str]) -> pd.DataFrame:
    """The same in rows: ``box, what leaves it, kind, scale, goes to``."""
    text = {box.id: box.text for box in diagram.boxes}
    rows = []
    for box in diagram.boxes:
        out = [text[a.end] + (f" ({a.label})" if a.label else "") for a in diagram.arrows if a.start == box.id]
        rows.append((box.text, box.shape, box.kind, _called(box.scale, names), "; ".join(out)))
    return pd.DataFrame(rows, columns=["box", "what leaves it", "kind", "scale", "goes to"])


# -- tables -------------------------------------------------------------------------------------------------------


def _across(at: Across) -> dict[str, float]:
    return {"count": at.count, "index": at.index, "side": at.side, "gutters": at.gutters, "pixels": at.pixels}


def _bands(flow: Flow, names: Sequence[str]) -> pd.DataFrame:
    rows = [(flow.columns, band.top, band.bottom, _called(band.scale, names)) for band in flow.bands]
    return pd.DataFrame(rows, columns=["count", "top", "bottom", "name"])


def _called(scale: int | None, names: Sequence[str]) -> str:
    if scale is None:
        return ""
    return names[scale] if scale < len(names) else f"scale {scale}"


def _boxes(flow: Flow, hue: dict[int, str], colors: Colors) -> pd.DataFrame:
    fill = {"data": colors.panel, "attention": colors.accent_soft, "layer": colors.ground, "sum": colors.ground}
    return pd.DataFrame(
        [
            {
                "text": p.box.text,
                "shape": p.box.shape,
                "kind": p.box.kind,
                "count": p.count,
                "index": p.index,
                "top": p.top,
                "bottom": p.bottom,
                "fill": fill[p.box.kind],
                "stroke": colors.baseline if p.box.scale is None else hue[p.box.scale],
            }
            for p in flow.boxes
        ]
    )


def _lines(flow: Flow) -> pd.DataFrame:
    rows = [
        {"route": i, "corner": j, "y": y, **_across(at)}
        for i, route in enumerate(flow.routes)
        for j, (at, y) in enumerate(route.corners)
    ]
    return pd.DataFrame(rows)


def _heads(flow: Flow) -> pd.DataFrame:
    return pd.DataFrame([{"turn": r.turn, "y": r.corners[-1][1], **_across(r.corners[-1][0])} for r in flow.routes])


def _words(flow: Flow) -> pd.DataFrame:
    """Every line of text in the boxes, once for a wide and once for a narrow page."""
    rows = []
    for p in flow.boxes:
        for narrow, lines in ((False, p.wide), (True, p.narrow)):
            texts = [(line, True) for line in lines] + [(p.box.shape, False)] * bool(p.box.shape)
            begin = p.middle - (len(texts) - 1) * LINE / 2
            rows += [
                {"text": text, "bold": bold, "narrow": narrow, "y": begin + i * LINE, **_across(p.across())}
                for i, (text, bold) in enumerate(texts)
            ]
    return pd.DataFrame(rows)


def _labels(diagram: Diagram, flow: Flow, colors: Colors) -> pd.DataFrame:
    known = labels(diagram)
    rows = []
    for p in flow.boxes:
        if p.box.id in known:
            alone = p.count == 1
            ground = colors.panel if any(band.top < p.top < band.bottom for band in flow.bands) else colors.ground
            for narrow in (False, True):
                lines = wrapped(known[p.box.id], 2 if alone else p.count, narrow)
                if not narrow and p.count <= 3 and len(known[p.box.id]) < 2 * letters(p.count, False):
                    lines = (known[p.box.id],)
                where = p.across(0, 8) if alone else p.across(-1)
                for i, line in enumerate(lines):
                    y = p.top - 10 - (len(lines) - 1 - i) * 11
                    rows.append({"text": line, "narrow": narrow, "ground": ground, "y": y, **_across(where)})
    columns = ["text", "narrow", "ground", "y", "count", "index", "side", "gutters", "pixels"]
    return pd.DataFrame(rows, columns=columns)


# -- places -------------------------------------------------------------------------------------------------------


def _pixels(field: str) -> Encoding:
    """A field that already holds pixels."""
    return {"field": field, "type": "quantitative", "scale": None, "axis": None}


def _at(side: int) -> str:
    return X.replace("datum.side", str(side)).replace("datum.gutters", "0").replace("datum.pixels", "0")


def _band_edges() -> list[dict[str, str]]:
    """The ground of a row reaches a little beyond its first and its last box."""
    first, last = _at(-1).replace("datum.index", "0"), _at(1).replace("datum.index", "(datum.count - 1)")
    return [{"calculate": f"{first} - 4", "as": "x"}, {"calculate": f"{last} + 4", "as": "x2"}]
