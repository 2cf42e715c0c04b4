"""Starting a session and a page: navigation, headings, the guard against a page that runs without ``app.py``.

On a fresh server Streamlit serves a deep link by running that file of ``pages/`` alone, until some session has opened
``/`` and so declared the navigation. ``page`` notices and sends the session through ``app.py`` to where it was going.
"""

import gc
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import UserError
from core.ui import state, widgets

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: libgomp's idle threads would spin beside the pages
log = logging.getLogger("scalescope")
_BOOTED, _WANTED = "booted", "wanted"
FAULT = (
    "This page failed through a fault of ours; nothing stored is lost. The server's log has the details. "
    "Reload the page, or choose another one."
)

# file, title, icon, what it is; only pages that exist
PAGES: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "Explore": (
        ("start", "Start", "home", "Where to begin, the recent runs, and what is training now."),
        ("data", "Data", "table_chart", "Bring a series, see what is wrong with it, and look at all of it."),
        ("train", "Train", "model_training", "Choose what to forecast and train a model on this machine."),
    ),
    "Inspect": (
        ("forecast", "Forecast", "show_chart", "Any window against the truth, every variate, and the future."),
        ("scales", "Scales", "stacked_line_chart", "The forecast as the exact sum of what each scale adds."),
        ("attention", "Attention", "grid_on", "What the model looked at, and how far to believe the picture."),
    ),
    "Compare": (("studies", "Studies", "science", "Questions of the papers, answered by trainings on this machine."),),
    "Learn": (
        ("lesson", "Lesson", "school", "Attention saliency in six stops, with a model you can poke."),
        ("models", "Models", "account_tree", "Every architecture: its data flow, and what it may claim."),
    ),
}


def navigate() -> Any:
    """Declare the pages (once a run, from ``app.py``) and return the one to run; follows a deep link that was held."""
    st.session_state[_BOOTED] = True
    sections = {
        section: [
            st.Page(f"pages/{name}.py", title=title, icon=f":material/{icon}:", help=about, default=name == "start")
            for name, title, icon, about in pages
        ]
        for section, pages in PAGES.items()
    }
    chosen = st.navigation(sections)
    if wanted := st.session_state.pop(_WANTED, None):
        name, query = wanted
        state.go(name, query)
    return chosen


def page(title: str, follows: tuple[str, ...] = state.VIEW) -> DeltaGenerator:
    """Every page's first call: guards the deep link, restores the choices that this page follows, sets the heading.

    Returns the empty place right of the heading, for one sentence that may come later.
    """
    if not st.session_state.get(_BOOTED):
        held = {name: st.query_params.get_all(name) for name in st.query_params}
        st.session_state[_WANTED] = (title.lower(), held)
        st.switch_page("app.py")
    state.restore(follows)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="heading"):
        st.title(title, anchor=False, width="content")
        return st.empty()


@contextmanager
def problems(title: str) -> Iterator[None]:
    """What a person can solve is shown as its sentence; any other failure is logged and said to be ours."""
    try:
        yield
    except UserError as error:
        widgets.problem(error)
    except Exception:
        log.exception("The page %s failed", title)
        st.error(FAULT, icon=":material/error:")


@st.cache_resource(show_spinner=False)
def warm_up() -> None:
    """Import what the later pages need in the background, once a process, after the first page has been sent."""

    def load() -> None:
        import altair  # noqa: F401
        import pandas  # noqa: F401

        import core.evaluate.run
        import core.models.registry

        core.models.registry.architectures()
        # Streamlit collects garbage after every run of a page. What torch and pandas keep for good, and that will
        # never be garbage, made that 0.2 s of each rerun; frozen, the collector passes it by.
        gc.collect()
        gc.freeze()
        for kind in core.models.registry.architectures().values():
            kind.runs_on()  # the first call on a machine compiles, so that no page waits for it

    timer = threading.Timer(1.5, load)
    timer.daemon = True
    timer.start()
