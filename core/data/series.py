"""A series in memory: one float32 table of time steps by variates, with its clock. What every layer above works on.

Reading files lives in ``read.py``; windows over a series in ``windows.py``.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Series:
    """A regular multivariate series.

    ``times`` is T stamps, ``datetime64[us]`` in UTC or ``int64`` where the data has no clock; ``values`` is T x C
    float32 in the data's own units, NaN where missing; ``variates`` are the C column names exactly as uploaded
    (untrusted text). ``zone`` is the zone to show times in. ``truth`` is the known importance of a synthetic set,
    ``{"target": name, "lags": [...], "features": [...], "weights": F x lags}``.
    """

    name: str
    times: np.ndarray
    values: np.ndarray
    variates: tuple[str, ...]
    zone: str = "UTC"
    truth: dict[str, Any] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape != (len(self.times), len(self.variates)):
            raise ValueError(
                f"values {self.values.shape} do not fit {len(self.times)} times x {len(self.variates)} variates"
            )

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names, clock and values: two series with the same fingerprint train to the same model."""
        digest = hashlib.sha256(json.dumps(self.variates).encode())
        digest.update(np.ascontiguousarray(self.times).view(np.int64).tobytes())
        digest.update(np.ascontiguousarray(self.values, dtype=np.float32).tobytes())
        return digest.hexdigest()

    @cached_property
    def step(self) -> float:
        """Median distance of two stamps, in seconds (1.0 for an integer index)."""
        if len(self) < 2:
            return 1.0
        gaps = np.diff(np.ascontiguousarray(self.times).view(np.int64))
        return float(np.median(gaps)) / (1e6 if np.issubdtype(self.times.dtype, np.datetime64) else 1.0)

    def select(self, variates: tuple[str, ...]) -> "Series":
        """The same series with these variates, in this order. Raises KeyError for an unknown name."""
        columns = [self._index[v] for v in variates]
        return Series(self.name, self.times, self.values[:, columns], tuple(variates), self.zone, self.truth)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.variates)}

    def write(self, path: Path) -> None:
        """As one Arrow file: columns t, v0, v1, ...; names, zone and truth in the schema's metadata."""
        table = pa.table(
            {"t": pa.array(self.times)}
            | {f"v{i}": pa.array(np.ascontiguousarray(self.values[:, i])) for i in range(self.values.shape[1])}
        )
        about = {"name": self.name, "variates": self.variates, "zone": self.zone, "truth": self.truth}
        table = table.replace_schema_metadata({"scalescope": json.dumps(about)})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def read(cls, path: Path) -> "Series":
        """The inverse of ``write``."""
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
            about = json.loads(table.schema.metadata[b"scalescope"])
            values = np.empty((table.num_rows, len(about["variates"])), np.float32)
            for i in range(values.shape[1]):
                values[:, i] = table.column(f"v{i}").to_numpy()
            times = table.column("t").to_numpy().copy()
        return cls(about["name"], times, values, tuple(about["variates"]), about["zone"], about["truth"])
