"""What if the window had been another one: a run's window changed by hand, with the new forecast beside the old, what
each scale adds to the difference, and where the forecast reads from before and after.

The section stands on the Forecast and the Attention page. The edits belong to one window of one run: they stay from
page to page, go with a link (``?edits=``), and are gone with another window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from core.data import edits as texts
from core.errors import UserError
from core.ui import boot, inspect, poke, widgets
from core.ui.charts import whatif as charts
from core.ui.charts.picture import number
from core.ui.charts.scales import names_of
from core.ui.theme import colors, palette, presenting

if TYPE_CHECKING:
    from core.data.edits import Edit
    from core.evaluate.run import LoadedRun
    from core.models.trace import Trace
    from core.ui.inspect import View

KEY = "whatif"
LINK = "edits"  # in the URL
LONGEST = 2000  # characters of edits that go into a link
STEPS = 4  # steps ahead that contributions are averaged over where no step is asked about
NOTHING = 1e-6  # of the forecast's size: less is rounding
session: Any = st.session_state


def section(view: View, step: int | None = None) -> None:
    """The whole section, closed until it is asked for. ``step`` is the horizon step under question (from 0)."""
    _begin(view)
    _section(view, step)


@st.fragment
def _section(view: View, step: int | None) -> None:
    with st.expander(
        "What if: change this window by hand", icon=":material/touch_app:", key=KEY, on_change="rerun"
    ) as box:
        if box.open:
            with boot.problems("What if"):  # a rerun of this part alone does not pass the page's own
                _inside(view, step)
    _link(poke.edits_of(KEY))


def _inside(view: View, step: int | None) -> None:
    if problem := session.pop(f"{KEY}-problem", None):
        widgets.problem(problem)
    names = offered(view)
    if not names:
        st.markdown(
            f"The history of {widgets.plain(view.variate)} is withheld from this model, and it reads no other variate: "
            "no change of this window reaches the forecast."
        )
        return
    columns, lookback = list(view.run.spec.columns), view.window.lookback
    picture, side = st.columns([3.2, 1], gap="medium")
    with side:
        poked = names[0]
        if len(names) > 1:
            last = next((e.variate for e in reversed(poke.edits_of(KEY)) if e.variate in names), names[0])
            session.setdefault(chosen := f"{KEY}-variate-{view.row.id}", last)
            if session[chosen] not in names:
                session[chosen] = names[0]
            poked = st.selectbox("Variate to change", names, key=chosen)
        edits = poke.controls(KEY, lookback, columns, poked)
    changed = texts.apply(lookback, columns, edits)
    try:
        after = _answer(view, edits, changed)
    except UserError as error:
        with side:
            widgets.problem(error)
        edits, changed, after = (), lookback, view.trace()
    with picture:
        _draw(view, columns.index(poked), changed, after)
        if edits:
            st.markdown(widgets.plain(said(view, after)))
        if view.column in view.run.spec.withheld:
            widgets.note(
                f"The history of {widgets.plain(view.variate)} is withheld from this model. Changing it would change "
                "nothing, so it is not offered."
            )
        missing = np.isnan(lookback[:, columns.index(poked)]).sum()
        if missing:
            widgets.note(f"{missing:,} steps are missing. Set and Mask fill them.")
    # a row of its own, so that on a narrow page the controls come before it
    with st.columns([3.2, 1], gap="medium")[0]:
        _below(view, edits, changed, after, columns.index(poked), step)


def offered(view: View) -> list[str]:
    """The variates whose change can reach the forecast, the one in view first."""
    spec = view.run.spec
    own = [view.variate] if view.column not in spec.withheld else []
    if not view.run.model.capabilities.multivariate:
        return own
    return own + [name for name in spec.variates if name != view.variate]


def said(view: View, after: Trace) -> str:
    """How far the forecast moved, and whether that was for the better, in words."""
    old, new = (trace.forecast[0, :, view.column] for trace in (view.trace(), after))
    change = new - old
    if np.abs(change).max() <= NOTHING * max(float(np.abs(old).max()), 1e-30):
        return f"The forecast of {view.variate} does not move: the model makes nothing of this change."
    most = int(np.abs(change).argmax())
    text = (
        f"The forecast of {view.variate} moves by {number(float(np.abs(change).mean()))} on average, most "
        f"{most + 1} step{'s' * (most > 0)} ahead: from {number(float(old[most]))} to {number(float(new[most]))}."
    )
    if view.truth is not None and np.isfinite(view.truth).any():
        before, now = (float(np.nanmean(np.abs(y - view.truth))) for y in (old, new))
        text += f" Its mean absolute error goes from {number(before)} to {number(now)}."
    return text.replace("-", "−")


# -- the pictures ------------------------------------------------------------------------------------------------------


def _draw(view: View, column: int, changed: np.ndarray, after: Trace) -> None:
    own = column == view.column
    poke.poke(
        KEY,
        changed[:, column],
        after.forecast[0, :, view.column],
        view.truth,
        view.window.lookback[:, column],
        label=view.run.spec.columns[column],
        unit="in its own units",
        before_H=view.trace().forecast[0, :, view.column],
        ahead="" if own else view.variate,
        gutter=True,
        large=presenting(),
    )


def _below(
    view: View, edits: tuple[Edit, ...], changed: np.ndarray, after: Trace, column: int, step: int | None
) -> None:
    """What follows the forecast: contributions by step, the change by scale."""
    shown = colors()
    if np.isfinite(changed).all() and np.isfinite(view.window.lookback).all():
        first, last = poke.stretch(KEY, view.lookback)
        strips = {"before": _added(view, (), view.window.lookback, step)}
        if edits:
            strips["after"] = _added(view, edits, changed, step)
        right = poke.RIGHT if column != view.column else poke.END
        drawn = {name: values[first:last] for name, values in strips.items()}
        inspect.show(charts.strips_picture(drawn, view.horizon, right, shown, first), key=f"{KEY}-strips")
        ahead = "on average over the horizon" if step is None else f"{step + 1} step{'s' * (step > 0)} ahead"
        widgets.note(
            f"What each step of the window adds to the forecast {ahead}, over all variates, whatever its sign. A "
            "reading of the model, not a cause."
        )
    else:
        widgets.note("This window has missing steps, so what each step adds to the forecast cannot be drawn.")
    if edits:
        changes = changes_of(view, after)
        scales = palette(max(len(changes) - 2, 0), shown)
        inspect.show(charts.change_picture(changes, scales, shown), key=f"{KEY}-change")
        with st.popover("Numbers", type="tertiary", icon=":material/table:"):
            st.dataframe(numbers(view, after, changes), hide_index=True, height=320, key=f"{KEY}-numbers")


def changes_of(view: View, after: Trace) -> dict[str, np.ndarray]:
    """The change of the forecast by step ahead, then its parts: by scale, fine to coarse, and of what belongs to none.
    Only the whole for a model without scales."""
    before, column = view.trace(), view.column
    whole = {charts.FORECAST: after.forecast[0, :, column] - before.forecast[0, :, column]}
    if len(after.scales) < 2:
        return whole
    parts = {
        name: new.contribution[0, :, column] - old.contribution[0, :, column]
        for name, old, new in zip(names_of(after), before.scales, after.scales, strict=True)
    }
    return whole | parts | {charts.REST: after.rest[0, :, column] - before.rest[0, :, column]}


def numbers(view: View, after: Trace, changes: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row a step ahead: the forecasts, the truth where it is known, and every part of the change."""
    rows = {
        "time": view.stamps[view.lookback :],
        "steps ahead": np.arange(1, view.horizon + 1),
        "forecast before": view.trace().forecast[0, :, view.column],
        "forecast after": after.forecast[0, :, view.column],
    }
    if view.truth is not None:
        rows["observed"] = view.truth
    return pd.DataFrame(rows | {f"change, {kind}": values for kind, values in changes.items()})


