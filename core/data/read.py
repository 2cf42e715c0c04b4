"""Files become series: ``sniff`` proposes how to read one, ``parse`` reads it as chosen.

DuckDB reads every cell as text and casts it with TRY_CAST, so that one bad cell is counted and placed instead of ending
the file. What a file is stands in ``source.py``, formats of times in ``clock.py``, order, gaps and filling in ``audit.py``.
Bytes are streamed: in memory are the numbers only, as float32.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.audit import FIRST_STAMP, LAST_STAMP, PLACES, Raw, _many, settle
from core.data.card import Audit, Finding, Place
from core.data.choice import Choice, Column, Proposal
from core.data.clock import HINTS, Clock, of_numbers, readings, recognise, settled_order
from core.data.engine import reader
from core.data.series import Series
from core.data.source import NUMBER, SAMPLE_ROWS, SEPARATORS, Source, inspect
from core.errors import UserError
from core.settings import Settings

if TYPE_CHECKING:
    import duckdb

__all__ = ["Choice", "Column", "Proposal", "parse", "sniff"]

BATCH = 122_880  # rows, one of DuckDB's row groups


def sniff(path: Path, original_name: str, max_mb: int | None = None) -> Proposal:
    """How this file could be read, from its first rows; the whole time column is looked at where day and month are not
    clear, and a column whose first rows are all empty to its end.

    Raises UserError for a file that is no table: empty, binary, too large, header only, no numeric column.
    """
    source = inspect(path, original_name, max_mb or Settings().max_upload_mb)
    with source.readable() as file, reader(file.parent) as connection:
        sample = _sample(connection, file, source)
        columns = [list(cells) for cells in zip(*sample, strict=True)] if sample else [[] for _ in source.names]
        decimal = "," if source.kind == "text" and _decimal_comma(columns) else "."
        clocks = _clocks(source, columns)
        time = _time_column(source, clocks)
        roles = [
            "time" if i == time else _role(cells, source.types[i] if source.types else "", decimal)
            for i, cells in enumerate(columns)
        ]
        late = [
            i
            for i, role in enumerate(roles)
            if role == "empty" and (source.types or ["text"] * len(roles))[i] != "other"
        ]
        for i, numbers in zip(late, _count_numbers(connection, file, source, late, decimal), strict=True):
            roles[i] = "value" if numbers else "empty"
        values = [name for name, role in zip(source.names, roles, strict=True) if role == "value"]
        clock = clocks[time] if time is not None else None
        ambiguous, warnings = None, [finding.sentence for finding in source.findings]
        texts = [cell for cell in columns[time] if cell.strip()][:3] if time is not None else []
        if clock is not None and clock.two_readings and time is not None:
            order = _order(connection, file, source, time, clock)
            if order is None:
                ambiguous = readings(clock, texts)
                warnings.append(
                    f"Column {source.names[time]}: {texts[0]!r} can be {' or '.join(v[0] for v in ambiguous.values())}, "
                    f"and no row tells which. Say whether the day or the month comes first."
                )
            else:
                clock = clock.read_as(order)
        times = _shown(connection, clock, texts) if clock is not None and ambiguous is None else []
    if not values:
        seen = ", ".join(f"{n} ({r})" for n, r in list(zip(source.names, roles, strict=True))[:5])
        raise UserError(
            f"{original_name} has no numeric column to forecast. Found: {seen}. Check the separator and the decimal mark, "
            f"or choose another file."
        )
    if time is None:
        warnings.append("No column looks like times. The rows will be numbered 0, 1, 2, ... unless you choose one.")
    aside = [n for n, r in zip(source.names, roles, strict=True) if r in ("text", "empty")]
    if aside:
        warnings.append(
            f"Set aside, because they hold no numbers: {', '.join(aside[:10])}{', ...' if len(aside) > 10 else ''}."
        )
    if decimal == ",":
        warnings.append("Numbers are written with a decimal comma: 1,5 is read as one and a half.")
    elif any(re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", cell.strip()) for cells in columns for cell in cells[:50]):
        warnings.append("Some numbers hold commas, such as 1,234. They are not read as numbers; remove the commas.")
    return Proposal(
        columns=[
            Column(
                name=name,
                role=role,
                examples=[c[:80] for c in cells if c.strip()][:3],
                note=clock.label if i == time and clock else "",
            )
            for i, (name, role, cells) in enumerate(zip(source.names, roles, columns, strict=True))
        ],
        rows=[list(row) for row in sample[:3]],
        time_column=source.names[time] if time is not None else None,
        time_format=clock.label if clock else "",
        times=times,
        ambiguous=ambiguous,
        value_columns=values,
        decimal=decimal,
        separator=SEPARATORS.get(source.separator, "") if source.kind == "text" else "",
        encoding=source.encoding.replace("utf-8-sig", "utf-8") if source.kind == "text" else "",
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
    source = inspect(path, name, max_mb or Settings().max_upload_mb)
    limit = max_cells or Settings().max_cells
    value_columns = [_index(source, each, name) for each in choice.value_columns]
    if not value_columns:
        raise UserError(f"No column of {name} is chosen. Choose at least one with numbers.")
    if len(set(value_columns)) < len(value_columns):
        raise UserError("A column is chosen twice. Choose each value column once.")
    zone = _zone(choice.zone)
    if source.rows is not None and source.rows * len(value_columns) > limit:
        raise _too_many(name, limit)
    time = None if choice.time_column is None else _index(source, choice.time_column, name)
    if time in value_columns:
        raise UserError(f"Column {choice.time_column} is chosen as time and as a value. Choose one of the two.")
    with source.readable() as file, reader(file.parent) as connection:
        clock = None if time is None else _chosen_clock(connection, file, source, time, choice)
        raw = _values(connection, file, source, time, clock, value_columns, choice.decimal, limit)
    raw.absolute = clock is None or clock.offset or clock.kind.startswith("epoch")
    times, values, audit = settle(raw, choice, limit)
    stem = Path(name).stem or name
    return Series(stem, times, values, raw.names, zone), audit


def _index(source: Source, column: str, name: str) -> int:
    try:
        return source.names.index(column)
    except ValueError:
        raise UserError(
            f"{name} has no column {column!r}. It has {', '.join(source.names[:10])}{', ...' if len(source.names) > 10 else ''}."
        ) from None


def _zone(zone: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise UserError(f"{zone!r} is not a time zone. Use a name such as UTC or Europe/Berlin.") from None
    return zone


def _too_many(name: str, limit: int) -> UserError:
    return UserError(
        f"{name} has more than {limit:,} values (rows times columns), the most this server accepts. Choose fewer columns "
        f"or a part of the rows, or start the server with a larger SCALESCOPE_MAX_CELLS."
    )


# Looking at a sample


def _sample(connection: "duckdb.DuckDBPyConnection", file: Path, source: Source) -> list[tuple[str, ...]]:
    """The first rows as text, each as wide as the table."""
    width = len(source.names)
    if source.kind == "text":
        return [row for row in source.sample if len(row) == width]
    cells = ", ".join(f"coalesce(c{i}::VARCHAR, '')" if t != "other" else "''" for i, t in enumerate(source.types))
    table, params = _table(file, source)
    return _ask(connection, f"SELECT {cells} FROM {table} LIMIT {SAMPLE_ROWS}", params, source)


def _decimal_comma(columns: list[list[str]]) -> bool:
    cells = [c.strip() for cells in columns for c in cells[:100]]
    comma = sum(re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", c) is not None for c in cells)
    thousands = sum(re.fullmatch(r"[+-]?\d{1,3},\d{3}", c) is not None for c in cells)
    point = sum(re.fullmatch(r"[+-]?\d*\.\d+([eE][+-]?\d+)?", c) is not None for c in cells)
    return comma > point and comma > thousands


def _role(cells: list[str], kind: str, decimal: str) -> str:
    filled = [c for c in cells if c.strip()]
    if kind == "number":
        return "value"
    if kind in ("time", "zoned", "other"):
        return "text"
    if not filled:
        return "empty"
    numbers = sum(NUMBER.fullmatch(c) is not None and not (decimal == "." and "," in c) for c in filled)
    return "value" if numbers >= len(filled) / 2 else "text"


def _clocks(source: Source, columns: list[list[str]]) -> list[Clock | None]:
    found: list[Clock | None] = []
    for i, cells in enumerate(columns):
        kind = source.types[i] if source.types else "text"
        if kind in ("time", "zoned"):
            found.append(Clock("typed", "times", offset=kind == "zoned"))
        elif kind == "other":
            found.append(None)
        else:
            found.append(recognise(cells, HINTS.search(source.names[i]) is not None, i == 0))
    return found


def _time_column(source: Source, clocks: list[Clock | None]) -> int | None:
    """The likeliest: dates in a column named like one, then dates anywhere, then whole numbers that count up."""

    def rank(i: int) -> tuple[int, int]:
        clock = clocks[i]
        hinted = HINTS.search(source.names[i]) is not None
        return (0 if clock and not clock.is_index and hinted else 1 if clock and not clock.is_index else 2, i)

    able = [i for i, clock in enumerate(clocks) if clock is not None]
    return min(able, key=rank, default=None)


def _order(connection: "duckdb.DuckDBPyConnection", file: Path, source: Source, time: int, clock: Clock) -> bool | None:
    """Whether the day comes first, from the largest numbers in the whole column; None where both readings fit."""
    table, params = _table(file, source, rejects=False)
    parts = ", ".join(
        f"coalesce(max(try_cast(split_part(trim(c{time}), '{clock.separator}', {k}) AS INTEGER)), 0)" for k in (1, 2)
    )
    first, second = _ask(connection, f"SELECT {parts} FROM {table}", params, source)[0]
    return settled_order(first, second)


def _count_numbers(
    connection: "duckdb.DuckDBPyConnection", file: Path, source: Source, columns: list[int], decimal: str
) -> list[int]:
    if not columns:
        return []
    table, params = _table(file, source, rejects=False)
    counts = ", ".join(f"count({_number(source, i, decimal)})" for i in columns)
    return list(_ask(connection, f"SELECT {counts} FROM {table}", params, source)[0])


def _shown(connection: "duckdb.DuckDBPyConnection", clock: Clock, texts: list[str]) -> list[str]:
    """How these stamps are read, as ISO text."""
    shown = []
    for text in texts:
        value = "?" if clock.kind != "typed" else f"?::{'TIMESTAMPTZ' if clock.offset else 'TIMESTAMP'}"
        micros = connection.execute(f"SELECT {clock.sql('c')} FROM (SELECT {value} AS c)", [text]).fetchall()[0][0]
        if micros is None:
            shown.append("cannot be read")
        elif clock.is_index:
            shown.append(str(micros))
        else:
            shown.append(str(np.datetime64(micros, "us")).removesuffix(".000000").replace("T", " "))
    return shown


# Reading the whole file


def _chosen_clock(
    connection: "duckdb.DuckDBPyConnection", file: Path, source: Source, time: int, choice: Choice
) -> Clock:
    sample = _sample(connection, file, source)
    cells = [row[time] for row in sample]
    clock = _clocks(source, [list(column) for column in zip(*sample, strict=True)])[time] if sample else None
    clock = clock or recognise(cells, hinted=True, first=True)
    if clock is None:
        numbers = [float(c) for c in cells if re.fullmatch(r"\s*[+-]?\d{1,20}(\.\d+)?\s*", c)]
        clock = of_numbers(numbers) if numbers and len(numbers) >= 0.9 * len([c for c in cells if c.strip()]) else None
    if clock is None:
        shown = next((c for c in cells if c.strip()), "nothing")
        raise UserError(
            f"Column {source.names[time]} does not look like times: it begins with {shown[:60]!r}. Choose another time column, "
            f"or none to number the rows."
        )
    if clock.two_readings:
        order = choice.day_first
        if order is None:
            order = _order(connection, file, source, time, clock)
        if order is None:
            first = next(c for c in cells if c.strip())
            both = readings(clock, [first])
            raise UserError(
                f"Column {source.names[time]}: {first!r} can be {' or '.join(v[0] for v in both.values())}, and no row tells "
                f"which. Say whether the day or the month comes first."
            )
        clock = clock.read_as(order)
    return clock


def _values(
    connection: "duckdb.DuckDBPyConnection",
    file: Path,
    source: Source,
    time: int | None,
    clock: Clock | None,
    columns: list[int],
    decimal: str,
    limit: int,
) -> Raw:
    """All rows, with what could not be read counted and placed. Two passes where a cell is not a number, else one."""
    import duckdb

    table, params = _table(file, source)
    stamp = clock.sql(f"c{time}") if clock is not None else "NULL::BIGINT"
    cells = ", ".join(_number(source, i, decimal) for i in columns)
    parts: list[np.ndarray] = []
    stamps: list[np.ndarray] = []
    unread: list[np.ndarray] = []
    gone = np.zeros(len(columns), np.int64)
    rows = 0
    try:
        result = connection.sql(f"SELECT {stamp}, {cells} FROM {table}", params=params)
        for batch in result.to_arrow_reader(BATCH):
            rows += batch.num_rows
            if rows * len(columns) > limit:
                raise _too_many("The file", limit)
            block = np.empty((batch.num_rows, len(columns)), np.float32)
            with np.errstate(over="ignore"):
                for k in range(len(columns)):
                    block[:, k] = batch.column(k + 1).to_numpy(zero_copy_only=False)
                    gone[k] += batch.column(k + 1).null_count
            parts.append(block)
            if clock is not None:
                found = batch.column(0)
                unread.append(found.is_null().to_numpy(zero_copy_only=False))
                stamps.append(found.fill_null(0).to_numpy(zero_copy_only=False))
        del result
    except duckdb.Error as error:
        raise _unreadable(source, error) from error
    findings, rejected, lines = _rejects(connection, source)
    origin = np.arange(rows, dtype=np.int64) + source.first_row
    for line in lines:
        origin[origin >= line] += 1
    times = np.concatenate(stamps) if stamps else np.arange(rows, dtype=np.int64)
    unreadable = np.concatenate(unread) if unread else np.zeros(rows, bool)
    if clock is not None and not clock.is_index:
        unreadable |= (times < FIRST_STAMP) | (times >= LAST_STAMP)
    raw = Raw(
        times,
        np.concatenate(parts) if parts else np.empty((0, len(columns)), np.float32),
        origin,
        tuple(source.names[i] for i in columns),
        clock is not None and not clock.is_index,
        findings=[*source.findings, *findings],
        rejected=rejected,
    )
    _not_numbers(connection, file, source, columns, [k for k in range(len(columns)) if gone[k]], decimal, raw)
    if unreadable.any() and time is not None:
        _unread_times(connection, file, source, time, unreadable, raw)
    return raw


def _table(file: Path, source: Source, rejects: bool = True) -> tuple[str, list[Any]]:
    """The file as an SQL table with columns c0, c1, ...: uploaded names never become identifiers."""
    names = [f"c{i}" for i in range(len(source.names))]
    if source.kind == "parquet":
        return f"(SELECT * FROM read_parquet(?)) AS t({', '.join(names)})", [str(file)]
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    keep = "store_rejects = true" if rejects else "ignore_errors = true"
    return (
        f"read_csv(?, auto_detect = false, header = false, skip = {source.skip}, delim = '{source.separator}', quote = '\"', "
        f"escape = '\"', columns = {{{columns}}}, {keep})",
        [str(file)],
    )


def _number(source: Source, i: int, decimal: str) -> str:
    """SQL: column i as DOUBLE, NULL where it is no number."""
    if source.types and source.types[i] != "text":
        return f"c{i}::DOUBLE" if source.types[i] == "number" else "NULL::DOUBLE"
    if decimal == ",":
        return f"CASE WHEN NOT contains(c{i}, '.') THEN try_cast(replace(c{i}, ',', '.') AS DOUBLE) END"
    return f"try_cast(c{i} AS DOUBLE)"


def _rejects(connection: "duckdb.DuckDBPyConnection", source: Source) -> tuple[list[Finding], int, list[int]]:
    """Rows the CSV reader could not take: too few or too many columns, broken quotes."""
    if source.kind != "text":
        return [], 0, []
    found = connection.execute(
        "SELECT line, min(error_type)::VARCHAR, left(min(csv_line), 80), length(min(csv_line)) - "
        "length(replace(min(csv_line), chr(10), '')) FROM reject_errors GROUP BY line ORDER BY line"
    ).fetchall()
    if not found:
        return [], 0, []
    line, why, text, _ = found[0]
    reason = {
        "MISSING COLUMNS": "too few columns",
        "TOO MANY COLUMNS": "too many columns",
        "UNQUOTED VALUE": "a broken quote",
    }
    swallowed = sum(max(0, each[3] - 1) for each in found)
    more = f" A broken quote hides about {swallowed:,} further lines." if swallowed > 1 else ""
    finding = Finding(
        kind="rejected",
        count=len(found),
        places=[Place(row=r, text=t or "") for r, _, t, _ in found[:PLACES]],
        sentence=f"{_many(len(found), 'row')} could not be read; the first, row {line:,}, has "
        f"{reason.get(why, 'a form that does not fit')}: {text!r}. {'It was' if len(found) == 1 else 'They were'} left out.{more}",
        remedies=["Correct the file and upload it again."],
    )
    return [finding], len(found), [each[0] for each in found]


def _not_numbers(
    connection: "duckdb.DuckDBPyConnection",
    file: Path,
    source: Source,
    columns: list[int],
    suspects: list[int],
    decimal: str,
    raw: Raw,
) -> None:
    """Filled cells that are no numbers become missing; each is counted, the first are named."""
    if not suspects or source.kind == "parquet" and all(source.types[columns[k]] != "text" for k in suspects):
        return
    table, params = _table(file, source, rejects=False)
    picked = [columns[k] for k in suspects]
    bad = {i: f"trim(c{i}) <> '' AND {_number(source, i, decimal)} IS NULL" for i in picked}
    asked = ", ".join(
        f"count(*) FILTER (WHERE {bad[i]}), min(n, {PLACES}) FILTER (WHERE {bad[i]}), "
        f"arg_min(left(c{i}, 60), n, {PLACES}) FILTER (WHERE {bad[i]})"
        for i in picked
    )
    numbered = f"(SELECT row_number() OVER () - 1 AS n, {', '.join(f'c{i}' for i in picked)} FROM {table})"
    row = _ask(connection, f"SELECT {asked} FROM {numbered}", params, source)[0]
    places: list[Place] = []
    count, affected = 0, 0
    for k, column in enumerate(picked):
        found, rows, texts = row[3 * k : 3 * k + 3]
        if found:
            count, affected = count + found, affected + 1
            name = source.names[column]
            places += [Place(row=int(raw.origin[r]), column=name, text=t) for r, t in zip(rows, texts, strict=True)]
    if not count:
        return
    places.sort(key=lambda place: place.row)
    first = places[0]
    raw.findings.append(
        Finding(
            kind="not_numeric",
            count=count,
            places=places[:PLACES],
            sentence=f"Row {first.row:,}, column {first.column}: {first.text!r} is not a number. {_many(count, 'such cell')} "
            f"in {_many(affected, 'column')}, now missing.",
            remedies=["Keep them missing.", "Fill missing values.", "Leave the column out.", "Correct the file."],
        )
    )
    raw.repairs.append(f"{_many(count, 'cell')} that {'is' if count == 1 else 'are'} not a number became missing.")


def _unread_times(
    connection: "duckdb.DuckDBPyConnection", file: Path, source: Source, time: int, unreadable: np.ndarray, raw: Raw
) -> None:
    """Rows without a readable time have no place in a series; they are left out and named."""
    rows = np.flatnonzero(unreadable)
    table, params = _table(file, source, rejects=False)
    wanted = ", ".join(str(int(r)) for r in rows[:PLACES])
    texts = _ask(
        connection,
        f"SELECT left(coalesce(c{time}::VARCHAR, ''), 60) FROM (SELECT row_number() OVER () - 1 AS n, c{time} FROM {table}) "
        f"WHERE n IN ({wanted}) ORDER BY n",
        params,
        source,
    )
    name = source.names[time]
    places = [Place(row=int(raw.origin[r]), column=name, text=t[0]) for r, t in zip(rows[:PLACES], texts, strict=True)]
    if len(rows) == len(unreadable):
        raise UserError(
            f"No time in column {name} can be read; the first, row {places[0].row:,}, is {places[0].text!r}. Check the order of day "
            f"and month, choose another time column, or none to number the rows."
        )
    raw.findings.append(
        Finding(
            kind="unreadable_time",
            count=len(rows),
            places=places,
            sentence=f"Row {places[0].row:,}, column {name}: {places[0].text!r} cannot be read as a time like the others. "
            f"{_many(len(rows), 'such row')}, left out.",
            remedies=["Correct the file and upload it again."],
        )
    )
    raw.repairs.append(f"{_many(len(rows), 'row')} without a readable time left out.")
    raw.rejected += len(rows)
    raw.take(np.flatnonzero(~unreadable))


def _ask(connection: "duckdb.DuckDBPyConnection", sql: str, params: list[Any], source: Source) -> list[Any]:
    import duckdb

    try:
        return connection.execute(sql, params).fetchall()
    except duckdb.Error as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Source, error: Exception) -> UserError:
    what = "Parquet file" if source.kind == "parquet" else "table"
    reason = re.sub(r"\"?/\S+", "the file", str(error).splitlines()[0])[:160]
    return UserError(f"The {what} cannot be read to its end ({reason}). Export it again and upload that.")
