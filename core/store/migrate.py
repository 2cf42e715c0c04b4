"""The schema's version and how an older file reaches it: the sections of ``schema.sql`` run in order, once each."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError

if TYPE_CHECKING:
    import duckdb

SCHEMA = Path(__file__).with_name("schema.sql")


def sections(schema: str) -> list[str]:
    """The SQL of each version, oldest first.

    >>> sections("-- a comment\\n-- version 1\\nCREATE TABLE a (x INT);\\n-- version 2\\nDROP TABLE a;\\n")
    ['CREATE TABLE a (x INT);', 'DROP TABLE a;']
    """
    _, *parts = re.split(r"^-- version (\d+)$", schema, flags=re.MULTILINE)
    numbers = [int(n) for n in parts[::2]]
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"versions must count up from 1, found {numbers}")
    return [sql.strip() for sql in parts[1::2]]


def migrate(connection: "duckdb.DuckDBPyConnection", schema: str) -> int:
    """Bring the open database to the newest version in ``schema`` and return it; all or nothing.

    Raises UserError for a file that a newer Scalescope wrote.
    """
    wanted = sections(schema)
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL, applied_at TIMESTAMP)")
    found = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchall()[0][0]
    if found > len(wanted):
        raise UserError(
            f"The database is of version {found}, this Scalescope knows versions up to {len(wanted)}. "
            f"Start the newer Scalescope that wrote it, or choose another folder with SCALESCOPE_HOME."
        )
    connection.begin()
    try:
        for number, sql in enumerate(wanted[found:], found + 1):
            connection.execute(sql)
            connection.execute("INSERT INTO schema_version VALUES (?, now()::TIMESTAMP)", [number])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return len(wanted)
