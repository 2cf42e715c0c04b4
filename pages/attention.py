"""Attention: what the model looked at, on one time axis with the series, and how far to believe the picture.

For any architecture the first map is what adds up to the forecast; the attention weights are a factor of it and stand
beside it, through the axes that they declare. A map over time shares the axis of the series; a map over variates or
features stands alone, and the page says why it is no saliency of the window. Under the picture stands what the
forecast itself says of every map.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import UserError
from core.ui import believe, boot, evidence, export, inspect, state, whatif, widgets
from core.ui.charts import attention as charts
from core.ui.charts.cells import signed, span
from core.ui.evidence import Asked
from core.ui.inspect import View
from core.ui.maps import (
    ABOUT_BRANCHES,
    ADDS,
    ALL,
    BRANCHES,
    MEAN,
    Choice,
    map_of,
    maps_of,
    picture_of,
    scale_name,
    scales_of,
)

if TYPE_CHECKING:
    from core.explain.methods.contract import Statistics

STATISTICS: "dict[Statistics, str]" = {"frozen": "stay the clean window's", "free": "are its own"}
NONE = "none"

heading = boot.page("Attention")
view = inspect.context(step_ahead=True)
run, found = view.run, view.relevance
about, names = run.model.capabilities, view.run.spec.columns
session: Any = st.session_state
complete = bool(np.isfinite(view.window.lookback).all())

if found.get("sentence"):
    heading.markdown(f"**{widgets.plain(found['sentence'])}**")


# -- which map, and what is marked: the URL and the session hold it, charts and fields both change it ------------------


def of_url(name: str, options: list, default: Any) -> Any:
    """The option that the URL names, else ``default``."""
    return next((o for o in options if str(o) == state.get(name)), default)


def pick(name: str) -> None:
    """A picker changed: the URL follows, and what belonged to the old map is forgotten."""
    order = ("branch", "scale", "layer", "head")
    below = dict.fromkeys(order[order.index(name) + 1 :]) if name == "branch" else {}
    state.put(**{name: session[f"attention-{name}"]}, **{k: v for k, v in below.items() if k != "scale"})
    session.pop("attention-cell", None)


def selected() -> None:
    """The mouse brushed a span or clicked a cell: the fields follow."""
    selection = session[chart_key].selection
    if drawn.over_time:
        at = (selection.get("span") or {}).get("at")
        session["attention-span"] = charts.steps_of(at, view.lookback) if at else None
        if session["attention-span"] is None:
            session["span-from"] = session["span-to"] = None
    cell = selection.get("cell") or []
    session["attention-cell"] = (int(cell[0]["q"]), int(cell[0]["k"])) if cell else None


def typed_span() -> None:
    """The fields changed: the picture starts anew with that span marked."""
    first, last = session["span-from"], session["span-to"]
    session["attention-span"] = None if first is None or last is None else (min(first, last), max(first, last) + 1)
    start_anew()


def typed_cell() -> None:
    asks, answers = session["cell-asks"], session["cell-answers"]
    session["attention-cell"] = None if NONE in (asks, answers) else (asks, answers)
    start_anew()


def start_anew() -> None:
    session["attention-marked"] = session.get("attention-span"), session.get("attention-cell")
    session["attention-turn"] = session.get("attention-turn", 0) + 1


# -- the pickers -------------------------------------------------------------------------------------------------------

branches = [ADDS] * complete + list(dict.fromkeys(m.branch for m in maps_of(view)))
if not branches:
    widgets.problem(
        "This window has missing steps, and this model has no attention: nothing can be drawn of what it looked at. "
        "Choose a window without missing steps."
    )
    inspect.elsewhere(scales=bool(view.trace().scales))
    st.stop()

main, side = st.columns([3.2, 1], gap="medium")
branch = of_url("branch", branches, branches[0])
ours = [m for m in maps_of(view) if m.branch == branch]
scales: list[Any] = scales_of(view, branch)
if branch == ADDS:
    scales = [ALL, *scales] if scales else []
    scale = of_url("scale", scales, ALL)
else:
    # the coarsest of those that tell most keys apart
    most = max(len(m.key) for m in ours)
    scale = of_url("scale", scales, next((m.scale for m in reversed(ours) if len(m.key) == most), None))
    ours = [m for m in ours if m.scale == scale]
layers = sorted({m.layer for m in ours}) or [0]
layer = of_url("layer", layers, layers[-1])
heads = [m.head for m in ours if m.layer == layer]
head = of_url("head", heads, MEAN)
sources = [ALL, *(name for i, name in enumerate(names) if i not in run.spec.withheld)]
source = of_url("source", sources, ALL) if branch == ADDS else ALL
if state.get("branch") is None or (scale is not None and state.get("scale") is None):
    state.put(branch=branch, scale=scale)

with side:
    if len(branches) > 1:
        session["attention-branch"] = branch
        st.radio(
            "Map",
            branches,
            format_func=lambda b: BRANCHES.get(b, (b.capitalize(),))[0],
            key="attention-branch",
            on_change=pick,
            args=("branch",),
            help="; ".join(f"{BRANCHES[b][0]}: {ABOUT_BRANCHES[b]}" for b in branches if b in BRANCHES) + ".",
            horizontal=True,
        )
    with st.container(horizontal=True, gap="small"):
        if len(scales) > 1 or branch == "patch":
            session["attention-scale"] = scale
            st.selectbox(
                "Scale",
                scales,
                format_func=lambda s: scale_name(view, branch, s),
                key="attention-scale",
                on_change=pick,
                args=("scale",),
                help="Fine to coarse. "
                + (
                    "What reaches the forecast through that scale alone."
                    if branch == ADDS
                    else "Of the queries; a scale that is not in the list has no attention of this kind."
                ),
            )
        if branch == ADDS and len(sources) > 2:
            session["attention-source"] = source
            st.selectbox(
                "From",
                sources,
                format_func=lambda s: "all variates" if s == ALL else s,
                key="attention-source",
                on_change=lambda: state.put(source=session["attention-source"]),
                help="Whose values add to the forecast.",
            )
    if len(layers) > 1 or len(heads) > 1:
        with st.container(horizontal=True, gap="small"):
            if len(layers) > 1:
                session["attention-layer"] = layer
                st.selectbox(
                    "Layer",
                    layers,
                    format_func=lambda n: f"{n + 1} of {layers[-1] + 1}",
                    key="attention-layer",
                    on_change=pick,
                    args=("layer",),
                )
            if len(heads) > 1:
                session["attention-head"] = head
                st.selectbox(
                    "Head",
                    [MEAN, *heads],
                    format_func=lambda n: f"mean of {len(heads)}" if n == MEAN else f"{int(n) + 1}",
                    key="attention-head",
                    on_change=pick,
                    args=("head",),
                )


def ask() -> tuple[Asked, list[str]]:
    """The methods whose strips are drawn, and the question they answer."""
    from core.explain.methods.contract import BASELINES
    from core.explain.methods.registry import methods_for

    readings = {one.method: one for one in evidence.intrinsic(Asked(view))}
    known = methods_for(run.model) if complete else {}
    titles = {name: one.title for name, one in readings.items()} | {name: one.title for name, one in known.items()}
    proposed = [*readings, *(name for name in evidence.default_methods(view) if name in known)]
    chosen = st.multiselect(
        "Methods",
        list(titles),
        default=proposed,
        format_func=titles.__getitem__,
        key=f"attention-methods-{view.row.spec.get('model')}-{complete}",
        help="One strip each, on the same steps. "
        + " ".join(f"**{one.title}**: {one.summary}" for one in known.values() if one.name in proposed),
    )
    with st.popover("How it is asked", type="tertiary", icon=":material/tune:"):
        together = st.toggle(
            "All steps ahead together",
            key="attention-together",
            help="The sum of the absolute changes over the horizon, in place of one step ahead.",
        )
        baseline = st.selectbox(
            "A value taken away becomes",
            list(BASELINES),
            format_func=BASELINES.__getitem__,
            key="attention-baseline",
        )
        statistics = st.radio(
            "A changed window's mean and deviation",
            list(STATISTICS),
            format_func=STATISTICS.__getitem__,
            key="attention-statistics",
            help="A model that normalises its window would otherwise move with its level whatever step is taken away.",
        )
    return Asked(view, together, baseline, statistics), chosen


with side:
    asked, methods = ask()
choice = Choice(branch, scale, layer, head, source)
drawn = map_of(view, choice, asked)
readings = {one.method: one for one in evidence.intrinsic(asked)}
problem = ""
strips = []
with main, st.spinner("Asking the methods", show_time=True):
    for name in methods:
        try:
            strips.append(readings[name] if name in readings else evidence.step_map(asked, name))
        except UserError as error:
            problem = str(error)

cells = drawn.cells
span_, cell = session.get("attention-span"), session.get("attention-cell")
marked, marked_cell = session.get("attention-marked") or (None, None)
if cell is not None and not ((cells["q"] == cell[0]) & (cells["k"] == cell[1])).any():
    cell = marked_cell = session["attention-cell"] = None
if span_ is not None and span_[1] > view.lookback:
    span_ = marked = session["attention-span"] = None
taken = bool(session.get("attention-take")) and span_ is not None and complete
chart_key = (
    f"attention-{view.row.id}-{branch}-{scale}-{layer}-{head}-{source}-{taken}-{session.get('attention-turn', 0)}"
)
if chart_key not in session:  # first drawn here: it starts with what is marked
    session["attention-marked"] = marked, marked_cell = span_, cell
changed = evidence.without(asked, *span_) if taken and span_ else None
picture = picture_of(
    view,
    drawn,
    strips if drawn.over_time else [],
    changed,
    **({"marked": marked} if drawn.over_time else {}),
    cell=marked_cell,
)


# -- what is said of it ------------------------------------------------------------------------------------------------


def share_of(first: int, last: int) -> str:
    """What the steps [first, last) hold of the map and of every strip, in words."""
    held = [
        f"{s.values[first:last].sum() / max(s.values.sum(), 1e-12):.1%} of {s.title[0].lower() + s.title[1:]}"
        for s in strips
    ]
    even = f"an even share would be {(last - first) / view.lookback:.1%}"
    if drawn.weights is not None:
        weights = np.asarray(drawn.weights.weights[0], float).mean(axis=0)
        spans = np.asarray(drawn.weights.key.spans)
        overlap = np.clip(np.minimum(spans[:, 1], last) - np.maximum(spans[:, 0], first), 0, None)
        part = (weights * overlap / np.ptp(spans, axis=1)).sum() / weights.sum()
        held.insert(0, f"{part:.1%} of this map's weight")
    return f"{span(first, last).capitalize()} hold {', '.join(held)}; {even}." if held else ""


def told() -> str:
    """What is marked, in words; without a mark what the map says by itself."""
    parts = []
    if cell is not None:
        parts.append(next(r["text"] for r in cells.to_dict("records") if (r["q"], r["k"]) == cell) + ".")
    if span_ is not None and drawn.over_time:
        parts.append(share_of(*span_))
    if changed is not None and span_ is not None:
        before, after = (float(y[view.step]) for y in (view.trace().forecast[0, :, view.column], changed))
        parts.append(
            f"Without {span(*span_)} the forecast {view.step + 1} steps ahead is {signed(after)}, not "
            f"{signed(before)}: {signed(after - before)}."
        )
    hint = "Brush steps on the series, or click a cell, to mark where it looks." if drawn.over_time else "Click a cell."
    text = str(drawn.strongest["text"])
    if drawn.weights is None or drawn.weights.query.kind != "variate":  # a variate's name stays as it was uploaded
        text = text[0].lower() + text[1:]
    return " ".join(parts) or f"Strongest: {text}. {hint}"


def adds_up_in_words() -> str:
    """The identity, with this window's numbers at the step in question."""
    from core.explain.methods.contract import BASELINES

    whole = evidence.adds_up(asked)
    at = int(np.searchsorted(whole.steps_H, view.step))
    sum_, rest = float(whole.values_HLC[at].sum()), float(whole.rest_H[at])
    text = (
        f"{view.step + 1} steps ahead, contributions of {signed(sum_)} and a rest of {signed(rest)} (the forecast of "
        f"{BASELINES[asked.baseline]}) are the forecast, {signed(float(whole.forecast_H[at]))}. "
    )
    if about.attention and view.trace().maps:
        text += f"{evidence.carried(asked):.0%} of their size passes through attention. "
    return text + "A reading of the model at this window, not a cause."


