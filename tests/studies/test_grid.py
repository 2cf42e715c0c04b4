"""The grid's promises: a finished cell stays, a failed one stops nobody, an interrupted one goes on, no cell twice."""

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from core.data.series import Series
from core.jobs.directory import JobDirectory
from core.jobs.stop import Stopped
from core.studies.bench import cells_of
from core.studies.grid import Cell, Grid, Plan, key, time_left
from tests.jobs.conftest import waves

SMALL = {"patch": 8, "width": 8}


def cells(series: Series, horizons=(4, 8), seeds=(1,), epochs: int = 1, **changes) -> tuple[Cell, ...]:
    recipe = {"epochs": epochs, "batch_size": 64} | changes.pop("recipe", {})
    about = {"preset": "quick", "lookback": 32, "config": SMALL, "recipe": recipe, "device": "cpu"} | changes
    return cells_of([series], ["crossscalenet"], horizons, seeds, **about)


def plan(grid: Grid, series: Series, todo: tuple[Cell, ...], **options) -> Plan:
    return Plan(grid, todo, {series.fingerprint: series}, **options)


@pytest.fixture
def series() -> Series:
    return waves()


@pytest.fixture
def grid(tmp_path) -> Grid:
    return Grid(tmp_path / "out" / "grid")


def test_every_cell_is_measured_once_and_stays(grid, series):
    heard: list[str] = []
    plan(grid, series, cells(series)).run(heard.append)
    before = grid.lines.read_text()
    assert [cell.spec.horizon for cell in grid.cells().values()] == [4, 8]
    for cell in grid.cells().values():
        assert cell.numbers["mse"] > 0 and cell.numbers["windows"] == 120 - cell.spec.horizon + 1
        assert cell.numbers["epochs"] == 1 and not cell.error
    assert heard[0] == "2 cells: 0 have a result, 2 to run."
    assert "[1/2] waves 4 crossscalenet seed 1: MSE " in heard[1] and "min left" in heard[1]
    assert "this was the last" in heard[2]
    heard.clear()
    plan(grid, series, cells(series)).run(heard.append)
    assert heard == ["2 cells: 2 have a result, 0 to run."]
    assert grid.lines.read_text() == before
    assert not grid.running.exists()


def test_a_larger_grid_runs_only_what_is_missing(grid, series):
    plan(grid, series, cells(series)).run(lambda text: None)
    before = grid.lines.read_text()
    plan(grid, series, cells(series, horizons=(4, 8, 6))).run(lambda text: None)
    assert grid.lines.read_text().startswith(before)
    assert [cell.spec.horizon for cell in grid.cells().values()] == [4, 8, 6]


def test_a_cell_is_known_by_what_determines_its_result(series):
    (one,) = cells(series, horizons=(4,))

    def changed(**changes) -> str:
        return key(one.spec.model_copy(update=changes))

    assert changed(threads=2, dataset="x") == one.key
    assert changed(config=dict(one.spec.config) | {"scales": 4, "factor": 2}) == one.key, "defaults written out"
    assert changed(recipe=one.spec.recipe.model_copy(update={"name": "mine"})) == one.key
    others = [
        changed(seed=2),
        changed(horizon=5),
        changed(lookback=40),
        changed(config=dict(one.spec.config) | {"scales": 2}),
        changed(recipe=one.spec.recipe.model_copy(update={"epochs": 2})),
        changed(series_name="other"),
        changed(fingerprint="other"),
        changed(device="cuda"),
    ]
    assert len({one.key, *others}) == len(others) + 1


def test_a_failed_cell_stops_nobody_and_is_tried_again_only_when_asked(grid, series):
    todo = cells(series, horizons=(5000, 4))
    plan(grid, series, todo).run(lambda text: None)
    failed, finished = grid.cells().values()
    assert "The nearest that works" in failed.error and not failed.numbers
    assert not finished.error
    plan(grid, series, todo).run(lambda text: None)
    assert len(grid.attempts()) == 2
    plan(grid, series, todo, retry=True).run(lambda text: None)
    assert [cell.spec.horizon for cell in grid.attempts()] == [5000, 4, 5000]


