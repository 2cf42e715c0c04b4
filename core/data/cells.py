# ruff: noqa: S608 (only our own column names c0, c1, ... and numbers enter the SQL; names and values of a file never do)
"""A file's cells as numbers: every cell is text that DuckDB casts with TRY_CAST, so that one bad cell ends nothing.

What cannot be read is counted and placed: cells that are no numbers, rows without a readable time, rows that do not
fit the table. Streamed in batches; in memory are the numbers only, as float32.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.audit import FIRST_STAMP, LAST_STAMP, PLACES, Raw
from core.data.card import Finding, Place
from core.data.clock import Clock
from core.data.numbers import Numbers
from core.data.source import MAX_COLUMNS, SAMPLE_ROWS, Source
from core.data.words import many
from core.errors import UserError

if TYPE_CHECKING:
    import duckdb

BATCH = 122_880  # rows, one of DuckDB's row groups
GROWTH = 2**25  # bytes
EXACT = 2**53  # an index beyond this is not exact in a double
REASONS = {
    "MISSING COLUMNS": "has too few columns",
    "TOO MANY COLUMNS": "has too many columns",
    "UNQUOTED VALUE": "has a broken quote",
    "LINE SIZE OVER MAXIMUM": "is too long",
}


@dataclass(frozen=True)
class Layout:
    """Which columns are read as what, by position. ``date_parts`` are month and day where ``time`` is the year alone,
    ``time_of_day`` stands beside the date, ``series`` names the series that a row belongs to."""

    values: list[int]
    time: int | None = None
    time_of_day: int | None = None
    series: int | None = None
    date_parts: tuple[int, ...] = ()

    @property
    def times(self) -> list[int]:
        """All columns that say when."""
        return [i for i in (self.time, *self.date_parts, self.time_of_day) if i is not None]

    def stamp(self) -> str:
        """SQL: the text (or the value) of a row's time; empty where a part of its date is."""
        if self.time_of_day is None and not self.date_parts:
            return f"c{self.time}"
        parts = [f"trim(coalesce(c{i}::VARCHAR, ''))" for i in (self.time, *self.date_parts)]
        if self.date_parts:  # whole numbers that became fractions on the way
            parts = [f"regexp_replace({part}, '\\.0$', '')" for part in parts]
        date = " || '-' || ".join(parts)
        if self.time_of_day is None:
            return date
        clock = f"replace(trim(coalesce(c{self.time_of_day}::VARCHAR, '')), '.', ':')"
        minutes = f"CASE WHEN contains({clock}, ':') OR {clock} = '' THEN '' ELSE ':00' END"
        return f"trim({date} || ' ' || {clock} || {minutes})"

    def texts(self, columns: list[list[str]]) -> list[str]:
        """The same of a sample: for each row the text of its time, empty where its first part is."""
        if self.time is None:
            return []
        rows = zip(*(columns[i] for i in (self.time, *self.date_parts)), strict=True)
        dates = ["-".join(part.strip().removesuffix(".0") for part in row) if row[0].strip() else "" for row in rows]
        if self.time_of_day is None:
            return dates if self.date_parts else columns[self.time]
        clocks = [text.strip().replace(".", ":") for text in columns[self.time_of_day]]
        clocks = [text if ":" in text else f"{text}:00" for text in clocks]
        return [f"{date} {clock}" if date else "" for date, clock in zip(dates, clocks, strict=True)]


