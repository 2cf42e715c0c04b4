"""Reading a clean CSV of 1 million rows of 8 variates, audit included, beside DuckDB's bare ``read_csv`` into a table
in the same run; the peak of memory against the size of the file; the overview of 10 million rows.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

ROWS, VARIATES, TIMES = 1_000_000, 8, 3
LONG = 10_000_000

Row = dict[str, object]


def measure() -> list[Row]:
    """A row for each thing that is timed."""
    with tempfile.TemporaryDirectory(prefix="scalescope-") as folder:
        file = Path(folder) / "clean.csv"
        write(file)
        size = file.stat().st_size / 1e6
        bare, ours = [], []
        for _ in range(TIMES):
            bare.append(apart(bare_read, file))
            ours.append(apart(ingest, file))
        plain, whole = (median(seconds for seconds, _ in found) for found in (bare, ours))
        peak = max(peak for _, peak in ours)
        audited = median(settle_seconds() for _ in range(TIMES))
        overviews = apart(overview, Path(folder))[0]
    named = f"{ROWS:,} rows of {VARIATES} variates, {size:.0f} MB"
    return [
        row(f"DuckDB read_csv into a table, {named}", plain),
        row("the same file: inspected, read, audited, as a series", whole, f"{whole / plain:.2f} of it (aim 2)"),
        row("of which the audit of the values in memory", audited, "aim 3 s"),
        {"what": "peak of memory while reading", "seconds": "", "against": f"{peak / size:.2f} times the file (aim 3)"},
        row(f"overview of {LONG:,} rows, median of whole and zoomed", overviews, "aim 0.3 s"),
    ]


def row(what: str, seconds: float, against: str = "") -> Row:
    return {"what": what, "seconds": f"{seconds:.2f}", "against": against}


def write(file: Path) -> None:
    """Minutes and random walks, as a clean export would be."""
    import pyarrow.csv

    times = np.datetime64("2020-01-01", "s") + np.arange(ROWS) * np.timedelta64(60, "s")
    walks = np.random.default_rng(0).normal(size=(ROWS, VARIATES)).cumsum(0).round(3)
    table = pa.table(
        {"date": pa.array(np.datetime_as_string(times, "s"))} | {f"x{i}": walks[:, i] for i in range(VARIATES)}
    )
    pyarrow.csv.write_csv(table, file)


def apart(work: Callable[[Path], float], path: Path) -> tuple[float, float]:
    """Seconds, and MB that the process grew by, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (work, path))


def _measured(work: Callable[[Path], float], path: Path) -> tuple[float, float]:
    import duckdb
    import pandas as pd

    import core.data.read  # noqa: F401 (what is loaded once is not timed)

    duckdb.sql("SELECT 1").fetchall()
    pd.DatetimeIndex([])
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    seconds = work(path)
    return seconds, resident("VmHWM") - before


def resident(what: str) -> float:
    """MB that this process holds now (``VmRSS``) or held at most (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(what))


def bare_read(file: Path) -> float:
    import duckdb

    begun = time.perf_counter()
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT * FROM read_csv(?)", [str(file)])
    return time.perf_counter() - begun


def ingest(file: Path) -> float:
    from core.data.read import parse, sniff

    begun = time.perf_counter()
    series, _ = parse(file, sniff(file, file.name).choice, file.name)
    took = time.perf_counter() - begun
    if series.values.shape != (ROWS, VARIATES):
        raise RuntimeError(f"{series.values.shape} was read")
    return took


def settle_seconds() -> float:
    from core.data.audit import Raw, settle
    from core.data.choice import Choice

    values = np.random.default_rng(0).normal(size=(ROWS, VARIATES)).cumsum(0).astype(np.float32)
    names = tuple(f"x{i}" for i in range(VARIATES))
    raw = Raw(np.arange(ROWS) * 60_000_000, values, np.arange(ROWS) + 2, names, clock=True)
    begun = time.perf_counter()
    settle(raw, Choice(), 10**9)
    return time.perf_counter() - begun


def overview(folder: Path) -> float:
    """Median seconds of the overview of one variate, whole and of parts."""
    from core.data.card import Audit, DatasetCard
    from core.data.series import Series
    from core.store.store import Store

    times = np.datetime64("2020-01-01", "us") + np.arange(LONG) * np.timedelta64(1, "s")
    walk = np.random.default_rng(0).normal(size=(LONG, 1)).cumsum(0).astype(np.float32)
    series = Series("walk", times, walk, ("x",))
    store = Store(folder / "store.duckdb", folder / "uploads")
    card = DatasetCard.of(series, Audit(rows=LONG, step="1 second", start="", end=""))
    id = store.add_dataset(series, card)
    found: list[float] = []
    asked: list[tuple[Any, Any]] = [(None, None), (0, LONG // 2), (LONG // 3, LONG // 2), (5_000_000, 5_100_000)]
    for start, stop in asked * 2:
        begun = time.perf_counter()
        marks = len(store.overview(id, ["x"], start, stop))
        found.append(time.perf_counter() - begun)
        if marks > 4_000:
            raise RuntimeError(f"{marks} marks")
    store.close()
    print("overviews:", [round(seconds, 3) for seconds in found])
    return median(found)
