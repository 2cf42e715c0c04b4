"""Pictures of the Scales page: one row per scale on one time axis, their sum, and weights over training.

Tables come from a Trace (any model that declares scales); each row is one picture, so that the page can set it beside
its numbers. Nothing here loads a run or speaks to Streamlit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from core.models.trace import ScaleOutput, Trace
from core.ui.charts.picture import Picture, Stage, gutter_words, left_axis, mark, number, quantity, thin, tip
from core.ui.theme import Colors

RIGHT = 44  # pixels for the labels of the right axis
TALL = 86


def seen_table(scale: ScaleOutput, variate: int) -> pd.DataFrame:
    """What the scale saw of one variate: ``at, value, text``; a pooled point stands in the middle of its steps."""
    values = scale.seen[0, :, variate]
    kept = thin(values)
    first = scale.first + kept * scale.factor
    names = [f"step {a}" if scale.factor == 1 else f"steps {a} to {a + scale.factor - 1}" for a in first]
    return pd.DataFrame({"at": first + scale.factor / 2, "value": values[kept], "where": names}).assign(
        text=lambda t: [number(v) for v in t["value"]]
    )


def patches_table(scale: ScaleOutput, lookback: int, stride: int = 0) -> pd.DataFrame:
    """The patches of the scale on the window: ``from, to, odd``; empty for a scale without attention.

    ``stride`` is the points from one patch to the next where they overlap: bands then run from start to start.
    """
    if not scale.patch:
        return pd.DataFrame({"from": [], "to": [], "odd": []})
    wide = (stride or scale.patch) * scale.factor
    first = np.arange(scale.first, lookback, wide)
    return pd.DataFrame({"from": first, "to": np.minimum(first + wide, lookback), "odd": np.arange(len(first)) % 2})


def adds_table(lines: dict[str, np.ndarray], lookback: int) -> pd.DataFrame:
    """Lines over the horizon, long: ``at, value, kind, where, text``."""
    tables = []
    for kind, values in lines.items():
        kept = thin(values)
        tables.append(
            pd.DataFrame(
                {
                    "at": lookback + kept + 0.5,
                    "value": values[kept],
                    "kind": kind,
                    "where": [f"{kind}, {h + 1} ahead" for h in kept],
                    "text": [number(v) for v in values[kept]],
                }
            )
        )
    return (
        pd.concat(tables, ignore_index=True)
        if tables
        else pd.DataFrame(columns=["at", "value", "kind", "where", "text"])
    )


def limits_of(trace: Trace, variate: int) -> tuple[float, float]:
    """The range all contributions share, so that rows compare: (lowest, highest), zero included."""
    values = [
        part[0, :, variate] for s in trace.scales for part in (s.contribution, s.seasonal, s.trend) if part is not None
    ]
    return min(0.0, float(np.min(values))), max(0.0, float(np.max(values)))


def names_of(trace: Trace) -> list[str]:
    """What each scale is called: its own name, else ``scale_names``."""
    usual = scale_names(len(trace.scales))
    return [part.name or name for part, name in zip(trace.scales, usual, strict=True)]


def scale_names(count: int) -> list[str]:
    """``fine``, ``scale 1``, ..., ``coarse``."""
    return ["fine", *[f"scale {m}" for m in range(1, count - 1)], "coarse"][:count] if count > 1 else ["the only scale"]


def scale_picture(
    scale: ScaleOutput,
    name: str,
    variate: int,
    lookback: int,
    horizon: int,
    limits: tuple[float, float],
    color: str,
    colors: Colors,
    *,
    parts: bool = False,
    factor_by_hand: float | None = None,
    head: bool = False,
    stride: int = 0,
) -> Picture:
    """One scale: left what it saw, with its patches; right what it adds to the forecast, in the data's own units.

    ``parts`` draws its seasonal and trend part; ``factor_by_hand`` (weight by hand / weight) the moved contribution.
    ``head`` makes room for the two headings. ``stride`` is that of overlapping patches, in points.
    """
    contribution = scale.contribution[0, :, variate]
    lines = {"adds": contribution}
    if parts and scale.seasonal is not None and scale.trend is not None:
        lines |= {"seasonal part": scale.seasonal[0, :, variate], "trend part": scale.trend[0, :, variate]}
    if factor_by_hand is not None:
        lines["what if"] = contribution * factor_by_hand
    stretch = 1.0 if factor_by_hand is None else max(1.0, factor_by_hand)
    tables = {
        "seen": seen_table(scale, variate),
        "patches": patches_table(scale, lookback, stride),
        "adds": adds_table(lines, lookback),
        "limits": pd.DataFrame({"value": np.array(limits) * stretch}),
    }
    top = 26 if head else 0
    stage = Stage(lookback, horizon, scale.patch * scale.factor or 16, colors, grid=True, right=RIGHT)
    sees = quantity("value", scale=_band(top), axis=left_axis(tickCount=3))
    adds = quantity("value", scale=_band(top) | {"zero": True}, axis=_right_axis())
    few = len(tables["seen"]) <= 64 and scale.factor > 1
    every = "every step" if scale.factor == 1 else f"every {scale.factor} steps"
    kind = "no patches" if not scale.patch else f"patches of {scale.patch}"
    overlap = [f"one every {stride} steps"] if stride and stride != scale.patch and scale.patch else []
    left = [
        mark(
            "rect",
            "patches",
            stage.between(
                y={"value": top},
                y2={"value": top + TALL},
                opacity={"condition": {"test": "datum.odd", "value": 0.16}, "value": 0.06},
            ),
            color=color,
        ),
        mark(
            "line",
            "seen",
            {"x": stage.x(), "y": sees, "tooltip": tip(("where", "saw"), ("text", "value"))},
            color=color,
            strokeWidth=1.6,
            **({"point": {"color": color, "size": 22}} if few else {}),
        ),
    ]
    x_adds = {"x": stage.x(), "y": adds}
    told = {"tooltip": tip(("where", " "), ("text", "value"))}
    of = {k: [{"filter": {"field": "kind", "equal": k}}] for k in ("adds", "seasonal part", "trend part", "what if")}
    right = [
        mark("point", "limits", {"y": adds}, opacity=0, size=0),
        mark("area", "adds", x_adds | {"y": adds | {"stack": None}}, transform=of["adds"], color=color, opacity=0.22),
        {
            "data": {"values": [{"from": lookback, "to": lookback + horizon, "value": 0}]},
            "mark": {"type": "rule", "color": colors.muted, "strokeWidth": 0.7},
            "encoding": stage.between(y=adds),
        },
        mark("line", "adds", x_adds | told, transform=of["adds"], color=color, strokeWidth=1.8),
        *(
            mark("line", "adds", x_adds | told, transform=of[kind], **looks)
            for kind, looks in (
                ("seasonal part", {"color": colors.text, "strokeWidth": 1}),
                ("trend part", {"color": colors.text, "strokeWidth": 1, "strokeDash": [5, 3]}),
                ("what if", {"color": colors.accent, "strokeWidth": 2, "strokeDash": [2, 2]}),
            )
            if kind in lines
        ),
    ]
    words = [(name, top + 10.0, colors.text, "bold")]
    small = [(text, top + 27.0 + 15 * i, colors.muted, "normal") for i, text in enumerate([every, kind, *overlap])]
    layers = [
        {"layer": left},
        {"layer": right},
        _swatch(color, top),
        *gutter_words(words, room=44, indent=14),
        *gutter_words(small, room=30, size=11),
        *(_headings(stage, colors) if head else []),
    ]
    spec = {"layer": layers, "height": top + TALL, "resolve": {"scale": {"y": "independent"}}} | _close
    low, high = float(contribution.min()), float(contribution.max())
    says = f"{name}, {every}, {kind}: adds between {number(low)} and {number(high)} to the forecast."
    return Picture(spec, tables, says)


def sum_picture(
    lookback_values: np.ndarray,
    truth: np.ndarray | None,
    forecast: np.ndarray,
    rest: np.ndarray,
    colors: Colors,
    *,
    patch: int,
    what_if: np.ndarray | None = None,
    residual: float = 0.0,
) -> Picture:
    """The last row: observed window, and the forecast, which is the sum of the scales and ``rest``; all (.,) 1-D."""
    past, horizon = len(lookback_values), len(forecast)
    stage = Stage(past, horizon, patch, colors, grid=True, title="step of the window", right=RIGHT)
    kept = thin(lookback_values)
    lines = {"forecast": forecast, "level of the window": rest}
    if truth is not None:
        lines["observed"] = truth
    if what_if is not None:
        lines["what if"] = what_if
    tables = {
        "seen": pd.DataFrame({"at": kept + 0.5, "value": lookback_values[kept]}),
        "lines": adds_table(lines, past),
    }
    y = quantity("value", scale={"zero": False, "nice": False, "padding": 6}, axis=left_axis(tickCount=3))
    place = {"x": stage.x(), "y": y}
    told = {"tooltip": tip(("where", " "), ("text", "value"))}
    of = {
        k: [{"filter": {"field": "kind", "equal": k}}]
        for k in ("forecast", "level of the window", "observed", "what if")
    }
    words = [("sum", 10.0, colors.text, "bold")]
    small = [("forecast", 28.0, colors.accent, "bold")]
    if truth is not None:
        small.append(("observed", 43.0, colors.text, "normal"))
    small.append(("– – level", 58.0, colors.muted, "normal"))
    if what_if is not None:
        small.append(("··· what if", 73.0, colors.accent, "normal"))
    spec = {
        "layer": [
            stage.future(),
            mark("line", "seen", place, color=colors.text, strokeWidth=1.3),
            mark(
                "line",
                "lines",
                place | told,
                transform=of["level of the window"],
                color=colors.baseline,
                strokeDash=[5, 4],
                strokeWidth=1.2,
            ),
            *(
                mark("line", "lines", place | told, transform=of[kind], **looks)
                for kind, looks in (
                    ("observed", {"color": colors.text, "strokeWidth": 1.3}),
                    ("forecast", {"color": colors.accent, "strokeWidth": 2.4}),
                    ("what if", {"color": colors.accent, "strokeWidth": 2, "strokeDash": [2, 2]}),
                )
                if kind in lines
            ),
            *gutter_words(words, room=40),
            *gutter_words(small, room=30, size=11),
        ],
        "height": 110,
    } | _close
    says = f"The scales and the window's level sum to the forecast within {residual:.0e}."
    return Picture(spec, tables, says)


def weights_picture(weights: Sequence[float], color: str, colors: Colors) -> Picture:
    """One scale's weight over the epochs, on the fixed axis 0 to 1."""
    table = pd.DataFrame({"epoch": np.arange(1, len(weights) + 1), "weight": list(weights)})
    table["text"] = [f"{w:.3f}" for w in weights]
    x = quantity("epoch", scale={"nice": False, "zero": False}, axis=None)
    y = quantity(
        "weight",
        scale={"domain": [0, 1]},
        axis={"title": None, "values": [0, 1], "format": "d", "labelFontSize": 10, "minExtent": 14, "maxExtent": 14},
    )
    encoding = {"x": x, "y": y, "tooltip": tip(("epoch", "epoch"), ("text", "weight"))}
    looks: dict[str, Any] = {"color": color, "strokeWidth": 2}
    if len(weights) == 1:
        looks["point"] = {"color": color}
    spec = mark("line", "weights", encoding, **looks) | {"height": 30} | _close
    says = f"Weight over {len(weights)} epochs, from {weights[0]:.3f} to {weights[-1]:.3f}." if len(weights) else ""
    return Picture(spec, {"weights": table}, says)


