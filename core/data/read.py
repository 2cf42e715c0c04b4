"""Files become series: ``sniff`` proposes how to read one, ``parse`` reads it as chosen.

What a file is stands in ``source.py``, formats of times in ``clock.py``, cells in ``cells.py``, order, gaps and filling
in ``audit.py``. Nothing is dropped, filled or read another way without a finding.
"""

import re
from pathlib import Path

from core.data.audit import settle
from core.data.card import Audit
from core.data.cells import Cells, too_many_values
from core.data.choice import Choice, Column, Proposal, Role
from core.data.clock import HINTS, Clock, forced, readings, recognise, settled_order
from core.data.engine import reader
from core.data.series import Series
from core.data.source import NUMBER, SEPARATORS, Source, inspect
from core.data.words import listed, moment
from core.errors import UserError
from core.settings import Settings

__all__ = ["Choice", "Column", "Proposal", "parse", "sniff"]


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
        decimal = "," if source.kind == "text" and _decimal_comma(columns) else "."
        clocks = _clocks(source, columns)
        time = _time_column(source, clocks)
        roles: list[Role] = [_role(source, i, texts, decimal) for i, texts in enumerate(columns)]
        late = [i for i, role in enumerate(roles) if role == "empty"]
        for i, numbers in zip(late, cells.count_numbers(late, decimal), strict=True):
            roles[i] = "value" if numbers else "empty"
        clock, ambiguous, times = None, None, []
        if time is not None:
            roles[time], clock = "time", clocks[time]
            texts = [text for text in columns[time] if text.strip()][:3]
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
    if decimal == ",":
        warnings.append("Numbers are written with a decimal comma: 1,5 is read as one and a half.")
    elif any(re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text.strip()) for texts in columns for text in texts[:50]):
        warnings.append("Some numbers hold commas, such as 1,234. They are not read as numbers; remove the commas.")
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
        time_format=clock.label if clock else "",
        times=times,
        ambiguous=ambiguous,
        value_columns=values,
        decimal=decimal,
        separator=SEPARATORS[source.separator] if source.kind == "text" and len(source.names) > 1 else "",
        encoding=source.encoding.removesuffix("-sig") if source.kind == "text" else "",
        warnings=warnings,
    )


def parse(
    path: Path, choice: Choice, name: str = "", max_mb: int | None = None, max_cells: int | None = None
) -> tuple[Series, Audit]:
    """The series in this file, read as chosen, with everything found and changed on the way.

    ``name`` is the file's own name where ``path`` is a stored copy. Raises UserError where the choice does not fit the
    file (unknown column, times that cannot be read or have two readings) or the file holds no series.
    """
    name = name or path.name
    settings = Settings()
    source = inspect(path, name, max_mb or settings.max_upload_mb)
    limit = max_cells or settings.max_cells
    columns = [_index(source, each, name) for each in choice.value_columns]
    time = None if choice.time_column is None else _index(source, choice.time_column, name)
    if not columns:
        raise UserError(f"No column of {name} is chosen. Choose at least one with numbers.")
    if len(set(columns)) < len(columns) or time in columns:
        raise UserError("A column is chosen twice. Choose each once, as time or as a value.")
    if source.rows is not None and source.rows * len(columns) > limit:
        raise too_many_values(limit)
    zone = _zone(choice.zone)
    with source.readable() as file, reader(file.parent) as connection:
        cells = Cells(connection, file, source)
        clock = None if time is None else _chosen_clock(cells, time, choice.day_first)
        raw = cells.read(time, clock, columns, choice.decimal, limit)
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


def _decimal_comma(columns: list[list[str]]) -> bool:
    """Whether commas are decimal marks; a comma before three digits is not taken as a sign of either."""
    texts = [text.strip() for column in columns for text in column[:100]]
    comma = sum(re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", text) is not None for text in texts)
    unclear = sum(re.fullmatch(r"[+-]?\d{1,3},\d{3}", text) is not None for text in texts)
    point = sum(re.fullmatch(r"[+-]?\d*\.\d+([eE][+-]?\d+)?", text) is not None for text in texts)
    return comma > point and comma > unclear


def _role(source: Source, i: int, texts: list[str], decimal: str) -> Role:
    kind = source.types[i] if source.types else "text"
    filled = [text.strip() for text in texts[:100] if text.strip()]
    if kind in ("time", "zoned", "other"):
        return "text"
    if not filled:
        return "empty"
    numbers = sum(NUMBER.fullmatch(text) is not None and not (decimal == "." and "," in text) for text in filled)
    return "value" if kind == "number" or numbers >= len(filled) / 2 else "text"


def _clocks(source: Source, columns: list[list[str]]) -> list[Clock | None]:
    """For each column the clock it could be."""
    found: list[Clock | None] = []
    for i, texts in enumerate(columns):
        kind = source.types[i] if source.types else "text"
        if kind in ("time", "zoned"):
            found.append(Clock("typed", "times", offset=kind == "zoned"))
        else:
            named = HINTS.search(source.names[i]) is not None
            found.append(recognise(texts, named, i == 0) if kind != "other" else None)
    return found


def _time_column(source: Source, clocks: list[Clock | None]) -> int | None:
    """The likeliest: dates in a column named like one, then dates anywhere, then whole numbers that count up."""

    def rank(i: int) -> tuple[bool, bool, int]:
        clock = clocks[i]
        return clock is None or clock.is_index, HINTS.search(source.names[i]) is None, i

    if len(clocks) == 1 and clocks[0] is not None and clocks[0].is_index:
        return None  # the only column is what there is to forecast, even where its numbers count up
    return min((i for i, clock in enumerate(clocks) if clock is not None), key=rank, default=None)


def _chosen_clock(cells: Cells, time: int, day_first: bool | None) -> Clock:
    """The clock of the column a person chose; stricter than a guess about the reading, laxer about the shape."""
    source, sample = cells.source, cells.sample()
    columns = [list(texts) for texts in zip(*sample, strict=True)] if sample else [[] for _ in source.names]
    name, clock = source.names[time], _clocks(source, columns)[time] or forced(columns[time])
    filled = [text for text in columns[time] if text.strip()]
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
