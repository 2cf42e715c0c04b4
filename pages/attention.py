"""Attention: what the model looked at, on one time axis with the series, and how far to believe the picture.

Any architecture through the axes its maps declare. A map over time shares the axis of the series; a map over variates
or features stands alone, and the page says why it is no saliency of the window.
"""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.explain import saliency
from core.models.trace import AttentionMap
from core.ui import boot, export, inspect, state, widgets
from core.ui.charts import attention as charts
from core.ui.charts.attention_map import map_picture
from core.ui.charts.cells import average, span
from core.ui.charts.cells import cells as cells_of
from core.ui.theme import colors

# a branch as the picker and as the picture call it
BRANCHES = {
    "patch": ("Patches", "Patch attention"),
    "local": ("Inside patches", "Inside patches"),
    "self": ("Self", "Self-attention"),
    "cross": ("Cross", "Cross-attention"),
    "cross, by variate": ("Cross, by variate", "Cross-attention, by variate"),
    "core": ("Core", "Core weights"),
    "score": ("Score", "Score attention"),
}
ABOUT_BRANCHES = {
    "patch": "between patches",
    "local": "between the points inside each patch",
    "self": "tokens of one kind ask each other",
    "cross": "tokens of one scale ask those of another",
    "cross, by variate": "the same weights, added up for each variate that is asked",
    "core": "what each variate gives to the common core",
    "score": "how much of a feature each token keeps",
}
MEAN = "mean"

heading = boot.page("Attention")
view = inspect.context(step_ahead=True)
run, shown, found = view.run, colors(), view.relevance
trace, about = view.trace(), run.model.capabilities
names = run.spec.columns
maps = [m for m in trace.maps if m.variate in (None, view.column)]

if not maps:
    reason = about.reason or "This configuration has one scale only, and the finest scale has no attention."
    st.markdown(f"**There is no attention to draw.** {widgets.plain(reason)}")
    st.markdown("What does exist: its forecast" + (", and the parts that add up to it." if trace.scales else "."))
    inspect.elsewhere(scales=bool(trace.scales))
    st.stop()

if found.get("sentence"):
    heading.markdown(f"**{widgets.plain(found['sentence'])}**")

# -- which map, and what is marked: the URL and the session hold it, charts and fields both change it ------------------

NONE = "none"
session: Any = st.session_state


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
    if over_time:
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


branches = list(dict.fromkeys(m.branch for m in maps))
branch = of_url("branch", branches, branches[0])
ours = [m for m in maps if m.branch == branch]
scales = sorted({m.scale for m in ours if m.scale is not None})
# the coarsest of those that tell most keys apart
most = max(len(m.key) for m in ours)
scale = of_url("scale", scales, next((m.scale for m in reversed(ours) if len(m.key) == most), None))
ours = [m for m in ours if m.scale == scale]
layers = sorted({m.layer for m in ours})
layer = of_url("layer", layers, layers[-1])
heads = [m for m in ours if m.layer == layer]
head = of_url("head", [m.head for m in heads], MEAN)
chosen: AttentionMap = average(heads) if head == MEAN else next(m for m in heads if m.head == head)
over_time = chosen.key.kind == "time"
if state.get("branch") is None or (scale is not None and state.get("scale") is None):
    state.put(branch=branch, scale=scale)

cells = cells_of(chosen, names)
span_, cell = session.get("attention-span"), session.get("attention-cell")
marked, marked_cell = session.get("attention-marked") or (None, None)
if cell is not None and not ((cells["q"] == cell[0]) & (cells["k"] == cell[1])).any():
    cell = marked_cell = session["attention-cell"] = None
if span_ is not None and span_[1] > view.lookback:
    span_ = marked = session["attention-span"] = None
chart_key = f"attention-{view.row.id}-{branch}-{scale}-{layer}-{head}-{session.get('attention-turn', 0)}"
if chart_key not in session:  # first drawn here: it starts with what is marked
    session["attention-marked"] = marked, marked_cell = span_, cell
resolution = int(np.ptp(chosen.key.spans[0])) if over_time else 1
strips = saliency.readings(trace, about.saliency, view.lookback, view.column)


def scale_name(number: int) -> str:
    """A scale with what its keys span; by its own name where the model gives it one."""
    part = next((s for s in trace.scales if s.scale == number), None)
    keys = next(m.key for m in maps if m.scale == number and m.branch == branch)
    name = part.name if part and part.name else str(number)
    if part and part.patch and branch == "patch":
        return f"{name} · patches of {part.patch} = {part.patch * part.factor} steps"
    return f"{name} · keys of {int(np.ptp(keys.spans[0]))} steps" if keys.kind == "time" else name


main, side = st.columns([3.2, 1], gap="medium")
with side:
    if len(scales) > 1 or branch == "patch":
        session["attention-scale"] = scale
        st.selectbox(
            "Scale",
            scales,
            format_func=scale_name,
            key="attention-scale",
            on_change=pick,
            args=("scale",),
            help="Of the queries, fine to coarse. A scale that is not in the list has no attention of this kind.",
        )
    if len(branches) > 1:
        session["attention-branch"] = branch
        st.radio(
            "Kind",
            branches,
            format_func=lambda b: BRANCHES.get(b, (b.capitalize(),))[0],
            key="attention-branch",
            on_change=pick,
            args=("branch",),
            help="; ".join(f"{BRANCHES[b][0]}: {ABOUT_BRANCHES[b]}" for b in branches if b in BRANCHES) + ".",
            horizontal=True,
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
                    [MEAN, *[m.head for m in heads]],
                    format_func=lambda n: f"mean of {len(heads)}" if n == MEAN else f"{int(n) + 1}",
                    key="attention-head",
                    on_change=pick,
                    args=("head",),
                )
    drawn = [s.method for s in strips]
    if strips and over_time:
        drawn = st.multiselect(
            "Saliency strips",
            drawn,
            default=drawn,
            format_func=str.capitalize,
            key=f"attention-strips-{view.row.spec.get('model')}",
            help=" ".join(f"**{s.method.capitalize()}**: {s.sentence}" for s in strips),
        )

