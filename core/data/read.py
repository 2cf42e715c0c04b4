"""Files become series: ``sniff`` proposes how to read one, ``parse`` reads it as chosen.

What a file is stands in ``source.py``, formats of times in ``clock.py``, cells in ``cells.py``, order, gaps and filling
in ``audit.py``. Nothing is dropped, filled or read another way without a finding.
"""

import re
from dataclasses import replace
from pathlib import Path

from core.data.audit import PLACES, settle
from core.data.card import Audit
from core.data.cells import Cells, Layout, too_many_values
from core.data.choice import Choice, Column, Proposal, Role
from core.data.clock import DATED, HINTS, Clock, forced, readings, recognise, settled_order
from core.data.engine import reader
from core.data.numbers import MARKS, Numbers, written
from core.data.series import Series
from core.data.source import MAX_COLUMNS, SEPARATORS, Source, inspect
from core.data.words import listed, moment
from core.errors import UserError
from core.settings import Settings

__all__ = ["Choice", "Column", "Proposal", "parse", "sniff"]

TIME_OF_DAY = re.compile(r"\d{1,2}[:.]\d{2}([:.]\d{2}(\.\d+)?)?( ?[AaPp]\.?[Mm]\.?)?")
PARTS = (  # year, month, day: what their columns are called, and which whole numbers stand there
    (re.compile(r"(?i)year|yr|jahr|annee|année|ano|año"), 1000, 2200),
    (re.compile(r"(?i)month|mon|mo|monat|mois|mes|mês"), 1, 12),
    (re.compile(r"(?i)day|dy|dom|day of month|tag|jour|dia|día"), 1, 31),
)
HOUR = re.compile(r"(?i)(^|[^a-z])(hour|hours|hr|h|time|stunde|heure|hora)($|[^a-z])")
NAMES = re.compile(
    r"(?i)(^|[^a-z])(id|ids|series|item|store|sensor|station|site|variable|name|key|group)($|[^a-z])|_id$"
)
ALIKE = 0.95  # of the rows of a long table must differ in time or series; counts are estimates within about 3 %


def sniff(path: Path, original_name: str, max_mb: int | None = None) -> Proposal:
    """How this file could be read, from its first rows; the whole file is asked only where day and month are not clear
    and about columns whose first rows are all empty.

    Raises UserError for a file that is no table: empty, binary, too large, header only, no numeric column.
    """
    source = inspect(path, original_name, max_mb or Settings().max_upload_mb)
    warnings = [finding.sentence for finding in source.findings]
    with source.readable() as file, reader(file.parent) as connection:
        cells = Cells(connection, file, source)
        sample = cells.sample()
        columns = [list(texts) for texts in zip(*sample, strict=True)] if sample else [[] for _ in source.names]
        numbers = written(columns) if source.kind == "text" else Numbers()
        clocks = _clocks(source, columns)
        time = _time_column(source, clocks)
        parts = _date_parts(source, columns)
        if parts and (time is None or time in parts or (clock := clocks[time]) is None or clock.is_index):
            time = parts[0]
        else:
            parts = ()
        when = Layout([], time, date_parts=parts[1:])
        beside = None if time is None else _beside(source, columns, when)
        when = replace(when, time_of_day=beside)
        if time is not None and len(when.times) > 1:
            clocks[time] = recognise(when.texts(columns), True, True)
        roles: list[Role] = [_role(source, i, texts, numbers) for i, texts in enumerate(columns)]
        late = [i for i, role in enumerate(roles) if role == "empty"]
        for i, count in zip(late, cells.count_numbers(late, numbers), strict=True):
            roles[i] = "value" if count else "empty"
        clock, ambiguous, times, texts = None, None, [], []
        if time is not None:
            clock = clocks[time]
            for i in when.times:
                roles[i] = "time"
            texts = [text for text in when.texts(columns) if text.strip()][:3]
            if clock is not None and clock.two_readings:
                order = settled_order(*cells.largest_parts(time, clock.separator))
                if order is None:
                    ambiguous = readings(clock, texts)
                    warnings.append(_ask_order(source.names[time], texts[0], ambiguous))
                else:
                    clock = clock.read_as(order)
            if clock is not None and ambiguous is None:
                found = cells.shown(clock, texts)
                times = ["cannot be read" if t is None else moment(t, not clock.is_index) for t in found]
        series = None if time is None else _series_column(cells, columns, roles, when)
        if series is not None:
            roles[series] = "series"
    values = [name for name, role in zip(source.names, roles, strict=True) if role == "value"]
    if not values:
        seen = [f"{name} ({role})" for name, role in zip(source.names, roles, strict=True)]
        raise UserError(
            f"{original_name} has no numeric column to forecast. Found: {listed(seen, 5)}. Check the separator and the "
            f"decimal mark, or choose another file."
        )
    if time is None:
        warnings.append("No column looks like times. The rows will be numbered 0, 1, 2, ... unless you choose one.")
    if aside := [name for name, role in zip(source.names, roles, strict=True) if role in ("text", "empty")]:
        warnings.append(f"Set aside, because they hold no numbers to forecast: {listed(aside)}.")
    if series is not None:
        warnings.append(
            f"A long table: times come back with another {source.names[series]}. Each of them is read as a variate of "
            f"its own."
        )
    if numbers.decimal == ",":
        warnings.append("Numbers are written with a decimal comma: 1,5 is read as one and a half.")
    if numbers.thousands:
        example = next(t.strip() for texts in columns for t in texts if re.fullmatch(numbers.grouped, t.strip()))
        warnings.append(
            f"Numbers are written in groups of three digits: {example} is read as "
            f"{re.sub(rf'[{MARKS[numbers.thousands]}]', '', example)}. If the mark is a decimal one, choose it as that."
        )
    return Proposal(
        columns=[
            Column(
                name=name,
                role=role,
                examples=[text[:80] for text in texts if text.strip()][:3],
                note=clock.label if clock and role == "time" else "",
            )
            for name, role, texts in zip(source.names, roles, columns, strict=True)
        ],
        rows=[list(row) for row in sample[:3]],
        time_column=source.names[time] if time is not None else None,
        date_parts=[source.names[i] for i in when.date_parts],
        time_of_day=source.names[beside] if beside is not None else None,
        series_column=source.names[series] if series is not None else None,
        zone=_named_zone(texts[0]) if clock and clock.offset and texts else "UTC",
        time_format=clock.label if clock else "",
        times=times,
        ambiguous=ambiguous,
        value_columns=values,
        decimal=numbers.decimal,
        thousands=numbers.thousands,
        separator=SEPARATORS[source.separator] if source.kind == "text" and len(source.names) > 1 else "",
        encoding=source.encoding.removesuffix("-sig") if source.kind == "text" else "",
        warnings=warnings,
    )


