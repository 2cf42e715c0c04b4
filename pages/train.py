"""Train: what to forecast, at which scales, how carefully; with a run in the URL, that training as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from core.errors import UserError
from core.training.spec import PRESETS, Preset, Recipe, Spec, Split
from core.ui import boot, forms, live, resources, state, theme, widgets
from core.ui.charts.scales_picture import scales_picture

if TYPE_CHECKING:
    from core.data.series import Series

ABOUT_PRESET = {
    "quick": "A first look: few epochs, early stop.",
    "balanced": "Our recipe: warm-up, averaged weights, early stop.",
    "published": "The paper's own schedule, to compare with its numbers.",
}


def show_run(run_id: str) -> None:
    """One training: its state, what can be done about it, and its curves."""
    jobs = resources.jobs()
    jobs.refresh()  # a job that has just ended brings its scores to the store
    job = jobs.status(run_id)
    run = resources.store().run(run_id)
    if run.dataset != state.get("dataset"):
        state.put(dataset=run.dataset, run=run_id)
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="medium", key="job-bar"):
        st.markdown(f"**{widgets.plain(job.name)}**", width="content")
        widgets.state_badge(job.state)
        st.space("stretch")
        if job.active:
            if st.button("Cancel", icon=":material/stop_circle:", key="cancel", help="Keeps the best weights so far."):
                jobs.cancel(run_id)
                jobs.settled(run_id)
                st.rerun()
        elif run.card:
            for page, icon in (("forecast", "show_chart"), ("scales", "stacked_line_chart"), ("attention", "grid_on")):
                label, query = page.capitalize(), state.params(dataset=run.dataset, run=run_id)
                st.page_link(f"pages/{page}.py", label=label, icon=f":material/{icon}:", query_params=query)
        if job.state in ("interrupted", "cancelled") and st.button(
            "Resume", icon=":material/play_arrow:", key="resume"
        ):
            jobs.resume(run_id)
            st.rerun()
        if job.state == "failed" and st.button(
            "Retry more carefully",
            icon=":material/refresh:",
            key="retry",
            type="primary",
            help="The same with half the batch and half the learning rate.",
        ):
            state.put(run=jobs.retry(run_id))
            st.rerun()
        if st.button("New training", icon=":material/add:", key="new"):
            state.put(run=None)
            st.rerun()
        with st.popover("More", icon=":material/more_horiz:"):
            _more(run_id, job.name)
    if job.state == "failed":
        widgets.problem(job.sentence)
        with st.expander("Log of the training process"):
            st.code(jobs.log(run_id) or "The log is empty.", language=None)
    elif job.state in ("queued", "interrupted", "cancelled"):
        st.info(widgets.plain(job.sentence), icon=":material/info:")
    metrics = (run.card or {}).get("metrics") or {}
    if metrics and not job.active:
        _scores(metrics)
    live.view(run_id, job)


def _more(run_id: str, name: str) -> None:
    """Rename the run, take its model along, delete it."""
    with st.form("rename", border=False):
        new = st.text_input("Name of this run", value=name, max_chars=120, key=f"name-{run_id}")
        if st.form_submit_button("Save the name", key="rename-run") and new.strip():
            resources.store().update_run(run_id, name=new.strip())
            st.rerun()
    if model := resources.model_file(run_id):
        st.download_button(
            "Download the model",
            model.read_bytes,
            f"scalescope-{run_id}.safetensors",
            "application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
            key="model-download",
            help="Weights with their card in one file; it can be loaded again here or on another machine.",
        )
    if st.button("Delete this run", icon=":material/delete:", key="delete-run"):
        _confirm_delete(run_id, name)


@st.dialog("Delete this run")
def _confirm_delete(run_id: str, name: str) -> None:
    st.text(f"{name}: its model, its curves and its scores. The dataset stays. A running training is ended.")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:", key="delete-run-now"):
            resources.jobs().delete(run_id, stop=True)
            state.put(run=None)
            st.rerun()
        if st.button("Keep it", key="delete-run-not"):
            st.rerun()


def _scores(metrics: dict) -> None:
    with st.grid("auto", min_column_width=150):
        st.metric("Test MSE, z-scored", widgets.figures(metrics.get("mse")), border=True, height="stretch")
        st.metric("Test MAE, z-scored", widgets.figures(metrics.get("mae")), border=True, height="stretch")
        naive, mse = metrics.get("naive_mse"), metrics.get("mse")
        better = f"{(mse - naive) / naive:+.0%} against it" if naive and mse is not None else None
        st.metric(
            "Seasonal naive, MSE", widgets.figures(naive), better, delta_color="inverse", border=True, height="stretch"
        )
        st.metric("Test windows", f"{metrics.get('windows', 0):,}", border=True, height="stretch")


def show_form() -> None:
    """The form of a new training. Controls at the right, what they mean at the left."""
    cards = {card.id: card for card in resources.store().datasets()}
    if not cards:
        widgets.nothing_yet(
            "There is no dataset to train on yet.", "data", "Bring one, or choose a sample", "table_chart"
        )
        return
    from core.models.registry import architectures

    picture, controls = st.columns([2.4, 1], gap="large")
    with controls:
        dataset = widgets.choose_dataset({id: card.name for id, card in cards.items()})
        series = resources.series(dataset)
        names, truth = list(series.variates), series.truth or {}
        preset = st.radio(
            "Preset",
            PRESETS,
            horizontal=True,
            format_func=str.capitalize,
            key="preset",
            help=" ".join(f"**{name.capitalize()}**: {about}" for name, about in ABOUT_PRESET.items()),
        )
        with st.container(horizontal=True, gap="small"):
            reach, split = (24 if truth else 96), Split.of(series)
            ahead = max(min(reach, (split.validation - split.train) // 2), 1)  # several validation windows at least
            lookback = st.number_input(
                "Look-back, steps", 2, 100_000, max(min(96, split.train // 4), 2), key=f"lookback-{dataset}"
            )
            horizon = st.number_input("Horizon, steps", 1, 100_000, ahead, key=f"horizon-{dataset}")
        kinds = architectures()
        model = next(iter(kinds))
        if len(kinds) > 1:
            model = st.selectbox("Architecture", list(kinds), format_func=lambda n: kinds[n].title, key="model")
        kind = kinds[model]
        with st.container(horizontal=True, gap="small"):
            options = forms.fields(kind.Config, f"scale-{model}", only=kind.scale_fields)
        # where the truth is known, the target's own past would be a shortcut around the lags (saliency.md)
        target = [truth["target"]] if truth else names
        features = [name for name in names if name not in target] if truth else names
        inputs = st.multiselect("Variates that enter", names, default=features, key=f"inputs-{dataset}")
        targets = st.multiselect(
            "Variates to forecast",
            names,
            default=target,
            key=f"targets-{dataset}",
            help="A target that does not enter is forecast with its own history withheld.",
        )
        with st.expander("Advanced", icon=":material/tune:"):
            st.markdown(f"**{kind.title}**", help=f"{kind.summary} {kind.source}")
            start, changes = _recipe(preset, model, series.name)
            options |= forms.fields(kind.Config, f"model-{model}-{preset}", skip=kind.scale_fields, start=changes)
            st.markdown("**Recipe**")
            chosen = forms.fields(Recipe, f"recipe-{preset}", start=start.model_dump())
            seed = st.number_input("Seed", 0, 2**31 - 1, 2021, key="seed")
        go, problem = st.container(), st.container()

    def build() -> Spec:
        from core.models.contract import Shape
        from core.models.registry import configure

        if not inputs or not targets:
            raise UserError("Choose at least one variate that enters and one to forecast.")
        spec = Spec(
            dataset=dataset,
            series_name=series.name,
            fingerprint=series.fingerprint,
            model=model,
            config=configure(model, options).model_dump(mode="json"),
            lookback=lookback,
            horizon=horizon,
            variates=tuple(inputs),
            targets=tuple(targets),
            split=Split.of(series),
            recipe=start.model_copy(update=chosen),
            seed=seed,
        )
        spec.check(series)
        kind.check(configure(model, options), Shape(lookback, horizon, len(spec.columns), spec.withheld))
        return spec

    try:
        spec = build()
    except UserError as error:
        spec = None
        problem.warning(widgets.plain(error), icon=":material/warning:")
    if (
        go.button(
            "Train", type="primary", icon=":material/play_arrow:", disabled=spec is None, key="train", width="stretch"
        )
        and spec
    ):
        name = f"{series.name} · {kind.title} · {horizon} ahead"
        state.put(dataset=dataset, run=resources.jobs().submit(spec, series, name))
        st.rerun()
    with picture:
        if kind.capabilities.scales:
            _picture(series, model, options, lookback, (inputs or targets or names)[0])
        if spec:
            _estimate(spec, series)
        _load(dataset, series)


def _recipe(preset: Preset, model: str, dataset: str) -> tuple[Recipe, dict[str, object]]:
    """The preset's recipe, and what it changes in the architecture's options."""
    from core.training import recipes

    return recipes.preset(preset, model, dataset), recipes.preset_options(preset, model, dataset)


def _picture(series: Series, model: str, options: dict, lookback: int, variate: str) -> None:
    from core.models.registry import architecture, configure

    window = min(lookback, len(series))
    values = series.values[-window:, series.variates.index(variate)]
    try:
        found = architecture(model).grids(configure(model, options), window)
    except UserError:
        return
    found = [grid for grid in found if grid.points > 0]
    st.markdown(
        f"**What each scale sees** · the last {window:,} steps of {widgets.plain(variate)}",
        help="Every scale pools the look-back window. From the second on, attention compares whole patches (bands) "
        "with each other, and the points inside one patch.",
    )
    if not (values == values).any():
        widgets.note("This window is missing altogether, so there is nothing to draw.")
        return
    st.altair_chart(
        scales_picture(values, [g.factor for g in found], [g.patch for g in found], variate, theme.colors()),
        key="scales-picture",
        alt=f"{len(found)} scales of the last {window} steps; the coarsest pools {found[-1].factor} steps to a point",
    )


def _estimate(spec: Spec, series: Series) -> None:
    with st.skeleton(height=90):
        cost = resources.cost(spec, len(series))
    with st.grid(3, min_column_width=110):
        st.metric("Parameters", f"{cost.parameters:,}")
        st.metric("Memory, about", widgets.size(cost.memory_mb))
        st.metric(
            "Time, at most about",
            widgets.duration(cost.seconds),
            help=f"Measured with a few batches here, for {spec.recipe.epochs} epochs; early stopping may end sooner.",
        )


def _load(dataset: str, series: Series) -> None:
    opened = st.session_state.pop("train-door", None) == "load"
    with st.expander("Load a saved model instead", icon=":material/file_open:", expanded=opened, key="load"):
        widgets.note(
            "A .safetensors file that Scalescope wrote. Pickles (.pt, .pth, .pkl) can run code and are refused."
        )
        file = st.file_uploader("Model file", key="model-file", label_visibility="collapsed")
        if file and st.button("Use this model", key="adopt", icon=":material/check:"):
            path = None
            try:
                path = resources.keep_upload(file, "safetensors")
                run = resources.jobs().adopt(path, series, dataset)
            except UserError as error:
                widgets.problem(error)
            else:
                state.go("forecast", {"dataset": dataset, "run": run})
            finally:
                if path:
                    path.unlink(missing_ok=True)


boot.page("Train", follows=("dataset",))
if run_id := state.get("run"):
    show_run(run_id)
else:
    show_form()
