"""Windows as views of one tensor: a batch is one gather on the device, with no Python per window.

Shape suffixes: T steps, N windows, B batch, L look-back, H horizon, C variates, K targets.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.data.series import Series


@dataclass(frozen=True)
class Scaler:
    """z-score with the training part's statistics, one mean and deviation per variate (a constant variate has 1)."""

    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, values_TC: Tensor) -> "Scaler":
        """Population statistics of what is not missing (NaN), in float64; a variate all missing has mean 0 and
        deviation 1. The result is float32, C each."""
        wide = values_TC.double()
        mean = wide.nanmean(0).nan_to_num_()
        std = (wide - mean).square().nanmean(0).sqrt().nan_to_num_()
        std = torch.where(std > 1e-12 * wide.abs().nan_to_num().amax(0).clamp_min(1e-30), std, torch.ones_like(std))
        return cls(mean.float(), std.float())

    def scale(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.std

    def unscale(self, values: Tensor) -> Tensor:
        return values * self.std + self.mean


@dataclass(frozen=True)
class Windows:
    """Windows of look-back + horizon steps over one part. ``withheld`` variates enter as zeros, their truth is kept."""

    view_NCT: Tensor  # N x C x (L + H), a view
    lookback: int
    targets: tuple[int, ...]
    withheld: tuple[int, ...] = ()
    gaps: bool = False  # whether any value is missing (NaN)

    @classmethod
    def of(
        cls,
        values_TC: Tensor,
        lookback: int,
        horizon: int,
        start: int,
        stop: int,
        targets: tuple[int, ...],
        withheld: tuple[int, ...] = (),
    ) -> "Windows":
        """Windows that begin at row ``start`` or later and end before row ``stop``."""
        part = values_TC[start:stop]
        size = lookback + horizon
        if len(part) < size:
            return cls(values_TC.new_empty(0, values_TC.shape[1], size), lookback, targets, withheld)
        return cls(part.unfold(0, size, 1), lookback, targets, withheld, bool(part.isnan().any()))

    def __len__(self) -> int:
        return len(self.view_NCT)

    def batch(self, index_B: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Inputs B x L x C and truths B x H x K of these windows."""
        both_BCT = self.view_NCT[index_B]
        x_BCL = both_BCT[..., : self.lookback]
        if self.withheld:
            x_BCL = x_BCL.clone()
            x_BCL[:, list(self.withheld)] = 0.0
        y_BCH = both_BCT[..., self.lookback :]
        if len(self.targets) != y_BCH.shape[1]:
            y_BCH = y_BCH[:, list(self.targets)]
        return x_BCL.transpose(1, 2), y_BCH.transpose(1, 2)


@dataclass(frozen=True)
class Parts:
    """Training, validation and test windows on the z-scored scale, on one device. ``values_TC`` is the training part
    itself, withheld variates included."""

    train: Windows
    validation: Windows
    test: Windows
    scaler: Scaler
    values_TC: Tensor


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
    values_TC = torch.from_numpy(series.select(columns).values.copy())
    train, validation, test = borders
    scaler = Scaler.fit(values_TC[:train])
    scaled_TC = scaler.scale(values_TC).to(device)

    def part(start: int, stop: int) -> Windows:
        return Windows.of(scaled_TC, lookback, horizon, max(start, 0), stop, targets, withheld)

    validating, testing = part(train - lookback, validation), part(validation - lookback, test)
    return Parts(part(0, train), validating, testing, scaler, scaled_TC[:train])