class Cells:
    """The cells of one source through one connection that may read ``file``. ``places``: how many of each finding."""

    def __init__(
        self, connection: "duckdb.DuckDBPyConnection", file: Path, source: Source, places: int = PLACES
    ) -> None:
        self.connection, self.file, self.source, self.places = connection, file, source, places

    def sample(self) -> list[tuple[str, ...]]:
        """The first rows as text."""
        if self.source.kind == "text":
            return list(self.source.sample)
        types = enumerate(self.source.types)
        texts = ", ".join(f"coalesce(c{i}::VARCHAR, '')" if t != "other" else "''" for i, t in types)
        return self.ask(f"SELECT {texts} FROM {self.table()} LIMIT {SAMPLE_ROWS}")

    def largest_parts(self, column: int, separator: str) -> tuple[int, int]:
        """The largest first and second number of dates such as 13/02/2020 in the whole column."""
        part = "max(try_cast(split_part(trim(c{}), '{}', {}) AS INTEGER))"
        both = ", ".join(f"coalesce({part.format(column, separator, k)}, 0)" for k in (1, 2))
        return self.ask(f"SELECT {both} FROM {self.table()}")[0]

    def count_numbers(self, columns: list[int], numbers: Numbers) -> list[int]:
        """Numbers in each of these columns, in the whole file."""
        if not columns:
            return []
        counts = ", ".join(f"count({self.number(i, numbers)})" for i in columns)
        return list(self.ask(f"SELECT {counts} FROM {self.table()}")[0])

    def repeats(self, layout: Layout, names: int) -> tuple[int, int, int, int]:
        """Filled rows, and distinct times, names in column ``names``, and pairs of both, in the whole file."""
        time, name = layout.stamp(), f"c{names}"
        distinct = ", ".join(f"approx_count_distinct({what})" for what in (time, name, f"({time}, {name})"))
        return self.ask(f"SELECT count({name}), {distinct} FROM {self.table()}")[0]

    def shown(self, clock: Clock, texts: list[str]) -> list[int | None]:
        """How these stamps are read: microseconds or the index, None where they cannot be."""
        kind = {"typed": "TIMESTAMPTZ" if clock.offset else "TIMESTAMP"}.get(clock.kind, "VARCHAR")
        sql = f"SELECT {clock.sql('c')} FROM (SELECT ?::{kind} AS c)"
        return [self.connection.execute(sql, [text]).fetchall()[0][0] for text in texts]

    def read(self, layout: Layout, clock: Clock | None, numbers: Numbers, limit: int) -> Raw:
        """All rows of these columns. A second pass over the file only where a cell or a time was not readable.

        Raises UserError beyond ``limit`` values and where the file cannot be read to its end.
        """
        import duckdb

        columns, series = layout.values, Labels()
        stamp = clock.sql(layout.stamp()) if clock is not None else "NULL::BIGINT"
        label = [] if layout.series is None else [f"trim(c{layout.series}::VARCHAR)"]
        wanted = ", ".join((stamp, *(self.number(i, numbers) for i in columns), *label))
        values, times, readable = Growing(np.float32, len(columns)), Growing(np.int64), Growing(np.bool_)
        gone, rows = np.zeros(len(columns), np.int64), 0
        try:
            found = self.connection.sql(f"SELECT {wanted} FROM {self.table()}", params=[str(self.file)])
            for batch in found.to_arrow_reader(BATCH):
                rows += batch.num_rows
                if rows * len(columns) > limit:
                    raise too_many_values(limit)
                block = values.more(batch.num_rows)
                with np.errstate(over="ignore", invalid="ignore"):
                    for k in range(len(columns)):
                        block[:, k] = batch.column(k + 1).to_numpy(zero_copy_only=False)
                        gone[k] += batch.column(k + 1).null_count
                if clock is not None:
                    stamps = batch.column(0)
                    times.more(batch.num_rows)[:] = stamps.fill_null(0).to_numpy()  # with nulls it would give doubles
                    readable.more(batch.num_rows)[:] = stamps.is_valid().to_numpy(zero_copy_only=False)
                if label:
                    series.add(batch.column(len(columns) + 1))
            del found
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        raw = Raw(
            times=np.arange(rows, dtype=np.int64) if clock is None else times.whole(),
            values=values.whole(),
            origin=np.arange(self.source.first_row, self.source.first_row + rows, dtype=np.int64),
            names=tuple(self.source.names[i] for i in columns),
            clock=clock is not None and not clock.is_index,
            findings=list(self.source.findings),
            most=self.places,
            series=series.codes(),
            series_names=tuple(series.names),
        )
        self._rejects(raw)
        self._not_numbers([columns[k] for k in np.flatnonzero(gone)], numbers, raw)
        if clock is not None:
            self._times(layout, readable.whole(), raw)
        if layout.series is not None:
            self._unnamed_series(layout.series, raw)
        return raw

    def table(self) -> str:
        """The file as an SQL table with columns c0, c1, ... and one parameter, its path.

        Every pass stores its rejects: with ``ignore_errors`` DuckDB leaves out other rows after a broken quote, and the
        passes would disagree about which row is which.
        """
        names = [f"c{i}" for i in range(len(self.source.names))]
        if self.source.kind == "parquet":
            return f"(SELECT * FROM read_parquet(?, hive_partitioning = false)) AS t({', '.join(names)})"
        columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
        return (
            f"read_csv(?, auto_detect = false, header = false, skip = {self.source.skip}, compression = 'none', "
            f"delim = '{self.source.separator}', quote = '\"', escape = '\"', hive_partitioning = false, "
            f"columns = {{{columns}}}, store_rejects = true)"
        )

    def number(self, i: int, numbers: Numbers) -> str:
        """SQL: column i as DOUBLE, NULL where it is no number."""
        kind = self.source.types[i] if self.source.types else "text"
        if kind != "text":
            return f"c{i}::DOUBLE" if kind == "number" else "NULL::DOUBLE"
        return numbers.sql(f"c{i}")

    def ask(self, sql: str) -> list[Any]:
        import duckdb

        try:
            return self.connection.execute(sql, [str(self.file)]).fetchall()
        except duckdb.Error as error:
            raise self._unreadable(error) from error

    def _rejects(self, raw: Raw) -> None:
        """Rows the CSV reader could not take: too few or too many columns, broken quotes."""
        if self.source.kind != "text":
            return
        found = self.connection.execute(
            "SELECT line, min(error_type)::VARCHAR, left(min(csv_line), 80), "
            "length(min(csv_line)) - length(replace(min(csv_line), chr(10), '')) "
            "FROM reject_errors GROUP BY line ORDER BY line"
        ).fetchall()
        if not found:
            return
        line, why, text, _ = found[0]
        for rejected, *_ in found:
            raw.origin[raw.origin >= rejected] += 1
        hidden = sum(max(0, lines - 1) for *_, lines in found)
        more = f" A broken quote hides about {many(hidden, 'further line')}." if hidden > 1 else ""
        raw.rejected = len(found)
        raw.findings.append(
            Finding(
                kind="rejected",
                count=len(found),
                places=[
                    Place(row=row, text=(cut or "").strip(), why=REASONS.get(why, ""))
                    for row, why, cut, _ in found[: self.places]
                ],
                sentence=f"Row {line:,} {REASONS.get(why, 'does not fit the table')}: {(text or '').strip()!r}. "
                f"{many(len(found), 'such row')}, left out.{more}",
                remedies=["Correct the file and upload it again."],
            )
        )
        raw.repairs.append(f"{many(len(found), 'row')} that did not fit the table left out.")

    def _not_numbers(self, columns: list[int], numbers: Numbers, raw: Raw) -> None:
        """Filled cells that are no numbers became missing; each is counted, the first are named."""
        texts = [i for i in columns if not self.source.types or self.source.types[i] == "text"]
        if not texts:
            return
        bad = {i: f"trim(c{i}) <> '' AND {self.number(i, numbers)} IS NULL" for i in texts}
        wanted = ", ".join(
            f"count(*) FILTER (WHERE {bad[i]}), min(n, {self.places}) FILTER (WHERE {bad[i]}), "
            f"arg_min(left(c{i}, 60), n, {self.places}) FILTER (WHERE {bad[i]})"
            for i in texts
        )
        row = self.ask(f"SELECT {wanted} FROM {self._numbered(texts)}")[0]
        places, count, affected = [], 0, 0
        for k, i in enumerate(texts):
            found, rows, first = row[3 * k : 3 * k + 3]
            if found:
                count, affected = count + found, affected + 1
                cells = zip(rows, first, strict=True)
                places += [Place(row=int(raw.origin[r]), column=self.source.names[i], text=t) for r, t in cells]
        if not count:
            return
        places.sort(key=lambda place: place.row)
        first = places[0]
        raw.findings.append(
            Finding(
                kind="not_numeric",
                count=count,
                places=places[: self.places],
                sentence=f"Row {first.row:,}, column {first.column}: {first.text!r} is not a number. "
                f"{many(count, 'such cell')} in {many(affected, 'column')}, now missing.",
                remedies=["Keep them missing.", "Fill missing values.", "Leave the column out.", "Correct the file."],
            )
        )
        raw.repairs.append(f"{many(count, 'cell', 'is/are')} not a number and became missing.")

    def _times(self, layout: Layout, readable: np.ndarray, raw: Raw) -> None:
        """Rows without a readable time have no place in a series; they are left out and named."""
        low, high = (FIRST_STAMP, LAST_STAMP) if raw.clock else (-EXACT, EXACT)
        readable &= (raw.times >= low) & (raw.times < high)
        gone = np.flatnonzero(~readable)
        if not len(gone):
            return
        rows = ", ".join(str(row) for row in gone[: self.places])
        text = f"left(coalesce({layout.stamp()}::VARCHAR, ''), 60)"
        used = layout.times
        texts = self.ask(f"SELECT {text} FROM {self._numbered(used)} WHERE n IN ({rows}) ORDER BY n")
        name = self.source.names[used[0]]
        cells = zip(gone[: self.places], texts, strict=True)
        places = [Place(row=int(raw.origin[r]), column=name, text=t) for r, (t,) in cells]
        if len(gone) == len(readable):
            raise UserError(
                f"No time in column {name} can be read; the first, row {places[0].row:,}, is {places[0].text!r}. Check "
                f"the order of day and month, choose another time column, or none to number the rows."
            )
        raw.findings.append(
            Finding(
                kind="unreadable_time",
                count=len(gone),
                places=places,
                sentence=f"Row {places[0].row:,}, column {name}: {places[0].text!r} cannot be read as a time like the "
                f"others. {many(len(gone), 'such row')}, left out.",
                remedies=["Correct the file and upload it again."],
            )
        )
        raw.repairs.append(f"{many(len(gone), 'row')} without a readable time left out.")
        raw.rejected += len(gone)
        raw.take(np.flatnonzero(readable))

    def _unnamed_series(self, series: int, raw: Raw) -> None:
        """Rows that name no series belong to none; they are left out."""
        gone = np.flatnonzero(raw.series < 0)
        if not len(gone):
            return
        name = self.source.names[series]
        places = [Place(row=int(raw.origin[r]), column=name) for r in gone[: self.places]]
        sentence = f"Row {places[0].row:,}, column {name}: no series is named. {many(len(gone), 'such row')}, left out."
        raw.findings.append(Finding(kind="unnamed_series", count=len(gone), places=places, sentence=sentence))
        raw.repairs.append(f"{many(len(gone), 'row')} that name no series left out.")
        raw.rejected += len(gone)
        raw.take(np.flatnonzero(raw.series >= 0))

    def _numbered(self, columns: list[int]) -> str:
        """The table with n, the number of the row as ``read`` counts from 0."""
        picked = ", ".join(f"c{i}" for i in columns)
        return f"(SELECT row_number() OVER () - 1 AS n, {picked} FROM {self.table()})"

    def _unreadable(self, error: Exception) -> UserError:
        what = "Parquet file" if self.source.kind == "parquet" else "table"
        reason = re.sub(r"\"?/\S+", "the file", str(error).splitlines()[0])[:160]
        return UserError(f"The {what} cannot be read to its end ({reason}). Export it again and upload that.")


