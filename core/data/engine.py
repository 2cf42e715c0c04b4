"""A DuckDB of its own for reading one uploaded file: in memory, and shut in to that file's folder.

The stored datasets live elsewhere (``core.store``); nothing here can reach them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

MEMORY = "512MB"


@contextmanager
def reader(folder: Path) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A connection that can read files in this folder and nothing else; times are in UTC."""
    import duckdb

    connection = duckdb.connect(config={"memory_limit": MEMORY, "autoinstall_known_extensions": "false"})
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET temp_directory = ''")
        connection.execute("SET streaming_buffer_size = '16MB'")  # read on while a part is looked at
        connection.execute("SET allowed_directories = [$folder]", {"folder": f"{folder.resolve()}/"})
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()