forecast = trace.forecast[0, :, view.column]
lookback = view.window.lookback[:, view.column]
times = view.stamps
strongest = cells.loc[cells["weight"].idxmax()]
branch_name = BRANCHES.get(branch, (branch, branch.capitalize()))[1]
where = [f"layer {layer + 1}"] if len(layers) > 1 else []
where += [f"head {int(head) + 1}" if head != MEAN else f"mean of {len(heads)} heads"] if len(heads) > 1 else []
full_name = ", ".join([branch_name if scale is None else f"{branch_name} of scale {scale}", *where])
takeaway = f"{full_name}, strongest: {strongest['text']}."
if over_time:
    tables = {
        "series": charts.lines(lookback, view.truth, forecast, times),
        "points": charts.positions(lookback, view.truth, forecast, times),
        "strips": charts.strips([s for s in strips if s.method in drawn]),
        "cells": cells,
        "truth": charts.truth_spans(view.known, view.lookback, view.step),
        "asked": pd.DataFrame({"at": [view.lookback + view.step + 0.5], "value": [forecast[view.step]]}),
    }
    picture = charts.attention_picture(
        tables,
        lookback=view.lookback,
        horizon=view.horizon,
        variate=view.variate,
        unit="in its own units",
        branch=branch_name,
        resolution=resolution,
        colors=shown,
        takeaway=takeaway,
        marked=marked,
        cell=marked_cell,
    )
else:
    turned = chosen.query.kind == "feature"
    picture = map_picture(
        cells,
        branch=branch_name,
        turned=turned,
        column_title="features of the model" if turned else f"{chosen.key.kind}s that answer",
        colors=shown,
        takeaway=takeaway,
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
    if span_ is not None and over_time:
        weight, even, share = share_of(*span_)
        which = "".join(f" and {value:.1%} of the {method} saliency" for method, value in share.items())
        parts.append(
            f"{span(*span_).capitalize()} hold {weight:.1%} of this map's weight{which}; "
            f"an even share would be {even:.1%}."
        )
    hint = "Brush steps on the series, or click a cell, to mark where it looks." if over_time else "Click a cell."
    text = str(strongest["text"])
    if chosen.query.kind != "variate":  # a variate's name stays as it was uploaded
        text = text[0].lower() + text[1:]
    return " ".join(parts) or f"Strongest: {text}. {hint}"


with main:
    if "published" in about.saliency and view.horizon < 12:
        widgets.note(
            f"The horizon is {view.horizon} step{'s' if view.horizon > 1 else ''}: the keys are stretched from so few "
            "numbers that all of them are nearly one number, and the attention is nearly even by construction."
        )
    if not strips:
        reason = about.reason or "This attention does not lead to steps of the window."
        st.markdown(f"**No saliency of the window follows from this attention.** {widgets.plain(reason)}")
    modes = ["span", "cell"] if over_time else ["cell"]
    inspect.show(picture, key=chart_key, on_select=selected, selection_mode=modes)
    with st.container(border=True, gap="small", key="attention-told"):
        st.text(told())
        for s in strips:
            if s.method in drawn:
                widgets.note(
                    f"**{s.method.capitalize()}**, resolves {s.resolution} step{'s' * (s.resolution != 1)}, speaks for "
                    f"{s.speaks_for:.0%} of the forecast's change. {widgets.plain(s.sentence)}"
                )
    if not over_time or not strips:
        inspect.elsewhere(scales=bool(trace.scales))


with side:
    if over_time:
        if span_ is not None:
            session["span-from"], session["span-to"] = span_[0], span_[1] - 1
        else:
            for field in ("span-from", "span-to"):  # one may be filled before the other
                session[field] = None if (typed := session.get(field)) is None else min(typed, view.lookback - 1)
        limits = {"min_value": 0, "max_value": view.lookback - 1, "step": 1, "on_change": typed_span}
        left, right = st.columns(2, gap="small")
        left.number_input("Mark from step", key="span-from", placeholder="none", **limits)
        right.number_input("to step", key="span-to", placeholder="none", **limits)
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
    """Everything drawn, long: the map's cells, then each saliency by step. Spans include their last entry."""
    ends = ["asks from", "asks to", "step from", "step to"] if over_time else []
    kept = ["asks", "answers", *ends, "weight"]
    parts = [pd.DataFrame({"what": full_name} | {name: cells[name] for name in kept} | {"even share": cells["even"]})]
    step = np.arange(view.lookback)
    for s in strips:
        even = float(s.values.sum()) / view.lookback
        row = {"what": f"{s.method} saliency", "step from": step, "step to": step, "weight": s.values}
        parts.append(pd.DataFrame(row).assign(**{"even share": even}))
    return pd.concat(parts, ignore_index=True)


with side:
    method = f"{full_name}" + (f", with {', '.join(drawn)} saliency" if drawn and over_time else "")
    export.buttons(
        "scalescope-attention",
        picture,
        numbers(),
        view.provenance(f"{method}, forecast step {view.step + 1}" if over_time else method),
    )
    with st.popover("What this map may not claim", type="tertiary"):
        resolves = f" This map resolves {resolution} steps." if resolution > 1 else ""
        st.markdown(
            f"Attention weights are one factor of the forecast, not its cause.{resolves} "
            + widgets.plain(run.model.limits)
        )
with st.expander("Numbers", icon=":material/table:"):
    st.dataframe(numbers(), hide_index=True, height=320, key="attention-numbers")
