"""How it works: the data flow of an architecture, and for CrossScaleNet the numbers of one window at three depths: what
every scale adds, one scale, one cell of its attention with its arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from core.lesson.models import LOOKBACK, SHIPPED
from core.ui import cards, inspect, theme, widgets
from core.ui.charts import lesson as charts
from core.ui.charts.diagram import LEGEND, diagram_picture
from core.ui.lesson import answers, stops

SHOWN = {
    "crossscalenet-syn5": "CrossScaleNet",
    "scalefusion-waves": "ScaleFusion",
    "s2tx-syn5": "S2TX",
    "casa-syn5": "CASA",
}
DEPTHS = ("Overview", "One scale", "One cell")


def show() -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        model = st.segmented_control(
            "Architecture", list(SHOWN), default=stops.MODEL, format_func=SHOWN.__getitem__, required=True, key="inside"
        )
    model = model or stops.MODEL
    depth: Any = DEPTHS[0]
    if model == stops.MODEL:
        with right:
            depth = st.segmented_control("Depth", DEPTHS, default=DEPTHS[0], required=True, key="inside-depth")
    widgets.note(f"{SHIPPED[model].title}: {SHIPPED[model].about}")
    if depth == "One scale":
        _scale(model)
    elif depth == "One cell":
        _cell(model)
    else:
        _overview(model)


def _overview(model: str) -> None:
    from core.models.contract import Shape
    from core.models.registry import architecture, configure

    one = SHIPPED[model]
    kind, config = architecture(one.model), configure(one.model, dict(one.config))
    columns = len(one.inputs) + ("y" not in one.inputs)
    diagram = kind.diagram(config, Shape(LOOKBACK, one.horizon, columns))
    names = cards.names_of(kind.grids(config, LOOKBACK))
    inspect.show(diagram_picture(diagram, names, theme.colors(), kind.title), key=f"inside-flow-{model}")
    widgets.note(LEGEND)
    answer = answers.of(model)
    ahead = answer.step + 1
    rows = [
        {"part": part.name, "its weight": part.weight, f"adds, {ahead} ahead": float(part.contribution[answer.step])}
        for part in answer.parts
    ]
    if rows:
        rest, total = float(answer.rest[answer.step]), float(answer.forecast[answer.step])
        rows += [
            {"part": "belongs to no part", "its weight": None, f"adds, {ahead} ahead": rest},
            {"part": "forecast", "its weight": None, f"adds, {ahead} ahead": total},
        ]
        st.markdown("**The same window, in numbers**")
        st.dataframe(rows, hide_index=True, key=f"inside-numbers-{model}")
        if model == "scalefusion-waves":
            _lengths()
        stops.say(
            f"{len(answer.parts)} parts and a rest add up to {total:.3f}, the forecast {ahead} steps ahead, exactly."
        )


def _lengths() -> None:
    """What one feature space for all lengths is for: series of lengths that were not learned from, told apart."""
    from core.lesson import lengths

    st.markdown("**Series of any length**")
    names = list(lengths.CLASSES)
    left, right = st.columns([1, 3.2], gap="medium")
    with left:
        steps = st.select_slider("Steps of the series", lengths.JUDGED, key="lengths-steps")
        number = int(st.number_input("Series", 1, 50, key="lengths-series"))
    event = lengths.draw(number, [steps], 100)[-1]
    told = lengths.tell(_classifier(), event)
    with right:
        maps = {one.name: one.values for one in told.maps}
        back = [len(event.values) - p for p in range(event.first, event.last)]
        st.altair_chart(
            charts.inputs(event.values[:, None], ("x",), "x", None, theme.colors()),
            key="lengths-series-shown",
            alt="A series with one event",
        )
        st.altair_chart(
            charts.strips(maps, 0, theme.colors(), true=back), key="lengths-maps", alt="What spoke for the class"
        )
    chance = float(told.chances.max())
    stops.say(
        f"A {names[event.label]} of {lengths.CLASSES[names[event.label]]} steps in a series of {steps}, a length that "
        f"was not learned from; the model says {names[told.label]}, with {chance:.0%}. The frame is the event."
    )


@st.cache_resource(show_spinner="Loading the model")
def _classifier() -> Any:
    from core.lesson import lengths

    return lengths.load()


def _scale(model: str) -> None:
    answer = answers.of(model)
    attention = {one.scale: one for one in answer.attention}
    number = st.slider("Scale", 1, max(attention), key="inside-scale")
    one, part = attention[number], answer.parts[number]
    st.markdown(
        f"**1** The {LOOKBACK} steps are averaged in groups of {one.factor}: {LOOKBACK // one.factor} points.  \n"
        f"**2** Patches of {one.patch_steps} steps ask each other: every row below sums to one.  \n"
        f"**3** What they pass on is encoded and weighted with {part.weight:.3f}; this scale then adds to the forecast:"
    )
    left, right = st.columns(2, gap="medium")
    labels = [stops.span(s, answer) for s in one.keys]
    with left:
        st.altair_chart(
            charts.heat(one.weights, [stops.span(s, answer) for s in one.queries], labels, theme.colors()),
            key="inside-heat",
            alt=f"Attention between the patches of scale {number}",
        )
    with right:
        st.altair_chart(
            charts.added({part.name: part.contribution}, theme.colors(), [theme.palette(len(answer.parts))[number]]),
            key="inside-added",
            alt=f"What scale {number} adds to the forecast",
        )
    q, k = np.unravel_index(one.weights.argmax(), one.weights.shape)
    stops.say(
        f"The largest weight, {one.weights[q, k]:.2f}, goes from steps {labels[q]} back to steps {labels[k]} back; an "
        f"even one would be {1 / one.weights.shape[1]:.2f}. At its largest this scale adds "
        f"{np.abs(part.contribution).max():.2f}."
    )


def _cell(model: str) -> None:
    from core.lesson.arithmetic import cell

    answer = answers.of(model)
    attention = {one.scale: one for one in answer.attention}
    a, b, c = st.columns(3, gap="small")
    number = a.number_input("Scale", 1, max(attention), key="cell-scale")
    one = attention[int(number)]
    size = len(one.keys)
    i = int(b.number_input("Patch that asks", 1, size, min(2, size), key="cell-query")) - 1
    j = int(c.number_input("Patch that is asked", 1, size, min(3, size), key="cell-key")) - 1
    found = cell(answers.run(model, answers.changed(model)), answer.lookback, int(number), i, j)
    labels = [stops.span(s, answer) for s in one.keys]
    left, right = st.columns(2, gap="medium")
    with left:
        st.altair_chart(
            charts.heat(one.weights, [stops.span(s, answer) for s in one.queries], labels, theme.colors(), (i, j)),
            key="cell-heat",
            alt="The cell in its map",
        )
    with right:
        C = len(found.query)
        st.markdown(
            f"The patch {labels[i]} back asks the patch {labels[j]} back, with one number for each of {C} variates."
        )
        st.latex(_product(found.query, found.key, found.product))
        st.latex(rf"\frac{{q\cdot k}}{{\sqrt{{{C}}}}} = {found.logit:.3f}")
        total = float(np.exp(found.logits).sum())
        st.latex(rf"\frac{{e^{{{found.logit:.3f}}}}}{{{total:.3f}}} = {found.weight:.3f}")
    stops.say(
        f"The weight is {found.weight:.3f}, as in the map; an even one would be {1 / size:.3f}. It says how much of "
        "this patch's value is passed on, and nothing yet of what the forecast makes of it."
    )


def _product(query: np.ndarray, key: np.ndarray, total: float) -> str:
    """q . k written out, two terms a line."""
    terms = [f"{_number(q)}\\cdot {_number(k)}" for q, k in zip(query, key, strict=True)]
    lines = [" + ".join(terms[i : i + 2]) for i in range(0, len(terms), 2)]
    body = r" \\ &\quad + ".join(lines)
    return rf"\begin{{aligned}} q\cdot k =\;& {body} \\ =\;& {total:.3f} \end{{aligned}}"


def _number(value: float) -> str:
    return f"({value:.2f})" if value < 0 else f"{value:.2f}"
