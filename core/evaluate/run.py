"""A finished run in memory: the model with its card and scaler, and what pages ask of it about one window.

Everything here speaks the data's own units; only ``errors`` is on the z-scored scale that benchmarks use.
Shape suffixes: L look-back, H horizon, C variates of the model, K targets, N test windows.
"""

import json
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from core.data.series import Series
from core.data.windows import Scaler, Table, Windows, spaced
from core.errors import UserError
from core.models.contract import Forecaster, Shape
from core.models.registry import build
from core.models.trace import ScaleOutput, Trace
from core.training import checkpoint
from core.training.spec import Spec

MOST = 100_000  # test windows that are scored; of more, evenly spaced ones


@dataclass(frozen=True)
class Window:
    """One window in the data's units. ``truth`` is None for the future beyond the data (``index`` == number of test
    windows). ``start`` is the row of its first step."""

    index: int
    start: int
    times_lookback: np.ndarray
    times_horizon: np.ndarray
    lookback: np.ndarray  # L x C
    truth: np.ndarray | None  # H x C


@dataclass(frozen=True)
class WindowErrors:
    """Errors of the test windows on the z-scored scale, and the same in the data's units over all of them.

    ``index`` (N,) says which windows of ``total`` were scored, all of them but in a very long test part. ``mse`` and
    ``mae`` per window (N,), ``mse_by_step`` (H,), ``mse_by_variate`` (K,); ``*_original`` in data units;
    ``naive_*`` the seasonal naive's on the same windows. What is missing of the truth counts nowhere; a window of which
    nothing is known has NaN.
    """

    index: np.ndarray
    total: int
    mse: np.ndarray
    mae: np.ndarray
    mse_by_step: np.ndarray
    mse_by_variate: np.ndarray
    mae_by_variate: np.ndarray
    mse_original_by_variate: np.ndarray
    mae_original_by_variate: np.ndarray
    naive_mse: float
    naive_mae: float

    def at(self, window: int) -> float:
        """The MSE of this window; NaN where it was not scored."""
        place = int(np.searchsorted(self.index, window))
        return float(self.mse[place]) if place < len(self.index) and self.index[place] == window else math.nan


