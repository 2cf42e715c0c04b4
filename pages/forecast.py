"""Forecast: one window against the truth with baselines beside it, every variate, and where the error is."""

import numpy as np
import pandas as pd
import streamlit as st

from core.ui import boot, export, inspect, state, whatif, widgets
from core.ui.charts import forecast as charts
from core.ui.theme import colors

MOST_SMALL = 24  # other variates shown small; all are in the list of the context bar

heading = boot.page("Forecast")
view = inspect.context()
run, window, shown = view.run, view.window, colors()
trace = view.trace()
forecast = trace.forecast[0]
zone, dated = view.series.zone, np.issubdtype(window.times_lookback.dtype, np.datetime64)
begin = float(charts.clock(window.times_horizon[:1], zone)[0])
errors = view.errors() if view.count else None
offered = view.baselines()
main, side = st.columns([3.2, 1], gap="medium")
with side:
    chosen = st.pills(
        "Baselines",
        list(offered),
        selection_mode="multi",
        default=[charts.SEASONAL_NAIVE],
        key="baselines",
        wrap=True,
        help="Forecasts that learn nothing from examples. AutoETS and AutoTheta were estimated on the training part "
        "when the run ended.",
    )
beside = {name: values for name, values in offered.items() if name in chosen}


def table(column: int) -> pd.DataFrame:
    truth = None if window.truth is None else window.truth[:, column]
    return charts.window_table(
        window.times_lookback,
        window.times_horizon,
        window.lookback[:, column],
        truth,
        forecast[:, column],
        {name: values[:, column] for name, values in beside.items()},
        zone,
    )


def numbers() -> pd.DataFrame:
    """The forecast of all targets, one row a step."""
    rows = {"time": view.stamps[view.lookback :], "steps ahead": np.arange(1, view.horizon + 1)}
    for name in run.spec.targets:
        column = run.spec.columns.index(name)
        rows[f"{name} forecast"] = forecast[:, column]
        if window.truth is not None:
            rows[f"{name} observed"] = window.truth[:, column]
        rows |= {f"{name} {told}": values[:, column] for told, values in beside.items()}
    return pd.DataFrame(rows)


def scores() -> pd.DataFrame:
    """MSE and MAE of this window and of all, z-scored and in the variate's own units, beside the baselines."""
    position, std = run.spec.targets.index(view.variate), float(run.scaler.std[view.column])
    rows = []
    if view.truth is not None:
        compared = {f"{view.variate}, this window": forecast} | {f"{k}, this window": v for k, v in beside.items()}
        for name, told in compared.items():
            wrong = told[:, view.column] - view.truth
            mse, mae = float(np.mean(wrong**2)), float(np.mean(np.abs(wrong)))
            rows.append((name, mse / std**2, mae / std, mse, mae))
    if errors is not None:
        rows.append(
            (
                f"{view.variate}, all windows",
                errors.mse_by_variate[position],
                errors.mae_by_variate[position],
                errors.mse_original_by_variate[position],
                errors.mae_original_by_variate[position],
            )
        )
        if len(run.spec.targets) > 1:
            rows.append(("all variates, all windows", errors.mse.mean(), errors.mae.mean(), np.nan, np.nan))
        naive = {charts.SEASONAL_NAIVE: {"mse": errors.naive_mse, "mae": errors.naive_mae}}
        for name, found in (naive | view.baseline_scores()).items():
            mse, mae = (np.nan if found.get(k) is None else found[k] for k in ("mse", "mae"))
            rows.append((f"{name}, all variates and windows", mse, mae, np.nan, np.nan))
    head = ["", "MSE, z-scored", "MAE, z-scored", "MSE, own units", "MAE, own units"]
    return pd.DataFrame([(name, *(widgets.figures(v) for v in values)) for name, *values in rows], columns=head)


if errors is not None:
    gain = 1 - float(errors.mse.mean()) / errors.naive_mse if errors.naive_mse else 0.0
    heading.markdown(
        f"Over {len(errors.mse):,} test windows the error is {abs(gain):.0%} {'below' if gain >= 0 else 'above'} "
        f"the seasonal naive (season {run.season:,} step{'s' if run.season != 1 else ''})."
    )

picture = charts.window_picture(table(view.column), begin, bool(dated), zone, view.variate, not view.future, shown)
with main:
    inspect.show(picture, key="forecast-window")
    if errors is not None:

        def picked() -> None:
            points = st.session_state["forecast-strip"].selection.get("picked") or []
            if points:
                inspect.go_to_window(int(points[0]["window"]), view.count)

        inspect.show(
            charts.strip_picture(errors, None if view.future else window.index, shown),
            key="forecast-strip",
            on_select=picked,
            selection_mode="picked",
        )
    st.dataframe(scores(), hide_index=True, key="scores", column_config={"": st.column_config.Column(width="medium")})
with side:
    if view.future:
        st.markdown(
            f"**The future beyond the data**, {widgets.plain(view.stamps[view.lookback])} to "
            f"{widgets.plain(view.stamps[-1])} ({widgets.plain(zone)}). There is no truth to compare with yet."
        )
    elif errors is not None:
        own = errors.at(window.index)
        place = f"Rank {1 + int((errors.mse > own).sum()):,} of {len(errors.mse):,}, 1 being the worst."
        if np.isnan(own) and len(errors.mse) < errors.total:
            place = f"Not among the {len(errors.mse):,} evenly spaced windows of {errors.total:,} that are scored."
        st.metric("MSE of this window, all variates", widgets.figures(own))
        widgets.note(f"{place} z-scored: 1 is the variance of the training part.")
    method = " beside ".join(filter(None, ("forecast", ", ".join(beside))))
    export.buttons("scalescope-forecast", picture, numbers(), view.provenance(method))

whatif.section(view)

others = [name for name in run.spec.targets if name != view.variate]
if others:
    st.subheader("The other variates", anchor=False)
    grid = st.grid(4, min_column_width=220)
    for name in others[:MOST_SMALL]:
        with grid.cell(), st.container(gap="xsmall"):
            column = run.spec.columns.index(name)
            position = run.spec.targets.index(name)
            st.button(
                widgets.plain(name),
                type="tertiary",
                key=f"small-{position}",
                help="Show it large",
                on_click=lambda chosen=name: state.put(variate=chosen),
            )
            inspect.show(
                charts.small_picture(table(column), begin, bool(dated), zone, name, shown),
                key=f"forecast-small-{position}",
            )
    if len(others) > MOST_SMALL:
        widgets.note(f"{len(others) - MOST_SMALL:,} more variates are in the list of the bar above.")

if errors is not None:
    st.subheader("Where the error is", anchor=False)
    left, right = st.columns(2, gap="medium")
    with left:
        widgets.note("By horizon step, all test windows and variates")
        inspect.show(charts.by_step_picture(errors.mse_by_step, errors.naive_mse, shown), key="forecast-steps")
    if len(run.spec.targets) > 1:
        with right:
            widgets.note("By variate, all test windows and steps")
            inspect.show(
                charts.by_variate_picture(run.spec.targets, errors.mse_by_variate, view.variate, shown),
                key="forecast-variates",
            )

with st.expander("Numbers of this window", icon=":material/table:"):
    st.dataframe(numbers(), hide_index=True, height=320)
