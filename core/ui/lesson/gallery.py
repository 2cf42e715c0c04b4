"""Stop 6: ten ways in which a picture of attention misleads. Each is a shipped model, a window, a question and an
answer whose numbers are computed from that window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.lesson import pretrained
from core.ui import theme, widgets
from core.ui.charts import lesson as charts
from core.ui.lesson import answers

if TYPE_CHECKING:
    from core.lesson.answer import Answer

PUBLISHED, ADDS, GRADIENT = "Published attention", "Contributions", "Gradient"


@dataclass(frozen=True)
class Case:
    """``options`` are the answers to choose from, the first is right. ``change`` makes another window out of the
    shipped one. ``told`` is the explanation with the numbers of this window in it."""

    name: str
    title: str
    model: str
    question: str
    options: tuple[str, str, str]
    told: Callable[[Answer, Answer], str]
    maps: tuple[str, ...] = (PUBLISHED, ADDS)
    step: int = 12
    change: Callable[[np.ndarray], np.ndarray] | None = None


def _score(answer: Answer, name: str) -> str:
    found = answer.map(name)
    return "–" if found is None or found.auprc is None else f"{found.auprc:.2f}"


def _mse(model: str) -> float:
    return float(pretrained.card(model).get("metrics", {}).get("mse", float("nan")))


def _naive(model: str) -> float:
    """How many times the model's error the seasonal naive has."""
    metrics = pretrained.card(model).get("metrics", {})
    return float(metrics.get("naive_mse", float("nan"))) / _mse(model)


def _usual() -> Answer:
    return answers.of("crossscalenet-syn5", step=12)


def _percent(change: float | None) -> str:
    return "an amount that was not measured" if change is None else f"{change:+.3%}"


def _peak(answer: Answer, name: str) -> float:
    found = answer.map(name)
    return float(found.values.max() / max(found.values.mean(), 1e-12)) if found else float("nan")


def _moved(now: Answer, before: Answer) -> float:
    """Mean change of the forecast in deviations of the look-back's target."""
    column = before.column
    size = float(before.lookback[:, column].std()) or 1.0
    return float(np.abs(now.forecast - before.forecast).mean()) / size


CASES: tuple[Case, ...] = (
    Case(
        "key",
        "A key that knows nothing",
        "crossscalenet-seasonal",
        "This model takes the keys of its attention from the seasonal part of white noise, where no season is. How "
        "much worse does it forecast?",
        ("Not worse at all", "Twice the error", "It cannot learn"),
        lambda now, _: (
            f"Its test MSE is {_mse(now.model):.3f}; with the published keys it is {_mse('crossscalenet-syn5'):.3f}. "
            f"The maps of the two on one window have a correlation of {_agree(now, _usual(), PUBLISHED):.2f}: neither "
            "the error nor the picture tells that a key knows nothing."
        ),
    ),
    Case(
        "uniform",
        "Attention that does not matter",
        "crossscalenet-waves",
        "This model forecasts two waves well. Now every weight of its attention is made the same. What does that cost?",
        ("Hardly anything", "It doubles the error", "It then forecasts the mean"),
        lambda now, _: (
            f"Made uniform, the attention changes the test error by {_percent(now.uniform)}, and the seasonal naive is "
            f"{_naive(now.model):.1f} times as wrong as the model. Weights that can be thrown away explain nothing, "
            "however the picture looks."
        ),
        maps=(PUBLISHED,),
        step=12,
    ),
    Case(
        "random",
        "A convincing map of noise",
        "crossscalenet-broken",
        "A map of attention, with its highest and its lowest place. How many epochs was this model trained?",
        ("None: its weights are random", "Twenty", "Until it overfitted"),
        lambda now, _: (
            f"Its weights are random. The map still has a peak of {_peak(now, PUBLISHED):.2f} times an even share, "
            f"and an AUPRC of {_score(now, PUBLISHED)} on this window; the trained model's has "
            f"{_score(_usual(), PUBLISHED)}, and chance {now.chance:.2f}. Always ask what the map of an untrained "
            "model looks like."
        ),
    ),
    Case(
        "patch",
        "A patch longer than the rule",
        "crossscalenet-syn5",
        "The rule looks at 7 steps; this attention sees patches of 16. How good can its map be?",
        (
            "Never precise: it cannot tell the steps of a patch apart",
            "As good as any other",
            "Perfect, if it is trained longer",
        ),
        lambda now, _: (
            f"A map that is constant over patches has at most {now.ceiling:.2f} here, and this one has "
            f"{_score(now, PUBLISHED)}. What adds up to the forecast resolves single steps: {_score(now, ADDS)}."
        ),
    ),
    Case(
        "leak",
        "A leaked target",
        "crossscalenet-leak",
        "Half of y is noise that nobody can forecast, and yet this model misses only a twentieth of it. Where does it "
        "look?",
        ("At a column that holds the future of y", "At the true lags", "At the end of the window"),
        lambda now, _: (
            f"Its test MSE is {_mse(now.model):.3f}, where the noise forbids less than 0.5. One input is y itself, "
            f"moved into the past by mistake: {now.share_of('leak'):.0%} of all contributions come from it. A "
            "forecast that is too good is a finding about the data, not about the model."
        ),
        maps=(ADDS, GRADIENT),
    ),
    Case(
        "shift",
        "A window from elsewhere",
        "crossscalenet-syn5",
        "One input is ten deviations higher than ever in training. Does the map warn?",
        ("No: it looks as before", "Yes: it becomes flat", "Yes: it turns to the high input"),
        lambda now, before: (
            f"The forecast moves by {_moved(now, before):.3f} deviations, and the map's correlation with the one "
            f"before is {_agree(now, before, PUBLISHED):.2f}: the model takes the mean out of every window, so that "
            "it cannot see this shift, and neither can its map."
        ),
        maps=(PUBLISHED,),
        change=lambda lookback: lookback + 10 * np.eye(1, lookback.shape[1], 1) * lookback.std(),
    ),
    Case(
        "constant",
        "Nothing to look at",
        "crossscalenet-syn5",
        "Every input stays the same through all of the window. What does the attention do?",
        ("It still spreads one unit, and draws a map", "It is zero", "It refuses"),
        lambda now, _: (
            f"Softmax has to put its weight somewhere: the map has a peak of {_peak(now, PUBLISHED):.2f} times an even "
            f"share although every step holds the same. What adds up to the forecast is {_size(now):.3f} in all."
        ),
        change=lambda lookback: np.repeat(lookback.mean(axis=0, keepdims=True), len(lookback), axis=0),
    ),
    Case(
        "correlated",
        "A distractor that knows the cause",
        "crossscalenet-correlated",
        "x3 never enters the rule, but it resembles x1, which does. Where does the model look?",
        ("At both, as both serve", "At x1 alone", "At neither"),
        lambda now, _: (
            f"Of all contributions {now.share_of('x3'):.0%} come from x3, which causes nothing, and "
            f"{now.share_of('x1'):.0%} from x1. The model uses what serves the forecast; no map of a model tells a "
            "cause from its twin."
        ),
        maps=(ADDS, GRADIENT),
    ),
    Case(
        "past",
        "The target's own past",
        "crossscalenet-past",
        "Here the model also sees y itself. The rule has not changed. Does it still look 71 to 77 steps back?",
        ("No: the last step of y nearly gives the next", "Yes: the rule decides", "Half and half"),
        lambda now, _: (
            f"Of all contributions {now.share_of('y'):.0%} come from y's own past, and the true steps are found with "
            f"an AUPRC of {_score(now, GRADIENT)} by the gradient, which finds them perfectly where y is withheld. "
            "The map is right about the model and wrong about the world."
        ),
        maps=(ADDS, GRADIENT),
        step=0,
    ),
    Case(
        "horizon",
        "Only one step ahead",
        "crossscalenet-h1",
        "This model forecasts a single step. What does its published map look like?",
        ("Exactly flat", "Sharper than ever", "Like that of the horizon of 24"),
        lambda now, _: (
            "Its key is the first forecast stretched to the window: one number, the same at every step. All attention "
            f"is then even: the peak is {_peak(now, PUBLISHED):.3f} times an even share. What adds up to the forecast "
            f"still finds the rule, with {_score(now, ADDS)}."
        ),
        step=0,
    ),
)