class Growing:
    """An array of rows that grows at its end without being copied: the system moves its pages."""

    def __init__(self, dtype: Any, columns: int | None = None) -> None:
        self._shape = () if columns is None else (columns,)
        self._room, self._rows = np.empty((0, *self._shape), dtype), 0

    def more(self, rows: int) -> np.ndarray:
        """The next rows, to be filled before more are asked for."""
        start, self._rows = self._rows, self._rows + rows
        if self._rows > len(self._room):
            step = max(GROWTH // max(self._room.itemsize * int(np.prod(self._shape)), 1), rows)
            self._room.resize((self._rows + step, *self._shape), refcheck=False)
        return self._room[start : self._rows]

    def whole(self) -> np.ndarray:
        self._room.resize((self._rows, *self._shape), refcheck=False)
        return self._room


class Labels:
    """The names of series met so far, in their order, and for each row which one; -1 where there is none."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self._blocks: list[np.ndarray] = [np.empty(0, np.int64)]

    def add(self, column: Any) -> None:
        """One batch of texts (an Arrow array). Raises UserError for more names than columns can be read."""
        coded = column.dictionary_encode()
        known = [
            -1 if not text else self.names.setdefault(text, len(self.names)) for text in coded.dictionary.to_pylist()
        ]
        if len(self.names) > MAX_COLUMNS:
            raise UserError(
                f"The column of series names holds more than {MAX_COLUMNS:,} different names, the most that can be "
                f"read. Choose another column, none, or a part of the file."
            )
        codes = coded.indices.fill_null(-1).to_numpy()
        self._blocks.append(np.r_[np.array(known, np.int64), -1][codes])

    def codes(self) -> np.ndarray:
        return np.concatenate(self._blocks)


def too_many_values(limit: int) -> UserError:
    return UserError(
        f"The file has more than {limit:,} values (rows times columns), the most this server accepts. Choose fewer "
        f"columns or a part of the rows, or start the server with a larger SCALESCOPE_MAX_CELLS."
    )
