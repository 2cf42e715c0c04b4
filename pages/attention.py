"""Attention: what the model looked at, on one time axis with the series, and how far to believe the picture."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.explain import saliency
from core.models.trace import AttentionMap
from core.ui import boot, export, inspect, state, widgets
from core.ui.charts import attention as charts
from core.ui.theme import colors

heading = boot.page("Attention")
view = inspect.context(step_ahead=True)
run, shown, found = view.run, colors(), view.relevance
trace = view.trace()
maps = [m for m in trace.maps if m.query.kind == "time" and m.key.kind == "time"]

if not run.model.capabilities.time_saliency or not maps:
    reason = run.model.capabilities.reason or (
        "This configuration has one scale only, and the finest scale has no attention."
        if run.model.capabilities.time_saliency
        else ""
    )
    st.markdown(f"{widgets.plain(run.model.title)} has no attention over time to draw here. {widgets.plain(reason)}")
    st.markdown("What does exist: its forecast, and the parts that add up to it.")
    with st.container(horizontal=True):
        query = state.params()
        st.page_link("pages/forecast.py", label="Forecast", icon=":material/show_chart:", query_params=query)
        if trace.scales:
            st.page_link("pages/scales.py", label="Scales", icon=":material/stacked_line_chart:", query_params=query)
    st.stop()

if found.get("sentence"):
    heading.markdown(f"**{widgets.plain(found['sentence'])}**")

# -- which map, and what is marked: the URL and the session hold it, charts and fields both change it ------------------

NONE = "none"
session: Any = st.session_state
by_name = {f"{m.scale}-{m.branch}": m for m in maps}


def chosen_map() -> str:
    """The map of the URL: a scale, or a scale and its branch ("2-local"); else the coarsest patch map."""
    wanted = str(state.get("scale") or "")
    name = next((n for n in (wanted, f"{wanted}-patch") if n in by_name), None)
    return name or next((n for n in reversed(by_name) if n.endswith("-patch")), next(iter(by_name)))


def choose(scale: int | None, branch: str) -> None:
    state.put(scale=scale if branch == "patch" else f"{scale}-{branch}")
    session.pop("attention-cell", None)


def selected() -> None:
    """The mouse brushed a span or clicked a cell: the fields follow."""
    selection = session[chart_key].selection
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


name = chosen_map()
chosen: AttentionMap = by_name[name]
choose_now = state.get("scale")
if choose_now is None:
    state.put(scale=chosen.scale)
cells = charts.cells(chosen)
span, cell = session.get("attention-span"), session.get("attention-cell")
marked, marked_cell = session.get("attention-marked") or (None, None)
if cell is not None and not ((cells["q"] == cell[0]) & (cells["k"] == cell[1])).any():
    cell = marked_cell = session["attention-cell"] = None
if span is not None and span[1] > view.lookback:
    span = marked = session["attention-span"] = None
chart_key = f"attention-{view.row.id}-{name}-{session.get('attention-turn', 0)}"
if chart_key not in session:  # first drawn here: it starts with what is marked
    session["attention-marked"] = marked, marked_cell = span, cell
resolution = int(np.ptp(chosen.key.spans[0]))
strips = [method(trace) for method in (saliency.published, saliency.corrected)]

main, side = st.columns([3.2, 1], gap="medium")
with side:
    scales = sorted({m.scale for m in maps if m.scale is not None})
    session["attention-scale"] = chosen.scale
    patches = {s.scale: s.patch * s.factor for s in trace.scales}
    points = {s.scale: s.patch for s in trace.scales}

    def scale_name(scale: int) -> str:
        return f"{scale} · patches of {points[scale]} = {patches[scale]} steps" if scale in points else f"{scale}"

    st.selectbox(
        "Scale",
        scales,
        format_func=scale_name,
        key="attention-scale",
        on_change=lambda: choose(session["attention-scale"], chosen.branch),
        help="Scale 0, the finest, has no attention.",
    )
    branches = [m.branch for m in maps if m.scale == chosen.scale]
    session["attention-branch"] = chosen.branch
    st.radio(
        "Branch",
        branches,
        format_func=lambda b: {"patch": "Patches", "local": "Inside patches"}.get(b) or str(b),
        key="attention-branch",
        on_change=lambda: choose(chosen.scale, session["attention-branch"]),
        help="Between patches, or between the points inside each patch. The model adds both.",
        horizontal=True,
    )
    drawn = st.multiselect(
        "Saliency strips",
        [s.method for s in strips],
        default=[s.method for s in strips],
        format_func=str.capitalize,
        key="attention-strips",
        help="Published: the paper's own. Corrected: ours, weighted by what each patch carries and each scale adds.",
    )

truth = charts.truth_spans(view.known, view.lookback, view.step)
forecast = trace.forecast[0, :, view.column]
lookback = view.window.lookback[:, view.column]
times = view.stamps
tables = {
    "series": charts.lines(lookback, view.truth, forecast, times),
    "points": charts.positions(lookback, view.truth, forecast, times),
    "strips": charts.strips([s for s in strips if s.method in drawn]),
    "cells": cells,
    "truth": truth,
    "asked": pd.DataFrame({"at": [view.lookback + view.step + 0.5], "value": [forecast[view.step]]}),
}
strongest = cells.loc[cells["weight"].idxmax()]
branch_name = {"patch": "Patch attention", "local": "Inside patches"}.get(chosen.branch, chosen.branch.capitalize())
picture = charts.attention_picture(
    tables,
    lookback=view.lookback,
    horizon=view.horizon,
    variate=view.variate,
    unit="in its own units",
    branch=branch_name,
    resolution=resolution,
    colors=shown,
    takeaway=f"{branch_name} of scale {chosen.scale}, strongest: {strongest['text']}.",
    marked=marked,
    cell=marked_cell,
)


def share_of(first: int, last: int) -> tuple[float, float, dict[str, float]]:
    """Of the steps [first, last): the map's weight (mean over rows), an even share, and each saliency's share."""
    weights = np.asarray(chosen.weights[0], float).mean(axis=0)
    spans = np.asarray(chosen.key.spans)
    overlap = np.clip(np.minimum(spans[:, 1], last) - np.maximum(spans[:, 0], first), 0, None) / np.ptp(spans, axis=1)
    maps_share = {s.method: float(s.values[first:last].sum() / max(s.values.sum(), 1e-12)) for s in strips}
    return float((weights * overlap).sum() / weights.sum()), (last - first) / view.lookback, maps_share


def told() -> str:
    """What is marked, in words."""
    parts = []
    if cell is not None:
        parts.append(next(r["text"] for r in cells.to_dict("records") if (r["q"], r["k"]) == cell) + ".")
    if span is not None:
        weight, even, share = share_of(*span)
        which = ", ".join(f"{value:.1%} of the {method} saliency" for method, value in share.items())
        parts.append(
            f"{charts.span(*span).capitalize()} hold {weight:.1%} of this map's weight and {which}; "
            f"an even share would be {even:.1%}."
        )
    return " ".join(parts) or (
        f"Strongest: {strongest['text'][0].lower()}{strongest['text'][1:]}. Brush steps on the series, or click a "
        "cell, to mark where it looks."
    )


with main:
    if view.horizon < 12:
        widgets.note(
            f"The horizon is {view.horizon} step{'s' if view.horizon > 1 else ''}: the keys are stretched from so few "
            "numbers that all of them are nearly one number, and the attention is nearly even by construction."
        )
    inspect.show(picture, key=chart_key, on_select=selected, selection_mode=["span", "cell"])
    with st.container(border=True, gap="small", key="attention-told"):
        st.text(told())
        for s in strips:
            if s.method in drawn:
                widgets.note(
                    f"**{s.method.capitalize()}**, resolves {s.resolution} steps, speaks for {s.speaks_for:.0%} of "
                    f"the forecast's change. {widgets.plain(s.sentence)}"
                )


with side:
    if span is not None:
        session["span-from"], session["span-to"] = span[0], span[1] - 1
    else:
        for field in ("span-from", "span-to"):  # one may be filled before the other
            session[field] = None if (typed := session.get(field)) is None else min(typed, view.lookback - 1)
    limits = {"min_value": 0, "max_value": view.lookback - 1, "step": 1, "on_change": typed_span, "placeholder": "none"}
    left, right = st.columns(2, gap="small")
    left.number_input("Mark from step", key="span-from", **limits)
    right.number_input("to step", key="span-to", **limits)
    if len(cells) <= 400:
        for place, label, key, index, ends in zip(
            st.columns(2, gap="small"),
            ("Cell: asks", "answers"),
            ("cell-asks", "cell-answers"),
            "qk",
            (("q0", "q1"), ("from", "to")),
            strict=True,
        ):
            names = {int(r[index]): charts.short_span(r[ends[0]], r[ends[1]]) for r in cells.to_dict("records")}
            if cell is not None:
                session[key] = cell[0] if index == "q" else cell[1]
            elif session.get(key) not in names:
                session[key] = NONE
            place.selectbox(
                label,
                [NONE, *sorted(names)],
                format_func=lambda n, of=names: of.get(n) or str(n),
                key=key,
                on_change=typed_cell,
            )


def numbers() -> pd.DataFrame:
    """Everything drawn, long: the map's cells, then each saliency by step."""
    head = ["what", "asks from", "asks to", "step from", "step to", "value", "even share"]
    parts = [
        pd.DataFrame(
            {
                "what": f"{chosen.branch} attention, scale {chosen.scale}",
                "asks from": cells["q0"],
                "asks to": cells["q1"] - 1,
                "step from": cells["from"],
                "step to": cells["to"] - 1,
                "value": cells["weight"],
                "even share": cells["even"],
            }
        )
    ]
    step = np.arange(view.lookback)
    for s in strips:
        about = {"what": f"{s.method} saliency", "step from": step, "step to": step, "value": s.values}
        parts.append(pd.DataFrame(about).assign(**{"even share": float(s.values.sum()) / view.lookback}))
    return pd.concat(parts, ignore_index=True).reindex(columns=head)


with side:
    method = (
        f"{branch_name}, scale {chosen.scale}, with {', '.join(drawn) or 'no'} saliency, forecast step {view.step + 1}"
    )
    export.buttons("scalescope-attention", picture, numbers(), view.provenance(method))
    with st.popover("What this map may not claim", type="tertiary"):
        st.markdown(
            "Attention weights are one factor of the forecast, not its cause. "
            f"This map resolves {resolution} step{'s' if resolution > 1 else ''}. It is one map for all variates and "
            "all steps ahead. The finest scale has no attention and enters no map; what it adds is on the Scales page."
        )
with st.expander("Numbers", icon=":material/table:"):
    st.dataframe(numbers(), hide_index=True, height=320, key="attention-numbers")