def _agree(now: Answer, before: Answer, name: str) -> float:
    one, other = now.map(name), before.map(name)
    if one is None or other is None or one.values.std() == 0 or other.values.std() == 0:
        return float("nan")
    return float(np.corrcoef(one.values, other.values)[0, 1])


def _size(answer: Answer) -> float:
    found = answer.map(ADDS)
    return float(np.abs(found.values).sum()) if found else 0.0


def chosen() -> Case:
    """The case of the address; the first, said so, where it names none."""
    wanted = st.query_params.get("case")
    found = next((case for case in CASES if case.name == wanted), None)
    if wanted is not None and found is None:
        widgets.problem(f"The gallery has no case {wanted[:40]!r}. The first is shown instead.")
    return found or CASES[0]


def show() -> str:
    case = chosen()
    main, side = st.columns([3.2, 1], gap="medium")
    with side:
        names = [each.name for each in CASES]
        titles = {each.name: f"{i + 1} {each.title}" for i, each in enumerate(CASES)}

        def picked() -> None:
            st.query_params["case"] = st.session_state["lesson-case"]

        st.session_state["lesson-case"] = case.name
        st.radio("Case", names, format_func=titles.__getitem__, key="lesson-case", on_change=picked)
    with main:
        before = answers.of(case.model, step=case.step)
        now = before
        if case.change is not None:
            now = answers.of(case.model, step=case.step, change=(case.name, case.change))
        maps = {name: found.values for name in case.maps if (found := now.map(name))}
        st.altair_chart(
            charts.window(now.lookback[:, now.column], now.forecast, now.truth, now.target, now.step, theme.colors()),
            key=f"case-window-{case.name}",
            alt=f"{now.target} and its forecast",
        )
        answered = st.session_state.get(f"case-shown-{case.name}", False)
        st.altair_chart(
            charts.strips(
                maps,
                len(now.forecast),
                theme.colors(),
                true=now.true_steps if answered else (),
                numbers={name: _score(now, name) for name in maps} if answered and now.true_steps else None,
            ),
            key=f"case-maps-{case.name}",
            alt=f"Where {', '.join(maps)} are bright",
        )
        order = np.random.default_rng(CASES.index(case)).permutation(3)
        st.radio(
            case.question,
            [case.options[i] for i in order],
            index=None,
            key=f"case-answer-{case.name}",
        )
        st.toggle("Show the answer", key=f"case-shown-{case.name}")
        if answered:
            given = st.session_state.get(f"case-answer-{case.name}")
            verdict = (
                "" if given is None else "Right. " if given == case.options[0] else f"No: {case.options[0].lower()}. "
            )
            st.success(widgets.plain(verdict + case.told(now, before)), icon=":material/lightbulb:")
    return ""
