"""A file that comes again: what is new, gone and different is said, and nothing else."""

from dataclasses import replace

import numpy as np

from core.data.series import Series
from core.data.versions import changes
from tests.conftest import sine_series


def test_the_same_file_has_no_changes():
    assert changes(sine_series(), sine_series()) == []
    holes = sine_series().values.copy()
    holes[3] = np.nan
    assert changes(replace(sine_series(), values=holes), replace(sine_series(), values=holes.copy())) == []


def test_rows_variates_and_values_that_changed_are_said():
    before, longer = sine_series(400), sine_series(424)
    values = longer.values.copy()
    values[:400] = before.values
    values[7, 0], values[9, 0] = 5, np.nan
    after = Series("waves", longer.times, values, ("load a", "load b", "wind"))
    assert changes(before, after) == [
        "1 variate is no longer there: load c.",
        "1 variate is new: wind.",
        "24 rows are new, from 2024-01-17 16:00:00 to 2024-01-18 15:00:00.",
        "2 values are different in load a; the first is load a at 2024-01-01 07:00:00, "
        f"{before.values[7, 0]:.6g}, now 5.",
    ]
    assert changes(after, before)[2] == "24 rows are no longer there, from 2024-01-17 16:00:00 to 2024-01-18 15:00:00."


def test_times_of_another_kind_are_not_compared():
    counted = replace(sine_series(), times=np.arange(400))
    assert changes(sine_series(), counted) == ["The times are now row numbers, so that values cannot be compared."]
