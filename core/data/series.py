"""A series: one float32 table of time steps by variates, with its clock. What every layer above works on.

In memory, or in a folder that ``write`` made: then rows are read from the file as they are asked for, and code that
goes through all of them does so by ``blocks``. Reading uploads lives in ``read.py``; windows in ``windows.py``.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import dtype_to_descr, write_array_header_1_0

BLOCK = 2**19  # values looked at together where a series is gone through
ABOUT, TIMES, VALUES = "about.json", "times.npy", "values.npy"


@dataclass(frozen=True)
class Series:
    """A regular multivariate series.

    ``times`` is T stamps, ``datetime64[us]`` in UTC or ``int64`` where the data has no clock; ``values`` is T x C
    float32 in the data's own units, NaN where missing; ``variates`` are the C column names exactly as uploaded
    (untrusted text). ``zone`` is the zone to show times in. ``truth`` is the known importance of a synthetic set,
    ``{"target": name, "lags": [...], "features": [...], "weights": F x lags}``. ``known`` is the fingerprint, where it
    was computed before.
    """

    name: str
    times: np.ndarray
    values: np.ndarray
    variates: tuple[str, ...]
    zone: str = "UTC"
    truth: dict[str, Any] | None = field(default=None, compare=False)
    known: str = field(default="", compare=False)

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
        if self.known:
            return self.known
        digest = hashlib.sha256(json.dumps(self.variates).encode())
        for first in range(0, len(self), BLOCK):
            digest.update(np.ascontiguousarray(self.clock(first, first + BLOCK)).view(np.int64).data)
        for block in self.blocks(self.variates):
            digest.update(block.data)
        return digest.hexdigest()

    @cached_property
    def step(self) -> float:
        """Median distance of two stamps, in seconds (1.0 for an integer index); of the latest half million."""
        if len(self) < 2:
            return 1.0
        gaps = np.diff(np.ascontiguousarray(self.clock(-BLOCK)).view(np.int64))
        return float(np.median(gaps)) / (1e6 if np.issubdtype(self.times.dtype, np.datetime64) else 1.0)

    def part(self, variates: tuple[str, ...], start: int = 0, stop: int | None = None) -> np.ndarray:
        """A copy of rows [start, stop) of these variates, in this order. Raises KeyError for an unknown name."""
        rows = _read(self.values, start, stop)
        if variates == self.variates:
            return rows if self.mapped else np.array(rows, np.float32, order="C")
        return np.ascontiguousarray(rows[:, [self._index[v] for v in variates]], np.float32)

    def blocks(self, variates: tuple[str, ...], stop: int | None = None, start: int = 0) -> Iterator[np.ndarray]:
        """The same, about ``BLOCK`` values at a time."""
        stop = len(self) if stop is None else min(stop, len(self))
        for first, last in spans(stop - start, len(variates)):
            yield self.part(variates, start + first, start + last)

    def clock(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The stamps of rows [start, stop)."""
        return _read(self.times, start, stop)

    def stretches(self, first_B: np.ndarray, size: int, variates: tuple[str, ...]) -> np.ndarray:
        """B x size x C: the rows that follow each of these, and the row itself. They must lie inside."""
        if isinstance(self.values, np.memmap):
            rows_BSC = np.empty((len(first_B), size, len(self.variates)), np.float32)
            with Path(str(self.values.filename)).open("rb", buffering=0) as file:
                for rows_SC, first in zip(rows_BSC, first_B.tolist(), strict=True):
                    file.seek(self.values.offset + first * self.values.strides[0])
                    if file.readinto(rows_SC.data) != rows_SC.nbytes:
                        raise ValueError(f"{self.values.filename} ends before row {first + size}")
        else:
            rows_BSC = self.values[first_B[:, None] + np.arange(size)]
        return rows_BSC if variates == self.variates else rows_BSC[..., [self._index[v] for v in variates]]

    def select(self, variates: tuple[str, ...]) -> "Series":
        """The same series with these variates, in this order. Raises KeyError for an unknown name."""
        if variates == self.variates:
            return self
        return Series(self.name, self.times, self.part(variates), tuple(variates), self.zone, self.truth)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.variates)}

    # -- in a folder ------------------------------------------------------------------------------------------------

    @property
    def mapped(self) -> bool:
        """Whether the values lie in a file and not in memory."""
        return isinstance(self.values, np.memmap)

    def write(self, folder: Path, variates: tuple[str, ...] | None = None) -> None:
        """Into a new or empty folder: ``times.npy``, ``values.npy`` and ``about.json``; these variates, or all."""
        variates = self.variates if variates is None else tuple(variates)
        folder.mkdir(parents=True, exist_ok=True)
        about: dict[str, Any] = {"name": self.name, "variates": variates, "zone": self.zone, "truth": self.truth}
        if variates == self.variates:
            about["fingerprint"] = self.fingerprint
            if isinstance(self.times, np.memmap) and isinstance(self.values, np.memmap):
                with suppress(OSError):  # on another disk it is copied below
                    for table, file in ((self.times, TIMES), (self.values, VALUES)):
                        os.link(str(table.filename), folder / file)  # never changed, so that both may share it
                    folder.joinpath(ABOUT).write_text(json.dumps(about), "utf-8")
                    return
        with SeriesWriter(folder, about, len(self), self.times.dtype) as target:
            for (first, last), block in zip(spans(len(self), len(variates)), self.blocks(variates), strict=True):
                target.add(self.clock(first, last), block)

    @classmethod
    def read(cls, folder: Path) -> "Series":
        """The inverse of ``write``; values stay in their file. Raises OSError or ValueError where it is not whole."""
        about = json.loads(folder.joinpath(ABOUT).read_text("utf-8"))
        try:
            times, values = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (TIMES, VALUES))
            known = about.get("fingerprint", "")
            return cls(about["name"], times, values, tuple(about["variates"]), about["zone"], about["truth"], known)
        except (EOFError, KeyError) as error:
            raise ValueError(f"{folder} is not whole: {error}") from error


