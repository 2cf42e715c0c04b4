# ruff: noqa: S608 (only our own ids, column numbers and row numbers enter SQL text)
"""Every query of the database: datasets with their values, runs with their cards. Nothing else opens the file.

One DuckDB connection for the process, a cursor per call, results read to the end, one writer at a time. Names and
values of an upload are parameters or JSON, never part of SQL text. Job folders belong to ``core.jobs``.
"""

import json
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from core.data.card import DatasetCard
from core.data.overview import MAX_MARKS, columns_of_pixels, edges, extremes
from core.data.series import Series, SeriesWriter, spans
from core.errors import UserError
from core.store.migrate import SCHEMA, migrate
from core.store.query import SECONDS, Answer, answer, columns

if TYPE_CHECKING:
    import pandas as pd

_KEEP: Any = object()
MAPPED = 2**27  # bytes of values above which a series is mapped from a file and not held
RUN_COLUMNS = "id, dataset, name, state, spec, card, directory, created_at, finished_at"


@dataclass(frozen=True)
class RunRow:
    """A run as the catalogue knows it. ``card`` is None until training wrote one; stamps are in UTC."""

    id: str
    dataset: str
    name: str
    state: str
    spec: dict[str, Any]
    card: dict[str, Any] | None
    directory: Path
    created_at: datetime
    finished_at: datetime | None


