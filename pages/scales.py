"""Scales: the forecast as the exact sum of what each scale adds, and how much each scale matters."""

import numpy as np
import pandas as pd
import streamlit as st

from core.training.events import EpochDone
from core.ui import boot, cards, export, inspect, resources, widgets
from core.ui.charts import scales as charts
from core.ui.charts.scales_picture import scales_picture
from core.ui.theme import colors, palette

heading = boot.page("Scales")
view = inspect.context()
run, shown, found = view.run, colors(), view.relevance
trace = view.trace()

grids = run.model.grids(run.model.config, view.lookback)

if not trace.scales:
    reads = (
        "It reads the window at one resolution, so there is nothing to split."
        if len(grids) == 1
        else f"It reads the window in {len(grids)} ways, but mixes them before it forecasts, so that no part of the "
        "forecast belongs to one of them."
    )
    st.markdown(f"**The forecast of {widgets.plain(run.model.title)} has no parts that add up to it.** {reads}")
    values = view.window.lookback[:, view.column]
    if (len(grids) > 1 or grids[0].patch) and np.isfinite(values).any():
        st.markdown("**What it sees of this window**")
        st.altair_chart(
            scales_picture(values, grids, cards.names_of(grids), view.variate, shown),
            key="scales-seen",
            alt=f"What {run.model.title} sees of the last {view.lookback} steps of {view.variate}",
        )
    inspect.elsewhere(attention=bool(trace.maps))
    st.stop()

count = len(trace.scales)
names, ramp = charts.names_of(trace), palette(count)
scales = list(zip(trace.scales, names, ramp, strict=True))
weighted = bool(run.model.scale_weights())
strides = {i: grid.stride for i, grid in enumerate(grids)}


def headline() -> str:
    """Which scales carry the forecast, from what the run's card measured on the test windows."""
    without, changes = found.get("without_attended"), found.get("without_scale") or []
    if count == 1:
        return "This model has one scale, and it makes the whole forecast."
    if without is not None and not trace.scales[0].patch:
        others = "the other" if count == 2 else f"the other {count - 1}"
        if abs(without) < 0.02:
            return (
                f"Only the finest scale carries this forecast. It has no attention: leaving out {others} changes the "
                f"test error by {without:+.1%}."
            )
        return (
            f"All scales count: leaving out {others} and keeping the finest changes the test error by {without:+.1%}."
        )
    if len(changes) != count:
        return ""
    most, least = int(np.argmax(changes)), int(np.argmin(changes))
    return (
        f"{widgets.plain(names[most]).capitalize()} counts most: without it the test error changes by "
        f"{changes[most]:+.1%}; without {widgets.plain(names[least])} by {changes[least]:+.1%}."
    )


def signed(change: float) -> str:
    """A change to three decimals, with its sign; one that rounds to nothing has none."""
    return f"{change:+.3f}" if abs(change) >= 0.0005 else "±0.000"


if found:
    heading.markdown(headline())

tools = st.container(horizontal=True, gap="medium", vertical_alignment="center", key="scales-tools")
split = any(s.seasonal is not None for s in trace.scales)
with tools:
    parts = split and st.toggle(
        "Seasonal and trend part",
        key="scales-parts",
        help="Each contribution is a seasonal (solid) and a trend part (dashed).",
    )
    by_hand = st.toggle(
        "Move the weights",
        key="scales-by-hand",
        help="What if the scales had other weights? Contributions are multiplied; everything before stays as it was.",
    )

moved = {s.scale: s.weight for s in trace.scales}
if by_hand:

    def reset() -> None:
        for s in trace.scales:
            st.session_state.pop(f"weight-{view.row.id}-{s.scale}", None)

    with st.container(border=True, key="what-if"):
        st.markdown("**What if** the weights were these? Nothing is retrained, and the run is not changed.")
        row = st.columns([*([2] * count), 1], vertical_alignment="bottom")
        for place, (s, name, _) in zip(row, scales, strict=False):
            key, learned = f"weight-{view.row.id}-{s.scale}", round(s.weight, 2)
            value = place.slider(
                f"{name}, learned {learned:.2f}" if weighted else name, 0.0, max(1.0, learned), learned, 0.01, key=key
            )
            moved[s.scale] = s.weight if abs(value - learned) < 1e-6 else value
        row[-1].button("Reset", on_click=reset, icon=":material/undo:")
factors = {s.scale: moved[s.scale] / s.weight if s.weight else 1.0 for s in trace.scales}
is_moved = any(f != 1 for f in factors.values())

