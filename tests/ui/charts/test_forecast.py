"""Pictures of the forecast: clock times of the series' zone, and no window lost in the error strip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.evaluate.run import WindowErrors
from core.ui.charts import forecast as charts
from core.ui.charts.picture import number, stamps, thin
from core.ui.theme import COLORS

LIGHT = COLORS["light"]
HOURS = np.datetime64("2024-06-30T20:00", "us") + np.arange(12) * np.timedelta64(3600, "s")
ROWS = np.arange(100, 112)


def table(times: np.ndarray, truth: np.ndarray | None):
    values = np.arange(8.0)
    return charts.window_table(
        times[:8], times[8:], values, truth, np.ones(4), {"seasonal naive": np.zeros(4)}, "Europe/Berlin"
    )


def test_times_are_those_of_the_zone() -> None:
    """A reader in Berlin sees 22:00 where the data holds 20:00 UTC."""
    assert stamps(HOURS, "Europe/Berlin")[0] == "2024-06-30 22:00"
    assert charts.clock(HOURS[:1], "Europe/Berlin")[0] == np.datetime64("2024-06-30T22:00", "ms").astype(float)


def test_days_are_told_without_a_time_and_rows_as_numbers() -> None:
    days = np.datetime64("2024-01-01", "us") + np.arange(3) * np.timedelta64(24, "h")
    assert stamps(days, "UTC") == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert stamps(np.array([1204]), "UTC") == ["1,204"]


@pytest.mark.parametrize("times", [HOURS, ROWS])
@pytest.mark.parametrize("truth", [None, np.full(4, 2.0)])
def test_the_window_holds_what_was_given(times: np.ndarray, truth: np.ndarray | None) -> None:
    found = table(times, truth)
    count = found.groupby("kind").size()
    assert count["observed"] == (8 if truth is None else 12)
    # forecast and naive begin at the last observed step, so that the lines do not hang in the air
    assert count["forecast"] == count["seasonal naive"] == 5
    assert found.query("kind == 'forecast'")["value"].tolist() == [7, 1, 1, 1, 1]


def test_the_pointer_tells_no_forecast_before_it_begins() -> None:
    begin = charts.clock(HOURS[8:9], "UTC")[0]
    found = charts.pointer_table(
        charts.window_table(HOURS[:8], HOURS[8:], np.zeros(8), None, np.ones(4), {"drift": np.ones(4)}, "UTC"), begin
    )
    assert (found.loc[found["at"] < begin, "forecast"] == "").all()
    assert (found.loc[found["at"] >= begin, "forecast"] == "1").all()


@given(arrays(float, st.integers(1, 3000), elements=st.floats(0, 100)), st.integers(1, 7))
def test_a_bar_stands_for_its_worst_window_and_no_window_is_lost(mse: np.ndarray, every: int) -> None:
    """Of a very long test part only every so manieth window is scored."""
    index, total = np.arange(len(mse)) * every, len(mse) * every
    bars = charts.strip_table(mse, index, total)
    assert len(bars) <= charts.MOST_BARS
    assert bars["from"].iloc[0] == 0 and bars["to"].iloc[-1] == total
    assert (bars["from"].to_numpy()[1:] == bars["to"].to_numpy()[:-1]).all()
    assert bars["mse"].max() == mse.max()
    assert np.allclose(mse[bars["window"] // every], bars["mse"])
    assert ((bars["window"] >= bars["from"]) & (bars["window"] < bars["to"])).all()


@given(arrays(float, st.integers(1, 6000), elements=st.floats(-1e6, 1e6)))
def test_a_long_line_keeps_its_extremes_and_ends(values: np.ndarray) -> None:
    kept = thin(values)
    assert len(kept) <= 2002
    assert {0, len(values) - 1} <= set(kept)
    assert (values[kept].min(), values[kept].max()) == (values.min(), values.max())


def test_every_baseline_has_dashes_of_its_own_and_is_named_beside_the_chart() -> None:
    """All are grey: only the dashes and the words of the gutter tell them apart."""
    beside = {name: np.full(4, float(i)) for i, name in enumerate(charts.BASELINES)}
    found = charts.window_table(HOURS[:8], HOURS[8:], np.zeros(8), None, np.ones(4), beside, "UTC")
    begin = charts.clock(HOURS[8:9], "UTC")[0]
    picture = charts.window_picture(found, begin, True, "UTC", "load", False, LIGHT)
    picture.chart(LIGHT)
    lines = [
        layer["mark"]
        for layer in picture.spec["layer"]
        if layer["mark"].get("strokeDash") and "strokeWidth" in layer["mark"]
    ]
    assert len({tuple(line["strokeDash"]) for line in lines}) == len(charts.BASELINES)
    assert {line["color"] for line in lines} == {LIGHT.baseline}
    said = " ".join(str(v["label"]) for layer in picture.spec["layer"] for v in layer["data"].get("values", []))
    assert all(name in said for name in charts.BASELINES)
    told = charts.pointer_table(found, begin)
    assert told.iloc[-1][list(charts.BASELINES)].tolist() == ["0", "1", "2", "3", "4"]


def test_no_baseline_is_drawn_where_none_is_chosen() -> None:
    found = charts.window_table(HOURS[:8], HOURS[8:], np.zeros(8), None, np.ones(4), {}, "UTC")
    assert charts.drawn(found) == ("forecast",)
    charts.window_picture(found, charts.clock(HOURS[8:9], "UTC")[0], True, "UTC", "load", False, LIGHT).chart(LIGHT)


@pytest.mark.parametrize("dated", [True, False])
def test_every_picture_obeys_the_schema(dated: bool) -> None:
    times = HOURS if dated else ROWS
    found = table(times, None)
    begin = charts.clock(times[8:9], "Europe/Berlin")[0]
    charts.window_picture(found, begin, dated, "Europe/Berlin", "load", False, LIGHT).chart(LIGHT)
    charts.small_picture(found, begin, dated, "Europe/Berlin", "load", LIGHT).chart(LIGHT)
    mse = np.array([0.1, 0.4, 0.2])
    errors = WindowErrors(np.arange(3), 3, mse, mse, mse, mse, mse, mse, mse, 0.3, 0.3)
    charts.strip_picture(errors, 1, LIGHT).chart(LIGHT)
    charts.strip_picture(errors, None, LIGHT).chart(LIGHT)
    charts.by_step_picture(mse, 0.3, LIGHT).chart(LIGHT)
    charts.by_variate_picture(["a", "b", "c"], mse, "b", LIGHT).chart(LIGHT)


def test_numbers_have_three_digits_and_nothing_is_nothing() -> None:
    assert [number(v) for v in (0.44812, 12345.6, 0.0, float("nan"))] == ["0.448", "12,346", "0", ""]
