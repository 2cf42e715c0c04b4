"""The context bar of the Inspect pages: dataset, run, window and variate chosen once for all, and kept in the URL.

``context`` draws the bar and returns the View that a page shows; where there is nothing to show it says why and what
to do, and ends the page. What is computed of a window is computed once (``trace``, ``errors``) and shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import streamlit as st
from streamlit.components.v2 import component

from core.errors import UserError
from core.settings import settings
from core.ui import resources, state, widgets
from core.ui.charts.picture import Picture, stamps
from core.ui.theme import colors, config

if TYPE_CHECKING:
    from core.data.card import DatasetCard
    from core.data.series import Series
    from core.evaluate.run import LoadedRun, Window, WindowErrors
    from core.models.trace import Trace
    from core.store.store import RunRow

FUTURE = "future"  # in the URL, for the window beyond the data


@dataclass(frozen=True)
class View:
    """What an Inspect page shows. ``count`` test windows; ``window.index == count`` is the future beyond the data.

    ``variate`` is a target's name, ``column`` its position among the model's columns, ``step`` the horizon step under
    question (from 0).
    """

    dataset: DatasetCard
    row: RunRow
    run: LoadedRun
    series: Series
    count: int
    window: Window
    variate: str
    column: int
    step: int

    @property
    def lookback(self) -> int:
        return self.run.spec.lookback

    @property
    def horizon(self) -> int:
        return self.run.spec.horizon

    @property
    def future(self) -> bool:
        return self.window.truth is None

    @property
    def relevance(self) -> dict[str, Any]:
        """What the card knows about whether scales and attention matter; empty where nothing is known."""
        return self.run.card.get("relevance") or {}

    @property
    def known(self) -> dict[str, Any] | None:
        """The known lags of a synthetic series, where the variate is the one they make."""
        truth = self.series.truth
        return truth if truth and truth.get("target", self.variate) == self.variate else None

    @property
    def truth(self) -> np.ndarray | None:
        """What was observed of the variate over the horizon, (H,)."""
        return None if self.window.truth is None else self.window.truth[:, self.column]

    @property
    def stamps(self) -> list[str]:
        """The L + H times of the window for people."""
        return stamps(np.concatenate([self.window.times_lookback, self.window.times_horizon]), self.series.zone)

    def trace(self) -> Trace:
        """The model's inside on this window, computed once for all pages and tabs."""
        return _trace(self.row.id, version(self.row.id), self.dataset.fingerprint, self.window.index, self)

    def errors(self) -> WindowErrors:
        """Errors of all test windows, computed once."""
        return _errors(self.row.id, version(self.row.id), self.dataset.fingerprint, self)

    def baselines(self) -> dict[str, np.ndarray]:
        """What forecasts without learning say of this window, H x C by name, the seasonal naive first."""
        from core.evaluate import baselines

        found = resources.baselines(self.row.id, self.run)
        others = baselines.forecast(self.run, found, self.window.lookback)
        return {"seasonal naive": self.run.seasonal_naive(self.window)} | {
            baselines.NAMES[name]: values for name, values in others.items()
        }

    def baseline_scores(self) -> dict[str, dict[str, float | None]]:
        """MSE and MAE of ``baselines`` over all test windows, as the worker left them; empty for an older run."""
        from core.evaluate.baselines import NAMES

        stored = (self.run.card.get("metrics") or {}).get("baselines") or {}
        return {told: stored[name] for name, told in NAMES.items() if name in stored}

    def provenance(self, method: str = "") -> list[str]:
        """Title and origin of an exported picture."""
        window = "the future beyond the data" if self.future else f"window {self.window.index + 1:,} of {self.count:,}"
        about = f"dataset {self.dataset.name} · run {self.row.name or self.row.id} ({self.row.id}) · {window}"
        more = f"variate {self.variate}" + (f" · {method}" if method else "") + f" · seed {self.run.spec.seed}"
        dated = np.issubdtype(self.window.times_lookback.dtype, np.datetime64)
        first = self.stamps[self.lookback]
        begins = f"forecast begins {first} ({self.series.zone})" if dated else f"forecast begins in row {first}"
        return [f"{self.variate}, {self.dataset.name}", about, f"{more} · {begins} · Scalescope"]


