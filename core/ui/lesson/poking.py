"""Stop 4: the window of the shipped model, changed by hand; forecast, scales and saliency follow."""

from __future__ import annotations

import numpy as np
import streamlit as st

from core.data import edits as texts
from core.data.lags import write_lags
from core.errors import UserError
from core.lesson.answer import Answer
from core.lesson.models import SHIPPED
from core.lesson.pretrained import Lost
from core.ui import poke, theme, widgets
from core.ui.charts import lesson as charts
from core.ui.lesson import answers

KEY = "lesson"
ADDS = "Contributions"
NOTHING = 0.01  # deviations; less is no move


def show(model: str, step: int) -> None:
    """The picture and its controls; called inside a fragment, so that a poke reruns no more than this."""
    one = SHIPPED[model]
    before = answers.of(model, step=step, window=one.window)
    main, side = st.columns([3.2, 1], gap="medium")
    with side:
        variate = st.segmented_control(
            "Input to change", one.inputs, default=one.inputs[1], required=True, key="poke-variate", wrap=True
        )
        variate = variate or one.inputs[1]
        edits = poke.controls(KEY, before.lookback, list(before.variates), variate)
        known = st.toggle("Show the true steps", key="poke-true")
    now = before
    try:
        if edits:
            changed = texts.apply(before.lookback, list(before.variates), edits)
            now = answers.poked(model, step, one.window, changed)
    except Lost:
        raise
    except UserError as error:
        widgets.problem(error)
    column = before.variates.index(variate)
    hint = poke.SHORT_HINT if theme.presenting() else poke.HINT
    with main:
        poke.poke(
            KEY,
            now.lookback[:, column],
            now.forecast,
            None,
            before.lookback[:, column],
            label=variate,
            before_H=before.forecast,
            ahead=before.target,
            large=theme.presenting(),
            hint=f"{hint} Step 0 lies {len(before.lookback)} steps back.",
        )
        maps = {"before": _values(before)} | ({"after": _values(now)} if edits else {})
        st.altair_chart(
            charts.strips(
                maps, len(before.forecast), theme.colors(), true=before.true_steps if known else (), title="steps back"
            ),
            key="poke-strips",
            alt="What each step adds to the forecast, before and after the change",
        )
        st.markdown(f"**{widgets.plain(said(before, now))}**")
        if edits and now.parts:
            parts = {part.name: part.contribution for part in now.parts}
            was = {part.name: part.contribution for part in before.parts}
            st.altair_chart(
                charts.added(parts, theme.colors(), theme.palette(len(parts)), was),
                key="poke-scales",
                alt="What each scale adds, before dashed",
            )


def _values(answer: Answer) -> np.ndarray:
    found = answer.map(ADDS)
    return np.zeros(len(answer.lookback)) if found is None else found.values


def said(before: Answer, now: Answer) -> str:
    """What moved, in deviations of the target, beside what the rule would have done."""
    ahead = before.step + 1
    if now is before:
        return (
            f"Drag a point of an input. In question is the forecast of {before.target} {ahead} steps ahead, now "
            f"{before.forecast[before.step]:.2f}."
        )
    moved = float(now.forecast[before.step] - before.forecast[before.step])
    all_moved = float(np.abs(now.forecast - before.forecast).mean()) / before.deviation
    expected = ""
    if before.weights is not None:
        rule = float(((now.lookback - before.lookback) * before.weights).sum())
        expected = f" The rule itself would move {before.target} by {rule:+.2f}."
    changed = np.flatnonzero(np.abs(now.lookback - before.lookback).sum(axis=1))
    back = [len(before.lookback) - int(p) for p in changed]
    if not back:
        return "The changes undo each other: the window is as it was, and so is the forecast."
    where = write_lags(back, to=" to ", most=3)
    verdict = "hardly moves" if abs(moved) < NOTHING * before.deviation else f"moves by {moved:+.2f}"
    return (
        f"Steps back {where} are changed: the forecast {ahead} steps ahead {verdict}, to "
        f"{now.forecast[before.step]:.2f}.{expected} Over all steps it moves by {all_moved:.2f} deviations."
    ).replace("-", "−")