class Store:
    """The database of one server. Safe to call from any thread.

    Raises UserError when another server has the file open, when it is damaged, or when a newer version wrote it.
    """

    def __init__(self, path: Path, uploads: Path, memory: str = "2GB", threads: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        uploads.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "memory_limit": memory,
            "autoinstall_known_extensions": "false",
            "custom_user_agent": "scalescope",
        }
        if threads:
            settings["threads"] = str(threads)
        try:
            self._connection = duckdb.connect(str(path), config=settings)
        except duckdb.IOException as error:
            if "lock" in str(error).lower():
                raise UserError(
                    f"Another Scalescope server already uses the folder {path.parent}. Use that one, stop it, or "
                    f"start this one with another folder in SCALESCOPE_HOME."
                ) from error
            raise UserError(_damaged(path)) from error
        except duckdb.Error as error:
            raise UserError(_damaged(path)) from error
        self._writing, self._copying = threading.RLock(), threading.Lock()
        self._copies = path.parent / "series"
        try:
            migrate(self._connection, SCHEMA.read_text(encoding="utf-8"))
            # Uploads are untrusted: from here on no statement reaches another file or changes a setting.
            self._connection.execute("SET allowed_directories = [$folder]", {"folder": f"{uploads.resolve()}/"})
            self._connection.execute("SET enable_external_access = false")
            self._connection.execute("SET lock_configuration = true")
            self._tidy()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Write everything to the file and release it."""
        with self._writing:
            self._connection.close()

    def _tidy(self) -> None:
        """Removes copies of datasets that are gone, and those that were not finished."""
        kept = {card.id for card in self.datasets()}
        for folder in self._copies.glob("*"):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The only way to write: one at a time, all or nothing."""
        with self._writing, self._cursor() as cursor:
            cursor.begin()
            try:
                yield cursor
                cursor.commit()
            except BaseException:
                cursor.rollback()
                raise

    # Datasets

    def add_dataset(self, series: Series, card: DatasetCard) -> str:
        """Store a series under its card and return the new id."""
        id = uuid.uuid4().hex[:12]
        card = card.model_copy(update={"id": id, "fingerprint": series.fingerprint, "created_at": datetime.now(UTC)})
        with self._transaction() as cursor:
            cursor.register("incoming", _batches(series))
            cursor.execute(f"CREATE TABLE values_{id} AS SELECT * FROM incoming")
            cursor.unregister("incoming")
            cursor.execute(
                "INSERT INTO datasets VALUES (?, ?, ?)", [id, card.model_dump_json(), _stamp(card.created_at)]
            )
        return id

    def datasets(self) -> list[DatasetCard]:
        """All cards, newest first."""
        with self._cursor() as cursor:
            rows = cursor.execute("SELECT card FROM datasets ORDER BY created_at DESC, id").fetchall()
        return [DatasetCard.model_validate_json(row[0]) for row in rows]

    def dataset(self, id: str) -> DatasetCard:
        """One card. Raises UserError for an id that is not (or no longer) there."""
        with self._cursor() as cursor:
            return self._card(cursor, id)

    def series(self, id: str) -> Series:
        """The whole series, equal to the one stored; a large one mapped from a copy beside the database, which is made
        once. Raises UserError as ``dataset``."""
        with self._cursor() as cursor:
            card = self._card(cursor, id)
            if 4 * card.rows * len(card.variates) > MAPPED:
                return self._mapped(cursor, card)
            table = cursor.sql(f"SELECT * FROM values_{card.id} ORDER BY rowid").to_arrow_table()
        values = np.empty((table.num_rows, len(card.variates)), np.float32)
        for i in range(values.shape[1]):
            values[:, i] = table.column(i + 1).to_numpy()
        return Series(card.name, table.column(0).to_numpy().copy(), values, tuple(card.variates), card.zone, card.truth)

    def _mapped(self, cursor: duckdb.DuckDBPyConnection, card: DatasetCard) -> Series:
        """Streamed out of the database a part at a time, so that no step holds it whole."""
        with self._copying:
            folder = self._copies / card.id
            with suppress(OSError, ValueError):  # not made yet, or not whole: made anew
                return Series.read(folder)
            beside = self._copies / f".{card.id}"
            shutil.rmtree(beside, ignore_errors=True)
            try:
                beside.mkdir(parents=True)
                self._copy(cursor, card, beside)
                shutil.rmtree(folder, ignore_errors=True)
                beside.rename(folder)
            except OSError as error:
                shutil.rmtree(beside, ignore_errors=True)
                raise UserError(
                    f"{card.name} is large, and its copy could not be written to {self._copies} "
                    f"({error.strerror or error}). Make room on that disk, or delete datasets."
                ) from error
            return Series.read(folder)

    def _copy(self, cursor: duckdb.DuckDBPyConnection, card: DatasetCard, folder: Path) -> None:
        about = {"name": card.name, "variates": card.variates, "zone": card.zone, "truth": card.truth}
        clock = np.dtype("datetime64[us]" if self._has_clock(cursor, card) else np.int64)
        with SeriesWriter(folder, about | {"fingerprint": card.fingerprint}, card.rows, clock) as target:
            for first, last in spans(card.rows, len(card.variates)):
                table = cursor.sql(
                    f"SELECT * FROM values_{card.id} WHERE rowid >= ? AND rowid < ? ORDER BY rowid",
                    params=[first, last],
                ).to_arrow_table()
                values = np.empty((table.num_rows, len(card.variates)), np.float32)
                for i in range(values.shape[1]):
                    values[:, i] = table.column(i + 1).to_numpy()
                target.add(table.column(0).to_numpy(), values)

    def rows(self, id: str, start: int, stop: int) -> "pd.DataFrame":
        """Rows [start, stop) as a table with the column t and the variates under their names."""
        import pandas as pd

        with self._cursor() as cursor:
            card = self._card(cursor, id)
            table = cursor.sql(
                f"SELECT * FROM values_{card.id} WHERE rowid >= ? AND rowid < ? ORDER BY rowid",
                params=[max(start, 0), stop],
            ).to_arrow_table()
        frame = pd.DataFrame({i: table.column(i).to_numpy() for i in range(table.num_columns)})
        return frame.set_axis(["t", *card.variates], axis=1)

    def overview(
        self,
        id: str,
        variates: list[str] | None = None,
        start: int | datetime | None = None,
        stop: int | datetime | None = None,
        pixels: int = 800,
    ) -> "pd.DataFrame":
        """What a line chart of rows [start, stop) needs: columns t, variate, value; at most 4,000 rows (M4).

        ``start`` and ``stop`` are row numbers or, for a dataset with a clock, stamps. Where a pixel column holds no
        value at all, one row with NaN breaks the line. Raises UserError for an unknown dataset or variate.
        """
        import pandas as pd

        with self._cursor() as cursor:
            card = self._card(cursor, id)
            names = list(card.variates) if variates is None else variates
            chosen = [_position(card, name) for name in names]
            if not 0 < len(chosen) <= MAX_MARKS // 4:
                raise UserError(
                    f"{len(chosen):,} variates are chosen for the overview; choose 1 to {MAX_MARKS // 4:,}."
                )
            first, last = self._span(cursor, card, start, stop)
            if first >= last:
                return pd.DataFrame({"t": [], "variate": [], "value": []})
            table, pixels = f"values_{card.id}", columns_of_pixels(len(chosen), min(pixels, last - first))
            distinct = list(dict.fromkeys(chosen))
            found = cursor.sql(extremes(table, distinct, first, last, pixels)).to_arrow_table()
            cursor.register("edges", pa.table({"row": pa.array(edges(first, last, pixels), pa.int64())}))
            ends = cursor.sql(
                f"SELECT t, {', '.join(f'v{i}' for i in distinct)} FROM {table} WHERE rowid IN (SELECT row FROM edges)"
            ).to_arrow_table()
        parts = [_marks(found, ends, i, name) for i, name in zip(chosen, names, strict=True)]
        return pd.concat(parts, ignore_index=True)

    def query(self, id: str, sql: str, cancel: threading.Event | None = None, seconds: float = SECONDS) -> Answer:
        """What one SELECT over the table ``data`` gives, the dataset under the names it came with. Raises as
        ``core.store.query.answer``."""
        with self._cursor() as cursor:
            card = self._card(cursor, id)
            return answer(cursor, card, self._has_clock(cursor, card), sql, cancel, seconds)

    def query_columns(self, id: str) -> list[str]:
        """The columns of ``data`` in a query."""
        with self._cursor() as cursor:
            card = self._card(cursor, id)
            return columns(card, self._has_clock(cursor, card))

    def rename_dataset(self, id: str, name: str) -> None:
        """Raises UserError for an empty name or an unknown id."""
        if not name.strip():
            raise UserError("A dataset needs a name. Write at least one letter.")
        self._change_card(id, name=name.strip())

    def describe_dataset(self, id: str, text: str) -> None:
        """Replace the description in the card."""
        self._change_card(id, description=text)

    def tag_dataset(self, id: str, tags: list[str]) -> None:
        """Replace the tags: each once, in their order, without spaces around."""
        self._change_card(id, tags=list(dict.fromkeys(tag.strip() for tag in tags if tag.strip())))

    def delete_dataset(self, id: str, with_runs: bool = False) -> list[RunRow]:
        """Delete a dataset and return the runs that went with it; their folders are the caller's.

        Raises UserError naming the runs that depend on it unless ``with_runs``.
        """
        with self._transaction() as cursor:
            card = self._card(cursor, id)
            runs = _runs(cursor.execute(f"SELECT {RUN_COLUMNS} FROM runs WHERE dataset = ? ORDER BY created_at", [id]))
            if runs and not with_runs:
                named = ", ".join(run.name or run.id for run in runs[:3]) + (", ..." if len(runs) > 3 else "")
                raise UserError(
                    f"{card.name} has {len(runs):,} run{'s' * (len(runs) > 1)} trained on it ({named}). "
                    f"Delete them with it, or keep it."
                )
            cursor.execute("DELETE FROM runs WHERE dataset = ?", [id])
            cursor.execute("DELETE FROM datasets WHERE id = ?", [id])
            cursor.execute(f"DROP TABLE values_{card.id}")
        shutil.rmtree(self._copies / card.id, ignore_errors=True)
        return runs

    def _card(self, cursor: duckdb.DuckDBPyConnection, id: str) -> DatasetCard:
        rows = cursor.execute("SELECT card FROM datasets WHERE id = ?", [id]).fetchall()
        if not rows:
            raise UserError(f"There is no dataset {id!r} here; it may have been deleted. Choose one on the Data page.")
        return DatasetCard.model_validate_json(rows[0][0])

    def _change_card(self, id: str, **changes: Any) -> None:
        with self._transaction() as cursor:
            card = self._card(cursor, id).model_copy(update=changes)
            cursor.execute("UPDATE datasets SET card = ? WHERE id = ?", [card.model_dump_json(), id])

    def _span(
        self,
        cursor: duckdb.DuckDBPyConnection,
        card: DatasetCard,
        start: int | datetime | None,
        stop: int | datetime | None,
    ) -> tuple[int, int]:
        """Row numbers of a span given in rows or stamps."""

        def row(at: int | datetime | None, default: int) -> int:
            if at is None or isinstance(at, int):
                return default if at is None else min(max(at, 0), card.rows)
            if not self._has_clock(cursor, card):
                raise UserError(f"{card.name} has no clock; give row numbers instead of times.")
            at = at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
            return cursor.execute(f"SELECT count(*) FROM values_{card.id} WHERE t < ?", [at]).fetchall()[0][0]

        return row(start, 0), row(stop, card.rows)

    def _has_clock(self, cursor: duckdb.DuckDBPyConnection, card: DatasetCard) -> bool:
        return cursor.execute(f"SELECT typeof(t) FROM values_{card.id} LIMIT 1").fetchall() == [("TIMESTAMP",)]

    # Runs

    def add_run(self, id: str, name: str, spec_json: str, state: str, directory: Path) -> None:
        """A new run; its dataset is the one its spec names."""
        dataset = str(json.loads(spec_json).get("dataset", ""))
        with self._transaction() as cursor:
            cursor.execute(
                f"INSERT INTO runs ({RUN_COLUMNS}) VALUES (?, ?, ?, ?, ?, NULL, ?, ?, NULL)",
                [id, dataset, name, state, spec_json, str(directory), _stamp(datetime.now(UTC))],
            )

    def update_run(
        self,
        id: str,
        state: str | None = None,
        card: dict[str, Any] | None = None,
        name: str | None = None,
        finished_at: datetime | None = _KEEP,
    ) -> None:
        """Change what is given; the rest stays (``finished_at=None`` clears it). Raises UserError for an unknown id."""
        changes: dict[str, Any] = {"state": state, "card": None if card is None else json.dumps(card), "name": name}
        changes = {column: value for column, value in changes.items() if value is not None}
        if finished_at is not _KEEP:
            changes["finished_at"] = None if finished_at is None else _stamp(finished_at)
        if not changes:
            return
        with self._transaction() as cursor:
            self._run(cursor, id)
            assigned = ", ".join(f"{column} = ?" for column in changes)
            cursor.execute(f"UPDATE runs SET {assigned} WHERE id = ?", [*changes.values(), id])

    def run(self, id: str) -> RunRow:
        """One run. Raises UserError for an id that is not (or no longer) there."""
        with self._cursor() as cursor:
            return self._run(cursor, id)

    def runs(self, dataset: str | None = None, limit: int | None = None) -> list[RunRow]:
        """Runs, newest first; of one dataset where given."""
        where, params = ("WHERE dataset = ?", [dataset]) if dataset is not None else ("", [])
        with self._cursor() as cursor:
            return _runs(
                cursor.execute(
                    f"SELECT {RUN_COLUMNS} FROM runs {where} ORDER BY created_at DESC, id LIMIT ?",
                    [*params, limit if limit is not None else 1_000_000],
                )
            )

    def delete_run(self, id: str) -> None:
        """Forget a run; its folder is the caller's. Raises UserError for an unknown id."""
        with self._transaction() as cursor:
            self._run(cursor, id)
            cursor.execute("DELETE FROM runs WHERE id = ?", [id])

    def _run(self, cursor: duckdb.DuckDBPyConnection, id: str) -> RunRow:
        found = _runs(cursor.execute(f"SELECT {RUN_COLUMNS} FROM runs WHERE id = ?", [id]))
        if not found:
            raise UserError(f"There is no run {id!r} here; it may have been deleted. Choose one on the Start page.")
        return found[0]


