"""The Attention picture: series with forecast, saliency strips and one attention map, stacked on one time axis.

Tables are made here from any window and any list of saliency maps, those of the map in ``cells.py``; the chart takes
only tables. Nothing here computes a saliency (that is ``core.explain``) and nothing speaks to Streamlit.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from core.ui.charts.cells import MOST_CELLS, span
from core.ui.charts.picture import (
    GUTTER,
    Encoding,
    Picture,
    Stage,
    color_legend,
    left_axis,
    mark,
    number,
    quantity,
    tip,
)
from core.ui.theme import SEQUENTIAL, Colors

SATURATION = 4.0  # times an even share: the brightest colour of a map
MOST_COLUMNS = 400  # marks that leave the server, per strip


class Strip(Protocol):
    """What a strip needs of a saliency map: values per look-back step, not negative."""

    @property
    def title(self) -> str: ...

    @property
    def values(self) -> np.ndarray: ...


def lines(
    lookback: np.ndarray,
    truth: np.ndarray | None,
    forecast: np.ndarray,
    stamps: Sequence[str],
    changed: np.ndarray | None = None,
) -> pd.DataFrame:
    """Long table ``at, step, value, kind, when`` of one variate, observed and forecast, and the forecast of a changed
    window. ``at`` is a step's middle."""
    steps = np.arange(len(lookback) + len(forecast))
    past = len(lookback)
    observed = np.concatenate([lookback, truth if truth is not None else np.empty(0)])
    # the forecast starts at the last observed point, so that the line does not hang in the air
    rows = [
        pd.DataFrame({"step": steps[: len(observed)], "value": observed, "kind": "observed"}),
        pd.DataFrame({"step": steps[past - 1 :], "value": np.r_[lookback[-1:], forecast], "kind": "forecast"}),
    ]
    if changed is not None:
        rows.append(pd.DataFrame({"step": steps[past:], "value": changed, "kind": "changed"}))
    table = pd.concat(rows, ignore_index=True)
    table["at"] = table["step"] + 0.5
    table["when"] = [stamps[s] for s in table["step"]]
    return table