with main:
    if branch == "patch" and view.horizon < 12:
        widgets.note(
            f"The horizon is {view.horizon} step{'s' if view.horizon > 1 else ''}: the keys are stretched from so few "
            "numbers that all of them are nearly one number, and the attention is nearly even by construction."
        )
    if branch != ADDS and not readings:
        reason = about.reason or "This attention does not lead to steps of the window."
        st.markdown(f"**No saliency of the window follows from this attention.** {widgets.plain(reason)}")
    if branch == ADDS and not maps_of(view):
        reason = about.reason or "This configuration has one scale only, and the finest scale has no attention."
        widgets.note(f"There is no attention to draw. {widgets.plain(reason)}")
    if not complete:
        widgets.note("This window has missing steps, which cannot be changed one by one: only the attention is drawn.")
    modes = ["span", "cell"] if drawn.over_time else ["cell"]
    beside = st.container()
    inspect.show(picture, key=chart_key, on_select=selected, selection_mode=modes)
    if problem:
        widgets.problem(problem)
    with st.container(border=True, gap="small", key="attention-told"):
        st.text(told())
        if branch == ADDS:
            widgets.note(adds_up_in_words())
        for s in strips:
            if s.name in readings and branch != ADDS:
                reading = readings[s.name]
                widgets.note(
                    f"**{widgets.plain(s.title)}**, resolves {s.resolution} step{'s' * (s.resolution != 1)}. "
                    f"{widgets.plain(reading.summary)}"
                )
    if not drawn.over_time:
        inspect.elsewhere(scales=bool(view.trace().scales))


