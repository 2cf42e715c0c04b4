"""The frame of the lesson: its six stops and the rooms beside them, where a link opens, and how one moves on.

What a stop shows stands in ``stops.py``; here is what is said about it before anything is computed. The address holds
``lesson`` (a stop or a room), ``model``, ``window``, ``step``, ``present`` (large type, no side bar) and ``hide``
(parts that a teacher leaves out); what it holds is untrusted.
"""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.components.v2 import component

from core.ui import widgets
from core.ui.theme import presenting

ASSETS = Path(__file__).parents[3] / "assets"


@dataclass(frozen=True)
class Stop:
    """``idea`` is what it teaches, ``action`` the one thing to do; the last four are for the teacher."""

    name: str
    title: str
    idea: str
    action: str
    minutes: float
    ask: str
    expected: str
    mistaken: str


STOPS: tuple[Stop, ...] = (
    Stop(
        "rule",
        "The secret rule",
        "y is made from two of the five inputs, as they were some steps ago. Nobody tells you which steps.",
        "Mark where a forecaster should look.",
        2,
        "Which steps would you look at to forecast y, and why these?",
        "Most mark the latest steps, as what is near seems to matter. The rule looks 71 to 77 steps back and at "
        "nothing else, so that such marks miss it.",
        "What is recent matters most. In many series it does; here it does not, and no picture of the series tells.",
    ),
    Stop(
        "look",
        "Look",
        "A model has learned to forecast y. Its attention says where it looked, or so it is often read.",
        "Choose another scale, and see whether it looks elsewhere.",
        2,
        "Where does the model look? Would you trust it?",
        "It looks a little more at some patches. Somebody should ask what that little is compared with.",
        "A bright cell means an important step. A weight says how much of a value is passed on, not whether the "
        "forecast depends on it.",
    ),
    Stop(
        "reveal",
        "Reveal",
        "The rule is known, so that a map can be right or wrong. A score says how right.",
        "Show the truth.",
        2,
        "Who found it: the class, the attention, or nobody?",
        "The class seldom finds it. The attention does about as well as a map that is the same everywhere, though the "
        "forecast is good; what adds up to the forecast finds the steps.",
        "A good forecast proves a good explanation. The model does use the true steps; its attention does not show "
        "them.",
    ),
    Stop(
        "poke",
        "Poke",
        "A map is a claim about what would happen. Change the window, and see what does.",
        "Drag a point of an input up or down.",
        2,
        "Which points move the forecast? Which do not, whatever you do to them?",
        "Points of x1 and x2 that lie 71 to 77 steps before the forecast step move it; all others hardly do, however "
        "far they are dragged.",
        "A large change of the input makes a large change of the forecast. It does so only where the model looks.",
    ),
    Stop(
        "compare",
        "Compare",
        "There are many ways to ask a model where it looked. They do not agree, and each can be scored.",
        "Choose another model or another way to ask.",
        2,
        "Which two agree? Does agreement mean that they are right?",
        "For CrossScaleNet gradient, occlusion and contributions agree and are right. For CASA the contributions "
        "fail, as what passes between variates is frozen in them. PatchTST reads each variate alone and can find "
        "nothing here.",
        "If several methods agree they must be right. Methods of one family share their faults; only the truth "
        "decides.",
    ),
    Stop(
        "break",
        "Break it",
        "Ten ways in which a picture of attention misleads. Each has one question.",
        "Open a case, answer, then show the answer.",
        2,
        "Which of these could happen in your own data without being noticed?",
        "A leaked target and a correlated distractor: both give good scores and a clean map.",
        "These are rare accidents. Several of them happen in most first attempts.",
    ),
)
ROOMS: dict[str, tuple[str, str, str]] = {  # name: title, icon, what it is
    "train": ("Train it yourself", "model_training", "Make a rule, train a small model, and watch its map form."),
    "inside": (
        "How it works",
        "account_tree",
        "What happens to this window on its way to the forecast, number by number.",
    ),
    "teacher": ("For teachers", "school", "Goals, expected answers, a worksheet to print."),
    "glossary": ("Glossary", "menu_book", "The words of this field, in a sentence each."),
}
# Streamlit's shortcuts are deaf while a radio button or a switch has the focus; a presenter's clicker must not be
_keys = component(
    "lesson_keys",
    html="<span></span>",
    js="""
    export default function () {
      const move = (event) => {
        const key = { PageDown: "next", PageUp: "back" }[event.key];
        const deaf = event.target instanceof HTMLInputElement && ["radio", "checkbox"].includes(event.target.type);
        if (!key || !deaf) return;
        event.preventDefault();
        document.querySelector(`.st-key-lesson-${key} button`)?.click();
      };
      document.addEventListener("keydown", move, true);
      return () => document.removeEventListener("keydown", move, true);
    }
    """,
)
HIDDEN = ("vote", "model", "window", "rooms")  # what ``hide`` may name