def parse(
    path: Path,
    choice: Choice,
    name: str = "",
    max_mb: int | None = None,
    max_cells: int | None = None,
    places: int = PLACES,
) -> tuple[Series, Audit]:
    """The series in this file, read as chosen, with everything found and changed on the way.

    ``name`` is the file's own name where ``path`` is a stored copy; ``places`` how many places of what could not be
    read are kept. Raises UserError where the choice does not fit the file (unknown column, times that cannot be read
    or have two readings) or the file holds no series.
    """
    name = name or path.name
    settings = Settings()
    source = inspect(path, name, max_mb or settings.max_upload_mb)
    limit = max_cells or settings.max_cells
    columns = [_index(source, each, name) for each in choice.value_columns]
    time = None if choice.time_column is None else _index(source, choice.time_column, name)
    if not columns:
        raise UserError(f"No column of {name} is chosen. Choose at least one with numbers.")
    beside, series = (
        None if c is None else _index(source, c, name) for c in (choice.time_of_day, choice.series_column)
    )
    parts = tuple(_index(source, each, name) for each in choice.date_parts)
    layout = Layout(columns, time, beside, series, parts)
    used = [*columns, *layout.times, *([] if series is None else [series])]
    if len(set(used)) < len(used):
        raise UserError("A column is chosen twice. Choose each once, as time, as the name of a series or as a value.")
    if time is None and (len(used) > len(columns)):
        raise UserError(
            "Month and day, a time of day or a column of series names need a time column beside them. Choose one."
        )
    if source.rows is not None and source.rows * len(columns) > limit:
        raise too_many_values(limit)
    zone = _zone(choice.zone)
    with source.readable() as file, reader(file.parent) as connection:
        cells = Cells(connection, file, source, places)
        clock = None if time is None else _chosen_clock(cells, layout, choice.day_first)
        raw = cells.read(layout, clock, choice.numbers, limit)
    raw.absolute = clock is None or clock.absolute
    times, values, audit = settle(raw, choice, limit)
    return Series(Path(name).stem or name, times, values, raw.names, zone), audit


def _index(source: Source, column: str, name: str) -> int:
    if column not in source.names:
        raise UserError(f"{name} has no column {column!r}. It has {listed(source.names)}.")
    return source.names.index(column)


