"""What the six stops show: one picture that means something at once, one thing to do, one sentence with numbers of this
window. The first three read a stored answer of the shipped model, so that nothing waits for it; from the fourth on the
model itself answers.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core.data.lags import read_lags, write_lags
from core.errors import UserError
from core.lesson import pretrained
from core.lesson.models import HORIZON, SHIPPED
from core.ui import theme, widgets
from core.ui.charts import lesson as charts
from core.ui.charts.lags import Strokes
from core.ui.lesson import answers, gallery, guide
from core.ui.lesson.votes import votes

if TYPE_CHECKING:
    from core.lesson.answer import Answer

STEP = 12  # ahead, from 0: near enough to learn, far enough for the published attention to have keys of its own
MODEL = "crossscalenet-syn5"
POLL = 3.0  # seconds
MARKS, STROKES, TYPED = "lesson-marks", "lesson-strokes", "lesson-marks-typed"
PUBLISHED, ADDS, GRADIENT, OCCLUSION = "Published attention", "Contributions", "Gradient", "Occlusion"
session = st.session_state


def show(stop: int) -> None:
    """Its sentence stands first, so that it can be read without moving the page."""
    place = st.empty()
    said = (rule, look, reveal, poke, compare, gallery.show)[stop]()
    if said:
        with place:
            say(said)


# -- 1: the secret rule ------------------------------------------------------------------------------------------------


def rule() -> str:
    answer = answers.of(MODEL, step=STEP)
    main, side = st.columns([3.2, 1], gap="medium")
    with main:
        st.altair_chart(
            charts.inputs(answer.lookback, answer.variates, answer.target, answer.truth, theme.colors()),
            key="rule-inputs",
            alt=f"{len(answer.lookback)} steps of {', '.join(answer.variates)}",
        )
        if not guide.hidden("vote"):
            _draw(answer, {})
    with side:
        st.markdown(
            f"A model shall forecast **{answer.target}**, {answer.step + 1} steps after the end of this window. "
            "Where should it look?"
        )
        if not guide.hidden("vote"):
            _vote(answer)
    return _marked(answer)


def _marked(answer: Answer) -> str:
    share, readers = votes().share(answers.question(MODEL, STEP), len(answer.lookback))
    own = session.get(MARKS, ())
    said = f"You marked {len(own)} of {len(answer.lookback)} steps. " if own else "Nothing is marked yet. "
    if readers > 1:
        best = int(len(share) - share.argmax())
        said += f"{readers} readers have voted; most, {share.max():.0%}, marked the step {best} back."
    return said


def _draw(answer: Answer, maps: dict[str, np.ndarray], **options: Any) -> None:
    """The row to draw on, with other rows under it."""
    st.altair_chart(
        charts.strips(maps, len(answer.forecast), theme.colors(), marks=session.get(MARKS, ()), **options),
        key="lesson-draw",
        on_select=_drawn,
        alt=f"Marked: steps back {write_lags(session.get(MARKS, ())) or 'none'}",
    )


def _drawn() -> None:
    before = session.get(STROKES, Strokes())
    session[STROKES], marks = before.then(session["lesson-draw"].selection, tuple(session.get(MARKS, ())))
    _mark(tuple(each for each in marks if each <= 96))
    session[TYPED] = write_lags(session[MARKS])


def _typed() -> None:
    text = session[TYPED]
    try:
        _mark(read_lags(text) if text.strip() else ())
    except UserError as error:
        session["lesson-marks-problem"] = str(error)


def _mark(steps: tuple[int, ...]) -> None:
    session.pop("lesson-marks-problem", None)
    session[MARKS] = steps
    votes().put(answers.question(MODEL, STEP), session.setdefault("lesson-reader", secrets.token_hex(8)), steps)


def _vote(answer: Answer) -> None:
    """The equal path by keyboard, the class's result, and marks that are counted by hand."""
    widgets.note("Drag over the row of your marks, or write the steps. Drag again to take them away.")
    st.text_input(
        "Steps back",
        key=TYPED,
        on_change=_typed,
        placeholder="1-10, 24",
        help="Steps and spans, counted back from the end of the window.",
    )
    if problem := session.get("lesson-marks-problem"):
        widgets.problem(problem)
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Clear", key="lesson-clear", icon=":material/clear:", on_click=_clear, disabled=not session.get(MARKS)
        )
        st.button(
            "Count as one more",
            key="lesson-count",
            icon=":material/add:",
            on_click=_count,
            disabled=not session.get(MARKS),
            help="For a show of hands: these marks count as another reader's, and the row is free again.",
        )
    st.fragment(_counted, run_every=POLL)(len(answer.lookback))