# -- marks, another view beside, files ---------------------------------------------------------------------------------

with side:
    if drawn.over_time:
        if span_ is not None:
            session["span-from"], session["span-to"] = span_[0], span_[1] - 1
        else:
            for field in ("span-from", "span-to"):  # one may be filled before the other
                session[field] = None if (typed := session.get(field)) is None else min(typed, view.lookback - 1)
        limits = {"min_value": 0, "max_value": view.lookback - 1, "step": 1, "on_change": typed_span}
        left, right = st.columns(2, gap="small")
        left.number_input("Mark from step", key="span-from", placeholder="none", **limits)
        right.number_input("to step", key="span-to", placeholder="none", **limits)
        if complete:
            st.toggle(
                "Take the marked steps away",
                key="attention-take",
                disabled=span_ is None,
                help="They become the baseline in every variate, and the forecast is drawn anew beside the old one.",
            )
    if len(cells) <= 400:
        for place, label, key, index, column in zip(
            st.columns(2, gap="small"),
            ("Cell: asks", "answers"),
            ("cell-asks", "cell-answers"),
            "qk",
            ("asks", "answers"),
            strict=True,
        ):
            named = {int(r[index]): r[column] for r in cells.to_dict("records")}
            if cell is not None:
                session[key] = cell[0] if index == "q" else cell[1]
            elif session.get(key) not in named:
                session[key] = NONE
            place.selectbox(
                label,
                [NONE, *sorted(named)],
                format_func=lambda n, of=named: str(of.get(n, n)),
                key=key,
                on_change=typed_cell,
            )