@dataclass(frozen=True)
class LoadedRun:
    """Made by ``open`` or ``of``; immutable and safe to share between browser tabs."""

    spec: Spec
    card: dict[str, Any]
    model: Forecaster
    scaler: Scaler

    @classmethod
    def open(cls, directory: Path) -> "LoadedRun":
        """Loads a run's folder. Raises UserError for a missing, damaged, foreign or ill-fitting model file."""
        path = directory / checkpoint.WEIGHTS
        if not path.exists():
            raise UserError("This run has no saved model: it ended before its first epoch. Train it again.")
        card = checkpoint.read_card(path)
        if (directory / checkpoint.CARD).exists():  # the fuller one: metrics are added after training
            with suppress(json.JSONDecodeError):  # the card inside the weights still says what they are
                card = json.loads((directory / checkpoint.CARD).read_text())
        return cls.of(card, checkpoint.load_weights(path))

    @classmethod
    def of(cls, card: dict[str, Any], weights: dict[str, Tensor]) -> "LoadedRun":
        """From a card and weights. Raises UserError where they do not fit each other."""
        try:
            spec = Spec.model_validate(card["spec"])
            scaler = Scaler(*(torch.tensor(card["scaler"][k], dtype=torch.float32) for k in ("mean", "std")))
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"The model's card cannot be used ({first_line(error)}). Retrain, or load another file."
            ) from None
        shape = Shape(spec.lookback, spec.horizon, len(spec.columns), spec.withheld)
        with torch.device("meta"):  # a foreign card may claim any size: compared before memory is taken
            expected = {k: tuple(v.shape) for k, v in build(spec.model, spec.config, shape).state_dict().items()}
        given = {k: tuple(v.shape) for k, v in weights.items()}
        if expected != given or len(scaler.mean) != len(spec.columns) or len(scaler.std) != len(spec.columns):
            wrong = next(
                (k for k in sorted(expected.keys() | given.keys()) if expected.get(k) != given.get(k)), "scaler"
            )
            raise UserError(
                f"The weights do not fit their card: {wrong} is {given.get(wrong, 'missing')}, "
                f"the architecture needs {expected.get(wrong, 'none')}. The file was changed; load the original."
            )
        if not all(bool(torch.isfinite(v).all()) for v in weights.values()):
            raise UserError("The weights hold values that are not finite. Retrain, or load another file.")
        model = build(spec.model, spec.config, shape)
        model.load_state_dict(weights)
        return cls(spec, card, model.eval().requires_grad_(False), scaler)

    # -- windows ------------------------------------------------------------------------------------------------

    def check(self, series: Series) -> None:
        """Raises UserError where a variate of this model is missing."""
        missing = [v for v in self.spec.needed if v not in series.variates]
        if missing:
            raise UserError(f"This model needs the column {missing[0]!r}, which {series.name} does not have.")

    def first(self, series: Series) -> int:
        """The row in which the first test window begins."""
        return max(min(self.spec.split.validation, len(series)) - self.spec.lookback, 0)

    def count(self, series: Series) -> int:
        """Number of test windows."""
        rows = min(self.spec.split.test, len(series)) - self.first(series)
        return max(rows - self.spec.lookback - self.spec.horizon + 1, 0)

    def window(self, series: Series, index: int) -> Window:
        """Test window ``index``, or the future beyond the data for ``index`` == ``count``.

        Raises UserError for another index or a series shorter than the look-back.
        """
        L, H, count = self.spec.lookback, self.spec.horizon, self.count(series)
        if not 0 <= index <= count:
            raise UserError(f"Window {index + 1:,} does not exist; there are {count:,} test windows and the future.")
        if len(series) < L:
            raise UserError(
                f"{series.name} has {len(series):,} rows, but this model looks back {L:,}. Use a longer series."
            )
        self.check(series)
        last = self.spec.covariates.observed(series, self.spec.targets)
        start = last - L if index == count else self.first(series) + index
        values = self.spec.seen(series).part(self.spec.columns, start, start + L + H)
        lookback = values[:L]
        if index == count and self.spec.covariates.known and len(series) < last + H:
            raise UserError(
                f"The future beyond the data needs {self.spec.covariates.known[0]!r} of the {H:,} steps ahead, and "
                f"{series.name} holds {len(series) - last:,} of them. Add rows with these values and nothing in the "
                "place of what is to be forecast, or choose a test window."
            )
        if not np.isfinite(lookback).all() and not self.model.capabilities.missing_values:
            raise UserError(
                f"Rows {start + 1:,} to {start + L:,} have missing values. Choose another window, or fill them."
            )
        times = np.array(series.times[start : start + L + H])
        if index == count:
            latest = series.times[last - L : last]
            step = np.median(np.diff(latest.view(np.int64))).astype(np.int64)
            ahead = latest[-1] + (np.arange(1, H + 1) * step).astype(
                "timedelta64[us]" if np.issubdtype(series.times.dtype, np.datetime64) else np.int64
            )
            return Window(index, start, times[:L], ahead, lookback, None)
        return Window(index, start, times[:L], times[L:], lookback, values[L:])

    # -- one window ---------------------------------------------------------------------------------------------

    def normalised(self, lookback: np.ndarray) -> Tensor:
        """What the model takes, 1 x L x C: z-scored, withheld variates zero."""
        x_BLC = self.scaler.scale(torch.from_numpy(np.array(lookback, dtype=np.float32)))[None]
        if self.spec.withheld:
            x_BLC[..., list(self.spec.withheld)] = 0.0
        return x_BLC

    @torch.inference_mode()
    def forecast(self, lookback: np.ndarray) -> np.ndarray:
        """H x C in the data's units."""
        return self.scaler.unscale(self.model(self.normalised(lookback)))[0].numpy()

    def trace(self, lookback: np.ndarray) -> Trace:
        """The forecast with its inside; contributions and ``rest`` in the data's units, B = 1."""
        trace = self.model.trace(self.normalised(lookback))
        mean, std = self.scaler.mean.numpy(), self.scaler.std.numpy()

        def scaled(scale: ScaleOutput) -> ScaleOutput:
            parts = {k: v * std for k in ("contribution", "seasonal", "trend") if (v := getattr(scale, k)) is not None}
            return replace(scale, seen=scale.seen * std + mean, **parts)

        return replace(
            trace,
            forecast=trace.forecast * std + mean,
            rest=trace.rest * std + mean,
            scales=tuple(scaled(scale) for scale in trace.scales),
        )

    @cached_property
    def season(self) -> int:
        """Steps of one season for the seasonal naive, from the card; 1 where none is known."""
        return int(self.card.get("season") or 1)

    def seasonal_naive(self, window: Window) -> np.ndarray:
        """H x C: the last season seen, repeated."""
        season = min(self.season, len(window.lookback))
        last = window.lookback[-season:]
        return last[np.arange(self.spec.horizon) % season]

    # -- all test windows ---------------------------------------------------------------------------------------

    def test_windows(self, series: Series) -> Windows:
        """All test windows, z-scored with this run's own scaler."""
        return self._windows(series, self.first(series), self.spec.split.test)

    def training_windows(self, series: Series) -> Windows:
        """The windows that the model was trained on, likewise."""
        return self._windows(series, 0, self.spec.split.train)

    def _windows(self, series: Series, start: int, stop: int) -> Windows:
        spec = self.spec
        self.check(series)
        table = Table.of(spec.seen(series), spec.columns, self.scaler)
        return table.windows(spec.lookback, spec.horizon, start, stop, spec.target_index, spec.withheld)

    @torch.inference_mode()
    def errors(self, series: Series, batch_size: int = 512) -> WindowErrors:
        """Errors of every test window; of more than ``MOST``, of as many, evenly spaced. Raises UserError where there
        is no test window."""
        windows, targets = self.test_windows(series), list(self.spec.target_index)
        if not len(windows):
            raise UserError(f"{series.name} has no test window for this model: it needs more rows after the split.")
        season = min(self.season, self.spec.lookback)
        repeat = torch.arange(self.spec.horizon) % season
        mse, mae, step, variate, naive = [], [], Mean(), Mean(), Mean()
        index = spaced(len(windows), MOST)
        for part in index.split(batch_size):
            x_BLC, y_BHK = windows.batch(part)
            # a forecast that is not a number is infinitely wrong; only the truth may be missing
            error_BHK = self.model(x_BLC)[..., targets].double().nan_to_num_(math.inf) - y_BHK
            # the seasonal naive may see the history of a withheld target: it is the yardstick, not the model
            history = windows.whole(part)[:, targets, self.spec.lookback - season : self.spec.lookback]
            wrong_BHK = history.transpose(1, 2)[:, repeat].double() - y_BHK
            both_BHK2 = torch.stack([error_BHK.square(), error_BHK.abs()], dim=-1)
            mse.append(error_BHK.square().nanmean((1, 2)))
            mae.append(error_BHK.abs().nanmean((1, 2)))
            step.add(both_BHK2, (0, 2))
            variate.add(both_BHK2, (0, 1))
            naive.add(torch.stack([wrong_BHK.square(), wrong_BHK.abs()], dim=-1), (0, 1, 2))
        std = self.scaler.std[targets].double()
        variate_mse, variate_mae = variate.value.unbind(-1)
        return WindowErrors(
            index.numpy(),
            len(windows),
            torch.cat(mse).numpy(),
            torch.cat(mae).numpy(),
            step.value[:, 0].numpy(),
            variate_mse.numpy(),
            variate_mae.numpy(),
            (variate_mse * std**2).numpy(),
            (variate_mae * std).numpy(),
            *naive.value.tolist(),
        )


class Mean:
    """A mean over batches of what is not missing (NaN); NaN where nothing is known."""

    def __init__(self) -> None:
        self.total, self.count = torch.zeros(()), torch.zeros(())

    def add(self, values: Tensor, over: tuple[int, ...]) -> None:
        self.total = self.total + values.nansum(over)
        self.count = self.count + values.isfinite().sum(over)

    @property
    def value(self) -> Tensor:
        return self.total.double() / self.count


def first_line(error: Exception) -> str:
    """The first fault of a validation error, in one line."""
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