_close = {"padding": {"left": 0, "right": 0, "top": 2, "bottom": 2}}


def _band(top: float) -> dict[str, Any]:
    return {"zero": False, "nice": False, "range": [top + TALL - 4, top + 4]}


def _right_axis() -> dict[str, Any]:
    offset = {"orient": "right", "offset": -RIGHT}
    return offset | {"grid": False, "title": None, "tickCount": 3, "labelPadding": 6, "domain": False, "ticks": False}


def _swatch(color: str, top: float) -> dict[str, Any]:
    place = {"x": {"value": 0}, "x2": {"value": 8}, "y": {"value": top + 5}, "y2": {"value": top + 15}}
    return {"data": {"values": [{}]}, "mark": {"type": "rect", "color": color}, "encoding": place}


def _headings(stage: Stage, colors: Colors) -> list[dict[str, Any]]:
    looks = {"align": "left", "baseline": "middle", "fontWeight": "bold", "color": colors.text, "fontSize": 12}
    return [
        {
            "data": {"values": [{"at": at}]},
            "mark": {"type": "text", "text": {"expr": f"width < 520 ? '{short}' : '{text}'"}, **looks},
            "encoding": {"x": stage.x(), "y": {"value": 10}},
        }
        for text, short, at in (
            ("What the scale sees", "sees", 0),
            ("What it adds to the forecast", "adds", stage.past),
        )
    ]


def stacked_picture(pictures: Sequence[Picture]) -> Picture:
    """Several pictures under one another as one, for a file."""
    rows, tables = [], {}
    for i, picture in enumerate(pictures):
        rows.append(_renamed(picture.spec, f"{i}-"))
        rows[-1].pop("padding")
        tables |= {f"{i}-{name}": table for name, table in picture.tables.items()}
    spec = {"vconcat": rows, "spacing": 12, "resolve": {"scale": {"color": "independent"}}}
    return Picture(spec, tables, " ".join(p.takeaway for p in pictures))


def _renamed(spec: Any, prefix: str) -> Any:
    """The specification with the names of its tables prefixed."""
    if isinstance(spec, list):
        return [_renamed(part, prefix) for part in spec]
    if not isinstance(spec, dict):
        return spec
    if set(spec) == {"name"}:
        return {"name": prefix + spec["name"]}
    return {key: _renamed(part, prefix) for key, part in spec.items()}