def positions(
    lookback: np.ndarray, truth: np.ndarray | None, forecast: np.ndarray, stamps: Sequence[str]
) -> pd.DataFrame:
    """One row per step (or per few steps of a long window): what the pointer meets on the series."""
    past, total = len(lookback), len(lookback) + len(forecast)
    every = -(-total // (2 * MOST_COLUMNS))
    step = np.arange(0, total, every)
    seen = np.full(total, np.nan)
    seen[:past] = lookback
    if truth is not None:
        seen[past:] = truth
    ahead = np.full(total, np.nan)
    ahead[past:] = forecast
    return pd.DataFrame(
        {
            "at": step + 0.5 * every,
            "from": step,
            "to": np.minimum(step + every, total),
            "where": [f"{s}" if s < past else f"{s} (forecast step {s - past + 1})" for s in step],
            "when": [stamps[int(s)] for s in step],
            "observed": [number(v) for v in seen[step]],
            "forecast": [number(v) for v in ahead[step]],
        }
    )


def strips(maps: Sequence[Strip]) -> pd.DataFrame:
    """Long table ``method, at, from, to, share, text``: each map as multiples of an even share over its steps."""
    tables = []
    for found in maps:
        values = np.asarray(found.values, float)
        total = values.sum()
        share = values / total * len(values) if total > 0 else np.zeros_like(values)
        every = -(-len(values) // MOST_COLUMNS)
        first = np.arange(0, len(values), every)
        last = np.minimum(first + every, len(values))
        mean = np.add.reduceat(share, first) / (last - first)
        tables.append(
            pd.DataFrame(
                {
                    "method": found.title.removesuffix(" attention"),
                    "at": (first + last) / 2,
                    "from": first,
                    "to": last,
                    "share": mean,
                    "text": [
                        f"{span(int(a), int(b)).capitalize()}: {v:.2f} times an even share"
                        for a, b, v in zip(first, last, mean, strict=True)
                    ],
                }
            )
        )
    columns = ["method", "at", "from", "to", "share", "text"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def steps_of(at: Sequence[float], lookback: int) -> tuple[int, int] | None:
    """The look-back steps whose middles lie in a brushed interval, half-open; None where there is none."""
    low, high = sorted((float(at[0]), float(at[1])))
    first, last = max(int(np.ceil(low - 0.5)), 0), min(int(np.floor(high - 0.5)) + 1, lookback)
    return (first, last) if first < last else None


def truth_spans(truth: dict[str, Any] | None, lookback: int, step_ahead: int) -> pd.DataFrame:
    """Where the known lags of a synthetic set lie in the window for horizon step ``step_ahead`` (from 0).

    Lag l sits at position ``L + h - l``; lags of h or less fall into the unknown future and are left out, as are lags
    that reach back before the window. Neighbouring steps are joined: ``from, to, text``.
    """
    lags = (truth or {}).get("lags") or []
    inside = sorted({lookback + step_ahead - int(lag) for lag in lags})
    inside = [p for p in inside if 0 <= p < lookback]
    joined: list[list[int]] = []
    for p in inside:
        if joined and joined[-1][1] == p:
            joined[-1][1] = p + 1
        else:
            joined.append([p, p + 1])
    return pd.DataFrame(
        [
            {"from": a, "to": b, "text": f"True lags {lookback + step_ahead - b + 1} to {lookback + step_ahead - a}"}
            for a, b in joined
        ],
        columns=["from", "to", "text"],
    )


def attention_picture(
    tables: dict[str, pd.DataFrame],
    *,
    lookback: int,
    horizon: int,
    variate: str,
    unit: str,
    branch: str,
    resolution: int,
    colors: Colors,
    takeaway: str,
    marked: tuple[int, int] | None = None,
    cell: tuple[int, int] | None = None,
    adds: str = "",
) -> Picture:
    """All rows of the picture on one time axis, linked in the browser. ``adds`` names the unit of a map whose cells are
    signed contributions, not weights.

    ``tables`` are ``series``, ``points``, ``strips``, ``cells``, ``truth`` and ``asked`` (one row: the forecast step
    under question, ``at, value``). Selections sent to Python: ``span`` (an interval over ``at``, drawn on the
    series) and ``cell`` (``q`` and ``k`` of a clicked cell); ``marked`` and ``cell`` start them from number fields.
    """
    about = "step of the window" + (f" (this attention resolves {resolution})" if resolution > 1 else "")
    stage = _Rows(lookback, horizon, resolution, colors)
    upper = _Rows(lookback, horizon, resolution, colors, grid=True)
    lower = _Rows(lookback, horizon, resolution, colors, title=about)
    methods = list(dict.fromkeys(tables["strips"]["method"]))
    peak = max(2.0, np.ceil(tables["strips"]["share"].max() * 2) / 2) if methods else 2.0
    tables = {
        **tables,
        "columns": _columns(tables["cells"]),
        "rows": _row_names(tables["cells"]),
        "reach": pd.DataFrame(
            [
                {
                    "method": m,
                    "at": lookback,
                    "label": f"{tables['strips'].query('method == @m')['share'].max():.2f}",
                }
                for m in methods
            ],
            columns=["method", "at", "label"],
        ),
    }
    changed = "without marked" if (tables["series"]["kind"] == "changed").any() else ""
    rows = [upper.series(variate, unit, bool(len(tables["truth"])), changed)]
    rows += [stage.strip(method, i == 0, peak) for i, method in enumerate(methods)]
    rows += [lower.map(branch, tables["cells"], adds)]
    span_start = {"value": {"x": [marked[0] + 0.01, marked[1] - 0.01]}} if marked else {}
    cell_start = {"value": [{"q": cell[0], "k": cell[1]}]} if cell else {}
    touched = ["series", *[f"strip {i}" for i in range(len(methods))], "map"]
    brush = {"fill": colors.accent, "fillOpacity": 0.14, "stroke": colors.accent, "strokeOpacity": 0.8}
    params = [
        {
            "name": "hover",
            "select": {"type": "point", "fields": ["at"], "on": "pointermove", "clear": "pointerout", "toggle": False},
            "views": touched,
        },
        {
            "name": "span",
            "select": {"type": "interval", "encodings": ["x"], "mark": brush},
            "views": ["observed"],
            **span_start,
        },
        {
            "name": "cell",
            "select": {"type": "point", "fields": ["q", "k"], "toggle": False},
            "views": ["map"],
            **cell_start,
        },
    ]
    for i, row in enumerate(r for r in rows if r.get("usermeta") == "strip"):
        row["layer"][0]["name"] = f"strip {i}"
    for row in rows:
        row.pop("usermeta", None)
    spec = {
        "vconcat": rows,
        "spacing": 5,
        "params": params,
        "resolve": {"scale": {"color": "independent"}},
        "autosize": {"type": "pad"},
        "padding": {"left": 0, "right": 0, "top": 4, "bottom": 4},
    }
    return Picture(spec, tables, takeaway)


class _Rows(Stage):
    """The rows of this picture."""

    fade: ClassVar[Encoding] = {
        "condition": {"test": "!isDefined(span.at) || (datum.to > span.at[0] && datum.from < span.at[1])", "value": 1},
        "value": 0.3,
    }

    def veils(self, top: float, bottom: float) -> list[dict[str, Any]]:
        """What lies outside the brushed span steps back."""
        place = {"y": {"value": top}, "y2": {"value": bottom}}
        known, low, high = "isDefined(span.at)", "span.at[0]", f"min(span.at[1], {self.past})"
        ends = (("0", f"{known} ? min({low}, {self.past}) : 0"), (f"{known} ? {high} : {self.past}", f"{self.past}"))
        return [
            {
                "data": {"values": [{}]},
                "transform": [{"calculate": first, "as": "from"}, {"calculate": last, "as": "to"}],
                "mark": {"type": "rect", "color": self.colors.ground, "opacity": 0.7},
                "encoding": self.between() | place,
            }
            for first, last in ends
        ]

    def pointer(self) -> dict[str, Any]:
        looks = {"color": self.colors.text, "strokeDash": [2, 2], "strokeWidth": 1}
        met = [{"filter": {"param": "hover", "empty": False}}]
        return mark("rule", "points", {"x": self.x()}, transform=met, **looks)

    def series(self, variate: str, unit: str, truth_known: bool, changed: str) -> dict[str, Any]:
        c = self.colors
        y = quantity(
            "value",
            scale={"zero": False, "nice": False, "padding": 8},
            axis=left_axis(labelFlush=True),
        )
        words = [
            (variate, 8.0, c.text, "bold"),
            (unit, 24.0, c.muted, "normal"),
            ("observed", 46.0, c.text, "normal"),
            ("forecast", 62.0, c.accent, "bold"),
        ]
        chip = []
        if changed:
            words.append((changed, 78.0, c.accent, "normal"))
        if truth_known:
            at = 96.0 if changed else 80.0
            words.append(("true lags", at, c.text, "normal"))
            spot = {"x": {"value": 0}, "x2": {"value": 56}, "y": {"value": at - 9}, "y2": {"value": at + 9}}
            chip = [
                {"data": {"values": [{}]}, "mark": {"type": "rect", "color": c.truth, "opacity": 0.3}, "encoding": spot}
            ]
        chosen = [{"filter": {"param": "cell", "empty": False}}]
        layers = [
            self.future(),
            mark("rect", "truth", self.between(tooltip=tip(("text", " "))), color=c.truth, opacity=0.25),
            mark("rect", "cells", self.between(), color=c.accent, opacity=0.2, transform=chosen),
            mark(
                "rect",
                "cells",
                self.between("q0", "q1"),
                fill="transparent",
                stroke=c.accent,
                strokeDash=[4, 3],
                transform=chosen,
            ),
            mark(
                "line",
                "series",
                {"x": self.x(), "y": y},
                name="observed",
                color=c.text,
                strokeWidth=1.4,
                transform=[{"filter": "datum.kind == 'observed'"}],
            ),
            mark(
                "line",
                "series",
                {"x": self.x(), "y": y},
                color=c.accent,
                strokeWidth=2.2,
                transform=[{"filter": "datum.kind == 'forecast'"}],
            ),
            mark(
                "line",
                "series",
                {"x": self.x(), "y": y},
                color=c.accent,
                strokeWidth=1.6,
                strokeDash=[4, 3],
                transform=[{"filter": "datum.kind == 'changed'"}],
            ),
            mark(
                "point",
                "asked",
                {"x": self.x(), "y": y},
                size=70,
                fill=c.ground,
                stroke=c.accent,
                strokeWidth=2,
                opacity=1,
            ),
            mark(
                "rect",
                "points",
                self.between(
                    tooltip=tip(("where", "step"), ("when", "time"), ("observed", "observed"), ("forecast", "forecast"))
                ),
                name="series",
                opacity=0,
            ),
            self.pointer(),
            *chip,
            *self.words(words, room=28),
        ]
        return {"layer": layers, "height": 170}

    def strip(self, method: str, first: bool, peak: float) -> dict[str, Any]:
        c = self.colors
        top, tall = (30, 20) if first else (0, 20)
        legend = None
        if first:
            legend = color_legend("times an even share", 0, [0, *([1] if 1 < peak <= 5 else []), peak])
        color = quantity("share", scale={"scheme": SEQUENTIAL, "domain": [0, peak], "clamp": True}, legend=legend)
        ours = [{"filter": {"field": "method", "equal": method}}]
        place = {"y": {"value": top}, "y2": {"value": top + tall}}
        around = {"y": {"value": top - 2}, "y2": {"value": top + tall + 2}}
        words = [(method, top + tall / 2, c.text, "bold")]
        if first:
            words.append(("Saliency", 12.0, c.muted, "normal"))
        layers = [
            mark(
                "rect",
                "strips",
                self.between() | place | {"color": color, "tooltip": tip(("text", " "))},
                transform=ours,
                x2Offset=0.6,
            ),
            *self.veils(top, top + tall),
            mark("rect", "truth", self.between() | around, fill="transparent", stroke=c.truth, strokeWidth=1.5),
            mark(
                "text",
                "reach",
                {"x": self.x(), "y": {"value": top + tall / 2}},
                text={"expr": "(width < 520 ? '' : 'peak ') + datum.label"},
                transform=ours,
                align="left",
                baseline="middle",
                dx=6,
                color=c.muted,
            ),
            self.pointer(),
            *self.words(words),
        ]
        return {"layer": layers, "height": top + tall, "usermeta": "strip"}

    def map(self, branch: str, cells: pd.DataFrame, adds: str) -> dict[str, Any]:
        c = self.colors
        top, tall = 34, 192
        # rows are those of the map: all of the window, its last steps, or features
        ends = [float(np.asarray(cells["q0"]).min()), float(np.asarray(cells["q1"]).max())]
        down = {"domain": ends, "range": [top, top + tall], "nice": False, "zero": False}
        many = len(cells) > 400
        even = float(np.asarray(cells["even"]).max())
        if adds:
            # the few largest may saturate, so that the others are told apart
            most = float(np.quantile(np.abs(np.asarray(cells["weight"])), 0.995)) or 1.0
            scale: dict[str, Any] = {"domain": [-most, 0, most], "range": list(c.signed), "interpolate": "lab"}
            legend = color_legend(f"adds, {adds}", 4, [-most, 0, most])
        else:
            most = min(1.0, SATURATION * even)  # fixed for a map, so that colours compare from window to window
            scale = {"scheme": SEQUENTIAL, "domain": [0, most]}
            legend = color_legend("weight, each row sums to 1", 4, [0, even, most], full=1.0)

        def box(first: str, last: str) -> Encoding:
            return self.between(first, last, y=quantity("q0", scale=down, axis=None), y2={"field": "q1"})

        shade = box("from", "to") | {
            "color": quantity(
                "weight",
                scale=scale | {"clamp": True},
                legend=legend,
            ),
            "opacity": self.fade,
        }
        words = ("rows: steps", "ahead") if adds else ("rows ask,", "columns", "answer")
        chosen = [{"filter": {"param": "cell", "empty": False}}]
        layers = [
            mark("rect", "cells", shade, stroke=c.ground, strokeWidth=0 if many else 1),
            mark(
                "rule", "truth", {"x": self.x("from"), "y": {"value": top}, "y2": {"value": top + tall}}, color=c.truth
            ),
            mark("rule", "truth", {"x": self.x("to"), "y": {"value": top}, "y2": {"value": top + tall}}, color=c.truth),
            mark("rect", "columns", box("from", "to") | {"tooltip": tip(("text", " "))}, name="map", opacity=0),
            *(
                mark(
                    "rect",
                    "cells",
                    box("from", "to"),
                    fill="transparent",
                    transform=chosen,
                    stroke=color,
                    strokeWidth=wide,
                )
                for color, wide in ((c.ground, 6), (c.accent, 3))
            ),
            self.pointer(),
            mark(
                "text",
                "rows",
                {
                    "x": {"value": {"expr": f"{GUTTER} - 6"}},
                    "y": quantity("y", scale=down, axis=None),
                    "text": {"field": "label", "type": "nominal"},
                },
                align="right",
                baseline="middle",
                fontSize=11,
                color=c.muted,
            ),
            *self.words([(branch, 12.0, c.text, "bold")], room=-26),
            *self.words(
                [(word, top + at, c.muted, "normal") for word, at in zip(words, (8.0, 22.0, 36.0), strict=False)],
                room=34,
                size=11,
            ),
        ]
        return {"layer": layers, "height": top + tall}


def _row_names(cells: pd.DataFrame) -> pd.DataFrame:
    """Names of at most eight rows of the map, at their middles: ``y, label``."""
    rows = cells.drop_duplicates("q").sort_values("q")
    rows = rows.iloc[:: max(1, -(-len(rows) // 8))]
    return pd.DataFrame({"y": (rows["q0"] + rows["q1"]) / 2, "label": rows["asks"]})


def _columns(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells cut into single steps where that stays small, so that the pointer's line moves step by step."""
    keep = cells[["q", "k", "q0", "q1", "from", "to", "text"]]
    wide = np.asarray(keep["to"], int) - np.asarray(keep["from"], int)
    if wide.sum() > MOST_CELLS:
        return keep.assign(at=(keep["from"] + keep["to"]) / 2)
    cut = keep.iloc[np.repeat(np.arange(len(keep)), wide)]
    first = cut["from"] + cut.groupby(level=0).cumcount()
    return cut.assign(**{"from": first, "to": first + 1, "at": first + 0.5}).reset_index(drop=True)
