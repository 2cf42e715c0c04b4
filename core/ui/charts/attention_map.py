"""The picture of an attention map that has no time axis: variate by variate, variate by feature.

Tables come from ``cells.py``. Rows are variates wherever there are any, so that their names have room; where the
variates are the keys, rows answer and columns ask.
"""

from typing import Any

import numpy as np
import pandas as pd

from core.ui.charts.picture import GUTTER, Picture, color_legend, mark, quantity, tip
from core.ui.theme import SEQUENTIAL, Colors

SATURATION = 4.0  # times an even share: the brightest colour, as on the map over time
TOP, ROW, LEAST, MOST = 34, 30, 150, 420  # pixels: above the map, of a row, of the whole map
MOST_NAMES = 24  # of rows and of columns


def map_picture(
    cells: pd.DataFrame,
    *,
    branch: str,
    turned: bool,
    column_title: str,
    colors: Colors,
    takeaway: str,
    cell: tuple[int, int] | None = None,
) -> Picture:
    """``turned``: the keys are the rows (a feature asks, variates answer), and each column sums to one, not each row.

    A clicked cell is sent to Python as the selection ``cell`` (``q`` and ``k``); ``cell`` starts it.
    """
    y0, y1, x0, x1 = ("from", "to", "q0", "q1") if turned else ("q0", "q1", "from", "to")
    rows, columns = ("answers", "asks") if turned else ("asks", "answers")
    table = cells.assign(x0=cells[x0], x1=cells[x1], y0=cells[y0], y1=cells[y1])
    wide, tall = (_ends(table, a, b) for a, b in (("x0", "x1"), ("y0", "y1")))
    count, across_count = (len(np.unique(np.asarray(table[name]))) for name in ("y0", "x0"))
    height = int(np.clip(count * ROW, LEAST, MOST))
    across = {"domain": wide, "range": [{"expr": GUTTER}, {"expr": "width - 8"}], "nice": False, "zero": False}
    down = {"domain": tall, "range": [TOP, TOP + height], "nice": False, "zero": False}
    even = float(np.asarray(table["even"]).max())
    most = min(1.0, SATURATION * even)
    box = {
        "x": quantity("x0", scale=across, axis=None),
        "x2": {"field": "x1"},
        "y": quantity("y0", scale=down, axis=None),
        "y2": {"field": "y1"},
    }
    told = f"weight, each {'column' if turned else 'row'} sums to 1"
    shade = quantity(
        "weight",
        scale={"scheme": SEQUENTIAL, "domain": [0, most], "clamp": True},
        legend=color_legend(told, 4, [0, even, most], full=1.0),
    )
    chosen = [{"filter": {"param": "cell", "empty": False}}]
    layers: list[dict[str, Any]] = [
        mark("rect", "cells", box | {"color": shade}, stroke=colors.ground, strokeWidth=0 if len(table) > 400 else 1),
        mark("rect", "cells", box | {"tooltip": tip(("text", " "))}, name="map", opacity=0),
        *(
            mark("rect", "cells", box, fill="transparent", transform=chosen, stroke=color, strokeWidth=wide)
            for color, wide in ((colors.ground, 6), (colors.accent, 3))
        ),
        mark(
            "text",
            "rows",
            {
                "x": {"value": {"expr": f"{GUTTER} - 8"}},
                "y": quantity("at", scale=down, axis=None),
                "text": {"field": "label", "type": "nominal"},
            },
            align="right",
            baseline="middle",
            fontSize=12,
            color=colors.text,
            limit={"expr": f"{GUTTER} - 12"},
        ),
        mark(
            "text",
            "columns",
            {
                "x": quantity("at", scale=across, axis=None),
                "y": {"value": TOP + height + 12},
                "text": {"field": "label", "type": "nominal"},
            },
            align="center",
            baseline="middle",
            fontSize=11,
            color=colors.muted,
            limit={"expr": f"(width - {GUTTER}) / {min(across_count, MOST_NAMES)}"},
        ),
        _word(branch, {"value": 0}, 12, colors.text, "bold"),
        _word(column_title, {"value": {"expr": GUTTER}}, TOP + height + 30, colors.muted, "normal"),
    ]
    start = {"value": [{"q": cell[0], "k": cell[1]}]} if cell else {}
    spec = {
        "layer": layers,
        "height": TOP + height + 40,
        "params": [
            {
                "name": "cell",
                "select": {"type": "point", "fields": ["q", "k"], "toggle": False},
                "views": ["map"],
                **start,
            }
        ],
        "padding": {"left": 0, "right": 0, "top": 4, "bottom": 4},
    }
    tables = {
        "cells": table,
        "rows": _names(table, "y0", "y1", rows),
        "columns": _names(table, "x0", "x1", columns),
    }
    return Picture(spec, tables, takeaway)


def _ends(table: pd.DataFrame, first: str, last: str) -> list[float]:
    return [float(np.asarray(table[first]).min()), float(np.asarray(table[last]).max())]


def _names(table: pd.DataFrame, first: str, last: str, name: str) -> pd.DataFrame:
    """Names of at most ``MOST_NAMES`` rows or columns, at their middles: ``at, label``."""
    found = table.drop_duplicates(first).sort_values(first)
    found = found.iloc[:: max(1, -(-len(found) // MOST_NAMES))]
    return pd.DataFrame({"at": (found[first] + found[last]) / 2, "label": found[name]})


def _word(text: str, x: dict[str, Any], y: float, color: str, weight: str) -> dict[str, Any]:
    looks = {"align": "left", "baseline": "middle", "fontSize": 12}
    return {
        "data": {"values": [{"label": text}]},
        "mark": {"type": "text", "color": color, "fontWeight": weight, **looks},
        "encoding": {"text": {"field": "label", "type": "nominal"}, "x": x, "y": {"value": y}},
    }