def _runs(result: duckdb.DuckDBPyConnection) -> list[RunRow]:
    return [
        RunRow(
            id,
            dataset,
            name,
            state,
            json.loads(spec),
            None if card is None else json.loads(card),
            Path(directory),
            created_at.replace(tzinfo=UTC),
            None if finished_at is None else finished_at.replace(tzinfo=UTC),
        )
        for id, dataset, name, state, spec, card, directory, created_at, finished_at in result.fetchall()
    ]


def _marks(found: pa.Table, ends: pa.Table, i: int, name: str) -> "pd.DataFrame":
    """The M4 points of one variate in time order, each once."""
    import pandas as pd

    low, high = found.column(f"n_{i}").to_numpy(), found.column(f"x_{i}").to_numpy()
    empty = np.isnan(low)
    values = ends.column(f"v{i}").to_numpy()
    kept = ~np.isnan(values)
    t = [found.column(f"tn_{i}").to_numpy()[~empty], found.column(f"tx_{i}").to_numpy()[~empty]]
    t += [ends.column("t").to_numpy()[kept], found.column("t0").to_numpy()[empty]]
    t_all = np.concatenate([part.astype(t[2].dtype) for part in t])
    value = np.concatenate([low[~empty], high[~empty], values[kept], low[empty]])
    t_all, first = np.unique(t_all, return_index=True)
    return pd.DataFrame({"t": t_all, "variate": name, "value": value[first]})


