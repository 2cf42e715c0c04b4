"""A series in a folder is the series that was written, and looking at all of it takes the memory of a part."""

from pathlib import Path

import numpy as np
import pytest

from core.data import series as module
from core.data.series import Series
from tests.conftest import sine_series


def holes(rows: int = 400) -> Series:
    made = sine_series(rows)
    made.values[7:9, 1] = np.nan
    return Series("waves", made.times, made.values, made.variates, "Europe/Berlin", {"lags": [1]})


@pytest.mark.parametrize("block", [64, 2**21])
def test_a_folder_gives_back_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    made = holes()
    made.write(tmp_path / "a")
    again = Series.read(tmp_path / "a")
    np.testing.assert_array_equal(again.values, made.values)
    np.testing.assert_array_equal(again.times, made.times)
    assert again.mapped and not again.values.flags.writeable
    assert (again.variates, again.zone, again.truth) == (made.variates, made.zone, made.truth)
    assert again.known == made.fingerprint
    # what was stored is what would be computed
    assert Series(again.name, again.times, again.values, again.variates).fingerprint == made.fingerprint


def test_a_mapped_series_is_linked_and_outlives_the_one_it_came_from(tmp_path: Path) -> None:
    made = holes()
    made.write(tmp_path / "a")
    first = Series.read(tmp_path / "a")
    first.write(tmp_path / "b")
    assert (tmp_path / "a" / "values.npy").samefile(tmp_path / "b" / "values.npy")
    for file in (tmp_path / "a").iterdir():
        file.unlink()
    np.testing.assert_array_equal(Series.read(tmp_path / "b").values, made.values)


def test_some_variates_in_an_order_of_their_own(tmp_path: Path) -> None:
    made = holes()
    made.write(tmp_path / "a")
    wanted = (made.variates[2], made.variates[1])
    Series.read(tmp_path / "a").write(tmp_path / "b", wanted)
    again = Series.read(tmp_path / "b")
    assert again.variates == wanted
    np.testing.assert_array_equal(again.values, made.values[:, [2, 1]])
    assert again.fingerprint == made.select(wanted).fingerprint


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    made = holes()
    made.write(tmp_path / "a")
    (tmp_path / "a" / "about.json").unlink()
    with pytest.raises(OSError, match="about"):
        Series.read(tmp_path / "a")
