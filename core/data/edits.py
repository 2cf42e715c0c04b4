"""Changes to an input window by hand, the "what if" of a forecast: what each does, and their text in a link.

An edit changes one variate over the steps [start, stop) of the window; edits are applied in their order, and taking the
last one off the list undoes it. Shape suffixes: L look-back, C variates.

    set     every step of the span becomes ``value``, missing steps too
    shock   ``value`` is added at one step
    shift   ``value`` is added to the span
    scale   deviations from the span's own mean are multiplied by ``value``
    mask    the span becomes the variate's mean over the window as it was before any edit; ``value`` is not used

A missing step (NaN) has no value to add to or to scale: only ``set`` and ``mask`` fill it.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, Literal, get_args
from urllib.parse import quote, unquote

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import UserError

Kind = Literal["set", "shock", "shift", "scale", "mask"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST = 200  # edits of one window
LARGEST = float(np.finfo(np.float32).max)  # what a model can take
_LONGEST = 40_000  # characters of a text that is read
_STEP = re.compile(r"[0-9]{1,7}")
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?(e[+-]?[0-9]{1,3})?")


class Edit(BaseModel):
    """One change. Any numbers can be held here; ``apply`` is what judges them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    variate: str
    start: int = Field(description="First step, from 0.")
    stop: int = Field(description="One past the last step.")
    value: float = 0.0


def edit(kind: Any, variate: str, start: Any, stop: Any, value: Any) -> Edit:
    """An edit from what a field, a hand or a link holds. Raises UserError where something is empty or no number."""
    if kind not in KINDS:
        raise UserError(f"There is no change called {str(kind)[:20]!r}. Choose one of: {', '.join(KINDS)}.")
    if start is None or stop is None:
        raise UserError("No step is chosen. Give the first and the last step, or drag over the picture.")
    if value is None and kind != "mask":
        raise UserError(
            "The value is empty. Give a number." if kind == "set" else "The amount is empty. Give a number."
        )
    try:
        used = 0.0 if kind == "mask" else value
        return Edit.model_validate({"kind": kind, "variate": variate, "start": start, "stop": stop, "value": used})
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(
            f"The {fault['loc'][0]} of this change, {str(fault['input'])[:20]!r}, is not a number that can be used. "
            "Give whole numbers for the steps, and a number for the amount."
        ) from None


def apply(lookback_LC: np.ndarray, variates: Sequence[str], edits: Sequence[Edit]) -> np.ndarray:
    """The edited window, float32, a copy; without edits an exact one.

    Raises UserError for an edit that cannot be made: unknown variate, a span outside the window, a value that is no
    number, nothing there to change, a result too large for a model, or more than ``MOST`` edits.
    """
    if len(edits) > MOST:
        raise UserError(f"{len(edits):,} changes are too many for one window. Keep at most {MOST}; undo some.")
    changed_LC = np.array(lookback_LC, dtype=np.float32)
    for one in edits:
        column = _column(one, variates)
        _check(one, len(changed_LC))
        whole_L = changed_LC[:, column].astype(np.float64)
        span = slice(one.start, one.stop)
        found = _changed(one, whole_L[span], lookback_LC[:, column])
        if not (np.abs(found[~np.isnan(found)]) <= LARGEST).all():
            raise UserError(
                f"{_where(one)} would become larger than {LARGEST:.1e}, more than a model can take. Give a smaller "
                "number."
            )
        changed_LC[span, column] = found
    return changed_LC


def _changed(one: Edit, span: np.ndarray, before_L: np.ndarray) -> np.ndarray:
    """The new values of the span. ``before_L`` is the variate as it was before any edit."""
    if one.kind == "set":
        return np.full_like(span, one.value)
    if one.kind == "mask":
        if not np.isfinite(before_L).any():
            raise UserError(f"All of {one.variate} is missing in this window: it has no mean. Set a value instead.")
        return np.full_like(span, np.nanmean(before_L.astype(np.float64)))
    if not np.isfinite(span).any():
        raise UserError(f"{_where(one)} is missing: there is no value to {one.kind}. Set a value instead.")
    with np.errstate(over="ignore"):
        if one.kind == "scale":
            mean = np.nanmean(span)
            return mean + one.value * (span - mean)
        return span + one.value


def _column(one: Edit, variates: Sequence[str]) -> int:
    if one.variate not in variates:
        known = ", ".join(list(variates)[:8]) + (", ..." if len(variates) > 8 else "")
        raise UserError(f"This window has no variate {one.variate[:40]!r}. Choose one of: {known}.")
    return list(variates).index(one.variate)


def _check(one: Edit, lookback: int) -> None:
    if not 0 <= one.start < lookback or not one.start < one.stop <= lookback:
        raise UserError(
            f"Steps {one.start:,} to {one.stop - 1:,} do not lie in this window, or run backwards. Choose steps from "
            f"0 to {lookback - 1:,}, the first one first."
        )
    if one.kind == "shock" and one.stop - one.start > 1:
        raise UserError(
            f"A shock is at one step; {one.stop - one.start:,} are chosen. Choose one step, or shift the span."
        )
    if math.isnan(one.value):
        raise UserError("The amount is not a number. Give a number.")
    if math.isinf(one.value):
        raise UserError("The amount is infinite. Give a number that ends.")


def _where(one: Edit) -> str:
    steps = f"Step {one.start:,}" if one.stop - one.start == 1 else f"Steps {one.start:,} to {one.stop - 1:,}"
    return f"{steps} of {one.variate}"


# -- in a link ---------------------------------------------------------------------------------------------------------


def write(edits: Sequence[Edit]) -> str:
    """Edits as text for a link: fields with ``~`` between them, edits with ``!``.

    >>> write([Edit(kind="shift", variate="load a", start=3, stop=5, value=-1.5)])
    'shift~load%20a~3~5~-1.5'
    """
    return "!".join(
        "~".join((e.kind, quote(e.variate, safe="").replace("~", "%7E"), f"{e.start}", f"{e.stop}", f"{e.value!r}"))
        for e in edits
    )


def read(text: str) -> tuple[Edit, ...]:
    """What ``write`` wrote. Raises UserError for anything else, with the part that cannot be read; whether the edits
    fit a window is for ``apply`` to say.

    >>> read("set~load%20a~3~4~2.0")[0].variate
    'load a'
    """
    if not text:
        return ()
    if len(text) > _LONGEST:
        raise UserError(f"The changes in this link are longer than {_LONGEST:,} characters. Make them again by hand.")
    parts = text.split("!")
    if len(parts) > MOST:
        raise UserError(f"This link holds {len(parts):,} changes; at most {MOST} can be made. Make them again by hand.")
    return tuple(_read(part, place) for place, part in enumerate(parts, 1))


def _read(part: str, place: int) -> Edit:
    fields = part.split("~")
    right = (
        len(fields) == 5
        and fields[0] in KINDS
        and all(_STEP.fullmatch(step) for step in fields[2:4])
        and _NUMBER.fullmatch(fields[4])
    )
    if not right:
        raise UserError(
            f"Change {place} in this link, {part[:40]!r}, cannot be read. Open the link without it, and make the "
            "change by hand."
        )
    return edit(fields[0], unquote(fields[1]), int(fields[2]), int(fields[3]), float(fields[4]))
