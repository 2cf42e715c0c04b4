"""What is being looked at, in the URL: dataset, run, window, variate, scale, step, ... Any view is a link. No widgets.

Widgets are not bound to the URL by Streamlit, because a bound value equal to its default vanishes from the address:
a link to "the latest run" would then show another run tomorrow. Pages call ``get`` for a widget's start value and
``put`` with what was chosen. The choice also follows the reader from page to page of one session.
"""

from collections.abc import Mapping
from typing import NoReturn

import streamlit as st

VIEW = ("dataset", "run", "window", "variate", "scale", "branch", "layer", "head", "step", "source", "beside")
NAMES = (*VIEW, "model", "study")  # an architecture or a study, where no run has chosen it
BELONGS = {"dataset": VIEW[1:], "run": VIEW[2:]}  # a new dataset or run forgets what was chosen within the old one
_KEPT = "chosen"


def get(name: str, default: str | None = None) -> str | None:
    """The chosen value as it stands in the URL (untrusted text), or ``default``."""
    return st.query_params.get(name, default)


def number(name: str, default: int, low: int, high: int) -> int:
    """The chosen whole number, held within [low, high]; ``default`` where the URL has none or nonsense."""
    try:
        return min(max(int(get(name) or ""), low), high)
    except ValueError:
        return min(max(default, low), high)


def put(**chosen: object) -> None:
    """Write these choices to the URL; None removes one. A changed dataset or run drops what belonged to the old."""
    for name, value in _changed(chosen).items():
        if value is None:
            st.session_state.get(_KEPT, {}).pop(name, None)
            if name in st.query_params:
                del st.query_params[name]
        else:
            st.query_params[name] = value
    _keep()


def restore(names: tuple[str, ...] = NAMES) -> None:
    """Bring back what this session had chosen of ``names`` where a link of the navigation left the URL bare.

    A URL that names anything is a view of its own: then nothing is brought back.
    """
    if not any(name in st.query_params for name in NAMES):
        for name, value in st.session_state.get(_KEPT, {}).items():
            if name in names:
                st.query_params[name] = value
    _keep()


def params(**changes: object) -> dict[str, str]:
    """The present choices with these changes, for a link to another page. None removes one."""
    now = {name: value for name in NAMES if (value := get(name)) is not None} | _changed(changes)
    return {name: value for name, value in now.items() if value is not None}


def go(page: str, query: Mapping[str, str | list[str]] | None = None, **changes: object) -> NoReturn:
    """Switch to ``pages/<page>.py`` with the present choices and these changes (or exactly ``query``)."""
    st.switch_page(f"pages/{page}.py", query_params=dict(params(**changes) if query is None else query))


def _changed(chosen: Mapping[str, object]) -> dict[str, str | None]:
    """What really changes, with the dependent choices that a change makes meaningless."""
    changes: dict[str, str | None] = {}
    for name in sorted(chosen, key=NAMES.index):
        value = None if chosen[name] is None else str(chosen[name])
        if value != get(name):
            changes |= {other: None for other in BELONGS.get(name, ()) if other not in chosen}
            changes[name] = value
    return changes


def _keep() -> None:
    present = {name: value for name in NAMES if (value := get(name)) is not None}
    st.session_state[_KEPT] = st.session_state.get(_KEPT, {}) | present
