"""Pictures of a what-if: where the forecast reads from before and after, and how far it moves at every step ahead.

Tables come from plain arrays; nothing here loads a run or speaks to Streamlit.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from core.ui.charts.cells import span
from core.ui.charts.picture import (
    GUTTER,
    Picture,
    Stage,
    color_legend,
    gutter_words,
    left_axis,
    mark,
    number,
    quantity,
    tip,
)
from core.ui.theme import SEQUENTIAL, Colors

MOST_COLUMNS = 400  # marks of one strip
TALL, HEAD = 18, 30
FORECAST, REST = "forecast", "rest"
SNUG = {"padding": {"left": 0, "right": 0, "top": 4, "bottom": 4}}


def strips_table(strips_L: Mapping[str, np.ndarray], first: int = 0) -> pd.DataFrame:
    """``name, from, to, value, text``: sizes of contributions by step, means where neighbours share a mark. ``first``
    is the step of the window at which the strips begin."""
    tables = []
    for name, values in strips_L.items():
        every = -(-len(values) // MOST_COLUMNS)
        begin = np.arange(0, len(values), every)
        end = np.minimum(begin + every, len(values))
        mean = np.add.reduceat(values, begin) / (end - begin)
        said = [
            f"{span(first + int(a), first + int(b)).capitalize()}, {name}: {number(float(v))}"
            for a, b, v in zip(begin, end, mean, strict=True)
        ]
        tables.append(pd.DataFrame({"name": name, "from": begin, "to": end, "value": mean, "text": said}))
    return pd.concat(tables, ignore_index=True)


def strips_picture(
    strips_L: Mapping[str, np.ndarray], horizon: int, right: int, colors: Colors, first: int = 0
) -> Picture:
    """One thin row each, on the axis of the window above and in one colour scale, so that they compare. ``right`` are
    the pixels that the window keeps free at its right end."""
    table = strips_table(strips_L, first)
    peak = float(table["value"].to_numpy().max()) or 1.0
    stage = Stage(len(next(iter(strips_L.values()))), horizon, 1, colors, right=right)
    legend = color_legend("adds, in own units", 0, [0, peak])
    layers: list[dict[str, Any]] = []
    for row, name in enumerate(strips_L):
        top = HEAD + row * (TALL + 4)
        place = {"y": {"value": top}, "y2": {"value": top + TALL}}
        scale = {"scheme": SEQUENTIAL, "domain": [0, peak], "clamp": True}
        layers.append(
            mark(
                "rect",
                "strips",
                stage.between()
                | place
                | {"color": quantity("value", scale=scale, legend=legend), "tooltip": tip(("text", " "))},
                transform=[{"filter": {"field": "name", "equal": name}}],
                x2Offset=0.6,
            )
        )
    words = [(name, HEAD + i * (TALL + 4) + TALL / 2, colors.text, "bold") for i, name in enumerate(strips_L)]
    layers += stage.words([("Contributions", 12.0, colors.muted, "normal"), *words])
    told = [f"{name} from {span(first + int(v.argmax()), first + int(v.argmax()) + 1)}" for name, v in strips_L.items()]
    spec = {"layer": layers, "height": HEAD + len(strips_L) * (TALL + 4)} | SNUG
    return Picture(spec, {"strips": table}, f"Most is added {' and '.join(told)}.")


def change_table(changes_H: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Long: ``kind, step, value``, steps ahead from 1."""
    return pd.concat(
        [
            pd.DataFrame({"kind": kind, "step": np.arange(1, len(values) + 1), "value": values})
            for kind, values in changes_H.items()
        ],
        ignore_index=True,
    )


def change_picture(changes_H: Mapping[str, np.ndarray], scale_colors: list[str], colors: Colors) -> Picture:
    """The change of the forecast at every step ahead, and of each scale's part of it: they add up to it, exactly.

    ``changes_H`` holds ``FORECAST``, then the scales fine to coarse, then ``REST`` where there are scales.
    """
    table = change_table(changes_H)
    looks = {FORECAST: colors.accent, REST: colors.baseline}
    scales = [kind for kind in changes_H if kind not in looks]
    looks |= dict(zip(scales, scale_colors, strict=True))
    x = quantity(
        "step",
        scale={
            "nice": False,
            "zero": False,
            "domain": [1, max(len(changes_H[FORECAST]), 2)],
            "range": [{"expr": GUTTER}, {"expr": "width - 8"}],
        },
        axis={
            "title": "steps ahead",
            "titleAnchor": "start",
            "titleX": {"expr": GUTTER},
            "titleAlign": "left",
            "grid": False,
            "tickMinStep": 1,
        },
    )
    y = quantity("value", scale={"zero": True, "padding": 6}, axis=left_axis(tickCount=4, grid=True))
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": [{"value": 0, "step": 1, "to": max(len(changes_H[FORECAST]), 2)}]},
            "mark": {"type": "rule", "color": colors.muted, "opacity": 0.6},
            "encoding": {"x": x, "x2": {"field": "to"}, "y": y},
        }
    ]
    point = {"point": True} if len(changes_H[FORECAST]) == 1 else {}
    for kind in [*scales, *([REST] if REST in changes_H else []), FORECAST]:
        dash = {"strokeDash": [5, 4]} if kind == REST else {}
        layers.append(
            mark(
                "line",
                "changes",
                {"x": x, "y": y},
                transform=[{"filter": {"field": "kind", "equal": kind}}],
                color=looks[kind],
                strokeWidth=2.4 if kind == FORECAST else 1.5,
                **dash,
                **point,
            )
        )
    wide = {kind: [number(float(v)) for v in values] for kind, values in changes_H.items()}
    points = pd.DataFrame({"step": np.arange(1, len(changes_H[FORECAST]) + 1), **wide})
    met = {"condition": {"param": "hover", "empty": False, "value": 1}, "value": 0}
    hover = {"type": "point", "encodings": ["x"], "on": "pointermove", "nearest": True, "clear": "pointerout"}
    told = tip(("step", "steps ahead"), *((kind, kind) for kind in changes_H))
    layers.append(
        {
            **mark("rule", "points", {"x": x, "opacity": met, "tooltip": told}, color=colors.text, strokeDash=[2, 2]),
            "params": [{"name": "hover", "select": hover}],
        }
    )
    names = [("Change", 8.0, colors.text, "bold"), (FORECAST, 40.0, colors.accent, "bold")]
    small = [("in own units", 24.0, colors.muted, "normal")]
    # the palest hue is for lines: names keep the text colour and have their line before them
    down = 57.0
    for kind in [*scales, *([REST] if REST in changes_H else [])]:
        small.append((kind, down, colors.text, "normal"))
        dash = {"strokeDash": [3, 2]} if kind == REST else {}
        layers.append(
            {
                "data": {"values": [{}]},
                "mark": {"type": "rule", "color": looks[kind], "strokeWidth": 2.5, **dash},
                "encoding": {"x": {"value": 0}, "x2": {"value": 12}, "y": {"value": down}},
            }
        )
        down += 16
    layers += gutter_words(names, room=28)
    layers += gutter_words(small[:1], room=28, size=11)
    layers += gutter_words(small[1:], room=44, size=12, indent=17)
    change = changes_H[FORECAST]
    most = int(np.abs(change).argmax())
    says = f"The forecast moves most {most + 1} step{'s' * (most > 0)} ahead, by {number(float(change[most]))}."
    return Picture({"layer": layers, "height": max(150, down)} | SNUG, {"changes": table, "points": points}, says)
