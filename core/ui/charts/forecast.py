"""Pictures of the Forecast page: one window against the truth, the other variates small, and errors where they fall.

Tables come from plain arrays (one window, one forecast, errors over all test windows); nothing here loads a run or
speaks to Streamlit. Times are drawn as clock times of the series' zone.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.ui.charts.picture import (
    GUTTER,
    Picture,
    gutter_words,
    left_axis,
    mark,
    number,
    quantity,
    stamps,
    thin,
    tip,
)
from core.ui.theme import Colors

if TYPE_CHECKING:
    from core.evaluate.run import WindowErrors

STRIP = 70  # pixels
MOST_BARS = 600  # test windows drawn in the strip; above it neighbours share a bar
SNUG = {"padding": {"left": 0, "right": 0, "top": 4, "bottom": 4}}
SEASONAL_NAIVE = "seasonal naive"
# every baseline is grey; its dashes tell it apart: pixels drawn and left out, and the same in type for the gutter
BASELINES: Mapping[str, tuple[list[int], str]] = {
    SEASONAL_NAIVE: ([5, 4], "– –"),
    "naive": ([2, 3], "····"),
    "drift": ([8, 3, 1, 3], "–·–"),
    "AutoETS": ([12, 4], "— —"),
    "AutoTheta": ([8, 3, 1, 3, 1, 3], "–··–"),
}
KINDS = ("observed", "forecast", *BASELINES)


def clock(times: np.ndarray, zone: str) -> np.ndarray:
    """What the x axis holds: milliseconds of the zone's own clock, or the whole numbers of a series without one."""
    if not np.issubdtype(times.dtype, np.datetime64):
        return times.astype(float)
    local = pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    return local.to_numpy("datetime64[ms]").astype(np.int64).astype(float)


def window_table(
    times_lookback: np.ndarray,
    times_horizon: np.ndarray,
    lookback: np.ndarray,
    truth: np.ndarray | None,
    forecast: np.ndarray,
    baselines: Mapping[str, np.ndarray],
    zone: str,
) -> pd.DataFrame:
    """Long table ``at, value, kind, when, text`` of one variate; forecast and baselines (names of ``BASELINES``) start
    at the last observed step."""
    times = np.concatenate([times_lookback, times_horizon])
    at, names, past = clock(times, zone), stamps(times, zone), len(lookback)
    seen = np.concatenate([lookback, truth if truth is not None else np.empty(0)])
    ahead = np.arange(past - 1, len(times))
    rows = []
    for kind, steps, values in (
        ("observed", np.arange(len(seen)), seen),
        ("forecast", ahead, np.r_[lookback[-1:], forecast]),
        *((kind, ahead, np.r_[lookback[-1:], values]) for kind, values in baselines.items()),
    ):
        kept = thin(values)
        rows.append(pd.DataFrame({"at": at[steps[kept]], "value": values[kept], "kind": kind, "step": steps[kept]}))
    table = pd.concat(rows, ignore_index=True)
    table["when"] = [names[s] for s in table["step"]]
    table["text"] = [number(v) for v in table["value"]]
    return table


def pointer_table(table: pd.DataFrame, begin: float) -> pd.DataFrame:
    """One row per step with the value of every line as text: what the pointer tells."""
    wide = table.pivot_table(index=["at", "when"], columns="kind", values="text", aggfunc="first").reset_index()
    for kind in ("observed", *drawn(table)):
        wide[kind] = wide[kind].fillna("") if kind in wide else ""
    wide.loc[wide["at"] < begin, list(drawn(table))] = ""
    return pd.DataFrame(wide)


def drawn(table: pd.DataFrame) -> tuple[str, ...]:
    """The forecast and the baselines that the table holds, in the order of ``KINDS``."""
    held = set(table["kind"])
    return tuple(kind for kind in KINDS[1:] if kind in held)


