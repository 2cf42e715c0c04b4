"""Studies: what they store, draw and say, from a real small training and from files; and their background process."""

import json
import os
import time
from dataclasses import replace

import numpy as np
import pytest

from core.data.synthetic import syn
from core.errors import UserError
from core.models.registry import architectures
from core.studies import dual_keys, keys, readings, saliency, scales
from core.studies.grid import Cell, Grid
from core.studies.runner import Runner, planned
from core.studies.study import Study, known_sets, known_spec, studies, study
from core.ui.charts.study import facets, study_picture
from core.ui.studies import write
from core.ui.theme import COLORS

SHORT = {"epochs": 1, "batch_size": 256}


def quick(one: Study, count: int = 2) -> Study:
    """The study's first cells, on short series and for one epoch each."""
    sets = [syn(number, 900, autocorrelation=0.0, current=False) for number in (5, 6)]
    cells = [shortened(cell) for cell in one.cells(sets)][:count]
    return replace(one, sets=lambda: sets, cells=lambda _: tuple(cells))


def shortened(cell: Cell) -> Cell:
    recipe = cell.spec.recipe.model_copy(update=SHORT)
    config = {**cell.spec.config, "width": 8}
    return replace(cell, spec=cell.spec.model_copy(update={"recipe": recipe, "config": config}))


def test_the_registry_finds_every_study():
    assert list(studies())[:5] == ["saliency", "readings", "keys", "scales", "dual_keys"]
    for one in studies().values():
        assert one.question.endswith("?") and one.source and one.minutes > 0
    with pytest.raises(UserError, match="saliency"):
        study("nothing")


def test_cells_withhold_the_target_and_differ():
    for name in ("saliency", "keys", "scales", "dual_keys"):
        cells = planned(name)
        assert len({cell.key for cell in cells}) == len(cells)
        assert all("y" not in cell.spec.variates and cell.spec.targets == ("y",) for cell in cells)
    assert len(planned("keys")) == 6 * 8 and len(planned("saliency")) == 8


@pytest.mark.parametrize("module", [saliency, readings, keys, scales, dual_keys])
def test_a_study_ends_in_a_figure_a_sentence_and_files(module, tmp_path, monkeypatch):
    one = quick(module.STUDY)
    monkeypatch.setattr("core.studies.study.studies", lambda: {one.name: one})
    monkeypatch.setattr(saliency, "WINDOWS", 3)
    monkeypatch.setattr(keys, "WINDOWS", 3)
    monkeypatch.setattr(readings, "WINDOWS", 3)
    plan = one.plan(tmp_path / one.name)
    plan.run(lambda text: None)
    assert not [cell.error for cell in plan.grid.cells().values() if cell.error]
    cells = one.finished(plan.grid)
    assert len(cells) == len(plan.cells)
    assert one.sentence(cells).endswith(".") and len(one.table(cells))
    for colors in COLORS.values():
        for part in facets(one.figure(cells)):
            study_picture(part, colors).chart(colors)
        study_picture(one.figure(cells), colors).chart(colors)
    files = write(one, plan.grid, ["study", one.name, "--out", str(tmp_path / one.name)])
    assert [file.suffix for file in files] == [".csv", ".md", ".svg"]
    text = files[1].read_text()
    assert one.sentence(cells) in text and str(tmp_path) not in text
    assert files[2].read_text().startswith("<svg")
    # a partial answer is an answer too
    assert one.sentence(cells[:1]) and len(one.table(cells[:1]))


def test_nothing_is_written_of_nothing(tmp_path):
    assert write(saliency.STUDY, Grid(tmp_path / "none"), []) == []


def test_readings_are_of_every_architecture_whose_attention_leads_to_steps():
    asked = [cell.spec.model for cell in planned("readings")]
    assert asked == [name for name, one in architectures().items() if one.capabilities.saliency]
    assert {"crossscalenet", "s2tx", "scalefusion", "patchtst"} <= set(asked) and "casa" not in asked


def test_a_forecast_that_reacts_to_nothing_follows_no_reading():
    scores = {"comprehensiveness": [0.0] * 3, "sufficiency": [0.0] * 3}
    maps = {"rollout": 2.0, "published": None, "adds_up": 3.0, "gradient": 1.0, "occlusion": None, "random": 1.0}
    faithful = {name: {"title": name, "scores": scores, "times_random": times} for name, times in maps.items()}
    (series,) = readings.sets()
    cell = replace(readings.cells([series])[0], numbers={"study": {"faithful": faithful}})
    assert "for 1 of 2 readings of an attention, 1.0 times" in readings.sentence([cell])
    assert "published" not in list(readings.figure([cell]).table["y"])


def test_saliency_averages_by_hand():
    def cell(name: str, values: dict) -> Cell:
        series = known_sets((5,))[0]
        spec = known_spec(series).model_copy(update={"series_name": name})
        scores = {
            step: {"gradient": {"title": "Gradient", "step": {"auprc": [v, v, v]}, "patch": {}}}
            for step, v in values.items()
        }
        return Cell(spec, numbers={"study": {"scores": scores}})

    cells = [cell("SYN1", {"1": 0.5, "13": 1.0}), cell("SYN2", {"1": 0.2})]
    assert saliency.averages(cells) == {"gradient": {"SYN1": 0.75, "SYN2": 0.2}}
    assert saliency.averages(cells, "patch") == {}


def test_a_cell_whose_study_fails_becomes_a_sentence(tmp_path, monkeypatch):
    def broken(look):
        raise ValueError("nothing to see")

    one = replace(quick(dual_keys.STUDY, 1), look=broken)
    monkeypatch.setattr("core.studies.study.studies", lambda: {one.name: one})
    plan = one.plan(tmp_path / "broken")
    plan.run(lambda text: None)
    (cell,) = plan.grid.cells().values()
    assert "ValueError" in cell.error and not one.finished(plan.grid)


@pytest.fixture
def runner(tmp_path) -> Runner:
    return Runner(tmp_path / "studies")


def test_a_background_study_is_found_again_and_stopped(runner):
    assert runner.running() == "" and not runner.standing("dual_keys").running
    runner.start("dual_keys")
    try:
        again = Runner(runner.folder)  # another server
        assert again.running() == "dual_keys" and again.standing("dual_keys").running
        with pytest.raises(UserError, match="is running"):
            again.start("scales")
        with pytest.raises(UserError, match="Stop it"):
            again.forget("dual_keys")
    finally:
        runner.stop("dual_keys")
    deadline = time.monotonic() + 20
    while runner.running() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert runner.running() == ""
    now = runner.standing("dual_keys")
    assert not now.running and not now.complete and not now.trouble
    runner.forget("dual_keys")
    assert not runner.grid("dual_keys").lines.exists()


def test_a_number_that_belongs_to_another_process_is_not_the_study(runner):
    runner.folder.mkdir()
    (runner.folder / "keys.process").write_text(json.dumps({"pid": os.getpid(), "began": 12.0}))
    assert runner.running() == ""
    (runner.folder / "keys.process").write_text("{")
    assert runner.running() == ""
    runner.stop("keys")


def test_known_sets_are_always_the_same():
    one, other = known_sets((3,))[0], known_sets((3,))[0]
    assert one.fingerprint == other.fingerprint
    assert np.array_equal(one.values, other.values)
