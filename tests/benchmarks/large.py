"""Files of two gigabytes: a CSV of 22 million rows of 8 variates and a Parquet file of 50 million, each read, stored
and looked at in a process of its own. Needs 8 GB of disk and, for the Parquet file, 4 GB of memory.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.ingest import Row, apart, row

VARIATES, DAY = 8, 1_440
CSV_ROWS, PARQUET_ROWS = 22_000_000, 50_000_000
PART = 1_000_000
SPANS = {"whole": (None, None), "half a million rows of it": (20_000_000, 20_500_000)}


def measure() -> list[Row]:
    """Rows for each file: reading, storing, overviews, and the peak of memory of all of it."""
    os.environ["SCALESCOPE_MAX_UPLOAD_MB"] = "8192"
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="scalescope-") as folder:
        for kind, rows in (("csv", CSV_ROWS), ("parquet", PARQUET_ROWS)):
            file = Path(folder) / f"large.{kind}"
            write(file, rows)
            size = file.stat().st_size / 1e6
            took, peak = apart(ingest, file)
            found.append(row(f"{kind}, {size:,.0f} MB, {rows:,} rows of {VARIATES}: read, audited, stored", took))
            for name, each in zip(("one variate", "eight"), np.load(file.with_suffix(".npy")), strict=True):
                for part, seconds in zip(SPANS, each, strict=True):
                    found.append(row(f"overview of {name}, {part}", seconds))
            found.append({"what": "peak of memory of it all", "seconds": "", "against": f"{peak:,.0f} MB"})
            file.unlink()
    return found


def write(file: Path, rows: int) -> None:
    """Seconds and noisy waves, a part at a time."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    wave = np.sin(np.arange(VARIATES) + 2 * np.pi * np.arange(DAY)[:, None] / DAY)
    draw, target = np.random.default_rng(0), None
    for first in range(0, rows, PART):
        at = np.arange(first, min(first + PART, rows))
        times = np.datetime64("2020-01-01", "us") + at * np.timedelta64(1_000_000, "us")
        values = wave[at % DAY] + 0.1 * draw.standard_normal((len(at), VARIATES))
        if file.suffix == ".csv":
            columns = {"time": pa.array(np.datetime_as_string(times, "s"))}
            columns |= {f"v{i}": pa.array(values[:, i].round(6)) for i in range(VARIATES)}
        else:
            columns = {"time": pa.array(times)}
            columns |= {f"v{i}": pa.array(values[:, i].astype(np.float32)) for i in range(VARIATES)}
        table = pa.table(columns)
        if target is None:
            make = csv.CSVWriter if file.suffix == ".csv" else parquet.ParquetWriter
            target = make(str(file), table.schema)
        target.write_table(table)
    if target is not None:
        target.close()


def ingest(file: Path) -> float:
    """Seconds until the dataset is stored; those of the overviews go to a file beside it."""
    from core.data.card import DatasetCard
    from core.data.read import parse, sniff
    from core.store.store import Store

    begun = time.perf_counter()
    series, audit = parse(file, sniff(file, file.name).choice, file.name)
    store = Store(file.with_suffix(".home") / "store.duckdb", file.with_suffix(".home") / "uploads")
    id = store.add_dataset(series, DatasetCard.of(series, audit))
    took = time.perf_counter() - begun
    names, seconds = list(series.variates), []
    for variates in (names[:1], names):
        for start, stop in SPANS.values():
            begun = time.perf_counter()
            marks = len(store.overview(id, variates, start, stop))
            seconds.append(time.perf_counter() - begun)
            if marks > 4_000:
                raise RuntimeError(f"{marks} marks")
    if store.series(id).fingerprint != series.fingerprint:
        raise RuntimeError("another series was stored")
    store.close()
    np.save(file.with_suffix(".npy"), np.array(seconds).reshape(2, len(SPANS)))
    return took
