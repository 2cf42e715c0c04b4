"""The control of the Data page that makes a series whose rule is known: a published set, or an own rule.

Lags of an own rule are drawn on a strip or written. The text is what counts; the strip writes it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.data.lags import read_lags, write_lags
from core.data.synthetic import FEATURES, LENGTH, NOISE, OWN, SETS, Rule, own_rule
from core.errors import UserError
from core.ui import theme, widgets
from core.ui.charts import lags as charts
from core.ui.equation import equation, meaning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIRST = 5  # the set shown at first
STRIP, LAGS = "rule-strip", "rule-lags"  # widgets
PICKED, STROKES = "rule-picked", "rule-strokes"  # the last lags that could be read, and what was drawn so far
FEATURES_ONLY = (
    "To judge saliency maps of this series, keep y's own past out of the model: neighbouring steps of y share most of "
    "their terms, so a good model would read y and not the features. The Train page does so at first: there y is "
    "forecast and does not enter."
)
session = st.session_state


def choose(controls: Any) -> Rule | None:
    """The settings go to ``controls``, the rule itself is drawn here. None while something is out of bounds."""
    with controls:
        number, features, settings = _settings()
    try:
        if number:
            rule = replace(SETS[number], **settings)
            widgets.note("The lags of this set. Choose the own rule to draw others.")
            _strip(tuple(rule.lags))
            rule.check()
        else:
            rule = own_rule(features, _pick(), **settings)
    except UserError as error:
        widgets.problem(error)
        return None
    show(rule.truth(), [f"x{f}" for f in range(FEATURES)])
    widgets.note(FEATURES_ONLY)
    return rule


def show(truth: Mapping[str, Any], variates: Sequence[str]) -> None:
    """The equation, and a line that says what its parts are."""
    st.latex(equation(truth))
    widgets.note(widgets.plain(meaning(truth, variates)))


def _settings() -> tuple[int, list[int], dict[str, Any]]:
    """The number of the set (0: an own rule), the features of an own rule, and the fields of ``Rule`` beside them."""
    number = st.selectbox(
        "Rule",
        [*SETS, 0],
        index=list(SETS).index(FIRST),
        format_func=lambda n: f"SYN{n}" if n else "Own rule",
        key="rule-set",
        persist_state="session",
        help="SYN1 to SYN8 are published: lags, features and noise are theirs. For an own rule you choose them.",
    )
    features = list(OWN.features)
    if not number:
        features = st.multiselect(
            "Features that matter",
            range(FEATURES),
            default=features,
            format_func=lambda f: f"x{f}",
            key="rule-features",
            persist_state="session",
        )
    usual = SETS.get(number, OWN)
    with st.container(horizontal=True, gap="small"):
        length = st.number_input(
            "Length, steps", *LENGTH, usual.length, 500, key="rule-length", persist_state="session"
        )
        noise = st.number_input(
            "Noise, sigma",
            0.0,
            NOISE,
            usual.noise,
            0.01,
            key=f"rule-noise-{number}",
            persist_state="session",
            help="In deviations of the signal.",
        )
    with st.container(horizontal=True, gap="small"):
        autocorrelation = st.number_input(
            "Autocorrelation",
            0.0,
            0.99,
            0.0,
            0.1,
            key="rule-autocorrelation",
            persist_state="session",
            help="Of the features, from one step to the next. At 0 only the lags of the rule carry information; above "
            "it their neighbours do too, and the truth is harder to tell.",
        )
        seed = st.number_input("Seed", 0, 2**31 - 1, 0, key="rule-seed", persist_state="session")
    alternating = st.toggle(
        "Alternating signs",
        key="rule-alternating",
        persist_state="session",
        help="Every other lag counts negatively, so that a map can be wrong in sign too.",
    )
    current = st.toggle(
        "Terms of the same step",
        key="rule-current",
        persist_state="session",
        help="The features at the step of y enter too. No window holds them, so they act as noise on the forecast.",
    )
    return (
        number,
        features,
        {
            "length": length,
            "noise": noise,
            "autocorrelation": autocorrelation,
            "alternating": alternating,
            "current": current,
            "seed": seed,
        },
    )


def _pick() -> tuple[int, ...]:
    """The lags of an own rule, from the strip or the field. Raises UserError where the field cannot be read."""
    session.setdefault(LAGS, write_lags(session.get(PICKED, OWN.lags)))
    problem = None
    try:
        session[PICKED] = read_lags(session[LAGS])
    except UserError as error:
        problem = error
    widgets.note("Draw over lags to add them, over chosen ones to take them out; a click does the same for one.")
    if STRIP not in session:  # a new picture, on which nothing is drawn yet
        session.pop(STROKES, None)
    _strip(session.get(PICKED, ()), drawn=True)
    st.text_input("Lags", key=LAGS, placeholder="48-57, 71", help="Lags and spans, such as 48-57, 71.")
    if problem:
        raise problem
    return session[PICKED]


def _strip(lags: tuple[int, ...], drawn: bool = False) -> None:
    said = f"Lags {write_lags(lags)} are in the rule" if lags else "No lag is in the rule"
    chart = charts.strip(lags, theme.colors(), drawn)
    if drawn:
        st.altair_chart(chart, key=STRIP, on_select=_drawn, alt=said)
    else:
        st.altair_chart(chart, key="rule-lags-shown", alt=said)


def _drawn() -> None:
    """The strip was drawn over or clicked: the field follows."""
    session[STROKES], lags = session.get(STROKES, charts.Strokes()).then(session[STRIP].selection, session[PICKED])
    if lags != session[PICKED]:
        session[PICKED] = lags
        session[LAGS] = write_lags(lags)
