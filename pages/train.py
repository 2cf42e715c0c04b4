"""Train: what to forecast, at which scales, how carefully; with a run in the URL, that training as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from core.data.covariates import FEATURES, Covariates, countries, offered
from core.errors import UserError
from core.training.spec import PRESETS, Preset, Recipe, Spec, Split
from core.ui import boot, cards, forms, inspect, live, resources, state, theme, widgets
from core.ui.charts.scales_picture import scales_picture

if TYPE_CHECKING:
    from core.data.series import Series
    from core.models.contract import Forecaster, Shape
    from core.training.estimate import Estimate

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
    """The form of a new training. Architectures first; controls at the right, what they mean at the left."""
    stored = {card.id: card for card in resources.store().datasets()}
    if not stored:
        widgets.nothing_yet(
            "There is no dataset to train on yet.", "data", "Bring one, or choose a sample", "table_chart"
        )
        return
    from core.models.contract import Shape
    from core.models.registry import architectures

    kinds = architectures()
    model = _chosen(list(kinds))
    kind = kinds[model]
    choice = st.container(key="architectures", gap="small")
    picture, controls = st.columns([2.4, 1], gap="large")
    with controls:
        dataset = widgets.choose_dataset({id: card.name for id, card in stored.items()})
        series = resources.series(dataset)
        names, truth = list(series.variates), series.truth or {}
        fitted = kind.capabilities.fitted
        preset: Preset = PRESETS[0] if fitted else _choose_preset()
        split, reach = Split.of(series), (24 if truth else 96)
        with st.container(horizontal=True, gap="small"):
            proposed = _propose_lookback(dataset, preset, model, series.name, split)
            lookback = st.number_input("Look-back, steps", 2, 100_000, key=f"lookback-{dataset}")
            ahead = max(min(reach, (split.validation - split.train) // 2), 1)  # several validation windows at least
            st.session_state.setdefault(f"horizon-{dataset}", ahead)
            horizon = st.number_input("Horizon, steps", 1, 100_000, key=f"horizon-{dataset}")
        if preset == "published" and kind.published:
            _say_lookback(kind.title, dataset, lookback, proposed)
        start, changes = _recipe(preset, model, series.name)
        # a paper's settings belong to one dataset; fields that start with them start over with another one
        place = f"{model}-{preset}-{dataset}" if preset == "published" else f"{model}-{preset}"
        scales_key = f"scale-{place}" if preset == "published" else f"scale-{model}"
        with st.container(horizontal=True, gap="small"):
            options = forms.fields(kind.Config, scales_key, only=kind.scale_fields, start=changes)
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
        covariates = _choose_covariates(series, dataset, targets)
        ignored = st.container()
        chosen, seed = {}, 2021
        if fitted:
            widgets.note("Fitted at once, from the training part: there are no epochs and no recipe.")
        else:
            with st.expander("Advanced", icon=":material/tune:"):
                st.markdown(f"**{kind.title}**")
                options |= forms.fields(kind.Config, f"model-{place}", skip=kind.scale_fields, start=changes)
                st.markdown("**Recipe**")
                recipe_key = f"recipe-{place}" if preset == "published" else f"recipe-{preset}"
                unused = () if kind.capabilities.pretrains else ("pretrain_epochs",)
                chosen = forms.fields(Recipe, recipe_key, start=start.model_dump(), skip=unused)
                seed = st.number_input("Seed", 0, 2**31 - 1, 2021, key="seed")
        go, problem = st.container(), st.container()

    def build(name: str, options: dict, recipe: Recipe) -> tuple[Spec, str]:
        """What would be trained, and what of the covariates it could not use."""
        from core.models.registry import configure

        if not inputs or not targets:
            raise UserError("Choose at least one variate that enters and one to forecast.")
        config = configure(name, options)
        spec = Spec(
            dataset=dataset,
            series_name=series.name,
            fingerprint=series.fingerprint,
            model=name,
            config=config.model_dump(mode="json"),
            lookback=lookback,
            horizon=horizon,
            variates=tuple(inputs),
            targets=tuple(targets),
            covariates=covariates,
            split=Split.of(series, covariates.observed(series, tuple(targets))),
            recipe=recipe,
            seed=seed,
        )
        spec, unused = spec.usable()
        spec.check(series)
        return spec, unused

    spec = None
    try:
        spec, unused = build(model, options, start.model_copy(update=chosen))
        if unused:
            ignored.info(widgets.plain(unused), icon=":material/info:")
    except UserError as error:
        with problem:
            st.warning(widgets.plain(error), icon=":material/warning:")
            keys = {"lookback": f"lookback-{dataset}", "horizon": f"horizon-{dataset}"}
            keys |= {f: f"{scales_key if f in kind.scale_fields else f'model-{place}'}-{f}" for f in options}
            _offer(kind, error, keys)
    if (
        go.button(
            "Fit" if fitted else "Train",
            type="primary",
            icon=":material/play_arrow:",
            disabled=spec is None,
            key="train",
            width="stretch",
        )
        and spec
    ):
        name = f"{series.name} · {kind.title} · {horizon} ahead"
        state.put(dataset=dataset, run=resources.jobs().submit(spec, series, name), model=None)
        st.rerun()

    def other(name: str) -> Spec | None:
        """What the form would train with another architecture; None where that cannot work."""
        recipe, own = _recipe(preset, name, series.name)
        try:
            return build(name, dict(own), recipe)[0]
        except UserError:
            return None

    columns = spec.columns if spec else {*inputs, *targets}
    shape = Shape(lookback, horizon, max(len(columns), 1))
    cost = resources.cost(spec, len(series)) if spec else None
    usual = {name: dict(_recipe(preset, name, series.name)[1]) for name in kinds}
    with choice:
        cards.choose(kinds, model, shape, usual, other, len(series))
    with picture:
        view = st.radio(
            "View", ["What it sees", "Data flow"], horizontal=True, key="train-view", label_visibility="collapsed"
        )
        if view == "Data flow":
            _flow(kind, options, shape)
        else:
            _picture(series, model, options, lookback, (inputs or targets or names)[0])
        if spec:
            _costs(spec, cost) if cost else st.fragment(_awaited, run_every=0.7)(spec, series)
        _load(dataset, series)


def _choose_covariates(series: Series, dataset: str, targets: list[str]) -> Covariates:
    """What is known of the steps ahead; closed at first, as most series are forecast without."""
    free = [name for name in series.variates if name not in targets]
    features = offered(series)
    with st.expander("Covariates", icon=":material/event:"):
        widgets.note("What is known before it happens. It enters beside the variates and is not forecast.")
        calendar = st.multiselect(
            "Calendar",
            features,
            format_func=FEATURES.__getitem__,
            key=f"calendar-{dataset}",
            disabled=not features,
            placeholder="Choose features" if features else "The rows are only numbered",
        )
        country = ""
        if "holiday" in calendar:
            named = countries()
            country = st.selectbox(
                "Holidays of", list(named), index=None, format_func=lambda code: named[code], key=f"country-{dataset}"
            )
        known = st.multiselect(
            "Columns known in advance",
            free,
            key=f"known-{dataset}",
            disabled=not free,
            placeholder="Choose columns" if free else "Every column is to be forecast",
            help="A plan, a price list, a weather forecast: the model sees their values over the horizon. To forecast "
            "beyond the data, let the file go on with rows that hold them and nothing else.",
        )
    return Covariates(calendar=tuple(calendar), country=country or "", known=tuple(known))


def _chosen(names: list[str]) -> str:
    """The architecture in the URL, the usual one where it has none; says so where the URL names none of ours."""
    wanted, problem = cards.known(state.get("model"), names)
    if problem:
        widgets.problem(problem)
    chosen = wanted or st.session_state.get("architecture") or cards.USUAL
    st.session_state["architecture"] = chosen
    if not problem:  # else the sentence stays until another is chosen
        state.put(model=chosen)
    return chosen


def _choose_preset() -> Preset:
    return st.radio(
        "Preset",
        PRESETS,
        horizontal=True,
        format_func=str.capitalize,
        key="preset",
        help=" ".join(f"**{name.capitalize()}**: {about}" for name, about in ABOUT_PRESET.items()),
    )


def _propose_lookback(dataset: str, preset: Preset, model: str, name: str, split: Split) -> int:
    """Put what the preset proposes into the field, unless the reader has typed another; returns the proposal."""
    from core.training.recipes import preset_lookback

    wanted = preset_lookback(preset, model, name, split.train)
    proposed = max(min(wanted, split.train // 4), 2) if wanted <= 96 else wanted
    field, last = f"lookback-{dataset}", f"proposed-{dataset}"
    if field not in st.session_state or st.session_state[field] == st.session_state.get(last):
        st.session_state[field] = proposed
    st.session_state[last] = proposed
    return proposed


def _say_lookback(title: str, dataset: str, lookback: int, proposed: int) -> None:
    if lookback == proposed:
        widgets.note(f"{proposed:,} steps is the look-back of the published runs of {widgets.plain(title)}.")
        return
    widgets.note(f"The published runs of {widgets.plain(title)} look back {proposed:,} steps.")
    st.button(
        f"Use {proposed:,}",
        key="use-lookback",
        type="tertiary",
        icon=":material/undo:",
        on_click=lambda: st.session_state.update({f"lookback-{dataset}": proposed}),
    )


def _offer(kind: type[Forecaster], error: UserError, keys: dict[str, str]) -> None:
    """The nearest that works as a button, where the sentence names one that a field of this form can take."""
    values = {keys[name]: value for name, value in error.nearest.items() if name in keys}
    if not values or len(values) < len(error.nearest):
        return
    titles = {"lookback": "look-back", "horizon": "horizon"}
    titles |= {name: str(field.title).lower() for name, field in kind.Config.model_fields.items()}
    offered = [f"{titles[name]} {f'{v:,}' if isinstance(v, int) else v}" for name, v in error.nearest.items()]
    st.button(
        "Use " + ", ".join(offered),
        key="use-nearest",
        icon=":material/build:",
        on_click=lambda: st.session_state.update(values),
    )


def _recipe(preset: Preset, model: str, dataset: str) -> tuple[Recipe, dict[str, object]]:
    """The preset's recipe, and what it changes in the architecture's options."""
    from core.training import recipes

    return recipes.preset(preset, model, dataset), recipes.preset_options(preset, model, dataset)


def _picture(series: Series, model: str, options: dict, lookback: int, variate: str) -> None:
    from core.models.registry import architecture, configure

    window = min(lookback, len(series))
    values = series.part((variate,), len(series) - window)[:, 0]
    try:
        found = architecture(model).grids(configure(model, options), window)
    except UserError:
        return
    found = [grid for grid in found if grid.points > 0 and grid.first < window]
    st.markdown(
        f"The last {window:,} steps of {widgets.plain(variate)}",
        help="One row for each scale or branch, fine to coarse: what it pools, and the patches (bands) that it "
        "compares with each other.",
    )
    if not found or not (values == values).any():
        widgets.note("There is nothing to draw of this window.")
        return
    st.altair_chart(
        scales_picture(values, found, cards.names_of(found), variate, theme.colors()),
        key="scales-picture",
        alt=f"{len(found)} scales of the last {window} steps; the coarsest pools {found[-1].factor} steps to a point",
    )


def _flow(kind: type[Forecaster], options: dict, shape: Shape) -> None:
    from core.models.registry import configure
    from core.ui.charts.diagram import LEGEND, diagram_picture

    try:
        config = configure(kind.name, options)
        kind.check(config, shape)
        diagram = kind.diagram(config, shape)
    except UserError as error:
        widgets.note(widgets.plain(error))
        return
    st.markdown(f"The flow of data through {widgets.plain(kind.title)}, with the shapes of this window", help=LEGEND)
    names = cards.names_of(kind.grids(config, shape.lookback))
    inspect.show(diagram_picture(diagram, names, theme.colors(), kind.title), key="train-diagram")
    query = {"model": kind.name}
    st.page_link("pages/models.py", label="What it may claim", icon=":material/account_tree:", query_params=query)


def _awaited(spec: Spec, series: Series) -> None:
    """Asks for the cost until it is measured."""
    if resources.cost(spec, len(series), first=False) is not None:
        st.rerun()
    with st.grid(3, min_column_width=110):
        for label in ("Parameters", "Memory, about", "Time, at most about"):
            st.metric(label, "…", help="Being measured here with a few steps.")


def _costs(spec: Spec, cost: Estimate) -> None:
    from core.models.registry import architecture

    kind = architecture(spec.model)
    with st.grid(3, min_column_width=110):
        st.metric("Parameters", f"{cost.parameters:,}")
        st.metric("Memory, about", widgets.size(cost.memory_mb))
        if kind.capabilities.fitted:
            st.metric("Time", "moments", help="It is fitted at once, without epochs.")
        else:
            st.metric(
                "Time, at most about",
                widgets.duration(cost.seconds),
                help=f"Measured with a few batches here, for {spec.recipe.epochs} epochs; early stopping may end "
                "sooner.",
            )
    if note := kind.runs_on():
        widgets.note(widgets.plain(note))


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
                path = resources.keep_upload([file], "safetensors")
                run = resources.jobs().adopt(path, series, dataset)
            except UserError as error:
                widgets.problem(error)
            else:
                state.go("forecast", {"dataset": dataset, "run": run})
            finally:
                if path:
                    path.unlink(missing_ok=True)


boot.page("Train", follows=("dataset", "model"))
if run_id := state.get("run"):
    show_run(run_id)
else:
    show_form()