def _counted(steps: int) -> None:
    """How many have voted, as they do: the one part of a stop that changes by itself, for the projector."""
    _, readers = votes().share(answers.question(MODEL, STEP), steps)
    widgets.note(f"{readers} {'vote' if readers == 1 else 'votes'} on this server. Names are not asked.")


def _clear() -> None:
    session[TYPED] = ""
    session.pop(STROKES, None)
    _mark(())


def _count() -> None:
    votes().put(answers.question(MODEL, STEP), secrets.token_hex(8), session[MARKS])
    _clear()


# -- 2: look -----------------------------------------------------------------------------------------------------------


def look() -> str:
    main, side = st.columns([3.2, 1], gap="medium")
    with side:
        answer = answers.of(MODEL, step=STEP, window=_choose_window(MODEL))
        scales = [one.scale for one in answer.attention]
        picked = st.radio(
            "Scale",
            range(len(scales)),
            format_func=lambda i: f"Scale {scales[i]}, {answer.attention[i].factor} steps a point",
            key="look-scale",
            help="The same series, averaged over 2, 4 and 8 steps. The finest scale has no attention between patches.",
        )
        one = answer.attention[int(picked or 0)]
        widgets.note(f"{SHIPPED[MODEL].title}. Its attention compares patches of {one.patch_steps} steps.")
    with main:
        _window(answer, "look")
        found = answer.map(PUBLISHED)
        if found is not None:
            st.altair_chart(
                charts.strips({"attention": found.values}, len(answer.forecast), theme.colors()),
                key="look-strip",
                alt="Where the attention is bright",
            )
        st.altair_chart(
            charts.heat(
                one.weights,
                [span(s, answer) for s in one.queries],
                [span(s, answer) for s in one.keys],
                theme.colors(),
            ),
            key="look-heat",
            alt=f"Attention between {len(one.keys)} patches",
        )
    share = one.weights.mean(axis=0)
    most, even = int(share.argmax()), 1 / len(share)
    return (
        f"Scale {one.scale} looks most at the steps {span(one.keys[most], answer)} back: on average they get "
        f"{share[most]:.3f} of a unit, where an even share is {even:.3f}. The forecast of this window misses by "
        f"{answer.error:.2f} deviations."
    )


def span(steps: np.ndarray, answer: Answer) -> str:
    """A patch by its steps back, the farther first."""
    return f"{len(answer.lookback) - int(steps[0])}-{len(answer.lookback) - int(steps[1]) + 1}"


def _window(answer: Answer, key: str, before: np.ndarray | None = None) -> None:
    st.altair_chart(
        charts.window(
            answer.lookback[:, answer.column],
            answer.forecast,
            answer.truth,
            answer.target,
            answer.step,
            theme.colors(),
            before,
        ),
        key=f"{key}-window",
        alt=f"{answer.target}: {len(answer.lookback)} steps, and a forecast of {len(answer.forecast)}",
    )


# -- 3: reveal ---------------------------------------------------------------------------------------------------------


def reveal() -> str:
    main, side = st.columns([3.2, 1], gap="medium")
    with side:
        answer = answers.of(MODEL, step=STEP, window=_choose_window(MODEL))
    share, readers = votes().share(answers.question(MODEL, STEP), len(answer.lookback))
    maps = {name: found.values for name in (PUBLISHED, ADDS) if (found := answer.map(name))}
    if readers:
        maps = {"the class" if readers > 1 else "your marks": share} | maps
    with side:
        shown = st.toggle("Show the truth", key="reveal-shown")
        if shown:
            st.markdown(
                f"{answer.target} depends on **{' and '.join(answer.causes)}**, "
                f"**{write_lags(answer.lags, to=' to ')} steps back**, and on nothing else."
            )
            widgets.note(
                f"For the step {answer.step + 1} ahead these lie {write_lags(answer.true_steps, to=' to ')} steps "
                "before the end of the window. The number is the AUPRC: 1 is perfect."
            )
    scores = {name: answer.auprc(values) for name, values in maps.items()}
    with main:
        _window(answer, "reveal")
        st.altair_chart(
            charts.strips(
                maps,
                len(answer.forecast),
                theme.colors(),
                true=answer.true_steps if shown else (),
                numbers={name: f"{score:.2f}" for name, score in scores.items()} if shown else None,
            ),
            key="reveal-maps",
            alt="The class, the attention and the contributions beside the truth" if shown else "Three maps",
        )
    if not shown:
        return "Which of these rows is right? Decide first, then show the truth."
    told = [f"{name} {score:.2f}" for name, score in scores.items()]
    marks = session.get(MARKS, ())
    own = ""
    if marks:
        hit = len(set(marks) & set(answer.true_steps))
        own = f"Of the {len(answer.true_steps)} true steps you marked {hit}, with {len(marks)} marks. "
    shows = scores.get(PUBLISHED, 0.0) > 2 * answer.chance
    return (
        f"{own}AUPRC: {', '.join(told)}; a map that is the same everywhere has {answer.chance:.2f}, and no map of "
        f"patches more than {answer.ceiling:.2f}. The model uses the true steps; its attention "
        f"{'shows part of them' if shows else 'does not show them'}."
    )


