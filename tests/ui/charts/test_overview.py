"""The overview shows stamps in the dataset's zone and turns what was brushed back into UTC."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from core.ui.charts.overview import in_zone, span


def test_stamps_are_shown_in_the_zone_of_the_dataset():
    table = pd.DataFrame({"t": pd.to_datetime(["2024-07-01 00:00", "2024-12-01 12:30"]), "value": [1.0, 2.0]})
    shown = in_zone(table, "Europe/Berlin")
    assert shown["when"].tolist() == ["2024-07-01 02:00", "2024-12-01 13:30"]


def test_row_numbers_stay_row_numbers():
    shown = in_zone(pd.DataFrame({"t": [0, 1234], "value": [1.0, 2.0]}), "UTC")
    assert shown["when"].tolist() == ["row 0", "row 1,234"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_a_brushed_part_comes_back_as_it_was_shown(zone):
    utc = pd.to_datetime(["2024-07-01 06:00", "2024-12-01 12:30"])
    shown = in_zone(pd.DataFrame({"t": utc, "value": [1.0, 2.0]}), zone)["t"]
    brushed = [stamp.timestamp() * 1000 for stamp in shown.dt.tz_localize("UTC")]
    assert span({"t": brushed[::-1]}, zone, clock=True) == (
        datetime(2024, 7, 1, 6, tzinfo=UTC),
        datetime(2024, 12, 1, 12, 30, tzinfo=UTC),
    )


def test_nothing_or_a_point_is_no_part():
    assert span({}, "UTC", clock=True) is None
    assert span({"t": [5000.0, 5000.0]}, "UTC", clock=True) is None
    assert span({"t": [10.2, 4.9]}, "UTC", clock=False) == (4, 11)