def spans(rows: int, variates: int) -> list[tuple[int, int]]:
    """Rows [first, last) one after the other, about ``BLOCK`` values each."""
    size = max(BLOCK // max(variates, 1), 1)
    return [(first, min(first + size, rows)) for first in range(0, rows, size)]


class SeriesWriter:
    """Fills a folder that ``Series.read`` maps, some rows at a time; ``about.json`` comes last and says it is whole."""

    def __init__(self, folder: Path, about: dict[str, Any], rows: int, clock: np.dtype) -> None:
        self.folder, self.about, self.rows, self.done = folder, about, rows, 0
        shapes = {TIMES: (clock, (rows,)), VALUES: (np.dtype(np.float32), (rows, len(about["variates"])))}
        self.files = []
        for name, (dtype, shape) in shapes.items():
            file = folder.joinpath(name).open("wb")
            header = {"descr": dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            write_array_header_1_0(file, header)
            self.files.append((file, dtype, shape[1:]))

    def add(self, times: np.ndarray, values: np.ndarray) -> None:
        """The next rows: T' stamps, T' x C values."""
        for (file, dtype, width), part in zip(self.files, (times, values), strict=True):
            if part.shape != (len(times), *width):
                raise ValueError(f"{part.shape} are no {len(times)} rows of {width}")
            np.ascontiguousarray(part, dtype).tofile(file)
        self.done += len(times)

    def __enter__(self) -> "SeriesWriter":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        for opened in self.files:
            opened[0].close()
        if kind is None:
            if self.done != self.rows:
                raise ValueError(f"{self.done} of {self.rows} rows were written")
            self.folder.joinpath(ABOUT).write_text(json.dumps(self.about), "utf-8")


def _read(table: np.ndarray, start: int, stop: int | None) -> np.ndarray:
    """Rows [start, stop); of a file they are read and not mapped, as pages looked at count as memory of the process."""
    if not isinstance(table, np.memmap):
        return table[start:stop]
    start, stop, _ = slice(start, stop).indices(len(table))
    row = math.prod(table.shape[1:])
    place = table.offset + start * row * table.itemsize
    found = np.fromfile(str(table.filename), table.dtype, max(stop - start, 0) * row, offset=place)
    return found.reshape(-1, *table.shape[1:])