# -- 4: poke -----------------------------------------------------------------------------------------------------------


def poke() -> str:
    st.fragment(_poke)()
    return ""


def _poke() -> None:
    from core.ui.lesson import poking

    with answers.or_offered():
        poking.show(MODEL, STEP)


# -- 5: compare --------------------------------------------------------------------------------------------------------


def compare() -> str:
    shipped = {name: SHIPPED[name].title for name in answers.COMPARED}
    main, side = st.columns([3.2, 1], gap="medium")
    with side:
        model = MODEL
        if not guide.hidden("model"):
            model = _choose_model(shipped)
        session.setdefault("compare-step", guide.number("step", STEP + 1, 1, HORIZON, "step ahead"))
        ahead = st.slider("Step ahead", 1, HORIZON, key="compare-step", on_change=_step_put)
        window = _choose_window(model)
    answer = answers.of(model, step=ahead - 1, window=window)
    with side:
        names = [one.name for one in answer.maps if one.name != "Corrected attention"]
        chosen = st.pills(
            "Ask by", names, selection_mode="multi", default=names, key=f"compare-maps-{model}", wrap=True
        )
        widgets.note(SHIPPED[model].about)
    maps = {one.name: one.values for one in answer.maps if one.name in (chosen or ())}
    scores = {name: answer.auprc(values) for name, values in maps.items()}
    known = answer.weights is not None
    with main:
        _window(answer, "compare")
        if maps:
            st.altair_chart(
                charts.strips(
                    maps,
                    len(answer.forecast),
                    theme.colors(),
                    true=answer.true_steps,
                    numbers={name: f"{score:.2f}" for name, score in scores.items()} if known else None,
                ),
                key="compare-maps",
                alt="Maps by several methods beside the truth",
            )
    if len(maps) < 2:
        return "Choose a second way to ask, to compare." if maps else "Choose a way to ask."
    if not known:
        return (
            f"So far ahead, at step {ahead}, none of the steps that make {answer.target} has happened yet: no map can "
            "be right, and the forecast can know nothing. Choose a nearer step."
        )
    best, worst = max(scores, key=scores.__getitem__), min(scores, key=scores.__getitem__)
    return (
        f"{best} finds the true steps best (AUPRC {scores[best]:.2f}), {worst.lower()} least ({scores[worst]:.2f}); "
        f"chance has {answer.chance:.2f}. The two rank the steps with a correlation of "
        f"{_rank(maps[best], maps[worst]):.2f}. This model misses by {answer.error:.2f} deviations on this window."
    )


def _step_put() -> None:
    st.query_params["step"] = str(session["compare-step"])


def _choose_window(model: str) -> int:
    """A test window, from 0: that of the address, else the one whose answer is stored."""
    usual = SHIPPED[model].window + 1
    count = int(pretrained.card(model).get("metrics", {}).get("windows_total", usual))
    chosen = guide.number("window", usual, 1, count, "window")
    if guide.hidden("window"):
        return chosen - 1

    def put() -> None:
        st.query_params["window"] = str(session["lesson-window"])

    session["lesson-window"] = chosen
    return int(st.number_input(f"Window, 1 to {count:,}", 1, count, key="lesson-window", on_change=put)) - 1


def _choose_model(shipped: dict[str, str]) -> str:
    wanted = st.query_params.get("model")
    if wanted is not None and wanted not in shipped:
        widgets.problem(f"The lesson has no model {wanted[:40]!r}. {shipped[MODEL]} is shown instead.")
    session["compare-model"] = wanted if wanted in shipped else MODEL

    def picked() -> None:
        st.query_params["model"] = session["compare-model"]

    return (
        st.radio("Model", list(shipped), format_func=shipped.__getitem__, key="compare-model", on_change=picked)
        or MODEL
    )


def _rank(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    found: Any = spearmanr(one, other)
    return float(found.statistic)


def say(sentence: str) -> None:
    """The sentence of a stop, with its numbers."""
    st.markdown(f"**{widgets.plain(sentence)}**")