def numbers() -> pd.DataFrame:
    """Everything drawn, long: the map's cells, then each strip by step. Spans include their last entry."""
    ends = ["asks from", "asks to", "step from", "step to"] if drawn.over_time else []
    kept = ["asks", "answers", *ends, "weight"]
    parts = [
        pd.DataFrame({"what": drawn.full_name} | {name: cells[name] for name in kept} | {"even share": cells["even"]})
    ]
    step = np.arange(view.lookback)
    for s in strips:
        even = float(s.values.sum()) / view.lookback
        row = {"what": s.title, "step from": step, "step to": step, "weight": s.values}
        parts.append(pd.DataFrame(row).assign(**{"even share": even}))
    return pd.concat(parts, ignore_index=True)


with side:
    others = {id: inspect.run_name(row) for id, row in inspect.comparable(view).items()}
    with st.popover("Compare with", icon=":material/compare:", width="stretch"):
        kind = st.radio("Beside this", ["nothing", "another window", "another run"], key="beside-kind")
        other_window = (
            st.number_input("Window", 1, max(view.count, 1), key="beside-window") if "window" in kind else None
        )
        other_run = None
        if kind == "another run":
            if others:
                other_run = st.selectbox("Run", list(others), format_func=others.__getitem__, key="beside-run")
            else:
                widgets.note("There is no other run of this dataset and variate.")
    method = drawn.full_name + (f", with {', '.join(s.title for s in strips)}" if strips and drawn.over_time else "")
    lines = view.provenance(f"{method}, {asked.provenance()}" if drawn.over_time else method)
    export.buttons("scalescope-attention", picture, numbers(), lines)
    with st.popover("What this map may not claim", type="tertiary"):
        resolves = f" This map resolves {drawn.resolution} steps." if drawn.resolution > 1 else ""
        st.markdown(
            (
                "Contributions are a reading of the model at one window, its attention, gates and slopes held: not "
                "what would happen without a step, and not a cause. "
                if branch == ADDS
                else f"Attention weights are one factor of the forecast, not its cause.{resolves} "
            )
            + widgets.plain(run.model.limits)
        )