def _zone(zone: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise UserError(f"{zone!r} is not a time zone. Use a name such as UTC or Europe/Berlin.") from None
    return zone


def _named_zone(text: str) -> str:
    """The zone that a stamp such as ``2024-01-01 10:00 Europe/Berlin`` names, else UTC."""
    found = re.search(r"[A-Z][A-Za-z]+(/[A-Z][A-Za-z_-]+)+(?=\]?$)", text.strip())
    try:
        return _zone(found[0]) if found else "UTC"
    except UserError:
        return "UTC"


def _date_parts(source: Source, columns: list[list[str]]) -> tuple[int, ...]:
    """Columns of year, month and day, in this order, where a table has its date in them; day may be missing."""
    found: list[int] = []
    for names, low, high in PARTS:
        at = next((i for i, name in enumerate(source.names) if names.fullmatch(name.strip())), None)
        filled = [] if at is None else [text.strip().removesuffix(".0") for text in columns[at] if text.strip()]
        if at is None or not filled or not all(t.isdecimal() and low <= int(t) <= high for t in filled):
            break
        found.append(at)
    return tuple(found) if len(found) > 1 else ()


def _beside(source: Source, columns: list[list[str]], when: Layout) -> int | None:
    """The column with the time of day, where the time column holds dates alone and they repeat."""
    dates = [text.strip() for text in when.texts(columns) if text.strip()]
    if (
        (source.kind != "text" and not when.date_parts)
        or not dates
        or any(":" in text for text in dates)
        or len(set(dates)) == len(dates) > 1
    ):
        return None
    for i, texts in enumerate(columns):
        filled = [text.strip() for text in texts if text.strip()]
        if i in when.times or not filled:
            continue
        clocks = all(TIME_OF_DAY.fullmatch(text) for text in filled) and (
            ":" in filled[0] or HOUR.search(source.names[i]) is not None
        )
        hours = HOUR.search(source.names[i]) is not None and all(re.fullmatch(r"\d|[01]\d|2[0-3]", t) for t in filled)
        if (clocks or hours) and recognise(replace(when, time_of_day=i).texts(columns), True, True):
            return i
    return None


def _series_column(cells: Cells, columns: list[list[str]], roles: list[Role], layout: Layout) -> int | None:
    """The column that names the series of a long table: times repeat, but hardly with the same name."""
    names = cells.source.names
    for i, role in enumerate(roles):
        filled = [text.strip() for text in columns[i] if text.strip()]
        if not (role == "text" or (role == "value" and NAMES.search(names[i]) and all(t.isdigit() for t in filled))):
            continue
        if cells.source.types and cells.source.types[i] == "other":
            continue
        rows, times, distinct, pairs = cells.repeats(layout, i)
        if 2 <= distinct <= MAX_COLUMNS and rows > 1.3 * times and pairs >= ALIKE * rows and distinct <= rows / 2:
            return i
    return None


def _role(source: Source, i: int, texts: list[str], numbers: Numbers) -> Role:
    kind = source.types[i] if source.types else "text"
    filled = [text.strip() for text in texts[:100] if text.strip()]
    if kind in ("time", "zoned", "other"):
        return "text"
    if not filled:
        return "empty"
    readable = sum(numbers.reads(text) for text in filled)
    return "value" if kind == "number" or readable >= len(filled) / 2 else "text"


def _clocks(source: Source, columns: list[list[str]]) -> list[Clock | None]:
    """For each column the clock it could be."""
    found: list[Clock | None] = []
    for i, texts in enumerate(columns):
        kind = source.types[i] if source.types else "text"
        if kind in ("time", "zoned"):
            found.append(Clock("typed", "times", offset=kind == "zoned"))
        else:
            named, dated = (pattern.search(source.names[i]) is not None for pattern in (HINTS, DATED))
            found.append(recognise(texts, named, i == 0, dated) if kind != "other" else None)
    return found


def _time_column(source: Source, clocks: list[Clock | None]) -> int | None:
    """The likeliest: dates in a column named like one, then dates anywhere, then whole numbers that count up."""

    def rank(i: int) -> tuple[bool, bool, int]:
        clock = clocks[i]
        return clock is None or clock.is_index, HINTS.search(source.names[i]) is None, i

    if len(clocks) == 1 and clocks[0] is not None and clocks[0].is_index:
        return None  # the only column is what there is to forecast, even where its numbers count up
    return min((i for i, clock in enumerate(clocks) if clock is not None), key=rank, default=None)


def _chosen_clock(cells: Cells, layout: Layout, day_first: bool | None) -> Clock:
    """The clock of the column a person chose; stricter than a guess about the reading, laxer about the shape."""
    source, sample = cells.source, cells.sample()
    columns = [list(texts) for texts in zip(*sample, strict=True)] if sample else [[] for _ in source.names]
    time, texts = layout.times[0], layout.texts(columns)
    name = source.names[time]
    clock = recognise(texts, True, True) if len(layout.times) > 1 else _clocks(source, columns)[time]
    clock = clock or forced(texts)
    filled = [text for text in texts if text.strip()]
    if clock is None:
        raise UserError(
            f"Column {name} does not look like times: it begins with {(filled or ['nothing'])[0][:60]!r}. "
            f"Choose another time column, or none to number the rows."
        )
    if clock.two_readings and day_first is None:
        day_first = settled_order(*cells.largest_parts(time, clock.separator))
        if day_first is None:
            raise UserError(_ask_order(name, filled[0], readings(clock, filled[:1])))
    return clock.read_as(bool(day_first))


def _ask_order(column: str, text: str, both: dict[str, list[str]]) -> str:
    spelled = " or ".join(found[0] for found in both.values())
    return f"Column {column}: {text!r} can be {spelled}, and no row tells which. Say whether the day or month is first."
