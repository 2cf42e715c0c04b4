"""The pictures of the lesson: a window on one axis of steps back, the saliency strips under it, votes and the truth.

Every chart of a stop has the same axis and the same gutter, so that one step stands above itself in all of them. A step
back counts from the end of the look-back: 1 is the last observed step; the forecast steps +1, +2, ... lie right of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.ui.theme import SEQUENTIAL, Colors, style, type_size

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

GUTTER, WIDER = 112, 196  # pixels for names and numbers left of the axis; on a projector
LINE = 54  # pixels of one variate
AXIS, LEGEND = 58, 74  # pixels under a picture, which its height includes
STRIP = 26


def inputs(lookback: np.ndarray, variates: Sequence[str], target: str, truth: np.ndarray | None, colors: Colors) -> Any:
    """Every variate of a window in a row of its own, the target last, in the text colour. ``lookback`` L x C."""
    import altair as alt
    import pandas as pd

    order = [name for name in variates if name != target] + [target]
    rows = []
    for row, name in enumerate(order):
        values = lookback[:, variates.index(name)].astype(float)
        low, high = np.nanmin(values), np.nanmax(values)
        at = (values - low) / (high - low or 1.0) * 0.8 + 0.1 + len(order) - 1 - row
        rows.append(pd.DataFrame({"back": _back(len(values)), "at": at, "value": values, "variate": name}))
    horizon = 0 if truth is None else len(truth)
    table = pd.concat(rows, ignore_index=True)
    large = type_size()
    names = pd.DataFrame({"at": [len(order) - 0.5 - row for row in range(len(order))], "name": order})
    lines = (
        alt.Chart(table)
        .mark_line()
        .encode(
            x=_axis(len(lookback), horizon, large),
            y=alt.Y(
                "at:Q",
                scale=alt.Scale(domain=[0, len(order)], nice=False),
                axis=alt.Axis(title=None, labels=False, grid=False, **_gutter()),
            ),
            detail="variate:N",
            color=alt.condition(
                f"datum.variate == '{_quoted(target)}'", alt.value(colors.text), alt.value(colors.baseline)
            ),
            tooltip=[
                alt.Tooltip("variate:N"),
                alt.Tooltip("back:Q", title="steps back"),
                alt.Tooltip("value:Q", format=".3"),
            ],
        )
    )
    told = (
        alt.Chart(names)
        .mark_text(align="right", color=colors.text, fontSize=large)
        .encode(x=alt.value(-8), y="at:Q", text="name:N")
    )
    return style(alt.layer(lines, told, height=(LINE if large < 20 else LINE - 10) * len(order) + AXIS))


def _quoted(name: str) -> str:
    """A name inside a string of a Vega expression."""
    return name.replace("\\", "\\\\").replace("'", "\\'")


def window(
    lookback: np.ndarray,
    forecast: np.ndarray,
    truth: np.ndarray | None,
    name: str,
    step: int,
    colors: Colors,
    before: np.ndarray | None = None,
) -> Any:
    """One variate with its forecast; ``step`` (from 0) is in question. ``before`` is the forecast before a change."""
    import altair as alt
    import pandas as pd

    size, large = len(lookback), type_size()
    ahead = -np.arange(len(forecast))
    parts = [
        pd.DataFrame({"back": _back(size), "value": lookback, "kind": f"{name}, observed"}),
        pd.DataFrame({"back": np.r_[1, ahead], "value": np.r_[lookback[-1:], forecast], "kind": "forecast"}),
    ]
    if truth is not None:
        parts.append(
            pd.DataFrame({"back": np.r_[1, ahead], "value": np.r_[lookback[-1:], truth], "kind": "then observed"})
        )
    if before is not None:
        parts.append(
            pd.DataFrame({"back": np.r_[1, ahead], "value": np.r_[lookback[-1:], before], "kind": "forecast before"})
        )
    kinds = {
        f"{name}, observed": (colors.text, [1, 0]),
        "then observed": (colors.baseline, [1, 0]),
        "forecast before": (colors.accent, [3, 3]),
        "forecast": (colors.accent, [1, 0]),
    }
    shown = [kind for kind in kinds if any((part["kind"] == kind).any() for part in parts)]
    table = pd.concat(parts, ignore_index=True)
    lines = (
        alt.Chart(table)
        .mark_line()
        .encode(
            x=_axis(size, len(forecast), large, labels=False),
            y=alt.Y(
                "value:Q",
                title=None,
                scale=alt.Scale(zero=False),
                axis=alt.Axis(**_gutter(), tickCount=3),
            ),
            color=alt.Color(
                "kind:N", title=None, sort=shown, scale=alt.Scale(domain=shown, range=[kinds[k][0] for k in shown])
            ),
            strokeDash=alt.StrokeDash(
                "kind:N", title=None, sort=shown, scale=alt.Scale(domain=shown, range=[kinds[k][1] for k in shown])
            ),
        )
    )
    asked = pd.DataFrame({"back": [-step], "value": [float(forecast[step])], "text": [f"step {step + 1} ahead"]})
    point = alt.Chart(asked).mark_point(filled=True, size=90, color=colors.accent, opacity=1)
    point = point.encode(x="back:Q", y="value:Q", tooltip="text:N")
    return style(alt.layer(lines, point, height=190 if large < 20 else 210))


def strips(
    maps: Mapping[str, np.ndarray],
    horizon: int,
    colors: Colors,
    *,
    true: Collection[int] = (),
    marks: Collection[int] | None = None,
    numbers: Mapping[str, str] | None = None,
    title: str = "steps back",
) -> Any:
    """One row for each map of L non-negative values, in multiples of an even share; ``true`` steps back as bands over
    all rows. With ``marks`` (steps back) there is a row to draw on, which tells of it as selections ``span`` and
    ``one``.
    """
    import altair as alt
    import pandas as pd

    size = len(next(iter(maps.values()))) if maps else 96
    large = type_size()
    tables = []
    for name, values in maps.items():
        total = float(np.sum(values))
        share = values / total * size if total > 0 else np.zeros(size)
        tables.append(
            pd.DataFrame(
                {
                    "lag": _back(size),
                    "from": _back(size) - 0.5,
                    "to": _back(size) + 0.6,  # no light between them
                    "row": name,
                    "share": np.minimum(share, 6.0),
                    "text": [
                        f"{int(b)} steps back: {v:.2f} times an even share"
                        for b, v in zip(_back(size), share, strict=True)
                    ],
                }
            )
        )
    rows = list(maps)
    axis = _axis(size, horizon, large, field="from", title=title)
    y = alt.Y(
        "row:N",
        sort=None,
        title=None,
        scale=alt.Scale(domain=([YOURS] if marks is not None else []) + rows),
        axis=alt.Axis(
            **_gutter(),
            labelLimit=_gutter()["minExtent"] - 8,
            ticks=False,
            domain=False,
            labelOverlap=False,
            grid=False,
            labelColor=colors.text,
        ),
    )
    layers: list[alt.Chart] = []
    if tables:
        peak = max(2.0, float(max(table["share"].max() for table in tables)))
        layers.append(
            alt.Chart(pd.concat(tables, ignore_index=True))
            .mark_rect(stroke=None)
            .encode(
                x=axis,
                x2="to:Q",
                y=y,
                color=alt.Color(
                    "share:Q",
                    title="times an even share",
                    scale=alt.Scale(scheme=SEQUENTIAL, domain=[0, peak]),
                    legend=alt.Legend(gradientLength=120, gradientThickness=8, orient="bottom"),
                ),
                tooltip="text:N",
            )
        )
    if marks is not None:
        layers.append(_drawn(size, set(marks), axis, y, colors))
    if true:
        spans = _joined(true)
        band = pd.DataFrame({"from": [a - 0.5 for a, _ in spans], "to": [b + 0.5 for _, b in spans]})
        layers.append(
            alt.Chart(band)
            .mark_rect(fill=None, stroke=colors.truth, strokeWidth=2.5)
            .encode(x=axis, x2="to:Q", tooltip=alt.value("the true steps"))
        )
    if numbers:
        told = pd.DataFrame({"row": list(numbers), "from": -0.5, "text": list(numbers.values())})
        layers.append(
            alt.Chart(told)
            .mark_text(align="left", dx=6, color=colors.text, fontSize=large)
            .encode(x=axis, y=y, text="text:N")
        )
    step, below = (STRIP, AXIS) if large < 20 else (STRIP + 8, AXIS + 22)
    below += (LEGEND if large < 20 else LEGEND + 18) if tables else 0
    return style(alt.layer(*layers, height=step * (len(rows) + (marks is not None)) + below))


YOURS = "your marks"


def _drawn(size: int, marks: set[int], axis: Any, y: Any, colors: Colors) -> alt.Chart:
    """The row that can be drawn on, one mark a step."""
    import altair as alt
    import pandas as pd

    back = _back(size)
    table = pd.DataFrame(
        {
            "lag": back,
            "from": back - 0.5,
            "to": back + 0.5,
            "row": YOURS,
            "marked": [int(b) in marks for b in back],
            "text": [f"{int(b)} steps back, {'' if int(b) in marks else 'not '}marked" for b in back],
        }
    )
    brush = alt.BrushConfig(fill=colors.accent, fillOpacity=0.12, stroke=colors.accent, cursor="crosshair")
    span = alt.selection_interval(name="span", encodings=["x"], mark=brush, translate=False, zoom=False)
    one = alt.selection_point(name="one", fields=["lag"], toggle="true", clear=False)
    return (
        alt.Chart(table)
        .mark_rect(stroke=colors.ground, strokeWidth=0.5, cursor="crosshair")
        .encode(
            x=axis,
            x2="to:Q",
            y=y,
            color=alt.condition("datum.marked", alt.value(colors.accent), alt.value(colors.line)),
            tooltip="text:N",
            description="text:N",
        )
        .add_params(span, one)
    )


def heat(
    weights: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    colors: Colors,
    chosen: tuple[int, int] | None = None,
) -> Any:
    """An attention map over patches, with its weights written in; queries down, keys across."""
    import altair as alt
    import pandas as pd

    table = pd.DataFrame(
        [
            {"q": q, "k": k, "weight": float(weights[i, j]), "text": f"{weights[i, j]:.2f}", "chosen": (i, j) == chosen}
            for i, q in enumerate(rows)
            for j, k in enumerate(columns)
        ]
    )
    peak = max(float(weights.max()), 1e-9)
    large = type_size()
    base = alt.Chart(table).encode(
        x=alt.X("k:N", sort=None, title="looked at (steps back)", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("q:N", sort=None, title="from (steps back)"),
        tooltip=[
            alt.Tooltip("q:N", title="from"),
            alt.Tooltip("k:N", title="looked at"),
            alt.Tooltip("weight:Q", format=".3f"),
        ],
    )
    cells = base.mark_rect(stroke=colors.ground, strokeWidth=1).encode(
        color=alt.Color("weight:Q", scale=alt.Scale(scheme=SEQUENTIAL, domain=[0, peak]), legend=None)
    )
    written = base.mark_text(fontSize=large).encode(
        text="text:N", color=alt.condition(f"datum.weight > {peak * 0.6}", alt.value("#14181B"), alt.value("#FFFFFF"))
    )
    frame = base.transform_filter("datum.chosen").mark_rect(fill=None, stroke=colors.truth, strokeWidth=3)
    return style(alt.layer(cells, written, frame, height=max(34 * len(rows), 120) + AXIS))


def added(
    parts: Mapping[str, np.ndarray], colors: Colors, ramp: Sequence[str], before: Mapping[str, np.ndarray] | None = None
) -> Any:
    """What each scale adds to the forecast, H a scale; ``before`` dashed."""
    import altair as alt
    import pandas as pd

    def table(of: Mapping[str, np.ndarray], when: str) -> pd.DataFrame:
        return pd.concat(
            [
                pd.DataFrame({"ahead": np.arange(1, len(v) + 1), "value": v, "scale": name, "when": when})
                for name, v in of.items()
            ],
            ignore_index=True,
        )

    rows = pd.concat([table(parts, "now"), *([table(before, "before")] if before else [])], ignore_index=True)
    names = list(parts)
    chart = (
        alt.Chart(rows, height=190 if type_size() < 20 else 240)
        .mark_line()
        .encode(
            x=alt.X("ahead:Q", title="step ahead", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("value:Q", title="adds", axis=alt.Axis(tickCount=3)),
            color=alt.Color("scale:N", title=None, sort=names, scale=alt.Scale(domain=names, range=list(ramp))),
            strokeDash=alt.StrokeDash(
                "when:N", legend=None, scale=alt.Scale(domain=["now", "before"], range=[[1, 0], [3, 3]])
            ),
            tooltip=["scale:N", "ahead:Q", alt.Tooltip("value:Q", format=".3")],
        )
    )
    return style(chart)


def _gutter() -> dict[str, Any]:
    """The same left of every picture of a stop."""
    room = GUTTER if type_size() < 20 else WIDER
    return {"minExtent": room, "maxExtent": room}


def _back(size: int) -> np.ndarray:
    """Steps back of the positions of a look-back, farthest first."""
    return np.arange(size, 0, -1)


def _axis(
    size: int, horizon: int, large: float, labels: bool = True, field: str = "back", title: str = "steps back"
) -> alt.X:
    import altair as alt

    every = 10 if large < 20 else 20
    ticks = [*range(every, size + 1, every), *(-(a - 1) for a in range(every, horizon + 1, every))]
    return alt.X(
        f"{field}:Q",
        scale=alt.Scale(domain=[size + 0.5, 0.5 - max(horizon, 1)], nice=False),
        axis=alt.Axis(
            title=title if labels else None,
            values=ticks,
            labels=labels,
            ticks=labels,
            grid=True,
            labelExpr="datum.value > 0 ? format(datum.value, ',d') : '+' + format(1 - datum.value, ',d')",
        ),
    )


def _joined(steps: Collection[int]) -> list[tuple[int, int]]:
    from core.data.lags import spans

    return spans(steps)
