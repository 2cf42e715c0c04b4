"""Windows never leak: nothing of a part's truth lies outside it, and no training window sees past the border."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import windows as module
from core.data.series import Series
from core.data.windows import Scaler, split_windows
from core.training.spec import Split
from tests.conftest import sine_series


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(60, 200), lookback=st.integers(2, 12), horizon=st.integers(1, 8), first=st.floats(0.3, 0.6))
def test_windows_never_leak(rows, lookback, horizon, first):
    """The one variate is the row number, so every window says which rows it holds."""
    times = np.arange(rows)
    series = Series("rows", times, times[:, None].astype(np.float32), ("row",))
    train, validation = int(rows * first), int(rows * 0.8)
    parts = split_windows(series, ("row",), (0,), (train, validation, rows), lookback, horizon)
    for windows, start, stop in (
        (parts.train, lookback, train),
        (parts.validation, train, validation),
        (parts.test, validation, rows),
    ):
        x, y = windows.batch(slice(None))
        seen, truth = (parts.table.scaler.unscale(v).round().long()[..., 0] for v in (x, y))
        assert len(windows) == max(stop - max(start - lookback, 0) - lookback - horizon + 1, 0)
        if len(windows):
            assert truth.min() == start and truth.max() == stop - 1
            assert (truth[:, 0] == seen[:, -1] + 1).all()


def test_the_scaler_knows_the_training_part_only():
    series = sine_series()
    wild = Series(series.name, series.times, series.values.copy(), series.variates)
    wild.values[300:] *= 1000
    borders = (280, 320, 400)
    calm, loud = (split_windows(s, s.variates, (0,), borders, 24, 8).table.scaler for s in (series, wild))
    torch.testing.assert_close(calm.mean, loud.mean)
    torch.testing.assert_close(calm.std, loud.std)


def test_a_constant_variate_is_scaled_to_zero_not_to_infinity():
    scaler = Scaler.fit(Series("flat", np.arange(50), np.full((50, 1), 1234.5, np.float32), ("a",)), ("a",), 50)
    assert scaler.scale(torch.full((3, 1), 1234.5)).abs().max() < 1e-3


@pytest.mark.parametrize("horizon, count", [(96, 2785), (192, 2689), (336, 2545), (720, 2161)])
def test_every_test_window_of_ett_counts(horizon, count):
    series = sine_series(17_420, 7)
    named = Series("ETTh1", series.times, series.values, ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"))
    split = Split.of(named)
    assert (split.train, split.validation, split.test) == (8640, 11520, 14400)
    parts = split_windows(named, named.variates, (0,), (8640, 11520, 14400), 96, horizon)
    assert len(parts.test) == count


def test_withheld_variates_enter_as_zeros_but_are_scored_with_their_truth():
    series = sine_series()
    parts = split_windows(series, series.variates, (2,), (280, 320, 400), 24, 8, withheld=(2,))
    x, y = parts.test.batch(slice(0, 5))
    assert (x[..., 2] == 0).all() and (x[..., 0] != 0).any() and (y != 0).any()


def test_a_batch_is_the_same_by_index_and_by_slice():
    series = sine_series()
    windows = split_windows(series, series.variates, (0, 1), (280, 320, 400), 24, 8).train
    one, other = windows.batch(slice(3, 6)), windows.batch(torch.tensor([3, 4, 5]))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_windows_from_a_file_are_those_from_memory(tmp_path, monkeypatch):
    """Where the table does not fit, every batch is read, scaled and cut as the tensor would have been."""
    series = sine_series(3000)
    series.values[40:44, 0] = np.nan
    series.write(tmp_path)
    columns, about = (series.variates[2], series.variates[0]), ((0,), (2000, 2400, 3000), 24, 8)
    inside = split_windows(series, columns, *about, withheld=(1,))
    monkeypatch.setattr(module, "fits", lambda rows, variates: False)
    stored = split_windows(Series.read(tmp_path), columns, *about, withheld=(1,))
    assert stored.table.scaled_TC is None and inside.table.scaled_TC is not None
    for one, other in zip(
        (inside.train, inside.validation, inside.test), (stored.train, stored.validation, stored.test), strict=True
    ):
        assert (len(one), one.gaps) == (len(other), other.gaps)
        for index in (slice(None), slice(3, 9), torch.tensor([5, 1, len(one) - 1])):
            for a, b in zip(one.batch(index), other.batch(index), strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    monkeypatch.setattr(module, "ROWS", 50)
    torch.testing.assert_close(inside.table.known(2000)[-50:], stored.table.known(2000), rtol=0, atol=0, equal_nan=True)