def context(step_ahead: bool = False) -> View:
    """Draw the bar and return what is chosen. Ends the page where nothing can be shown.

    ``step_ahead`` adds the choice of a horizon step. Raises UserError for a run that cannot be opened.
    """
    store = resources.store()
    runs = {run.id: run for run in store.runs()}
    datasets = {card.id: card for card in store.datasets()}
    usable = [run for run in runs.values() if run.dataset in datasets and _has_model(run.id)]
    if not runs or not (usable or state.get("run")):
        _nothing_yet(bool(datasets), [run for run in runs.values() if run.state in ("queued", "running")])
    wanted = state.get("run")
    if wanted is None:
        chosen = next((r for r in usable if r.dataset == state.get("dataset")), None)
        if chosen is None and state.get("dataset") in datasets:
            _no_run_for(datasets[str(state.get("dataset"))].name)
        chosen = chosen or usable[0]
    else:
        chosen = runs.get(wanted)
    if chosen is not None and (state.get("run"), state.get("dataset")) != (chosen.id, chosen.dataset):
        kept = {name: state.get(name) for name in state.BELONGS["run"]} if state.get("run") == chosen.id else {}
        state.put(dataset=chosen.dataset, run=chosen.id, **kept)
    bar = st.container(border=True, horizontal=True, vertical_alignment="bottom", gap="xsmall", key="context")
    with bar:
        _choose_run(datasets, usable, chosen, 225 if step_ahead else 300)
    if chosen is None:
        _stop(
            "The run that this link names is not stored here. It may have been deleted, or the link comes from another "
            "server. Choose a run above."
        )
    if chosen.dataset not in datasets:
        _stop("The dataset of this run was deleted, so there are no windows to look at. Choose another run above.")
    if not _has_model(chosen.id):
        _not_ready(chosen)
    dataset = datasets[chosen.dataset]
    try:
        run = resources.loaded_run(chosen.id)
        series = resources.series(chosen.dataset)
        count = run.count(series)
        with bar:
            window = run.window(series, _choose_window(count))
            variate = _choose_variate(run.spec.targets)
            step = _choose_step(run.spec.horizon) if step_ahead else 0
            _copy_link()
    except UserError as error:
        widgets.problem(error)
        _next_steps()
    if len(series) and dataset.fingerprint and run.spec.fingerprint not in ("", dataset.fingerprint):
        widgets.note("This dataset has changed since the run was trained; its test windows may not be the same.")
    column = run.spec.columns.index(variate)
    return View(dataset, chosen, run, series, count, window, variate, column, step)


def comparable(view: View) -> dict[str, RunRow]:
    """Other runs of this dataset with a model that forecasts this variate."""
    return {
        row.id: row
        for row in resources.store().runs(view.dataset.id)
        if row.id != view.row.id and _has_model(row.id) and view.variate in row.spec.get("targets", ())
    }


def beside(view: View, id: str) -> View:
    """The same variate and forecast in another run: the window whose forecast begins at the same step, else the
    nearest. Raises UserError for a run that cannot be opened."""
    row = comparable(view)[id]
    run = resources.loaded_run(id)
    count = run.count(view.series)
    first = view.window.start + view.lookback
    index = int(np.clip(first - run.first(view.series) - run.spec.lookback, 0, max(count - 1, 0)))
    window = run.window(view.series, count if view.future else index)
    step = min(view.step, run.spec.horizon - 1)
    column = run.spec.columns.index(view.variate)
    return View(view.dataset, row, run, view.series, count, window, view.variate, column, step)


def show(picture: Picture, key: str, **options: Any) -> Any:
    """Draw a picture at the full width of its place. ``options`` as in ``st.vega_lite_chart`` (on_select, ...)."""
    alone = {} if "vconcat" in picture.spec else {"autosize": {"type": "fit-x", "contains": "padding"}}
    spec = (
        alone
        | picture.spec
        | {
            "config": config(colors()) | {"background": "transparent"},
            "datasets": dict(picture.tables),
            "usermeta": {"embedOptions": {"renderer": "svg"}} if _small(picture) else {},
        }
    )
    return st.vega_lite_chart(spec=spec, theme=None, width="stretch", key=key, alt=picture.takeaway, **options)


def elsewhere(scales: bool = False, attention: bool = False) -> None:
    """Where to go on from a view that does not exist for this model."""
    query = state.params()
    with st.container(horizontal=True):
        st.page_link("pages/forecast.py", label="Its forecast", icon=":material/show_chart:", query_params=query)
        if scales:
            st.page_link(
                "pages/scales.py", label="Its scales", icon=":material/stacked_line_chart:", query_params=query
            )
        if attention:
            st.page_link("pages/attention.py", label="Its attention", icon=":material/grid_on:", query_params=query)


