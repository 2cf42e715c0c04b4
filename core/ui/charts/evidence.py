"""How far to believe maps: the matrix of their agreement, and what the forecast does when steps are taken away in their
order. Only tables and pictures; nothing is computed here (``core.explain.faithfulness``)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from core.explain.faithfulness import Agreement, Curves
from core.ui.charts.picture import Picture, mark, quantity, tip
from core.ui.theme import Colors

RANDOM = "at random"
TILE = 30  # pixels of a tile
PANELS = {"deletion_BK": "Steps taken away", "insertion_BK": "Only the first kept"}


def agreement_picture(found: Agreement, titles: Mapping[str, str], colors: Colors) -> Picture:
    """Rank correlation of every pair, written on its tile; a flat map has none."""
    names = [titles[name] for name in found.names]
    table = pd.DataFrame(
        [
            {
                "row": names[i],
                "column": names[j],
                "value": found.rank[i, j],
                "told": _told(names[i], names[j], found.rank[i, j], found.overlap[i, j]),
            }
            for i in range(len(names))
            for j in range(i + 1)
        ],
        columns=["row", "column", "value", "told"],
    )
    axis = {"title": None, "ticks": False, "domain": False}
    place = {
        "x": {
            "field": "column",
            "type": "nominal",
            "sort": names,
            "axis": axis | {"labelAngle": -30, "labelLimit": 110, "labelOverlap": False},
        },
        "y": {"field": "row", "type": "nominal", "sort": names, "axis": axis | {"labelLimit": 120}},
    }
    scale = {"domain": [-1, 0, 1], "range": list(colors.signed), "interpolate": "lab"}
    shade = quantity("value", scale=scale, legend=None)
    ink = {"condition": {"test": "abs(datum.value) > 0.7", "value": colors.ground}, "value": colors.text}
    spec: dict[str, Any] = {
        "layer": [
            mark("rect", "pairs", place | {"color": shade, "tooltip": tip(("told", " "))}, stroke=colors.ground),
            mark("text", "pairs", place | {"text": quantity("value", format=".2f"), "color": ink}, fontSize=11),
        ],
        "height": {"step": TILE},
    }
    pairs = [(i, j) for i in range(len(names)) for j in range(i) if np.isfinite(found.rank[i, j])]
    takeaway = "Agreement of the maps."
    if pairs:
        i, j = max(pairs, key=lambda pair: found.rank[pair])
        takeaway = (
            f"Agreement of the maps; closest: {names[i]} and {names[j]}, rank correlation {found.rank[i, j]:.2f}."
        )
    return Picture(spec, {"pairs": table}, takeaway)


def _told(one: str, other: str, rank: float, overlap: float) -> str:
    if not np.isfinite(rank):
        return f"{one} and {other}: one of them is the same at every step"
    return f"{one} and {other}: rank correlation {rank:.2f}, {overlap:.0%} of the top 10 % in common"


def curves_picture(found: Mapping[str, Curves], control: Curves, panel: str, colors: Colors) -> Picture:
    """One panel of ``PANELS``; random orders dashed and grey. ``found`` by the titles of the maps."""
    table = pd.concat(
        [
            pd.DataFrame({"map": name, "share": curves.steps_K / curves.lookback, "change": getattr(curves, panel)[0]})
            for name, curves in {**found, RANDOM: control}.items()
        ],
        ignore_index=True,
    )
    table["told"] = [
        f"{name}, {share:.0%} of the steps: {change:.0%} of the change without the whole window"
        for name, share, change in zip(table["map"], table["share"], table["change"], strict=True)
    ]
    names = list(found)
    ramp = {
        "domain": [*names, RANDOM],
        "range": [*(colors.variates[i % len(colors.variates)] for i in range(len(names))), colors.baseline],
    }
    axis = {"format": "%", "tickCount": 4, "grid": True}
    legend = {"title": None, "orient": "bottom", "columns": 2, "labelLimit": 150, "symbolType": "stroke"}
    place = {
        "x": quantity("share", title="share of the steps", axis=axis, scale={"nice": False}),
        "y": quantity("change", title="change of the forecast", axis=axis),
        "color": {"field": "map", "type": "nominal", "scale": ramp, "legend": legend},
        "tooltip": tip(("told", " ")),
    }
    dash = {"condition": {"test": f"datum.map === '{RANDOM}'", "value": [4, 3]}, "value": [1, 0]}
    spec = {
        "layer": [
            mark("line", "curves", place | {"strokeDash": dash}, strokeWidth=1.5),
            mark("point", "curves", place, size=90, opacity=0),
        ],
        "height": 170,
    }
    area = {
        name: float(np.nan_to_num(getattr(curves, panel.replace("_BK", "_B"))[0])) for name, curves in found.items()
    }
    best = (max if panel == "deletion_BK" else min)(area, key=area.__getitem__, default="")
    moves = "changes" if panel == "deletion_BK" else "comes back"
    return Picture(spec, {"curves": table}, f"{PANELS[panel]}: the forecast {moves} soonest in the order of {best}.")
