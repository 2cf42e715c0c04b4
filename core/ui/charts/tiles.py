"""Tiles with their numbers: a value for every pair of two lists of names."""

from typing import Any

from core.ui.charts.picture import Table, mark, quantity, tip
from core.ui.theme import SEQUENTIAL, Colors

TILE = 26  # pixels of a tile
NAMES = {"labelAngle": 0, "ticks": False, "domain": False}


def tiles(
    name: str, table: Table, low: float, high: float, form: str, colors: Colors, legend: str = ""
) -> dict[str, Any]:
    """The drawing of the table ``name`` with the columns x, y, value and told, names in order of appearance. Colours
    run from ``low`` to ``high``, around zero where it lies between; ``legend`` is their title, without it there is
    none."""
    rows, columns = (list(dict.fromkeys(table[axis])) for axis in ("y", "x"))
    signed = low < 0 < high
    scale: dict[str, Any] = {"domain": [low, high], "clamp": True}
    if signed:
        scale |= {"domain": [low, 0, high], "range": list(colors.signed), "interpolate": "lab"}
    else:
        scale |= {"scheme": SEQUENTIAL}
    above = {"title": legend, "orient": "top", "gradientLength": 160, "gradientThickness": 8, "titleLimit": 400}
    place = {
        "x": {"field": "x", "type": "nominal", "sort": columns, "title": None, "axis": NAMES},
        "y": {"field": "y", "type": "nominal", "sort": rows, "title": None, "axis": NAMES | {"labelLimit": 220}},
    }
    shade = quantity("value", scale=scale, legend=above if legend else None)
    # numbers must be read on both ends of the colours
    dark, pale = ("#14181B", "#FBFBF9")
    far = f"abs(datum.value) > {0.6 * high}"
    ink = (
        {"condition": {"test": far, "value": colors.ground}, "value": colors.text}
        if signed
        else {"condition": {"test": f"datum.value > {(low + high) / 2}", "value": dark}, "value": pale}
    )
    text = {"field": "value", "type": "quantitative", "format": form}
    return {
        "layer": [
            mark("rect", name, place | {"color": shade, "tooltip": tip(("told", " "))}, stroke=colors.ground),
            mark("text", name, place | {"text": text, "color": ink}, fontSize=11),
        ],
        "height": {"step": TILE},
    }