def _small(picture: Picture) -> bool:
    return sum(len(table) for table in picture.tables.values()) < 4000


# -- the parts of the bar -----------------------------------------------------------------------------------------


def _choose_run(datasets: dict[str, DatasetCard], usable: list[RunRow], chosen: RunRow | None, room: int) -> None:
    shown = {run.dataset for run in usable} | ({chosen.dataset} if chosen and chosen.dataset in datasets else set())
    names = [id for id in datasets if id in shown]
    current = chosen.dataset if chosen else state.get("dataset")
    st.session_state["context-dataset"] = current if current in names else None
    st.selectbox(
        "Dataset",
        names,
        format_func=widgets.distinct({id: datasets[id].name for id in names}).__getitem__,
        key="context-dataset",
        on_change=_picked_dataset,
        width=140,
        placeholder="choose",
    )
    runs = [run for run in usable if run.dataset == current or current not in names]
    if chosen is not None and chosen not in runs:
        runs = [chosen, *runs]
    by_id = {run.id: run for run in runs}
    st.session_state["context-run"] = chosen.id if chosen else None
    st.selectbox(
        "Run",
        list(by_id),
        format_func=widgets.distinct({id: run_name(run) for id, run in by_id.items()}).__getitem__,
        key="context-run",
        on_change=lambda: state.put(run=st.session_state["context-run"]),
        width=room,
        placeholder="choose",
    )


def run_name(run: RunRow) -> str:
    """A run in one line: name, horizon, and its state where it is not finished."""
    horizon = run.spec.get("horizon")
    name = run.name or run.id
    ahead = f"{horizon} ahead" if horizon and not name.endswith(f"{horizon} ahead") else ""
    return " · ".join(part for part in (name, ahead, "" if run.state == "finished" else run.state) if part)


def _picked_dataset() -> None:
    dataset = st.session_state["context-dataset"]
    run = next((r for r in resources.store().runs(dataset) if _has_model(r.id)), None)
    state.put(dataset=dataset, run=run.id if run else None)


def chosen_window(count: int) -> int:
    """The window of the URL, from 0; ``count`` is the future. The last test window where the URL has none."""
    if state.get("window") == FUTURE or not count:
        return count
    return state.number("window", count, 1, count) - 1


def go_to_window(index: int, count: int) -> None:
    """Choose a window (from 0; ``count`` is the future)."""
    state.put(window=FUTURE if index >= count else index + 1)


def _choose_window(count: int) -> int:
    index = chosen_window(count)
    go_to_window(index, count)
    st.session_state["context-window"] = None if index >= count else index + 1

    def typed() -> None:
        value = st.session_state["context-window"]
        if value is not None:
            go_to_window(int(value) - 1, count)

    st.number_input(
        f"Window, 1 to {count:,}" if count else "Window",
        1,
        max(count, 1),
        step=1,
        key="context-window",
        on_change=typed,
        placeholder="future",
        disabled=not count,
        width=135,
        help="Test windows in order of time, one step apart. Type a number, or use plus, minus and the arrow keys.",
    )
    st.menu_button(
        "Go to",
        ["worst", "best", "future"],
        format_func=lambda o: {"worst": "Worst window", "best": "Best window", "future": "Future beyond the data"}[o],
        key="context-goto",
        on_click=_went,
        args=(count,),
        icon=":material/near_me:",
        help="The window with the largest or the smallest error, or the future beyond the data.",
    )
    return index


def _went(count: int) -> None:
    """Answer the menu: the errors come from the view of the last run of the page."""
    wanted = st.session_state["context-goto"]
    if wanted == "future" or not count:
        go_to_window(count, count)
        return
    run, row = resources.loaded_run(str(state.get("run"))), resources.store().run(str(state.get("run")))
    series = resources.series(row.dataset)
    errors = _errors_of(row.id, version(row.id), series.fingerprint, run, series)
    place = np.argmax(errors.mse) if wanted == "worst" else np.argmin(errors.mse)
    go_to_window(int(errors.index[place]), count)


