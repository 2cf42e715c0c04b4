"""An input window that a hand can change: drag a point, or choose steps and drag them; number fields do the same.

``poke`` draws the window with its forecast (``assets/poke.js``), ``controls`` the fields and buttons beside it. Both
share a ``key``: a gesture on the picture waits in the session until ``controls`` has tried it on the window, and only
an edit that can be made is kept. So ``controls`` is called first, wherever it stands on the page. The server owns the
series; the browser sends one edit at a time (``core.data.edits``) and the steps that are chosen.

Shape suffixes: L look-back, H horizon, C variates.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from streamlit.components.v2 import component

from core.data.edits import KINDS, MOST, Edit, apply, edit
from core.errors import UserError
from core.ui import widgets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.data.edits import Kind

MOST_POINTS = 1000  # of the window, drawn at once; of a longer one a stretch is chosen
GUTTER = (96, 124)  # pixels left of the first step, as in ``charts.picture``: on a narrow and on a wide page
END, RIGHT = 8, 44  # pixels right of the last step, without and with an axis there
ASSETS = Path(__file__).parents[2] / "assets"
HINT = (
    "Drag a point up or down, or drag over empty ground to choose steps and drag the choice. Keys: left and right "
    "move, up and down change the value, with Shift ten times as far; Space begins and ends a choice, Escape drops it."
)
SHORT_HINT = "Drag a point up or down, or choose steps and drag them."
TOOLS: dict[Kind, tuple[str, str, str]] = {  # the button, what its amount is called, what it does
    "set": ("Set", "Value", "every chosen step becomes this value"),
    "shock": ("Shock", "Add", "added at one step"),
    "shift": ("Shift", "Add", "added to every chosen step"),
    "scale": ("Scale", "Times", "deviations from the chosen steps' own mean are multiplied"),
    "mask": ("Mask", "Amount", "the chosen steps become the mean of the window as it was"),
}
session: Any = st.session_state

_component = component(
    "poke",
    html="""
    <div class="poke">
      <div class="names">
        <span class="label"></span><span class="unit"></span>
        <span class="key key-original" hidden>before the change</span>
        <span class="key key-forecast"></span>
        <span class="key key-before" hidden>forecast before</span>
      </div>
      <div class="told"></div>
      <div class="plot" tabindex="0" role="slider" aria-orientation="vertical" aria-describedby="hint">
        <svg aria-hidden="true"></svg>
      </div>
      <p class="hint" id="hint"></p>
    </div>
    """,
    css=(ASSETS / "poke.css").read_text("utf-8"),
    js=(ASSETS / "poke.js").read_text("utf-8"),
)


def poke(
    key: str,
    lookback_L: np.ndarray,
    forecast_H: np.ndarray,
    truth_H: np.ndarray | None = None,
    original_L: np.ndarray | None = None,
    *,
    label: str,
    unit: str = "",
    large: bool = False,
    before_H: np.ndarray | None = None,
    ahead: str = "",
    gutter: bool = False,
    hint: str | None = None,
) -> Edit | None:
    """Draw one variate's window, and return the edit that a hand has just made there, or None.

    ``original_L`` is the window before all edits, drawn faint, and ``before_H`` its forecast, dashed. ``ahead`` names
    the variate that is forecast where it is not the one that is poked: it gets an axis of its own. ``large`` is for a
    projector, ``gutter`` puts the steps at the pixels where the charts of ``core.ui.charts.picture`` have them. Missing
    steps (NaN) are shaded.
    """
    first, last = _stretch(key, len(lookback_L))
    past, original = lookback_L[first:last], None if original_L is None else original_L[first:last]
    edited = original is not None and not np.array_equal(original, past, equal_nan=True)
    moved = before_H is not None and not np.array_equal(before_H, forecast_H, equal_nan=True)  # by any variate's edits
    chosen = selection(key)
    kept = None if chosen is None else (max(chosen[0], first) - first, min(chosen[1], last) - first)
    found = _component(
        key=f"{key}-poke",
        data={
            "label": label,
            "unit": unit,
            "large": large,
            "ahead": ahead,
            "hint": (SHORT_HINT if large else HINT) if hint is None else hint,
            "gutter": [*GUTTER, RIGHT if ahead else END] if gutter else None,
            "first": first,
            "past": _values(past),
            "original": _values(original) if edited and original is not None else None,
            "forecast": _values(forecast_H),
            "before": _values(before_H) if moved and before_H is not None else None,
            "truth": None if truth_H is None else _values(truth_H),
            "selection": kept if kept and kept[0] < kept[1] else None,
            "turn": session.get(f"{key}-turn", 0),  # a refused edit must be drawn back too
        },
        on_gesture_change=lambda: _poked(key, label),
        on_chosen_change=lambda: _chosen(key),
    )
    try:
        return _edit(found.gesture, label) if found.gesture else None
    except UserError:
        return None  # no hand sends this; ``controls`` says what is wrong with it


def controls(key: str, lookback_LC: np.ndarray, variates: Sequence[str], variate: str) -> tuple[Edit, ...]:
    """The fields and buttons beside ``poke(key, ...)``, and the edits that now hold, in their order.

    ``variate`` is the one that is poked; edits of others stay. What cannot be done is said here, and is not kept.
    """
    problem = _try(key, lookback_LC, variates)
    edits = session.setdefault(f"{key}-edits", ())
    kind: Kind = (
        st.segmented_control(
            "Change",
            KINDS,
            default="shift",
            required=True,
            format_func=lambda k: TOOLS[k][0],
            key=f"{key}-kind",
            help=". ".join(f"**{name}**: {about}" for name, _, about in TOOLS.values()) + ".",
            wrap=True,
        )
        or "shift"
    )
    _held(key, len(lookback_LC))
    limits = {"min_value": 0, "max_value": len(lookback_LC) - 1, "step": 1, "value": None, "placeholder": "none"}
    left, right = st.columns(2, gap="small")
    left.number_input("From step", key=f"{key}-from", **limits)
    right.number_input("to step", key=f"{key}-to", **limits)
    usual = _usual(kind, lookback_LC[:, list(variates).index(variate)])
    amount = f"{key}-amount-{kind}-{variate}"
    session.setdefault(amount, usual)  # not its ``value``: a field with a default of its own cannot be emptied
    st.number_input(
        TOOLS[kind][1], value=None, step=abs(usual) / 10 or 0.1, format="%.4g", key=amount, disabled=kind == "mask"
    )
    with st.container(horizontal=True, gap="small"):
        st.button("Apply", key=f"{key}-apply", on_click=_typed, args=(key, kind, variate, amount), type="primary")
        st.button("Undo", key=f"{key}-undo", on_click=_undo, args=(key,), disabled=not edits, icon=":material/undo:")
        st.button("Reset", key=f"{key}-reset", on_click=reset, args=(key,), disabled=not edits)
    if problem:
        widgets.problem(problem)
    widgets.note(widgets.plain(_told(edits)))
    return edits


def edits_of(key: str) -> tuple[Edit, ...]:
    """The edits that are kept under this key."""
    return session.get(f"{key}-edits", ())


def reset(key: str, edits: tuple[Edit, ...] = ()) -> None:
    """Take all edits back, or put these in their place."""
    session[f"{key}-edits"] = edits
    _turn(key)


def selection(key: str) -> tuple[int, int] | None:
    """The steps that are chosen, half-open: those of the fields, which follow the picture."""
    first, last = session.get(f"{key}-from"), session.get(f"{key}-to")
    return None if first is None or last is None or first > last else (first, last + 1)


# -- what a hand does --------------------------------------------------------------------------------------------------


def _poked(key: str, variate: str) -> None:
    session[f"{key}-gesture"] = session[f"{key}-poke"].gesture, variate
    _turn(key)


def _chosen(key: str) -> None:
    """Chosen on the picture: the fields follow. They take only what lies in the window (``_held``)."""
    found = session[f"{key}-poke"].chosen
    ends = [found.get(name) for name in ("from", "to")] if isinstance(found, dict) else []
    both = len(ends) == 2 and all(isinstance(end, int) for end in ends)
    session[f"{key}-from"], session[f"{key}-to"] = ends if both else (None, None)
    _turn(key)


def _held(key: str, lookback: int) -> None:
    """Fields from another window, or from a foreign hand, hold no step that this one does not have."""
    for field in (f"{key}-from", f"{key}-to"):
        if session.get(field) is not None and not 0 <= session[field] < lookback:
            session[field] = None


def _typed(key: str, kind: Kind, variate: str, amount: str) -> None:
    """The fields, as a hand on the picture would have sent them. A shock needs one step only."""
    first, last = session.get(f"{key}-from"), session.get(f"{key}-to")
    if kind in ("shock", "set") and (first is None) != (last is None):
        first = last = first if last is None else last
    stop = None if last is None else last + 1
    gesture = {"kind": kind, "start": first, "stop": stop, "value": session.get(amount)}
    session[f"{key}-gesture"] = gesture, variate
    _turn(key)


def _undo(key: str) -> None:
    reset(key, edits_of(key)[:-1])


def _turn(key: str) -> None:
    session[f"{key}-turn"] = session.get(f"{key}-turn", 0) + 1


def _try(key: str, lookback_LC: np.ndarray, variates: Sequence[str]) -> UserError | None:
    """Keep the edit that waits, where it can be made; else why it cannot."""
    waiting = session.pop(f"{key}-gesture", None)
    if waiting is None:
        return None
    edits = edits_of(key)
    try:
        if len(edits) >= MOST:
            raise UserError(f"There are {MOST} changes already, which is the most. Undo some, or reset.")
        edits = (*edits, _edit(*waiting))
        apply(lookback_LC, variates, edits)
    except UserError as error:
        return error
    session[f"{key}-edits"] = edits
    return None


def _edit(gesture: Any, variate: str) -> Edit:
    """Raises UserError for what no hand of ours sends."""
    about = gesture if isinstance(gesture, dict) else {}
    return edit(about.get("kind"), variate, *(about.get(name) for name in ("start", "stop", "value")))


# -- what is shown -----------------------------------------------------------------------------------------------------


def stretch(key: str, lookback: int) -> tuple[int, int]:
    """The steps of a long window that are drawn; the last ones at first."""
    last = max(lookback - MOST_POINTS, 0)
    first = min(session.get(f"{key}-stretch", last), last)
    return first, min(first + MOST_POINTS, lookback)


def _stretch(key: str, lookback: int) -> tuple[int, int]:
    """The same, with the slider that chooses it."""
    last = lookback - MOST_POINTS
    if last > 0:
        field = f"{key}-stretch"
        session[field] = stretch(key, lookback)[0]
        st.slider(f"First of the {MOST_POINTS:,} steps that are drawn", 0, last, key=field)
    return stretch(key, lookback)


def _usual(kind: Kind, values_L: np.ndarray) -> float:
    """An amount that shows: a deviation of the window, three for a shock."""
    known = values_L[np.isfinite(values_L)].astype(float)
    deviation, mean = (float(known.std()), float(known.mean())) if len(known) else (1.0, 0.0)
    amounts = {"set": mean, "shock": 3 * (deviation or 1), "shift": deviation or 1.0, "scale": 2.0, "mask": 0.0}
    return float(f"{amounts[kind]:.2g}")


def _told(edits: tuple[Edit, ...]) -> str:
    """What has been done, in a line."""
    if not edits:
        return "Nothing is changed yet."
    last = edits[-1]
    steps = f"step {last.start}" if last.stop - last.start == 1 else f"steps {last.start} to {last.stop - 1}"
    value = widgets.figures(last.value, 4).replace("-", "−")
    done = {
        "set": f"set to {value}",
        "shock": f"shocked by {value}",
        "shift": f"shifted by {value}",
        "scale": f"scaled by {value}",
        "mask": "masked with the mean of the window",
    }[last.kind]
    return f"{len(edits)} change{'s' if len(edits) > 1 else ''}. The last: {steps} of {last.variate} {done}."


def _values(values: np.ndarray) -> list[float | None]:
    """For the browser, where a missing step is null."""
    return [float(f"{v:.7g}") if math.isfinite(v) else None for v in np.asarray(values, float).tolist()]
