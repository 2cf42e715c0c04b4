"""Counts, stamps and steps in words, for the sentences of findings and cards."""

from typing import Any

import numpy as np

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
UNITS = (("week", 7 * DAY), ("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", SECOND))


def many(count: int, noun: str, verb: str = "") -> str:
    """A count with its noun, and with "is" or "are" and the like where a ``verb`` is given as "is/are".

    >>> many(1, "row"), many(1200, "row", "is/are")
    ('1 row', '1,200 rows are')
    """
    one, _, more = verb.partition("/")
    said = f" {one if count == 1 else more}" if verb else ""
    return f"{count:,} {noun}{'' if count == 1 else 's'}{said}"


def listed(names: list[str] | tuple[str, ...], most: int = 10) -> str:
    """Names with commas, cut after a few."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def joined(names: list[str] | tuple[str, ...]) -> str:
    """All names with commas and an "and".

    >>> joined(["x0"]), joined(["x0", "x1", "x2"])
    ('x0', 'x0, x1 and x2')
    """
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def short(text: str, length: int = 60) -> str:
    """One line of at most ``length`` letters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def inert(text: str) -> str:
    """Text of an upload that a spreadsheet will not take for a formula: with an apostrophe before it.

    >>> inert("=SUM(A1)"), inert("load")
    ("'=SUM(A1)", 'load')
    """
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def moment(time: Any, clock: bool) -> str:
    """Microseconds since 1970 as ISO text without needless zeros, or the plain number where there is no clock.

    >>> moment(0, True), moment(7, False)
    ('1970-01-01 00:00:00', '7')
    """
    if not clock:
        return str(int(time))
    return str(np.datetime64(int(time), "us")).removesuffix(".000000").replace("T", " ")


def step_words(step: int, clock: bool, months: bool = False) -> str:
    """A step in words; microseconds, months, or plain numbers.

    >>> step_words(HOUR, True), step_words(900 * SECOND, True), step_words(3, True, months=True)
    ('1 hour', '15 minutes', '3 months')
    """
    if months:
        return many(step // 12, "year") if step % 12 == 0 else many(step, "month")
    if not clock:
        return "1 row" if step == 1 else f"{step:,} in the index"
    for unit, size in UNITS:
        if step % size == 0:
            return many(step // size, unit)
    for unit, size in (*UNITS[1:], ("millisecond", 1_000)):
        if step >= size:
            return f"{step / size:.4g} {unit}s"
    return many(step, "microsecond")