def _choose_variate(targets: tuple[str, ...]) -> str:
    wanted = state.get("variate")
    chosen = wanted if wanted in targets else targets[-1]
    state.put(variate=chosen)
    st.session_state["context-variate"] = chosen
    st.selectbox(
        "Variate",
        targets,
        key="context-variate",
        on_change=lambda: state.put(variate=st.session_state["context-variate"]),
        width=115,
    )
    return chosen


def _choose_step(horizon: int) -> int:
    step = state.number("step", min(12, horizon), 1, horizon)
    state.put(step=step)
    st.session_state["context-step"] = step
    st.number_input(
        "Step ahead",
        1,
        horizon,
        step=1,
        key="context-step",
        on_change=lambda: state.put(step=st.session_state["context-step"]),
        width=100,
        help="The forecast step in question. Known lags of a synthetic series lie elsewhere for every step.",
    )
    return step - 1


_link = component(
    "copy_link",
    html='<button type="button"></button>',
    css="""
    button { font: inherit; font-weight: 600; color: var(--st-link-color); background: none; border: 0; cursor: pointer;
      padding: 0 .25rem; height: 2.5rem; white-space: nowrap; }
    button:hover { text-decoration: underline; }
    button:focus-visible { outline: 2px solid var(--st-primary-color); border-radius: 4px; }
    """,
    js="""
    export default function ({ parentElement }) {
      const button = parentElement.querySelector("button");
      button.textContent = "Copy link";
      button.onclick = async () => {
        const link = window.location.href;
        try {
          await navigator.clipboard.writeText(link);
        } catch (refused) {
          const field = document.createElement("textarea");
          field.value = link;
          document.body.append(field);
          field.select();
          document.execCommand("copy");
          field.remove();
        }
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy link"; }, 1500);
      };
    }
    """,
)


def _copy_link() -> None:
    _link(key="copy-link", width="content")


# -- nothing to show ----------------------------------------------------------------------------------------------


def _nothing_yet(datasets: bool, busy: list[RunRow]) -> NoReturn:
    if busy:
        widgets.nothing_yet(
            "The first model is still training. This page shows it as soon as its first epoch is done.",
            "train",
            "See the training",
            "model_training",
        )
    elif datasets:
        widgets.nothing_yet(
            "No run yet. Train a model, and look here at what it forecasts and why.",
            "train",
            "Train a model",
            "model_training",
        )
    else:
        widgets.nothing_yet(
            "No run yet. Start with a bundled sample or a file of yours; a quick training takes less than a minute on "
            "most machines.",
            "data",
            "Choose a sample or bring a file",
            "science",
        )
    st.stop()


def _no_run_for(name: str) -> NoReturn:
    widgets.nothing_yet(f"No run on {widgets.plain(name)} yet.", "train", "Train a model on it", "model_training")
    st.stop()


def _not_ready(run: RunRow) -> NoReturn:
    sentence = {
        "queued": "This run waits for its turn to train.",
        "running": "This run is in its first epoch. It can be looked at as soon as that is done.",
        "failed": "This run failed before its first epoch was done, so there is no model to look at.",
        "cancelled": "This run was cancelled before its first epoch was done, so there is no model to look at.",
        "interrupted": "This run was interrupted before its first epoch was done. It can be resumed.",
    }.get(run.state, "The model file of this run is missing.")
    widgets.nothing_yet(sentence, "train", "See the training", "model_training")
    st.stop()


def _stop(sentence: str) -> NoReturn:
    widgets.problem(sentence)
    _next_steps()


def _next_steps() -> NoReturn:
    st.page_link("pages/train.py", label="Train a model", icon=":material/model_training:")
    st.stop()


# -- computed once ------------------------------------------------------------------------------------------------


def _has_model(id: str) -> bool:
    return (settings().runs / id / "checkpoint.safetensors").exists()


def version(id: str) -> int:
    """Changes when a running training saves a better checkpoint."""
    return (settings().runs / id / "checkpoint.safetensors").stat().st_mtime_ns


@st.cache_resource(max_entries=64, show_spinner=False)
def _trace(run: str, version: int, fingerprint: str, index: int, _view: View) -> Trace:
    return _view.run.trace(_view.window.lookback)


def _errors(run: str, version: int, fingerprint: str, view: View) -> WindowErrors:
    return _errors_of(run, version, fingerprint, view.run, view.series)


@st.cache_resource(max_entries=16, show_spinner="Scoring every test window")
def _errors_of(run: str, version: int, fingerprint: str, _run: LoadedRun, _series: Series) -> WindowErrors:
    return _run.errors(_series)