def _position(card: DatasetCard, name: str) -> int:
    try:
        return card.variates.index(name)
    except ValueError:
        raise UserError(f"{card.name} has no variate {name!r}. Choose among {', '.join(card.variates[:20])}.") from None


def _batches(series: Series) -> pa.RecordBatchReader:
    """The columns t, v0, v1, ... a part of the rows at a time, so that none is held twice."""
    clock = pa.timestamp("us") if np.issubdtype(series.times.dtype, np.datetime64) else pa.int64()
    schema = pa.schema([("t", clock), *((f"v{i}", pa.float32()) for i in range(len(series.variates)))])

    def parts() -> Iterator[pa.RecordBatch]:
        for first, last in spans(len(series), len(series.variates)):
            columns = np.asfortranarray(series.part(series.variates, first, last)).T
            # NaN becomes NULL
            arrays = [pa.array(series.clock(first, last)), *(pa.array(v, from_pandas=True) for v in columns)]
            yield pa.record_batch(arrays, schema)

    return pa.RecordBatchReader.from_batches(schema, parts())


def _stamp(at: datetime) -> datetime:
    """DuckDB's TIMESTAMP has no zone: everything is in UTC."""
    return at.astimezone(UTC).replace(tzinfo=None)


def _damaged(path: Path) -> str:
    return (
        f"{path} is not a database that Scalescope can open, or it is damaged. Move it aside to start afresh, "
        f"or put back a copy of it; nothing was changed."
    )
