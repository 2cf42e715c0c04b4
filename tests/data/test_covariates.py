"""Covariates show what they name, at the step they name, and nothing behind the horizon."""

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.covariates import Covariates, countries, leads, offered
from core.data.series import Series
from core.errors import UserError

EVERY = Covariates(calendar=("hour", "weekday", "month", "holiday"), country="DE", known=("price",))


def hourly(rows: int = 400, start: str = "2024-12-20", zone: str = "Europe/Berlin", step: int = 3600) -> Series:
    times = np.datetime64(start, "us") + np.arange(rows) * np.timedelta64(step, "s")
    values = np.random.default_rng(0).standard_normal((rows, 2)).astype(np.float32)
    return Series("shop", times, values, ("load", "price"), zone)


@given(st.integers(1, 300), st.integers(1, 700))
def test_leads_show_every_step_of_the_horizon_and_none_behind_it(lookback: int, horizon: int) -> None:
    """Seen from the look-back's rows, -L+1 to 0: together the steps 1 to H."""
    shown = {row + lead for lead in leads(lookback, horizon) for row in range(1 - lookback, 1)}
    assert set(range(1, horizon + 1)) <= shown and max(shown) == horizon
    assert len(leads(lookback, horizon)) == -(-horizon // lookback)


def test_every_column_is_what_it_names() -> None:
    series = hourly()
    seen = EVERY.seen(series, 48, 60)
    columns = EVERY.columns(48, 60)
    table = dict(zip(columns, seen.part(columns).T, strict=True))
    assert set(columns) == {
        *("price", "price, 12 ahead", "price, 60 ahead"),
        *(f"{name}, {wave}" for name in ("hour of day", "day of week", "time of year") for wave in ("sine", "cosine")),
        *("holiday in DE", "holiday in DE, 12 ahead", "holiday in DE, 60 ahead"),
    }
    for row in (0, 17, 100, 399):
        at = (datetime(2024, 12, 20, tzinfo=ZoneInfo("UTC")) + timedelta(hours=row)).astimezone(ZoneInfo(series.zone))
        angle = 2 * np.pi * at.hour / 24
        assert table["hour of day, sine"][row] == pytest.approx(np.sin(angle), abs=1e-5)
        assert table["hour of day, cosine"][row] == pytest.approx(np.cos(angle), abs=1e-5)
        week = 2 * np.pi * (at.weekday() + at.hour / 24) / 7
        assert table["day of week, sine"][row] == pytest.approx(np.sin(week), abs=1e-5)
        for lead in (0, 12, 60):
            then = (at.astimezone(ZoneInfo("UTC")) + timedelta(hours=lead)).astimezone(ZoneInfo(series.zone))
            off = (then.month, then.day) in {(12, 25), (12, 26), (1, 1)}
            assert table[f"holiday in DE, {lead} ahead" if lead else "holiday in DE"][row] == off
    np.testing.assert_array_equal(table["price"], series.values[:, 1])
    np.testing.assert_array_equal(table["price, 12 ahead"][:-12], series.values[12:, 1])
    assert np.isnan(table["price, 60 ahead"][-60:]).all()  # nobody knows it


def test_parts_blocks_and_stretches_agree_and_a_folder_keeps_them(tmp_path: Path) -> None:
    series = hourly()
    series.write(tmp_path / "bare")
    columns = ("load", *EVERY.columns(48, 24))
    whole = EVERY.seen(series, 48, 24).part(columns)
    for each in (EVERY.seen(series, 48, 24), EVERY.seen(Series.read(tmp_path / "bare"), 48, 24)):
        np.testing.assert_array_equal(each.part(columns, 30, 90), whole[30:90])
        np.testing.assert_array_equal(np.concatenate(list(each.blocks(columns))), whole)
        np.testing.assert_array_equal(each.stretches(np.array([3, 370]), 30, columns), [whole[3:33], whole[370:400]])
    EVERY.seen(series, 48, 24).write(tmp_path / "with", columns)
    again = Series.read(tmp_path / "with")
    np.testing.assert_array_equal(again.part(columns), whole)
    assert EVERY.seen(again, 48, 24) is again and Covariates().seen(series, 48, 24) is series


def test_features_are_offered_where_they_change() -> None:
    assert offered(hourly()) == ["hour", "weekday", "month", "holiday"]
    assert offered(hourly(step=86400)) == ["weekday", "month", "holiday"]
    assert offered(hourly(step=7 * 86400)) == ["month"]
    bare = hourly()
    assert offered(Series("s", np.arange(400), bare.values, bare.variates)) == []
    assert countries()["DE"] == "Germany" and len(countries()) > 100


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Covariates(known=("cost",)), "no column 'cost'"),
        (Covariates(known=("load",)), "cannot be known in advance too"),
        (Covariates(known=("price", "price")), "named twice"),
        (Covariates(calendar=("holiday",)), "Holidays need a country"),
        (Covariates(calendar=("holiday",), country="ZZ"), "'ZZ' are not known"),
    ],
)
def test_what_cannot_be_had_is_a_sentence(wrong: Covariates, said: str) -> None:
    with pytest.raises(UserError, match=said):
        wrong.check(hourly(), ("load",), 48, 24)


def test_steps_and_horizons_that_do_not_fit_are_sentences() -> None:
    with pytest.raises(UserError, match="steps are too long"):
        Covariates(calendar=("hour",)).check(hourly(step=86400), ("load",), 48, 24)
    with pytest.raises(UserError, match="more than 64 times"):
        EVERY.check(hourly(), ("load",), 2, 200)
    bare = hourly()
    with pytest.raises(UserError, match="no clock"):
        Covariates(calendar=("month",)).check(Series("s", np.arange(400), bare.values, bare.variates), (), 48, 24)


def test_what_was_observed_ends_before_the_rows_that_only_hold_what_is_known():
    times = np.datetime64("2024-01-01", "us") + np.arange(6) * np.timedelta64(1, "h")
    values = np.array([[1, 5], [2, 6], [3, np.nan], [4, 8], [5, np.nan], [6, np.nan]], np.float32)
    series = Series("plan", times, values, ("price", "load"))
    known = Covariates(known=("price",))
    assert known.observed(series, ("load",)) == 4
    assert Covariates(calendar=("hour",)).observed(series, ("load",)) == 6
    assert known.observed(series, ("price",)) == 6