def window_picture(
    table: pd.DataFrame, begin: float, dated: bool, zone: str, variate: str, known: bool, colors: Colors
) -> Picture:
    """The window, large. ``begin`` is the ``at`` of the first forecast step; ``known`` whether there is a truth."""
    x = _time(dated, zone, gutter=True)
    y = quantity("value", scale={"zero": False, "nice": False, "padding": 10}, axis=left_axis(tickCount=5, grid=False))
    words = [
        (variate, 8.0, colors.text, "bold"),
        ("in its own units", 25.0, colors.muted, "normal"),
        ("observed", 50.0, colors.text, "normal"),
        ("forecast", 67.0, colors.accent, "bold"),
    ]
    down = 84.0
    for kind in drawn(table)[1:]:
        # a name of two words takes two lines: the gutter is narrow
        for row, word in enumerate(kind.split()):
            words.append((word if row else f"{BASELINES[kind][1]} {word}", down, colors.muted, "normal"))
            down += 14
        down += 3
    hover = {"type": "point", "encodings": ["x"], "on": "pointermove", "nearest": True, "clear": "pointerout"}
    told = tip(("when", "time"), *((kind, kind) for kind in ("observed", *drawn(table))))
    met = {"condition": {"param": "hover", "empty": False, "value": 1}, "value": 0}
    spec = {
        "layer": [
            mark(
                "rect",
                "future",
                {"x": x | {"field": "from"}, "x2": {"field": "to"}},
                color=colors.accent_soft,
                opacity=0.6,
            ),
            *_lines(table, x, y, colors, (1.5, 2.4, 1.4)),
            {
                **mark(
                    "rule", "pointer", {"x": x, "opacity": met, "tooltip": told}, color=colors.text, strokeDash=[2, 2]
                ),
                "params": [{"name": "hover", "select": hover}],
            },
            *gutter_words(words[:2], room=28),
            *gutter_words(words[2:], room=28, size=11),
        ],
        "height": 300,
    } | SNUG
    end = float(table["at"].to_numpy().max())
    tables = {
        "window": table,
        "future": pd.DataFrame({"from": [begin], "to": [end]}),
        "pointer": pointer_table(table, begin),
    }
    last = [row for row in table.to_dict("records") if row["kind"] == "forecast"]
    says = (
        f"{variate}: the forecast runs from {number(last[0]['value'])} to {number(last[-1]['value'])} "
        f"between {last[0]['when']} and {last[-1]['when']}"
        + (", beside what was observed." if known else ", beyond the data.")
    )
    return Picture(spec, tables, says)


def small_picture(table: pd.DataFrame, begin: float, dated: bool, zone: str, variate: str, colors: Colors) -> Picture:
    """The same window of another variate, small and without a time axis."""
    x = _time(dated, zone) | {"axis": None}
    y = quantity(
        "value",
        scale={"zero": False, "nice": False, "padding": 4},
        axis={"title": None, "tickCount": 2, "grid": False, "labelFontSize": 10, "minExtent": 30, "maxExtent": 30},
    )
    future = {"x": x | {"field": "from"}, "x2": {"field": "to"}}
    spec = {
        "layer": [
            mark("rect", "future", future, color=colors.accent_soft, opacity=0.6),
            *_lines(table, x, y, colors, (1.1, 1.7, 1.0)),
        ],
        "height": 74,
    } | SNUG
    tables = {"window": table, "future": pd.DataFrame({"from": [begin], "to": [float(table["at"].to_numpy().max())]})}
    return Picture(spec, tables, f"{variate}: the same window, observed, {' and '.join(drawn(table))}.")