def show_beside(other: View) -> None:
    """The same map of another view, small, with where it parts from this one."""
    wanted = choice
    if wanted.branch != ADDS and not [
        m for m in maps_of(other) if m.branch == wanted.branch and m.scale == wanted.scale and m.layer == wanted.layer
    ]:
        wanted = Choice(ADDS, ALL)
    theirs = replace(asked, view=other)
    st.caption(other.provenance()[1])
    try:
        kept = {one.method: one for one in evidence.intrinsic(theirs)}
        rows = [
            kept[s.name] if s.name in kept else evidence.step_map(theirs, s.name)
            for s in strips
            if s.signed_BLC is not None or s.name in kept
        ]
        what = map_of(other, wanted, theirs)
        inspect.show(picture_of(other, what, rows if what.over_time else []), key=f"beside-{other.row.id}")
    except UserError as error:
        widgets.problem(error)


with beside:
    if other_window is not None:
        show_beside(replace(view, window=run.window(view.series, int(other_window) - 1)))
    elif other_run is not None:
        try:
            show_beside(inspect.beside(view, other_run))
        except UserError as error:
            widgets.problem(error)
whatif.section(view, view.step)
if strips and complete:
    with st.spinner("Taking steps away", show_time=True):
        believe.show(asked, strips)
with st.expander("Numbers", icon=":material/table:"):
    st.dataframe(numbers(), hide_index=True, height=320, key="attention-numbers")