@dataclass(frozen=True)
class Place:
    """Where the reader is: a stop by its position from 0, or a room by its name."""

    stop: int = 0
    room: str = ""


def place() -> Place:
    """From the address; the nearest sensible one, said so, where it holds nonsense."""
    wanted = (st.query_params.get("lesson") or "1").strip().lower()
    names = {each.name: i for i, each in enumerate(STOPS)}
    if wanted in ROOMS:
        return Place(room=wanted)
    if wanted in names:
        return Place(names[wanted])
    try:
        number = int(wanted)
    except ValueError:
        number = None
    if number is not None and 1 <= number <= len(STOPS):
        return Place(number - 1)
    nearest = 0 if number is None else min(max(number - 1, 0), len(STOPS) - 1)
    widgets.problem(
        f"This lesson has no stop {wanted[:40]!r}: it has stops 1 to {len(STOPS)}. Stop {nearest + 1} is shown instead."
    )
    return Place(nearest)


def hidden(part: str) -> bool:
    return part in (st.query_params.get("hide") or "").split(",")


def say_unknown() -> None:
    """Names what ``hide`` and ``present`` hold and nobody knows."""
    unknown = [part for part in (st.query_params.get("hide") or "").split(",") if part and part not in HIDDEN]
    if unknown:
        widgets.problem(f"There is nothing called {unknown[0][:40]!r} to hide. Known are {', '.join(HIDDEN)}.")
    if st.query_params.get("present") not in (None, "0", "1"):
        widgets.problem("In this link, present is neither 0 nor 1; the lesson is shown as usual.")


def number(name: str, usual: int, low: int, high: int, what: str) -> int:
    """A whole number of the address within its bounds; says so where it is none, or lies outside."""
    given = st.query_params.get(name)
    if given is None:
        return usual
    try:
        value = int(given)
    except ValueError:
        widgets.problem(f"{given[:40]!r} is no {what}. {what.capitalize()} {usual} is shown instead.")
        return usual
    if low <= value <= high:
        return value
    nearest = min(max(value, low), high)
    widgets.problem(f"There is no {what} {value:,}: it goes from {low:,} to {high:,}. {nearest:,} is shown instead.")
    return nearest


def go(to: str | int) -> None:
    """To a stop (from 1) or a room; what was chosen in a stop stays in the address."""
    st.query_params["lesson"] = str(to)


def enlarge() -> None:
    """The style of a projector, where asked for."""
    if presenting():
        st.html(ASSETS / "present.css")


def steer(here: Place) -> None:
    """The stops as a row, with the way back and on: buttons, and the keys of a presenter's clicker."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="lesson-steer"):
        last = len(STOPS) - 1
        at = None if here.room else here.stop
        st.button(
            "Back",
            key="lesson-back",
            icon=":material/arrow_back:",
            shortcut="PageUp",
            disabled=at == 0,
            on_click=go,
            args=(1 if at is None else at,),
            help="Page up",
        )
        st.button(
            "Next",
            key="lesson-next",
            type="primary",
            icon=":material/arrow_forward:",
            icon_position="right",
            shortcut="PageDown",
            disabled=at == last,
            on_click=go,
            args=(1 if at is None else at + 2,),
            help="Page down",
        )
        chosen = st.segmented_control(
            "Stop",
            range(len(STOPS)),
            default=at,
            format_func=lambda i: f"{i + 1} {STOPS[i].title}" if i == at or not presenting() else f"{i + 1}",
            key=f"lesson-stop-{at}",
            label_visibility="collapsed",
        )
        if chosen is not None and chosen != at:
            go(chosen + 1)
            st.rerun()
        st.space("stretch")
        _keys(key="lesson-keys", width=1, height=1)
        st.toggle(
            "Present", value=presenting(), key="lesson-present", on_change=_present, help="Large type, no side bar"
        )


def _present() -> None:
    if st.session_state["lesson-present"]:
        st.query_params["present"] = "1"
    elif "present" in st.query_params:
        del st.query_params["present"]


def rooms(here: Place) -> None:
    """The ways to what stands beside the stops."""
    if hidden("rooms"):
        return
    with st.container(horizontal=True, gap="small", key="lesson-rooms"):
        for name, (title, icon, about) in ROOMS.items():
            st.button(
                title,
                key=f"lesson-room-{name}",
                icon=f":material/{icon}:",
                type="tertiary",
                on_click=go,
                args=(name,),
                help=about,
                disabled=here.room == name,
            )