def strip_table(mse: np.ndarray, index: np.ndarray, total: int, most: int = MOST_BARS) -> pd.DataFrame:
    """Error of the test windows ``index`` of ``total``, ``from, to, mse, window, text`` (windows from 0). Neighbours
    share a bar above ``most``; a bar is as high as its worst window, which is the one a click opens."""
    every = max(1, -(-len(mse) // most))
    first = np.arange(0, len(mse), every)
    last = np.minimum(first + every, len(mse))
    worst = np.array([a + int(np.argmax(mse[a:b])) for a, b in zip(first, last, strict=True)])
    return pd.DataFrame(
        {
            "from": index[first],
            "to": np.append(index[first[1:]], total),
            "mse": mse[worst],
            "window": index[worst],
            "text": [f"window {index[w] + 1:,}: MSE {number(float(mse[w]))}" for w in worst],
        }
    )


def strip_picture(errors: "WindowErrors", chosen: int | None, colors: Colors) -> Picture:
    """Error over the test windows; a click sends ``window`` (selection ``picked``)."""
    bars = strip_table(errors.mse, errors.index, errors.total)
    scale = {"domain": [0, errors.total], "nice": False, "range": [{"expr": GUTTER}, {"expr": "width - 8"}]}
    x = quantity(
        "from",
        scale=scale,
        axis={
            "title": "test window",
            "titleAnchor": "start",
            "grid": False,
            "format": ",d",
            "titleX": {"expr": GUTTER},
            "titleAlign": "left",
            "tickCount": 8,
        },
    )
    y = quantity("mse", axis=left_axis(tickCount=2), scale={"nice": True})
    here = pd.DataFrame(
        {"from": [] if chosen is None else [chosen], "mse": [] if chosen is None else [errors.at(chosen)]}
    )
    words = [("Error", 8.0, colors.text, "bold")]
    small = [("MSE, z-scored", 24.0, colors.muted, "normal"), ("click a window", 38.0, colors.muted, "normal")]
    over = {"condition": {"param": "over", "empty": False, "value": 1}, "value": 0.55}
    mine = []
    if chosen is not None:
        ring = {"fill": colors.ground, "size": 50, "strokeWidth": 2, "opacity": 1}
        mine = [
            mark("rule", "here", {"x": x}, color=colors.accent, strokeWidth=2),
            mark("point", "here", {"x": x, "y": y}, color=colors.accent, **ring),
        ]
    spec = {
        "layer": [
            mark(
                "rect",
                "bars",
                {"x": x, "x2": {"field": "to"}, "y": y, "y2": {"datum": 0}, "opacity": over},
                color=colors.baseline,
                x2Offset=0.4,
            ),
            *mine,
            {
                **mark(
                    "rect",
                    "bars",
                    {
                        "x": x,
                        "x2": {"field": "to"},
                        "y": {"value": 0},
                        "y2": {"value": STRIP},
                        "tooltip": tip(("text", " ")),
                    },
                    opacity=0,
                    cursor="pointer",
                ),
                "params": [
                    {"name": "picked", "select": {"type": "point", "fields": ["window"], "toggle": False}},
                    {
                        "name": "over",
                        "select": {"type": "point", "fields": ["window"], "on": "pointerover", "clear": "pointerout"},
                    },
                ],
            },
            *gutter_words(words, room=30),
            *gutter_words(small, room=26, size=11),
        ],
        "height": STRIP,
    } | SNUG
    mse, worst = errors.mse, int(errors.index[np.argmax(errors.mse)])
    says = (
        f"Error over {len(mse):,} test windows: median {number(float(np.median(mse)))}, worst in window {worst + 1:,}."
    )
    return Picture(spec, {"bars": bars, "here": here}, says)


def by_step_picture(mse: np.ndarray, naive: float | None, colors: Colors) -> Picture:
    """MSE by horizon step, over all test windows, with the seasonal naive's mean as a dashed line."""
    table = pd.DataFrame({"step": np.arange(1, len(mse) + 1), "mse": mse}).assign(
        text=lambda t: [number(v) for v in t["mse"]]
    )
    x = quantity(
        "step", scale={"nice": False, "zero": False}, axis={"title": "steps ahead", "grid": False, "tickMinStep": 1}
    )
    y = quantity("mse", axis={"title": "MSE, z-scored", "tickCount": 4})
    line = {"x": x, "y": y, "tooltip": tip(("step", "steps ahead"), ("text", "MSE"))}
    layers: list[dict[str, Any]] = [
        mark("line", "steps", line, color=colors.accent, strokeWidth=2, point=bool(len(mse) == 1))
    ]
    tables = {"steps": table}
    if naive is not None:
        tables["naive"] = pd.DataFrame({"mse": [naive], "label": ["seasonal naive, mean"]})
        layers.append(mark("rule", "naive", {"y": y}, color=colors.baseline, strokeDash=[5, 4]))
        words = {"y": y, "x": {"value": 4}, "text": {"field": "label", "type": "nominal"}}
        layers.append(mark("text", "naive", words, align="left", dy=-7, color=colors.muted, fontSize=11))
    says = f"The error goes from {number(mse[0])} one step ahead to {number(mse[-1])} at {len(mse)} steps ahead."
    return Picture({"layer": layers, "height": 190} | SNUG, tables, says)


def by_variate_picture(names: Sequence[str], mse: np.ndarray, chosen: str, colors: Colors, most: int = 24) -> Picture:
    """MSE by variate, worst first (at most ``most``); the chosen one in the accent."""
    order = np.argsort(-mse)[:most]
    table = pd.DataFrame({"variate": [names[i] for i in order], "mse": mse[order]})
    table["text"] = [number(v) for v in table["mse"]]
    table["chosen"] = table["variate"] == chosen
    y = {
        "field": "variate",
        "type": "nominal",
        "sort": list(table["variate"]),
        "axis": {"title": None, "labelLimit": 110, "labelColor": colors.text, "domain": False, "ticks": False},
    }
    x = quantity("mse", axis={"title": "MSE, z-scored", "tickCount": 4})
    color = {"condition": {"test": "datum.chosen", "value": colors.accent}, "value": colors.baseline}
    told = tip(("variate", "variate"), ("text", "MSE"))
    layers = [
        mark("bar", "variates", {"x": x, "y": y, "color": color, "tooltip": told}, height={"band": 0.65}),
        mark(
            "text",
            "variates",
            {"x": x, "y": y, "text": {"field": "text", "type": "nominal"}},
            align="left",
            dx=4,
            color=colors.text,
            fontSize=11,
        ),
    ]
    says = f"The largest error is that of {table['variate'].iloc[0]}, {table['text'].iloc[0]}."
    return Picture({"layer": layers, "height": max(60, 24 * len(order))} | SNUG, {"variates": table}, says)


def _time(dated: bool, zone: str, gutter: bool = False) -> dict[str, Any]:
    scale: dict[str, Any] = {"nice": False}
    axis: dict[str, Any] = {"titleAnchor": "start", "grid": True, "tickCount": {"expr": "width < 520 ? 4 : 9"}}
    if gutter:
        scale["range"] = [{"expr": GUTTER}, {"expr": "width - 8"}]
        axis |= {"titleX": {"expr": GUTTER}, "titleAlign": "left"}
    if not dated:
        return quantity("at", scale=scale | {"zero": False}, axis=axis | {"title": "row", "format": ",d"})
    label = (
        "datum.index == 0 ? utcFormat(datum.value, '%d %b %Y') : "
        "utchours(datum.value) || utcminutes(datum.value) ? utcFormat(datum.value, '%H:%M')"
        " : utcdate(datum.value) > 1 ? utcFormat(datum.value, '%d %b')"
        " : utcmonth(datum.value) ? utcFormat(datum.value, '%b %Y') : utcFormat(datum.value, '%Y')"
    )
    axis |= {"title": f"time, {zone}", "labelExpr": label}
    return {"field": "at", "type": "temporal", "scale": scale | {"type": "utc"}, "axis": axis}


def _lines(
    table: pd.DataFrame, x: dict[str, Any], y: dict[str, Any], colors: Colors, wide: tuple[float, float, float]
) -> list[dict[str, Any]]:
    """Observed, forecast and baselines, the forecast on top."""

    def line(kind: str, **looks: Any) -> dict[str, Any]:
        only = [{"filter": {"field": "kind", "equal": kind}}]
        return mark("line", "window", {"x": x, "y": y}, transform=only, **looks)

    return [
        *(
            line(kind, color=colors.baseline, strokeDash=BASELINES[kind][0], strokeWidth=wide[2])
            for kind in drawn(table)[1:]
        ),
        line("observed", color=colors.text, strokeWidth=wide[0]),
        line("forecast", color=colors.accent, strokeWidth=wide[1]),
    ]
