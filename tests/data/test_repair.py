"""Codes for missing values, outliers, changed units, steps and fills: found where they are, not found where they are
not, changed only when asked, and said."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from core.data.audit import Raw, settle
from core.data.card import Audit
from core.data.choice import Choice
from core.errors import UserError

HOUR = 3_600_000_000
ROWS = 960
rng = np.random.default_rng(0)
CLEAN = (20 + 5 * np.sin(np.arange(ROWS) * 2 * np.pi / 24) + rng.normal(0, 0.3, ROWS)).astype(np.float32)

Settle = Callable[..., tuple[np.ndarray, np.ndarray, Audit]]


def settled(column: np.ndarray, times: np.ndarray | None = None, **choice: object) -> tuple[np.ndarray, Audit]:
    """The first column as stored, beside a clean one, and the audit."""
    times = np.arange(len(column), dtype=np.int64) * HOUR if times is None else times
    values = np.stack([column, np.resize(CLEAN, len(column))], 1).astype(np.float32)
    raw = Raw(times, values, np.arange(len(column)) + 2, ("load", "clean"), clock=True)
    _, stored, audit = settle(raw, Choice(**choice), 10**8)  # type: ignore[arg-type]
    return stored[:, 0], audit


def kinds(audit: Audit) -> set[str]:
    return {finding.kind for finding in audit.findings}


def test_clean_values_have_no_findings():
    assert kinds(settled(CLEAN)[1]) == set()
    rain = np.where(rng.random(ROWS) < 0.1, rng.exponential(8, ROWS), 0)
    assert kinds(settled(rain)[1]) == set(), "a long tail is no outlier"
    drifting = np.exp(np.linspace(0, 6, ROWS))
    assert kinds(settled(drifting)[1]) == set(), "growth is no change of unit"


@pytest.mark.parametrize("code", [-9999.0, -99.9, 999.0, 1e20, 65535.0, -777.0])
def test_a_code_for_missing_is_offered_and_made_missing_when_chosen(code):
    column = CLEAN.copy()
    column[[5, 300, 301, 700]] = code
    kept, audit = settled(column)
    found = next(finding for finding in audit.findings if finding.kind == "stand_in")
    assert found.count == 4 and [place.row for place in found.places] == [7, 302, 303, 702]
    assert kept[5] == np.float32(code) and not audit.repairs
    offer = next(offer for offer in found.offers if offer.proposed)
    mended, audit = settled(column, **offer.change)
    assert np.isnan(mended[[5, 300, 301, 700]]).all() and np.isnan(mended).sum() == 4
    assert any("became missing" in repair for repair in audit.repairs)
    assert "stand_in" in kinds(audit), "what was done can be taken back"


def test_a_code_once_needs_to_be_a_usual_one():
    column = CLEAN.copy()
    column[5] = -9999
    assert "stand_in" in kinds(settled(column)[1])
    column[5] = -7777
    assert "stand_in" not in kinds(settled(column)[1])


def test_several_codes_of_one_column_are_found():
    column = CLEAN.copy()
    column[[5, 8]], column[[9, 300]], column[600] = -9999, -999, 2147483647
    _, audit = settled(column)
    assert {f.key for f in audit.findings} == {"stand_in -9999", "stand_in -999", "stand_in 2147483648"}
    _, audit = settled(column, missing_values=[-9999.0])
    assert "stand_in -999" in {f.key for f in audit.findings}, "one that is mended does not hide another"


def test_a_column_that_is_mostly_one_value_has_no_outliers():
    column = np.full(ROWS, 20.0)
    column[[100, 500]] = 21, 19
    assert kinds(settled(column)[1]) == set()


def test_outliers_are_single_and_far():
    column = CLEAN.copy()
    column[[100, 500]] = 140, -90
    kept, audit = settled(column)
    found = next(finding for finding in audit.findings if finding.kind == "outliers")
    assert found.count == 2 and [place.row for place in found.places] == [102, 502]
    assert kept[100] == 140
    missing, audit = settled(column, outliers="missing")
    assert np.isnan(missing[[100, 500]]).all() and np.isnan(missing).sum() == 2
    clipped, _ = settled(column, outliers="clip")
    assert column[100] > clipped[100] > CLEAN.max() and -90 < clipped[500] < CLEAN.min()
    column[100:105] = 140  # a plateau is no outlier
    assert next(f for f in settled(column)[1].findings if f.kind == "outliers").count == 1


@pytest.mark.parametrize(
    ("start", "stop", "factor"), [(0, 240, 1000), (700, ROWS, 1000), (300, 480, 0.01), (0, 200, 10)]
)
def test_a_part_in_another_unit_is_found_to_the_row(start, stop, factor):
    column = CLEAN.copy()
    column[start:stop] *= factor
    kept, audit = settled(column)
    found = next(finding for finding in audit.findings if finding.kind == "unit_jump")
    assert (found.count, found.places[0].row) == (stop - start, start + 2), found.sentence
    np.testing.assert_array_equal(kept, column)
    mended, audit = settled(column, units="scale")
    np.testing.assert_allclose(mended, CLEAN, rtol=1e-5)
    assert any(("divided" if factor > 1 else "multiplied") in repair for repair in audit.repairs)


def test_missing_blocks_are_named_and_filled_from_the_seasons():
    column = CLEAN.copy()
    column[400:448] = np.nan
    _, audit = settled(column)
    found = next(finding for finding in audit.findings if finding.kind == "missing")
    assert "48 in a row from 1970-01-17 16:00:00" in found.sentence
    seasonal, audit = settled(column, fill="seasonal")
    linear, _ = settled(column, fill="linear")
    gone = slice(400, 448)
    assert np.abs(seasonal[gone] - CLEAN[gone]).mean() < 0.2 * np.abs(linear[gone] - CLEAN[gone]).mean()
    assert any("load 24" in repair for repair in audit.repairs), audit.repairs


def test_rows_with_a_missing_value_can_be_dropped():
    column = CLEAN.copy()
    column[[3, 9]] = np.nan
    dropped, audit = settled(column, fill="drop")
    assert len(dropped) == ROWS - 2 and audit.rejected == 2
    assert "2 rows with a missing value left out." in audit.repairs
    column[:-1] = np.nan
    with pytest.raises(UserError, match="Only 1 of"):
        settled(column, fill="drop")


@pytest.mark.parametrize("how", ["mean", "sum", "min", "max", "median", "first", "last"])
def test_data_are_brought_to_one_step(how):
    times = np.arange(ROWS, dtype=np.int64) * HOUR // 4
    times[[10, 11]] += 60_000_000  # two readings a minute late
    _, audit = settled(CLEAN, times)
    offers = next(finding for finding in audit.findings if finding.kind == "irregular").offers
    assert offers[0].change == {"step": ""} and {offer.change.get("step") for offer in offers[1:]} == {"15 minutes"}
    stored, audit = settled(CLEAN, times, step="1 hour", aggregate=how)
    assert len(stored) == ROWS / 4 and audit.step == "1 hour" and "irregular" not in kinds(audit)
    groups = CLEAN.reshape(-1, 4)
    expected = {"first": groups[:, 0], "last": groups[:, 3]}.get(how)
    expected = getattr(np, how)(groups, axis=1) if expected is None else expected
    np.testing.assert_allclose(stored, expected, rtol=1e-5)
    assert f"960 rows became 240 of 1 hour each, by their {how}." in audit.repairs


def test_days_are_those_of_the_zone_and_can_be_taken_back():
    times = np.arange(ROWS, dtype=np.int64) * HOUR + 19_800 * 86_400_000_000  # from 2024-03-18, over the clock change
    values = np.ones(ROWS, np.float32)
    values[::7] = 2
    utc = pd.DatetimeIndex(times.view("datetime64[us]"))
    wall = utc.tz_localize("UTC").tz_convert("Europe/Berlin").tz_localize(None).to_numpy().view(np.int64)
    for absolute, stamps in ((True, times), (False, wall)):
        raw = Raw(stamps.copy(), values[:, None].copy(), np.arange(ROWS), ("a",), clock=True, absolute=absolute)
        stored, days, audit = settle(raw, Choice(step="1 day", aggregate="sum", zone="Europe/Berlin"), 10**8)
        local = stored.astype("datetime64[s]").tolist()
        assert {stamp.hour for stamp in local[1:13]} == {23} and {stamp.hour for stamp in local[14:]} == {22}
        assert audit.step == "1 day" and "irregular" not in kinds(audit) and days.sum() == values.sum()
        offers = next(finding for finding in audit.findings if finding.kind == "resampled").offers
        assert offers[0].change == {"step": ""}


def test_an_empty_step_is_missing_and_not_zero():
    times = np.arange(ROWS, dtype=np.int64) * HOUR
    times[500:] += 48 * HOUR
    stored, _ = settled(CLEAN, times, step="1 day", aggregate="sum")
    assert np.isnan(stored).sum() >= 1 and not (stored == 0).any()


def test_steps_need_times_and_stay_bounded():
    raw = Raw(np.arange(9), CLEAN[:9, None].copy(), np.arange(9), ("a",), clock=False)
    with pytest.raises(UserError, match="need times"):
        settle(raw, Choice(step="1 hour"), 10**6)
    raw = Raw(np.array([0, HOUR, 10**16]), CLEAN[:3, None].copy(), np.arange(3), ("a",), clock=True)
    with pytest.raises(UserError, match="longer step"):
        settle(raw, Choice(step="1 minute"), 10**6)
