"""Lags as people write them, "48-57, 71", and back; spans of neighbouring lags. A lag counts steps into the past."""

import re
from collections.abc import Collection, Iterable

from core.errors import UserError

LONGEST = 1_000  # the farthest step back that a rule may reach
_SPAN = re.compile(r"([0-9]{1,9})(?:\s*[-–]\s*([0-9]{1,9}))?")


def read_lags(text: str) -> tuple[int, ...]:
    """The lags that ``text`` names, each once and rising. Raises UserError that quotes what cannot be read.

    >>> read_lags("71, 48-50")
    (48, 49, 50, 71)
    """
    if not text.strip():
        raise UserError("No lag is named. Write lags and spans with commas between them, such as 48-57, 71.")
    found: set[int] = set()
    for place, part in enumerate(text.split(","), 1):
        said = " ".join(part.split())
        if not said:
            raise UserError(
                f"Part {place} of the lags is empty. Write a lag between the commas, or take one comma out."
            )
        match = _SPAN.fullmatch(said)
        if not match:
            raise UserError(
                f"Part {place} of the lags, {said[:40]!r}, is neither a whole number nor a span. Write 71 for one lag, "
                "48-57 for a span."
            )
        first = int(match[1])
        last = int(match[2] or first)
        if first > last:
            raise UserError(f"Part {place} of the lags, {said!r}, runs backwards. Write {last}-{first}.")
        check_lags((first, last), f" in part {place}")
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def write_lags(lags: Iterable[int], to: str = "-", most: int = LONGEST) -> str:
    """Rising lags as spans; after ``most`` spans only how many more there are.

    >>> write_lags((48, 49, 50, 71)), write_lags((1, 2, 9, 11, 13), to=" to ", most=2)
    ('48-50, 71', '1 to 2, 9 and 2 more')
    """
    parts = [f"{a}{to}{b}" if b > a else f"{a}" for a, b in spans(lags)]
    left = len(parts) - most
    return ", ".join(parts[:most]) + (f" and {left} more" if left > 0 else "")


def spans(lags: Iterable[int]) -> list[tuple[int, int]]:
    """Neighbouring lags joined, first and last of each span.

    >>> spans([71, 48, 49])
    [(48, 49), (71, 71)]
    """
    joined: list[tuple[int, int]] = []
    for lag in sorted(lags):
        if joined and lag <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], lag)
        else:
            joined.append((lag, lag))
    return joined


def toggle(lags: Collection[int], span: Iterable[int]) -> tuple[int, ...]:
    """``lags`` without ``span`` where all of it is in them, else with it.

    >>> toggle((4, 5, 6), (5, 6)), toggle((4, 5), (5, 6))
    ((4,), (4, 5, 6))
    """
    kept, turned = set(lags), set(span)
    return tuple(sorted(kept - turned if turned <= kept else kept | turned))


def check_lags(lags: Iterable[int], where: str = "") -> None:
    """Raises UserError for a lag that is not in the past, or farther back than any rule may reach."""
    for lag in lags:
        if lag < 1:
            raise UserError(f"Lag {lag}{where} is not in the past. Choose lags from 1 on.")
        if lag > LONGEST:
            raise UserError(f"Lag {lag:,}{where} is too far back. Choose lags up to {LONGEST:,}.")
