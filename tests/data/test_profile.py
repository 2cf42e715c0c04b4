"""What a profile promises: the season of the data, not of the calendar alone."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.profile import season, suggest
from core.data.read import parse, sniff
from core.data.series import Series


def made(values: np.ndarray, step: str | None = None) -> Series:
    rows = len(values)
    times = (
        np.arange(rows)
        if step is None
        else np.datetime64("2020-01-01", "us")
        + np.arange(rows) * np.timedelta64(int(np.timedelta64(1, step) / np.timedelta64(1, "us")), "us")
    )
    return Series("made", times, values.reshape(rows, -1).astype(np.float32), ("a",))


def wave(rows: int, period: float) -> np.ndarray:
    return np.sin(2 * np.pi * np.arange(rows) / period) + 0.3 * np.random.default_rng(0).standard_normal(rows)


@pytest.mark.parametrize(
    ("values", "step", "expected"),
    [
        (wave(2_000, 24), "h", 24),
        (wave(2_000, 24) + np.arange(2_000) / 100, "h", 24),
        (wave(3_000, 168), "h", 168),
        (wave(400, 7), "D", 7),
        (wave(600, 37), None, 37),
        (np.random.default_rng(1).standard_normal(3_000), "h", 1),
        (np.cumsum(np.random.default_rng(2).standard_normal(3_000)), "h", 1),
        (np.cumsum(np.random.default_rng(3).standard_normal(2_000)), None, 1),
        (np.ones(500), "h", 1),
    ],
)
def test_season(values: np.ndarray, step: str | None, expected: int) -> None:
    assert season(made(values, step)) == expected


def test_gaps_do_not_hide_the_season() -> None:
    values = wave(2_000, 24)
    values[np.random.default_rng(4).random(2_000) < 0.2] = np.nan
    values[300:500] = np.nan
    assert season(made(values, "h")) == 24


@pytest.mark.parametrize(("name", "expected"), [("ETTh1", 24), ("ETTh2", 24), ("exchange_rate", 1)])
def test_season_of_the_benchmark_series(shared: Path, name: str, expected: int) -> None:
    path = shared / "data" / f"{name}.csv"
    series, _ = parse(path, sniff(path, path.name).choice)
    assert season(series) == expected
    assert (suggest(series).lookback, suggest(series).horizon) == (96, 96)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(2, 3_000), period=st.integers(2, 400), clock=st.booleans())
def test_a_suggestion_fits_the_series(rows: int, period: int, clock: bool) -> None:
    series = made(wave(rows, period), "h" if clock else None)
    found = suggest(series)
    assert 2 <= found.lookback <= 720 and 1 <= found.horizon <= 96
    if rows >= 50:
        assert found.lookback + found.horizon <= rows * 0.4
    assert 1 <= season(series) < max(rows, 2)
