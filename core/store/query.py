# ruff: noqa: S608 (the statement is a person's own; it is parsed first, and only ours is put around names)
"""One SELECT of a person over one dataset: parsed by DuckDB, kept to the table ``data``, bounded in rows and time.

Uploaded names become quoted columns of a view that only this connection sees. Files, settings and other connections are
out of reach already (``Store``); the tables of the catalogue are kept out by the parsed tree, not by its text.
"""

import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.data.card import DatasetCard
from core.errors import UserError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MOST_ROWS, MOST_BYTES, SECONDS = 10_000, 50_000_000, 20.0
TABLE_FUNCTIONS = {"range", "generate_series", "unnest"}
PLAIN = {"boolean", "float", "double", "varchar", "timestamp", "timestamp with time zone"}
PLAIN |= {f"{sign}{size}" for sign in ("", "u") for size in ("tinyint", "smallint", "integer", "bigint")}
DATES = {"date", "timestamp_s", "timestamp_ms", "timestamp_ns"}
CLOSED = {  # functions that tell of the server, keep a state or only wait
    "getenv", "current_setting", "getvariable", "nextval", "currval", "setval", "setseed", "write_log", "sleep_ms",
    "current_query", "stats",
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a query gave; ``cut``: there were more rows than are kept."""

    table: "pa.Table"
    cut: bool
    seconds: float


def columns(card: DatasetCard, clock: bool) -> list[str]:
    """The columns of ``data``: the time, then the variates; unique where upper and lower case are one."""
    first = card.time_column or ("time" if clock else "row")
    taken = {name.casefold() for name in card.variates}
    return unique([first if first.casefold() not in taken else "time or row", *card.variates])


def unique(names: Sequence[str]) -> list[str]:
    """Names that differ in more than upper and lower case, in their order: a second "Load" becomes "Load (2)"."""
    found: dict[str, str] = {}
    for name in names:
        new, n = name, 2
        while new.casefold() in found:
            new, n = f"{name} ({n})", n + 1
        found[new.casefold()] = new
    return list(found.values())


def answer(
    cursor: "duckdb.DuckDBPyConnection",
    card: DatasetCard,
    clock: bool,
    sql: str,
    cancel: threading.Event | None = None,
    seconds: float = SECONDS,
) -> Answer:
    """The rows that ``sql`` selects from ``data``, at most 10,000.

    Raises UserError for anything but one SELECT over ``data``, for what DuckDB cannot bind or compute, after
    ``seconds``, and when ``cancel`` is set.
    """
    import duckdb
    import pyarrow as pa

    check(cursor, sql)
    stored = ("t", *(f"v{i}" for i in range(len(card.variates))))
    named = ", ".join(f"{at} AS {_quoted(name)}" for at, name in zip(stored, columns(card, clock), strict=True))
    cursor.execute(f"CREATE OR REPLACE TEMP VIEW data AS SELECT {named} FROM values_{card.id}")
    begun, done, why = time.monotonic(), threading.Event(), []

    def watch() -> None:
        while not done.wait(0.05):
            if cancel is not None and cancel.is_set():
                why.append("The query was cancelled.")
            elif time.monotonic() - begun > seconds:
                why.append(
                    f"The query took more than {seconds:g} seconds and was stopped. Ask for fewer rows or columns."
                )
            if why:
                cursor.interrupt()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    batches, rows, size, cut = [], 0, 0, False
    try:
        reader = _plain(cursor.sql(sql)).to_arrow_reader(2_048)
        for batch in reader:
            size += batch.nbytes
            if size > MOST_BYTES and not batches:
                raise UserError("The rows of this result are too large to show. Ask for fewer or shorter columns.")
            cut = size > MOST_BYTES or rows + batch.num_rows > MOST_ROWS
            if size <= MOST_BYTES:
                batches.append(batch)
                rows += batch.num_rows
            if cut:
                break
        table = pa.Table.from_batches(batches, schema=reader.schema).slice(0, MOST_ROWS)
        del reader
    except (duckdb.Error, pa.ArrowException, RuntimeError) as error:
        raise UserError(why[0] if why else _said(error)) from None
    finally:
        done.set()
        watcher.join()
    return Answer(table, cut, time.monotonic() - begun)


def _plain(found: "duckdb.DuckDBPyRelation") -> "duckdb.DuckDBPyRelation":
    """The same rows as numbers, truth values, times and texts, each column under a name of its own."""
    wanted = []
    for i, (name, type_) in enumerate(zip(unique(found.columns), found.types, strict=True), 1):
        kind = type_.id
        number = "DOUBLE" if kind in ("hugeint", "uhugeint", "decimal") else ""
        cast = number or ("TIMESTAMP" if kind in DATES else "" if kind in PLAIN else "VARCHAR")
        wanted.append(f"{f'CAST(#{i} AS {cast})' if cast else f'#{i}'} AS {_quoted(name)}")
    return found.project(", ".join(wanted))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def check(cursor: "duckdb.DuckDBPyConnection", sql: str) -> None:
    """Raises UserError for anything but one SELECT over ``data``."""
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise UserError(_said(error)) from None
    if len(statements) != 1:
        count = "no statement" if not statements else f"{len(statements)} statements"
        raise UserError(f"There is {count} here. Write one SELECT over the table data.")
    tree: dict[str, Any] = {"error": True}
    if statements[0].type == duckdb.StatementType.SELECT:
        tree = json.loads(cursor.execute("SELECT json_serialize_sql(?)", [statements[0].query]).fetchall()[0][0])
    if tree.get("error"):
        raise UserError(
            f"This is {statements[0].type.name} and only a SELECT is run here: nothing that is stored can be changed. "
            f"Write one SELECT over the table data."
        )
    stored = {row[0].casefold() for row in cursor.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    nodes = list(_nodes(tree))
    known = {"data"} | {str(each["key"]).casefold() for node in nodes for each in _named(node)}
    if clash := known & stored:
        raise UserError(f"The name {min(clash)!r} is taken. Call the part of the query that has it otherwise.")
    for node in nodes:
        kind, name = node.get("type"), str(node.get("function_name", "")).casefold()
        if kind == "BASE_TABLE":
            place = ".".join(
                str(node[part]) for part in ("catalog_name", "schema_name", "table_name") if node.get(part)
            )
            if place.casefold() not in known:
                raise UserError(f"There is no table {place!r} here. The dataset is the table data.")
        elif kind == "SHOW_REF":
            raise UserError("SHOW, DESCRIBE and SUMMARIZE are not run here. Write one SELECT over the table data.")
        elif kind == "TABLE_FUNCTION":
            called = str((node.get("function") or {}).get("function_name", "")).casefold()
            if called not in TABLE_FUNCTIONS:
                raise UserError(f"{called} cannot be asked here. The dataset is the table data.")
        elif name in CLOSED:
            raise UserError(f"The function {name} cannot be called here.")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the parsed tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _named(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts that a WITH names."""
    return list((node.get("cte_map") or {}).get("map") or [])


def _said(error: Exception) -> str:
    """DuckDB's first line, without the names of our tables."""
    line = str(error).strip().splitlines()[0]
    line = re.sub(r"\bvalues_[0-9a-f]{12}\b", "data", line)
    return f"{line[:300].rstrip('.')}. Mend the query and run it again."
