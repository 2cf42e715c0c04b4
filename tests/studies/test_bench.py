"""The accuracy table: which cells a call means, and numbers that can be checked by hand."""

import csv
import io
from collections.abc import Callable

import pytest

from core.data.series import Series
from core.errors import UserError
from core.studies import bench, published
from core.studies.bench import as_csv, as_markdown, cells_of, rows
from core.studies.grid import Cell, Grid
from core.training.recipes import preset, preset_options
from tests.conftest import sine_series


@pytest.fixture
def series() -> Series:
    return sine_series(2000)


@pytest.fixture
def cell(series) -> Callable[..., Cell]:
    """A finished cell with these numbers, of a dataset called ETTh1."""

    def build(mse: float, horizon: int = 96, seed: int = 2021, model: str = "casa", **spec: object) -> Cell:
        (one,) = cells_of([series], ["crossscalenet"], [8], [seed], device="cpu")
        about = {"series_name": "ETTh1", "horizon": horizon, "model": model, "config": {}} | spec
        numbers = {"mse": mse, "mae": mse / 2, "windows": 2785, "parameters": 137703, "epochs": 7, "seconds": 31.4}
        return Cell(one.spec.model_copy(update=about), "published", "", "2026-11-25", numbers)

    return build


def test_every_seed_has_its_whole_grid_before_the_next(series):
    found = cells_of([series], ["crossscalenet"], [8, 96], [1, 2], device="cpu")
    assert [(c.spec.seed, c.spec.horizon) for c in found] == [(1, 8), (1, 96), (2, 8), (2, 96)]
    first = found[0].spec
    assert first.recipe == preset("published", "crossscalenet", "waves")
    assert dict(first.config) == preset_options("published", "crossscalenet", "waves")
    assert first.variates == first.targets == series.variates
    assert found[0].settings == "published"
    (fitted,) = cells_of([series], ["naive"], [8], [1], device="cpu", recipe={"epochs": 3})
    assert fitted.settings == "fitted"


def test_changes_stand_in_what_the_table_calls_it(series):
    changes = {"config": {"width": 16}, "recipe": {"epochs": 3}}
    (found,) = cells_of([series], ["crossscalenet"], [8], [1], "balanced", 48, device="cpu", **changes)
    assert (found.spec.config["width"], found.spec.recipe.epochs, found.spec.lookback) == (16, 3, 48)
    assert found.settings == "balanced, width 16, epochs 3"
    (each,) = cells_of([series], ["crossscalenet"], [8], [1], "balanced", 48, config={"crossscalenet": {"width": 16}})
    assert each.spec.config["width"] == 16


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": ["nix"]}, "There is no architecture called 'nix'"),
        ({"config": {"wide": 3}}, "wide"),
        ({"recipe": {"epoch": 3}}, "epoch"),
        ({"horizons": [5000]}, "The nearest that works"),
        ({"lookback": 5000}, "The nearest that works"),
        ({"config": {"crossscalenet": 3}}, "must give crossscalenet a JSON object"),
    ],
)
def test_what_cannot_work_at_all_is_refused_before_anything_is_trained(series, changes, said):
    about = {"tables": [series], "models": ["crossscalenet"], "horizons": [8], "seeds": [1]} | changes
    with pytest.raises(UserError, match=said):
        cells_of(**about)


def test_two_datasets_of_one_name_are_refused(series):
    with pytest.raises(UserError, match="Two of the datasets are called 'waves'"):
        cells_of([series, sine_series(1000)], ["crossscalenet"], [8], [1])


def test_mean_deviation_and_distance_by_hand(cell):
    (row,) = rows([cell(0.38, seed=2023), cell(0.36, seed=2021), cell(0.40, seed=2022)])
    assert (row.mean("mse"), row.deviation("mse")) == (pytest.approx(0.38), pytest.approx(0.02))
    assert row.paper == published.Figure(0.376, 0.397)
    assert row.code == published.Figure(0.3822, 0.4046)
    (line,) = csv.DictReader(io.StringIO(as_csv([row])))
    assert (line["seeds"], line["windows"], line["lookback"]) == ("3", "2785", "96")
    assert float(line["mse_deviation"]) == pytest.approx(0.02)
    assert float(line["against_paper_percent"]) == pytest.approx(100 * (0.38 / 0.376 - 1))
    assert float(line["against_code_percent"]) == pytest.approx(100 * (0.38 / 0.3822 - 1))
    assert "--seed 2021" in line["command"] and "--horizon 96" in line["command"]


def test_averages_are_over_the_horizons_measured_and_reported(cell, tmp_path):
    found = [cell(mse, horizon) for mse, horizon in zip((0.38, 0.43, 0.47, 0.48), (96, 192, 336, 720), strict=True)]
    text = as_markdown(rows(found), [], Grid(tmp_path / "a"), "bench")
    # published: (.376 + .427 + .469 + .479) / 4 = .43775; ours .44
    line = "| ETTh1 | casa | 96 | published | 96 192 336 720 | 1 | 0.4400 | 0.2200 | 0.4377 | +0.5 % |"
    assert line in text
    beside = "0.376 / 0.397 | +1.1 % | 0.3822 / 0.4046 | -0.6 %"
    assert f"| ETTh1 | casa | 96 | published | 96 | 1 | 0.3800 | 0.1900 | {beside} |" in text
    assert "Look-backs differ" not in text


def test_an_average_with_a_horizon_nobody_reports_has_nothing_beside_it(cell, tmp_path):
    text = as_markdown(rows([cell(0.38), cell(0.3, 48)]), [], Grid(tmp_path / "a"), "bench")
    assert "| 48 96 | 1 | 0.3400 | 0.1700 |  |  |  |  |" in text


def test_another_look_back_is_said_and_never_beside_figures_of_96(cell, tmp_path):
    found = rows([cell(0.38), cell(0.37, lookback=336)])
    assert [row.spec.lookback for row in found] == [96, 336]
    assert found[1].paper is None and found[1].code is None
    text = as_markdown(found, [], Grid(tmp_path / "a"), "bench")
    assert "**Look-backs differ** (96, 336)" in text


def test_datasets_of_one_name_stay_apart(cell, tmp_path):
    text = as_markdown(rows([cell(0.38), cell(0.40, fingerprint="abcdef123")]), [], Grid(tmp_path / "a"), "bench")
    assert "ETTh1 (abcdef)" in text and text.count("| 0.3800 |") == 2


def test_what_failed_is_told_under_the_table(cell, tmp_path):
    failed = Cell(cell(0).spec, "published", "The memory was | not enough.", "2026-11-25")
    grid = Grid(tmp_path / "a")
    for each in (cell(0.38), Cell(cell(0, 192).spec, "published", failed.error, "2026-11-25")):
        grid.append(each)
    files = bench.write(grid, "python -m core bench")
    assert [file.name for file in files] == ["a.csv", "a.md"]
    text = files[1].read_text()
    assert "| ETTh1 | casa | 96 | 192 | 2021 | The memory was \\| not enough. |" in text
    assert "`python -m core bench` on 20" in text
    assert len(files[0].read_text().splitlines()) == 2


def test_published_figures_are_the_tables():
    assert published.PAPERS["ETTh2", "dlinear"][720] == published.Figure(0.831, 0.657)
    assert published.PAPERS["ETTh1", "timemixer"][96] == published.Figure(0.378)
    assert published.PUBLIC_CODE["ETTh1", "dlinear"].keys() == {96, 720}