def test_a_fault_in_the_training_is_a_failed_cell_with_its_sentence(grid, series):
    todo = cells(series)
    with grid.claim(todo[0]) as folder:
        assert folder is not None
        JobDirectory.create(folder, todo[0].spec, series, "")
        (folder / "resume.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 not a header at all")
    plan(grid, series, todo).run(lambda text: None)
    failed, finished = grid.cells().values()
    assert "resume.safetensors" in failed.error and "Traceback" in failed.numbers["log"]
    assert not finished.error and not grid.running.exists()


def test_torn_and_foreign_lines_are_passed_over(grid, series):
    plan(grid, series, cells(series, horizons=(4,))).run(lambda text: None)
    with grid.lines.open("a") as lines:
        lines.write('{"dataset": "ETTh1", "mse": 0.4}\nnot json\n{"spec": {"model"')
    plan(grid, series, cells(series)).run(lambda text: None)
    assert [cell.spec.horizon for cell in grid.attempts()] == [4, 8]
    assert grid.lines.read_text().count("\n") == 5


def test_two_processes_share_a_grid_and_run_no_cell_twice(grid, series):
    todo = cells(series, horizons=(2, 4, 6, 8), seeds=(1, 2))
    plan(grid, series, todo, workers=2).run(lambda text: None)
    assert sorted(cell.key for cell in grid.attempts()) == sorted(cell.key for cell in todo)
    assert not grid.running.exists()


def test_a_cell_that_another_process_holds_is_left_to_it(grid, series):
    todo = cells(series)
    with grid.claim(todo[0]) as folder:
        assert folder is not None
        plan(grid, series, todo).run(lambda text: None)
        assert [cell.spec.horizon for cell in grid.cells().values()] == [8]
    plan(grid, series, todo).run(lambda text: None)
    assert len(grid.attempts()) == 2


def _run(grid: Grid, series: Series, todo: tuple[Cell, ...]) -> None:
    plan(grid, series, todo).run(lambda text: None)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_cell_goes_on_after_its_last_epoch(grid, series, how):
    finished, long = cells(series, horizons=(4,)) + cells(
        series, horizons=(8,), recipe={"epochs": 4000, "patience": 900}
    )
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(grid, series, (finished, long)))
    process.start()
    folder = grid.running / long.key
    until(lambda: JobDirectory(folder).epochs_run() >= 2)
    os.kill(process.pid or 0, how)
    process.join(30)
    assert [cell.key for cell in grid.attempts()] == [finished.key]
    before = JobDirectory(folder).epochs_run()
    spec = json.loads((folder / "spec.json").read_text())
    spec["recipe"]["epochs"] = before + 3  # the rest of it would take minutes
    (folder / "spec.json").write_text(json.dumps(spec))
    plan(grid, series, (finished, long)).run(lambda text: None)
    cell = grid.cells()[long.key]
    assert (cell.numbers["epochs"], len(grid.attempts())) == (before + 3, 2)


def test_a_stop_reaches_every_worker(grid, series):
    todo = cells(series, horizons=(4, 8), recipe={"epochs": 4000, "patience": 900})
    watcher = threading.Thread(target=_interrupt, args=(os.getpid(), grid, todo))
    watcher.start()
    with pytest.raises(Stopped):
        plan(grid, series, todo, workers=2).run(lambda text: None)
    watcher.join()
    assert not multiprocessing.active_children()
    assert not grid.attempts()


def _interrupt(process: int, grid: Grid, todo: tuple[Cell, ...]) -> None:
    until(lambda: all(JobDirectory(grid.running / cell.key).epochs_run() for cell in todo))
    os.kill(process, signal.SIGINT)


def until(what) -> None:
    deadline = time.monotonic() + 300  # a machine under load is slow, not wrong
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_time_left_by_the_models_own_cells(series):
    a, b, c = (
        Cell(cell.spec, numbers={"seconds": s}) for cell, s in zip(cells(series, (2, 3, 4)), (60, 120, 0), strict=True)
    )
    assert time_left([c], [], 1) == "time left not known yet"
    assert time_left([c, c], [a, b], 1) == "about 3 min left"
    assert time_left([c, c, c, c], [a, b], 2) == "about 3 min left"
    assert time_left([], [a], 1) == "this was the last"


def test_the_grid_lies_where_it_is_told(tmp_path):
    grid = Grid(tmp_path / "etth.v2")
    assert (grid.lines, grid.running) == (tmp_path / "etth.v2.jsonl", tmp_path / "etth.v2.running")
    assert isinstance(grid.lines, Path) and grid.cells() == {}
