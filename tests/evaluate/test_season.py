"""The season of the seasonal naive: the lag that would have erred least on the training rows."""

import numpy as np

from core.data.samples import SAMPLES
from core.data.series import Series
from core.evaluate.season import season
from tests.conftest import sine_series


def test_a_daily_wave_has_a_season_of_a_day(small_spec):
    series = sine_series(rows=1000)
    assert season(series, small_spec(series, lookback=96, horizon=24)) == 24


def test_a_season_longer_than_the_lookback_cannot_be_repeated(small_spec):
    series = sine_series(rows=1000)
    assert season(series, small_spec(series, lookback=16, horizon=8)) <= 16


def test_a_random_walk_repeats_its_last_value(small_spec):
    walk = np.random.default_rng(0).standard_normal((2000, 1)).cumsum(0).astype(np.float32)
    series = Series("walk", np.arange(2000), walk, ("x",))
    assert season(series, small_spec(series, lookback=48, horizon=12)) == 1


def test_the_weekly_sample_repeats_after_a_year(small_spec):
    series, _ = SAMPLES["co2"].open()
    assert season(series, small_spec(series, lookback=96, horizon=52)) == 52