forecast, rest = trace.forecast[0, :, view.column], trace.rest[0, :, view.column]
contributions = np.stack([s.contribution[0, :, view.column] for s in trace.scales])
residual = float(np.abs(contributions.sum(axis=0) + rest - forecast).max())
what_if = None
if is_moved:
    what_if = rest + sum(factors[s.scale] * c for s, c in zip(trace.scales, contributions, strict=True))
limits = charts.limits_of(trace, view.column)
epochs = [e for e in resources.jobs().events(view.row.id) if isinstance(e, EpochDone) and e.scale_weights]

for i, (s, name, color) in enumerate(scales):
    with st.container(border=True, key=f"scale-{i}"):
        chart, about = st.columns([5, 1], gap="small", vertical_alignment="center")
        with chart:
            inspect.show(
                charts.scale_picture(
                    s,
                    name,
                    view.column,
                    view.lookback,
                    view.horizon,
                    limits,
                    color,
                    shown,
                    parts=parts,
                    factor_by_hand=factors[s.scale] if factors[s.scale] != 1 else None,
                    head=i == 0,
                    stride=strides.get(i, 0),
                ),
                key=f"scale-picture-{i}",
            )
        with about, st.container(gap=None):
            if weighted or factors[s.scale] != 1:
                by = f" → {moved[s.scale]:.2f}" if factors[s.scale] != 1 else ""
                st.markdown(f"Weight **{s.weight:.3f}**{by}")
            if epochs:
                inspect.show(
                    charts.weights_picture(
                        [e.scale_weights[i] for e in epochs if len(e.scale_weights) > i], color, shown
                    ),
                    key=f"scale-weights-{i}",
                )
            if len(found.get("shares") or []) == count:
                widgets.note(
                    f"{found['shares'][i]:.0%} of the change  \nwithout it: MSE {signed(found['without_scale_mse'][i])}"
                )

picture = charts.sum_picture(
    view.window.lookback[:, view.column],
    view.truth,
    forecast,
    rest,
    shown,
    patch=max((s.patch * s.factor for s in trace.scales), default=16),
    what_if=what_if,
    residual=residual,
)
with st.container(border=True, key="scale-sum"):
    chart, about = st.columns([5, 1], gap="small", vertical_alignment="center")
    with chart:
        inspect.show(picture, key="scale-sum-picture")
    with about, st.container(gap=None):
        if view.truth is not None:
            std = float(run.scaler.std[view.column])
            st.markdown(f"MSE **{widgets.figures(float(np.mean((forecast - view.truth) ** 2)) / std**2)}**")
            if what_if is not None:
                st.markdown(f"what if **{widgets.figures(float(np.mean((what_if - view.truth) ** 2)) / std**2)}**")
            widgets.note("of this window and variate, z-scored")
        widgets.note(
            f"{'Contribution' if count == 1 else f'The {count} contributions'} and level sum to the forecast within "
            f"{residual:.0e}. The level belongs to no scale: the head's bias, and the mean of a window that is "
            "normalised."
        )


def numbers() -> pd.DataFrame:
    rows = {"time": view.stamps[view.lookback :], "steps ahead": np.arange(1, view.horizon + 1)}
    for s, name, _ in scales:
        for part in ("contribution", "seasonal", "trend"):
            if (values := getattr(s, part)) is not None:
                rows[f"{name} {part}"] = values[0, :, view.column]
    return pd.DataFrame(rows | {"level": rest, "forecast": forecast})


def weighing() -> pd.DataFrame:
    rows = []
    for i, (s, name, _) in enumerate(scales):
        change = (found.get("without_scale") or [None] * count)[i]
        rows.append(
            {
                "scale": name,
                "steps a point": s.factor,
                "points a patch": s.patch or None,
                "weight": f"{s.weight:.3f}",
                "share of the change": f"{found['shares'][i]:.1%}" if found.get("shares") else "",
                "MSE without it": "" if change is None else f"{change:+.2%}",
            }
        )
    return pd.DataFrame(rows)


whole = charts.stacked_picture(
    [
        charts.scale_picture(s, name, view.column, view.lookback, view.horizon, limits, color, shown, head=i == 0)
        for i, (s, name, color) in enumerate(scales)
    ]
    + [picture]
)
left, right = st.columns([3, 1], gap="medium")
with right:
    export.buttons("scalescope-scales", whole, numbers(), view.provenance("contributions per scale"))
with left, st.expander("Numbers", icon=":material/table:"):
    st.dataframe(weighing(), hide_index=True, key="scales-weighing")
    st.dataframe(numbers(), hide_index=True, height=280, key="scales-numbers")
    widgets.note(
        "Share of the change: mean size of a scale's contribution over the test windows, each variate in its own "
        "measure. MSE without it: the test error when the scale is left out of the sum, nothing retrained."
    )
