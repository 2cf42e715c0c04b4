"""Small things several pages show: problems in words, plain text made safe for labels, numbers and times for people."""

import math
import re
from datetime import datetime, timedelta
from typing import Literal

import streamlit as st

from core.errors import UserError
from core.ui import state

Color = Literal["gray", "blue", "green", "orange", "red"]
STATES: dict[str, tuple[str, str, Color]] = {  # label, icon, colour of the badge
    "queued": ("Queued", "schedule", "gray"),
    "running": ("Training", "progress_activity", "blue"),
    "finished": ("Finished", "check", "green"),
    "cancelled": ("Cancelled", "stop_circle", "gray"),
    "interrupted": ("Interrupted", "power_off", "orange"),
    "failed": ("Failed", "error", "red"),
}


def plain(text: object) -> str:
    """Uploaded text for places that read Markdown: shown letter by letter, without links, pictures or icons."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=\"'/@%])", r"\\\1", " ".join(str(text).split()))


def problem(error: UserError | str) -> None:
    """A sentence about something a person can solve."""
    st.error(plain(error), icon=":material/error:")


def note(text: str, width: Literal["stretch", "content"] = "stretch") -> None:
    """A quiet line of our own Markdown (names in it made ``plain``). Unlike ``st.caption`` it keeps 4.5:1 contrast."""
    st.markdown(f":small[:gray[{text}]]", width=width)


def nothing_yet(sentence: str, page: str, action: str, icon: str) -> None:
    """An empty state: what is missing, and the one next step as a link to ``pages/<page>.py``."""
    with st.container(border=True, horizontal_alignment="center", gap="small"):
        st.markdown(sentence, text_alignment="center")
        st.page_link(f"pages/{page}.py", label=action, icon=f":material/{icon}:")


def choose_dataset(names: dict[str, str]) -> str:
    """The dataset in the URL, to be changed here; the first of ``names`` (id to name) where the URL has none.

    Says so where a link names a dataset that is not stored.
    """

    def picked() -> None:
        state.put(dataset=st.session_state["dataset"])

    wanted = state.get("dataset")
    chosen = wanted if wanted in names else next(iter(names))
    st.session_state["dataset"] = chosen
    labels = distinct(names)
    st.selectbox("Dataset", list(names), format_func=lambda id: labels[id], key="dataset", on_change=picked)
    if wanted and wanted != chosen:
        problem("The dataset in this link is not stored here; it may have been deleted.")
    state.put(dataset=chosen)
    return chosen


def distinct(names: dict[str, str]) -> dict[str, str]:
    """``names`` (id to name) with a number after each repetition: Streamlit tells options apart by their text alone.

    >>> distinct({"a": "ETTh1", "b": "ETTh1", "c": "waves"})
    {'a': 'ETTh1', 'b': 'ETTh1 (2)', 'c': 'waves'}
    """
    taken: set[str] = set()
    labels = {}
    for id, name in names.items():
        label, count = name, 1
        while label in taken:
            count += 1
            label = f"{name} ({count})"
        taken.add(label)
        labels[id] = label
    return labels


def state_badge(of: str) -> None:
    """The state of a run as a small coloured word."""
    label, icon, color = STATES[of]
    st.badge(label, icon=f":material/{icon}:", color=color)


def duration(seconds: float | None) -> str:
    """``seconds`` in words of two parts at most: ``8 s``, ``3 min``, ``2 h 5 min``; empty where unknown."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 100:
        return f"{max(round(seconds), 0)} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours:,} h {rest} min" if rest and hours < 48 else f"{hours:,} h"


def figures(value: float | None, digits: int = 3) -> str:
    """A number to ``digits`` significant figures: ``0.448``, ``12,300``; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, decimals):,.{max(decimals, 0)}f}"


def size(megabytes: float) -> str:
    """Megabytes for people: ``640 MB``, ``1.2 GB``."""
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def ago(then: datetime, now: datetime | None = None) -> str:
    """How long ago: ``now``, ``5 min ago``, ``3 h ago``, else the date."""
    passed = (now or datetime.now(then.tzinfo)) - then
    if passed < timedelta(minutes=1):
        return "just now"
    if passed < timedelta(hours=1):
        return f"{passed.seconds // 60} min ago"
    if passed < timedelta(days=1):
        return f"{passed.seconds // 3600} h ago"
    return f"{then:%Y-%m-%d}"
