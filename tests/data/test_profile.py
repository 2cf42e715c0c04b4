"""The profile finds what was put into a series, and says nothing where there is nothing."""

import numpy as np
import pytest

from core.data.profile import Profile, Season, profile, seasons, suggest
from core.data.series import Series


def series(*columns: np.ndarray) -> Series:
    values = np.stack(columns, axis=1).astype(np.float32)
    times = np.arange("2020-01-01", len(values), dtype="datetime64[h]").astype("datetime64[us]")
    return Series("some", times, values, tuple(f"v{i}" for i in range(values.shape[1])))


def wave(rows: int, period: float) -> np.ndarray:
    return np.sin(np.arange(rows) / period * 2 * np.pi)


def noise(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=rows)


@pytest.mark.parametrize("period", [7, 12, 24, 52, 168, 365])
@pytest.mark.parametrize("trend", [0.0, 0.002])
def test_one_season_is_found_through_noise_and_trend(period: int, trend: float) -> None:
    rows = 12 * period + 37
    found = seasons(wave(rows, period) + 0.3 * noise(rows) + trend * np.arange(rows))
    assert len(found) == 1 and abs(found[0].period - period) <= 0.01 * period and found[0].autocorrelation > 0.5


def test_two_seasons_are_found_and_an_overtone_is_none() -> None:
    rows = 168 * 12
    found = seasons(wave(rows, 24) + 0.8 * wave(rows, 168) + 0.2 * noise(rows))
    assert {one.period for one in found} == {24, 168}
    spikes = (np.arange(1200) % 24 == 0).astype(float)  # its spectrum is a comb
    assert [one.period for one in seasons(spikes)] == [24]


@pytest.mark.parametrize(
    "values",
    [noise(2000), *(noise(2000, n).cumsum() for n in range(8)), np.arange(500.0), np.zeros(500), np.zeros(0)],
)
def test_what_has_no_season_has_none(values: np.ndarray) -> None:
    assert seasons(values) == []


def test_strengths_and_tests_say_what_a_variate_is() -> None:
    rows = 1200
    found = profile(series(wave(rows, 24) + 0.1 * noise(rows), noise(rows, 1), noise(rows, 2).cumsum()))
    season, plain, walk = found.variates
    assert season.season == 24 and season.seasonal is not None and season.seasonal > 0.9
    assert plain.stationary == "stationary" and plain.trend is not None and plain.trend < 0.3
    assert walk.stationary == "wanders" and walk.trend is not None and walk.trend > 0.7
    assert found.tied == "weakly"


def test_variates_that_move_together_are_said_to() -> None:
    common = noise(600)
    found = profile(series(common, common + 0.1 * noise(600, 1), -common))
    assert found.tied == "strongly"
    assert found.correlation[0][2] == pytest.approx(-1)
    assert [one.value for one in found.suggestions if one.field == "kind"] == ["strongly"]


def test_missing_values_have_their_share_and_their_place() -> None:
    values = wave(1200, 24)
    values[:300] = np.nan
    found = profile(series(values, wave(1200, 24), np.full(1200, np.nan)))
    assert [one.missing for one in found.variates] == [0.25, 0, 1]
    assert found.absent[0][:30] == [1.0] * 30 and sum(found.absent[0][30:]) == 0
    assert found.variates[0].season == 24 and found.variates[2].mean is None and found.variates[2].stationary == ""
    assert Profile.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 17, 40])
def test_short_series_have_a_profile_too(rows: int) -> None:
    found = profile(series(noise(rows), np.arange(rows)))
    assert found.rows == rows and len(found.variates) == 2
    assert all(value >= 1 for value in found.suggested.values())


@pytest.mark.parametrize(
    ("rows", "period", "lookback", "horizon", "scales"),
    [(17420, 24, 96, 24, 4), (2284, 52, 208, 52, 4), (900, 7, 84, 7, 2), (400, 168, 40, 20, 4), (5000, 2, 96, 2, 1)],
)
def test_suggestions_are_whole_seasons_that_fit(
    rows: int, period: int, lookback: int, horizon: int, scales: int
) -> None:
    found = suggest(rows, [Season(period=period, autocorrelation=0.9)], "", 1)
    numbers = {one.field: int(one.value) for one in found}
    assert numbers == {"horizon": horizon, "lookback": lookback, "scales": scales}
    assert all(one.reason.endswith(".") for one in found)