# -- what the model says -----------------------------------------------------------------------------------------------


def _place(view: View) -> tuple[Any, ...]:
    return view.row.id, inspect.version(view.row.id), view.dataset.fingerprint, view.window.index


def _answer(view: View, edits: tuple[Edit, ...], changed: np.ndarray) -> Trace:
    """Raises UserError where the model has no answer to this window."""
    if not edits:
        return view.trace()
    found = _trace(_place(view), texts.write(edits), view.run, changed)
    if not np.isfinite(found.forecast[0, :, view.column]).all():
        raise UserError("The model has no forecast for a window with numbers this large. Undo the last change.")
    return found


@st.cache_resource(max_entries=64, show_spinner=False)
def _trace(place: tuple[Any, ...], edits: str, _run: LoadedRun, _changed: np.ndarray) -> Trace:
    return _run.trace(_changed)


def _added(view: View, edits: tuple[Edit, ...], lookback: np.ndarray, step: int | None) -> np.ndarray:
    """How much each step of the window adds to the forecast, L, in the variate's own units, signs left out."""
    steps = np.linspace(0, view.horizon - 1, min(STEPS, view.horizon)).round().astype(int) if step is None else [step]
    asked = tuple(int(s) for s in steps)
    return _contributions(_place(view), texts.write(edits), view.column, asked, view.run, lookback)


@st.cache_resource(max_entries=128, show_spinner=False)
def _contributions(
    place: tuple[Any, ...], edits: str, column: int, steps: tuple[int, ...], _run: LoadedRun, _lookback: np.ndarray
) -> np.ndarray:
    from core.explain.methods.adds_up import contributions
    from core.explain.methods.contract import Probe, Question

    probe = Probe(_run.model, _run.normalised(_lookback), Question(column, steps[0]))
    found = contributions(probe, steps)
    return np.abs(found.values_HLC).sum(axis=2).mean(axis=0) * float(_run.scaler.std[column])


# -- edits belong to a window ------------------------------------------------------------------------------------------


def _begin(view: View) -> None:
    """Another window, or another model, starts without edits; a link brings its own."""
    place, known = (view.row.id, view.window.index), session.get(f"{KEY}-place")
    if place == known:
        return
    session[f"{KEY}-place"] = place
    edits: tuple[Edit, ...] = ()
    if known is None and (text := st.query_params.get(LINK)):
        try:
            edits = texts.read(text)
            texts.apply(view.window.lookback, view.run.spec.columns, edits)
        except UserError as error:
            edits, session[f"{KEY}-problem"] = (), f"The changes in this link are left out. {error}"
        session[KEY] = True  # the section is open
    poke.reset(KEY, edits)


def _link(edits: tuple[Edit, ...]) -> None:
    """The address names the edits, as long as a browser takes it."""
    text = texts.write(edits)
    if not text or len(text) > LONGEST:
        st.query_params.pop(LINK, None)
    elif st.query_params.get(LINK) != text:
        st.query_params[LINK] = text
