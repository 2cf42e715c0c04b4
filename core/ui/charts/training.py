"""Pictures of a training: loss per epoch, one validation window, scale weights. Events in, ``alt.Chart`` out.

Specs depend on the number of epochs and scales only, so that new data slides into the chart without a flicker.
"""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.training.events import EpochDone
from core.ui.charts.scales_picture import scale_name
from core.ui.theme import Colors, palette, style

HEIGHT = 220  # pixels


def losses(epochs: Sequence[EpochDone], now: tuple[float, float] | None = None) -> pd.DataFrame:
    """Table ``epoch, loss, part, best``; parts are training and validation, losses MSE on z-scored targets.

    ``now`` is the running epoch: how far it is, in epochs, and its mean training loss so far.
    """
    rows = [(float(e.epoch), e.train_loss, "training", False) for e in epochs]
    rows += [(now[0], now[1], "training", False)] if now else []
    rows += [(float(e.epoch), e.validation_loss, "validation", False) for e in epochs]
    table = pd.DataFrame(rows, columns=["epoch", "loss", "part", "best"])
    validation = table["part"] == "validation"
    if validation.any():
        table.loc[table.loc[validation, "loss"].idxmin(), "best"] = True
    return table


def loss_chart(
    epochs: Sequence[EpochDone], planned: int, colors: Colors, now: tuple[float, float] | None = None
) -> alt.LayerChart | alt.FacetChart:
    """Training and validation loss per epoch; a ring marks the best, whose weights are kept. ``now`` as in losses."""
    y = alt.Y("loss:Q", title="MSE, z-scored", scale=alt.Scale(zero=False, padding=8))
    parts = alt.Scale(domain=["training", "validation"], range=[colors.text, colors.accent])
    base = alt.Chart(losses(epochs, now)).encode(
        x=_epochs(planned), y=y, color=alt.Color("part:N", scale=parts, title=None)
    )
    tooltip = ["part:N", alt.Tooltip("epoch:Q", format=".3~g"), alt.Tooltip("loss:Q", format=".4f")]
    line = base.mark_line().encode(tooltip=tooltip)
    points = base.mark_point(filled=True, size=22, opacity=1).encode(tooltip=tooltip)
    ring = base.transform_filter("datum.best").mark_point(size=120, filled=False, strokeWidth=1.5)
    return style(alt.layer(line, points, ring, height=HEIGHT))


def _epochs(planned: int) -> alt.X:
    return alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(domain=[0, max(planned, 2) + 0.25], nice=False),
        axis=alt.Axis(
            format="d",
            tickMinStep=1,
            grid=False,
            values=list(range(1, planned + 1)) if planned <= 12 else alt.Undefined,
        ),
    )


def example_chart(example: dict, colors: Colors) -> alt.LayerChart | alt.FacetChart:
    """One fixed validation window: observed in the text colour, the forecast of the latest epoch in the accent."""
    lookback, truth, forecast = (example.get(part, []) for part in ("lookback", "truth", "forecast"))
    known = lookback if any(lookback) else []  # a withheld history enters as zeros, which nobody observed
    past = [(i - len(lookback) + 1, v, "observed") for i, v in enumerate(known)]
    future = [(i + 1, v, "observed") for i, v in enumerate(truth)]
    told = [(i + 1, v, "forecast") for i, v in enumerate(forecast)]
    table = pd.DataFrame(past + future + told, columns=["step", "value", "kind"])
    kinds = alt.Scale(domain=["observed", "forecast"], range=[colors.text, colors.accent])
    line = (
        alt.Chart(table)
        .mark_line()
        .encode(
            x=alt.X(
                "step:Q",
                title="steps from now",
                scale=alt.Scale(domain=[-len(lookback), len(truth)], nice=False),
                axis=alt.Axis(grid=False, labelExpr="datum.value === 0 ? 'now' : datum.label"),
            ),
            y=alt.Y("value:Q", title="z-scored", scale=alt.Scale(zero=False)),
            color=alt.Color("kind:N", scale=kinds, title=None),
            strokeWidth=alt.condition("datum.kind === 'forecast'", alt.value(2), alt.value(1.3)),
        )
    )
    now = alt.Chart(pd.DataFrame({"step": [0]})).mark_rule(color=colors.muted, strokeDash=[3, 3]).encode(x="step:Q")
    return style(alt.layer(line, now, height=HEIGHT))


def weight_chart(epochs: Sequence[EpochDone], planned: int, colors: Colors) -> alt.LayerChart | alt.FacetChart:
    """The weight of each scale, sigmoid(w), over the epochs; named at the line's end."""
    scales = len(epochs[-1].scale_weights) if epochs else 0
    names = [scale_name(m, scales) for m in range(scales)]
    rows = [(e.epoch, names[m], w) for e in epochs for m, w in enumerate(e.scale_weights)]
    table = pd.DataFrame(rows, columns=["epoch", "scale", "weight"])
    chart = (
        alt.Chart(table)
        .mark_line(point={"size": 18})
        .encode(
            x=_epochs(planned),
            y=alt.Y("weight:Q", title="weight, 0 to 1", scale=alt.Scale(zero=False, padding=8)),
            color=alt.Color("scale:N", scale=alt.Scale(domain=names, range=palette(scales, colors)), title=None),
            tooltip=["scale:N", "epoch:Q", alt.Tooltip("weight:Q", format=".3f")],
        )
    )
    return style(alt.layer(chart, height=HEIGHT))
