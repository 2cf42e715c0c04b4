"""How the texts of a time column are read: which of a few known formats they follow, as an SQL expression.

Formats are recognised by shape, never by trying: ``01/02/2020`` has two readings and this module says so instead of
picking one. Sorting, gaps and zones are the audit's work.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

HINTS = re.compile(
    r"(?i)(^|[^a-z])(date|time|datetime|timestamp|stamp|ts|ds|day|month|year|week|hour|period|datum|zeit|fecha|heure)"
    r"($|[^a-z])|date|time"
)
DATED = re.compile(r"(?i)date|datum|fecha|timestamp|(^|[^a-z])(day|tag|time|zeit)($|[^a-z])")
SHEET = (20_000, 80_000)  # days of a spreadsheet: October 1954 to January 2119
TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p")
ABBREVIATIONS = {  # those with one meaning; CST, BST and IST have several
    "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9,
    "EST": -5, "EDT": -4, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}  # fmt: skip
ZONE = rf"[Zz]|UTC|GMT|[+-]\d\d(:?\d\d)?|{'|'.join(ABBREVIATIONS)}|[A-Z][A-Za-z]+(/[A-Z][A-Za-z_-]+){{1,2}}"
OFFSET = rf":\d\d(\.\d+)?\s*\[?({ZONE})\]?$"
CLOCK = r"([T ]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?"
HALF = r"( ?[AaPp][Mm])?"
EPOCHS = (
    ("epoch_ns", 1e17, "nanoseconds"),
    ("epoch_us", 1e14, "microseconds"),
    ("epoch_ms", 1e11, "milliseconds"),
    ("epoch_s", 1e8, "seconds"),
)
MONTH = r"[A-Za-z]{3,9}\.?"


@dataclass(frozen=True)
class Clock:
    """One way to read a column of times. ``label`` is for people; ``offset``: every stamp says its distance to UTC."""

    kind: str
    label: str
    formats: tuple[str, ...] = ()
    offset: bool = False
    separator: str = ""

    @property
    def two_readings(self) -> bool:
        """Day and month cannot be told apart by shape."""
        return self.kind == "slash"

    @property
    def absolute(self) -> bool:
        """Stamps are moments in UTC, not readings of a clock on some wall."""
        return self.offset or self.kind.startswith("epoch") or self.is_index

    @property
    def is_index(self) -> bool:
        """Numbers without a calendar."""
        return self.kind == "integer"

    def read_as(self, day_first: bool) -> "Clock":
        """The clock of a ``two_readings`` column once somebody said which."""
        if not self.two_readings:
            return self
        year = self.formats[0]
        date = ("%d", "%m") if day_first else ("%m", "%d")
        stem = self.separator.join((*date, year))
        label = "day/month/year" if day_first else "month/day/year"
        return Clock("formats", label, tuple(stem + time for time in TIMES))

    def sql(self, column: str) -> str:
        """SQL that turns the text (or number) in ``column`` into microseconds since 1970, or the integer itself; NULL
        where it does not fit."""
        text = f"trim({column}::VARCHAR)"
        number = f"try_cast({column} AS DOUBLE)"
        scale = {"epoch_s": 1e6, "epoch_ms": 1e3, "epoch_us": 1, "epoch_ns": 1e-3}.get(self.kind)
        if scale is not None:  # a double holds microseconds exactly until the year 2255
            return f"try_cast(round({number} * {scale}) AS BIGINT)"
        if self.kind == "sheet":  # day 25,569 is the first of 1970; to the second, as its fraction is rounded
            return f"try_cast(round(({number} - 25569) * 86400) * 1000000 AS BIGINT)"
        if self.kind == "integer":
            return f"CASE WHEN {number} = round({number}) THEN try_cast({number} AS BIGINT) END"
        if self.kind == "typed":
            return f"epoch_us({column}::TIMESTAMP)" if not self.offset else f"epoch_us({column})"
        if self.kind == "quarter":
            month = f"((try_cast(right({text}, 1) AS INTEGER) - 1) * 3 + 1)"
            return f"epoch_us(try_cast(left({text}, 4) || '-' || {month} || '-01' AS TIMESTAMP))"
        if self.kind == "iso":
            # A stamp with an offset in a column without them (or the reverse) is not readable: no silent mix of zones.
            plain = f"regexp_replace({text}, '^(\\d{{4}})/(\\d{{1,2}})/', '\\1-\\2-')"
            if self.offset:
                stamp = f"regexp_replace({plain}, ' ?\\[(.*)\\]$', ' \\1')"
                for name, hours in ABBREVIATIONS.items():
                    stamp = f"regexp_replace({stamp}, ' ?{name}$', '{hours:+03d}:00')"
                return (
                    f"CASE WHEN regexp_matches({text}, '{OFFSET}') THEN epoch_us(try_cast({stamp} AS TIMESTAMPTZ)) END"
                )
            return f"CASE WHEN NOT regexp_matches({text}, '{OFFSET}') THEN epoch_us(try_cast({plain} AS TIMESTAMP)) END"
        if self.kind == "week":
            return f"epoch_us(try_strptime(regexp_replace({text}, '-?[wW]', '-W') || '-1', '%G-W%V-%u')::TIMESTAMP)"
        formats = ", ".join("'" + f.replace("'", "''") + "'" for f in self.formats)
        return f"epoch_us(try_strptime({text}, [{formats}])::TIMESTAMP)"


def recognise(texts: list[str], hinted: bool, first: bool, dated: bool = False) -> Clock | None:
    """The clock that all but a few of the non-empty texts follow, or None.

    Bare numbers count as times only in a column named like one (``hinted``) or in the ``first`` column when they rise;
    whole numbers without a calendar only when they count up by one. In a column named like a date (``dated``) numbers
    of the right size are days as a spreadsheet counts them.
    """
    filled = [text.strip() for text in texts if text.strip()]
    numbers = _numbers(filled)
    if numbers is None:
        return _of_texts(filled)
    rises = [b - a for a, b in pairwise(numbers)]
    if not (hinted or (first and rises and sum(r > 0 for r in rises) >= 0.9 * len(rises))):
        return None
    if dated and all(SHEET[0] <= n < SHEET[1] for n in numbers):
        return Clock("sheet", "days as a spreadsheet counts them, 1 is 1 January 1900")
    clock = _of_numbers(numbers)
    counts_up = len(rises) > 1 and all(r == 1 for r in rises)
    return None if clock and clock.is_index and not counts_up else clock


def forced(texts: list[str]) -> Clock | None:
    """The clock of a column that a person chose: bare numbers of any kind are taken, too."""
    filled = [text.strip() for text in texts if text.strip()]
    numbers = _numbers(filled)
    return _of_texts(filled) if numbers is None else _of_numbers(numbers)


def _of_texts(filled: list[str]) -> Clock | None:
    if not any(c.isdigit() for text in filled[:5] for c in text):
        return None

    def most(pattern: str) -> bool:
        return sum(re.fullmatch(pattern, text) is None for text in filled) <= _strays(filled)

    if most(r"\d{4}([-/])\d{1,2}\1\d{1,2}" + CLOCK + rf"\s*\[?({ZONE})?\]?"):
        offset = sum(re.search(OFFSET, text) is not None for text in filled) > len(filled) / 2
        return Clock("iso", "ISO dates and times with an offset" if offset else "ISO dates and times", offset=offset)
    if most(r"\d{4}([-/.])\d{1,2}\1\d{1,2}" + CLOCK + HALF):
        mark = filled[0][4]
        return Clock("formats", "year, month, day", tuple(f"%Y{mark}%m{mark}%d{time}" for time in TIMES))
    for mark in "/.-":
        for year, digits in (("%Y", r"\d{4}"), ("%y", r"\d{2}")):
            if most(rf"\d{{1,2}}{re.escape(mark)}\d{{1,2}}{re.escape(mark)}{digits}{CLOCK}{HALF}"):
                return Clock("slash", "day and month as numbers", (year,), separator=mark)
    if most(rf"\d{{1,2}}[ -]{MONTH}[ -]\d{{2,4}}{CLOCK}"):
        stems = [f"%d{m}{name}{m}{year}" for m in " -" for name in ("%B", "%b") for year in ("%Y", "%y")]
        return Clock("formats", "day, month name, year", tuple(s + time for s in stems for time in TIMES[:3]))
    if most(rf"{MONTH} \d{{1,2}},? \d{{4}}{CLOCK}{HALF}"):
        stems = [f"{name} %d{comma} %Y" for name in ("%B", "%b") for comma in (",", "")]
        return Clock("formats", "month name, day, year", tuple(s + time for s in stems for time in TIMES))
    if most(rf"{MONTH}[ -]\d{{4}}"):
        return Clock("formats", "month name, year", tuple(f"{n}{m}%Y" for n in ("%B", "%b") for m in " -"))
    if most(r"\d{4}[-/]\d{1,2}"):
        return Clock("formats", "year and month", ("%Y-%m", "%Y/%m"))
    if most(r"\d{4}[mM](0?[1-9]|1[0-2])"):
        return Clock("formats", "year and month", ("%YM%m", "%Ym%m"))
    if most(r"\d{4}-?[wW]\d{2}"):
        return Clock("week", "year and ISO week, by its Monday")
    if most(r"\d{4}[- ]?[Qq][1-4]"):
        return Clock("quarter", "year and quarter")
    return None


def _numbers(filled: list[str]) -> list[float] | None:
    """The texts as bare numbers where all but a few are some, else None."""
    found = [float(text) for text in filled if re.fullmatch(r"[+-]?\d{1,20}(\.\d+)?", text)]
    return found if found and len(filled) - len(found) <= _strays(filled) else None


def _strays(filled: list[str]) -> float:
    """How many texts may be something else, such as a total under the table."""
    return max(0.1 * len(filled), len(filled) >= 3)


def _of_numbers(numbers: list[float]) -> Clock | None:
    """By size: a compact date, a year, seconds to nanoseconds since 1970, an index."""
    middle, whole = sorted(numbers)[len(numbers) // 2], all(n == int(n) for n in numbers)
    if whole and all(_compact(int(n)) for n in numbers):
        return Clock("formats", "dates as YYYYMMDD", ("%Y%m%d",))
    if whole and len(set(numbers)) > 1 and all(1000 <= n <= 2200 for n in numbers):
        return Clock("formats", "years", ("%Y",))
    for kind, low, label in EPOCHS:
        if middle >= low:
            return Clock(kind, f"{label} since 1970")
    return Clock("integer", "whole numbers, no calendar") if whole else None


def _compact(number: int) -> bool:
    return 1800_01_01 <= number <= 2200_12_31 and 1 <= number // 100 % 100 <= 12 and 1 <= number % 100 <= 31


def settled_order(first_max: int, second_max: int) -> bool | None:
    """Day first or not, where the values themselves leave one reading; None where both remain."""
    if first_max > 12 >= second_max:
        return True
    if second_max > 12 >= first_max:
        return False
    return None


def readings(clock: Clock, texts: list[str]) -> dict[str, list[str]]:
    """The same texts read both ways, spelled out: ``{"day first": ["1 February 2020", ...], "month first": [...]}``."""
    found = {}
    for name, day_first in (("day first", True), ("month first", False)):
        found[name] = [_spell(text, clock.read_as(day_first).formats) for text in texts]
    return found


def _spell(text: str, formats: tuple[str, ...]) -> str:
    for each in formats:
        try:
            when = datetime.strptime(" ".join(text.replace("T", " ").split()), each)
        except ValueError:
            continue
        clock = f" {when:%H:%M}" if (when.hour or when.minute) else ""
        return f"{when.day} {when:%B} {when.year}{clock}"
    return "not a date"
