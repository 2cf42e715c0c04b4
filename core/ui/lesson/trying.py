"""Train it yourself: a rule, a small model in a process of its own, and its map after every epoch that got better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.data.lags import read_lags
from core.data.synthetic import FEATURES, own_rule
from core.errors import UserError
from core.lesson.models import FEATURES as NAMES
from core.lesson.models import HORIZON, LENGTH, RECIPE, SMALL
from core.ui import live, resources, theme, widgets
from core.ui.charts import lesson as charts

if TYPE_CHECKING:
    from core.data.synthetic import Rule

STEP, LOOKBACK, WINDOW = 0, 96, 40
POLL = 1.0
RUN = "try"  # in the address


def show() -> None:
    left, right = st.columns([1, 2.6], gap="medium")
    with left:
        rule = _choose()
        train = st.button("Train", type="primary", key="try-train", icon=":material/play_arrow:", disabled=rule is None)
        widgets.note("A CrossScaleNet of 25,000 numbers; about ten seconds on two cores.")
    if train and rule is not None:
        st.query_params[RUN] = _begin(rule)
    run = st.query_params.get(RUN)
    with right:
        if not run:
            st.markdown("The map of the model appears here as it learns, beside the rule that you chose.")
            return
        try:
            status = resources.jobs().status(run)
        except UserError as error:
            widgets.problem(error)
            return
        st.fragment(_watch, run_every=POLL if status.active else None)(run, status.active)
        if status.active and st.button("Stop", key="try-stop", icon=":material/stop:"):
            resources.jobs().cancel(run)
            st.rerun()


def _choose() -> Rule | None:
    text = st.text_input(
        "Lags that matter", "20-24, 60", key="try-lags", help="How many steps back, such as 20-24, 60."
    )
    features = st.multiselect(
        "Inputs that matter", range(FEATURES), [1], format_func=NAMES.__getitem__, key="try-features"
    )
    noise = st.slider("Noise", 0.0, 3.0, 0.1, 0.1, key="try-noise", help="In deviations of the signal.")
    twin = st.slider(
        "Autocorrelation of the inputs",
        0.0,
        0.95,
        0.0,
        0.05,
        key="try-twin",
        help="Above 0, the neighbours of a true step know what it knows: they distract.",
    )
    try:
        lags = read_lags(text)
        if max(lags) > LOOKBACK:
            raise UserError(f"The model looks back {LOOKBACK} steps. Choose lags up to {LOOKBACK}.")
        return own_rule(features, lags, noise=noise, autocorrelation=twin, length=LENGTH)
    except UserError as error:
        widgets.problem(error)
        return None


def _begin(rule: Rule) -> str:
    """A dataset like any other, and a run like any other: both can be looked at on all pages afterwards."""
    from core.data.samples import known
    from core.training.spec import Spec, Split

    series, card = known(rule).open()
    store = resources.store()
    there = [old.id for old in store.datasets() if old.kind == "sample" and old.fingerprint == series.fingerprint]
    dataset = there[0] if there else store.add_dataset(series, card)
    spec = Spec(
        dataset=dataset,
        series_name=series.name,
        fingerprint=series.fingerprint,
        model="crossscalenet",
        config=dict(SMALL),
        lookback=LOOKBACK,
        horizon=HORIZON,
        variates=NAMES,
        targets=("y",),
        split=Split.of(series),
        recipe=RECIPE,
        seed=1,
    )
    return resources.jobs().submit(spec, series, f"Lesson: {series.name}")


def _watch(run: str, active: bool) -> None:
    status = resources.jobs().status(run)
    if active and not status.active:
        st.rerun()
    widgets.state_badge(status.state)
    st.progress(live.progress(status) if status.active else 1.0, text=widgets.plain(status.sentence))
    try:
        loaded = resources.loaded_run(run)
    except UserError as error:
        widgets.note(widgets.plain(error))
        return
    from core.lesson.answer import answer

    series = resources.series(loaded.spec.dataset)
    found = answer(loaded, series, run, min(WINDOW, loaded.count(series) - 1), STEP)
    maps = {
        one.name: one.values for one in found.maps if one.name in ("Published attention", "Contributions", "Gradient")
    }
    scores = {name: found.auprc(values) for name, values in maps.items()}
    st.altair_chart(
        charts.strips(
            maps,
            len(found.forecast),
            theme.colors(),
            true=found.true_steps,
            numbers={name: "" if np.isnan(score) else f"{score:.2f}" for name, score in scores.items()},
        ),
        key="try-maps",
        alt="Maps of the model so far, the true steps framed",
    )
    st.altair_chart(
        charts.window(found.lookback[:, found.column], found.forecast, found.truth, "y", STEP, theme.colors()),
        key="try-window",
        alt="The forecast of one test window",
    )
    best = loaded.card.get("best_epoch")
    told = ", ".join(f"{name.lower()} {score:.2f}" for name, score in scores.items() if not np.isnan(score))
    st.markdown(f"**Best after epoch {best}. AUPRC of the true steps: {told}; an even map {found.chance:.2f}.**")
    if not status.active:
        st.page_link(
            "pages/attention.py",
            label="Look at it on the Attention page",
            icon=":material/grid_on:",
            query_params={"dataset": loaded.spec.dataset, "run": run},
        )
