"""Windows as views of one tensor: a batch is one gather on the device, with no Python per window.

Where that tensor would not fit into ``training_memory_mb``, windows are read from the mapped series as they are asked
for, and scaled then: slower, but the memory does not grow with the data.

Shape suffixes: T steps, N windows, B batch, L look-back, H horizon, C variates, K targets.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.data.season import ROWS
from core.data.series import Series
from core.settings import Settings

SHARE = 4  # of the training memory, the part that the table may take: the model and its steps need the rest (ours)


@dataclass(frozen=True)
class Scaler:
    """z-score with the training part's statistics, one mean and deviation per variate (a constant variate has 1)."""

    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, series: Series, columns: tuple[str, ...], stop: int) -> "Scaler":
        """Population statistics of what is not missing (NaN) in rows [0, stop), in float64; a variate all missing has
        mean 0 and deviation 1. The result is float32, C each."""

        def parts() -> Iterator[Tensor]:
            return (torch.from_numpy(block).double() for block in series.blocks(columns, stop))

        zero_C = torch.zeros(len(columns), dtype=torch.float64)
        count, total, largest, squares = zero_C, zero_C, zero_C, zero_C
        for wide_TC in parts():
            count = count + wide_TC.isfinite().sum(0)
            total = total + wide_TC.nansum(0)
            largest = torch.maximum(largest, wide_TC.abs().nan_to_num().amax(0))
        mean = total / count.clamp_min(1)
        for wide_TC in parts():
            squares = squares + (wide_TC - mean).square().nansum(0)
        std = (squares / count.clamp_min(1)).sqrt()
        std = torch.where(std > 1e-12 * largest.clamp_min(1e-30), std, torch.ones_like(std))
        return cls(mean.float(), std.float())

    def pick(self, variates: tuple[int, ...]) -> "Scaler":
        """The same for some of the variates."""
        return Scaler(self.mean[list(variates)], self.std[list(variates)])

    def scale(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.std

    def unscale(self, values: Tensor) -> Tensor:
        return values * self.std + self.mean


@dataclass(frozen=True)
class Windows:
    """Windows of look-back + horizon steps over one part. ``withheld`` variates enter as zeros, their truth is kept."""

    table: "Table"
    start: int  # row in which the first window begins
    count: int
    lookback: int
    horizon: int
    targets: tuple[int, ...]
    withheld: tuple[int, ...] = ()
    gaps: bool = False  # whether any value is missing (NaN)

    def __len__(self) -> int:
        return self.count

    def batch(self, index_B: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Inputs B x L x C and truths B x H x K of these windows."""
        both_BCT = self.whole(index_B)
        x_BCL = both_BCT[..., : self.lookback]
        if self.withheld:
            x_BCL = x_BCL.clone()
            x_BCL[:, list(self.withheld)] = 0.0
        y_BCH = both_BCT[..., self.lookback :]
        if len(self.targets) != y_BCH.shape[1]:
            y_BCH = y_BCH[:, list(self.targets)]
        return x_BCL.transpose(1, 2), y_BCH.transpose(1, 2)

    def whole(self, index_B: Tensor | slice) -> Tensor:
        """The same windows as they lie in the table, B x C x (L + H), withheld variates included."""
        return self.table.gather(self.start, self.count, self.lookback + self.horizon, index_B)


@dataclass(frozen=True)
class Table:
    """The z-scored values of some variates: on a device, or in the mapped file of a series that is too large for it."""

    series: Series
    columns: tuple[str, ...]
    scaler: Scaler
    device: str
    scaled_TC: Tensor | None

    @classmethod
    def of(cls, series: Series, columns: tuple[str, ...], scaler: Scaler, device: str = "cpu") -> "Table":
        """A mapped series stays in its file where ``fits`` says no; one in memory is there already."""
        if series.mapped and not fits(len(series), len(columns)):
            return cls(series, columns, scaler, device, None)
        scaled_TC = scaler.scale(torch.from_numpy(series.part(columns))).to(device)
        return cls(series, columns, scaler, device, scaled_TC)

    def windows(
        self,
        lookback: int,
        horizon: int,
        start: int,
        stop: int,
        targets: tuple[int, ...],
        withheld: tuple[int, ...] = (),
    ) -> Windows:
        """Windows that begin at row ``start`` or later and end before row ``stop``."""
        count = max(min(stop, len(self.series)) - start - lookback - horizon + 1, 0)
        gaps = count > 0 and self._gaps(start, stop)
        return Windows(self, start, count, lookback, horizon, targets, withheld, gaps)

    def gather(self, start: int, count: int, size: int, index_B: Tensor | slice) -> Tensor:
        """B x C x size: those of ``count`` stretches that begin at ``start`` and one row later each."""
        if self.scaled_TC is not None:
            if not count:
                return self.scaled_TC.new_empty(0, len(self.columns), size)
            return self.scaled_TC[start : start + count + size - 1].unfold(0, size, 1)[index_B]
        index = np.arange(count)[index_B] if isinstance(index_B, slice) else index_B.cpu().numpy()
        values_BSC = torch.from_numpy(self.series.stretches(start + index, size, self.columns))
        return self.scaler.scale(values_BSC).transpose(1, 2).to(self.device)

    def known(self, stop: int) -> Tensor:
        """Rows before ``stop`` from which a model may be estimated, T x C: all of them, of a file the latest."""
        stop = min(stop, len(self.series))
        if self.scaled_TC is not None:
            return self.scaled_TC[:stop]
        latest_TC = self.series.part(self.columns, max(stop - ROWS, 0), stop)
        return self.scaler.scale(torch.from_numpy(latest_TC)).to(self.device)

    def _gaps(self, start: int, stop: int) -> bool:
        if self.scaled_TC is not None:
            return bool(self.scaled_TC[start:stop].isnan().any())
        return any(bool(np.isnan(block).any()) for block in self.series.blocks(self.columns, stop, start))


def fits(rows: int, variates: int) -> bool:
    """Whether a table of this size may be held as one tensor, which takes thrice its size while it is made."""
    return rows * variates * 12 <= Settings().training_memory_mb * 2**20 / SHARE


def spaced(total: int, most: int) -> Tensor:
    """At most ``most`` of ``total`` positions, evenly spaced."""
    return torch.from_numpy(np.unique(np.linspace(0, total - 1, min(most, total)).astype(int)))


@dataclass(frozen=True)
class Parts:
    """Training, validation and test windows on the z-scored scale, on one device, and the table that they view."""

    train: Windows
    validation: Windows
    test: Windows
    table: Table


def split_windows(
    series: Series,
    columns: tuple[str, ...],
    targets: tuple[int, ...],
    borders: tuple[int, int, int],
    lookback: int,
    horizon: int,
    device: str = "cpu",
    withheld: tuple[int, ...] = (),
) -> Parts:
    """Windows of the three parts; validation and test look back across their border, never forward."""
    train, validation, test = borders
    table = Table.of(series, columns, Scaler.fit(series, columns, train), device)

    def part(start: int, stop: int) -> Windows:
        return table.windows(lookback, horizon, max(start, 0), stop, targets, withheld)

    validating, testing = part(train - lookback, validation), part(validation - lookback, test)
    return Parts(part(0, train), validating, testing, table)
