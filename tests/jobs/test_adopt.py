"""A saved model file as a run: what is taken, and what is refused with which sentence."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.data.series import Series
from core.errors import UserError
from core.evaluate import baselines
from core.evaluate.run import LoadedRun
from core.jobs.directory import JobDirectory
from core.jobs.worker import work
from core.training.checkpoint import read_card
from tests.jobs.conftest import spec_of, waves


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model file as a person would have downloaded it."""
    series = waves()
    job = JobDirectory.create(tmp_path_factory.mktemp("runs") / "run", spec_of(series, epochs=1), series, "mine")
    work(job.path)
    return job.path / "checkpoint.safetensors"


def test_a_saved_model_is_a_finished_run_with_its_own_scores(jobs, store, series, saved):
    id = jobs.adopt(saved, series, "d")
    status = jobs.status(id)
    assert (status.state, status.name) == ("finished", "mine")
    run = LoadedRun.open(status.directory)
    original = LoadedRun.open(saved.parent)
    lookback = series.values[:32]
    np.testing.assert_array_equal(run.forecast(lookback), original.forecast(lookback))
    assert run.card["metrics"]["mse"] == pytest.approx(original.card["metrics"]["mse"])
    assert run.spec.dataset == store.run(id).dataset == "d"
    assert store.run(id).card["metrics"] == run.card["metrics"]
    # the baselines beside it are estimated anew, on this series
    assert set(run.card["metrics"]["baselines"]) == {"naive", "drift", "autoets", "autotheta"}
    assert set(baselines.load(status.directory, run.spec)) == set(run.card["metrics"]["baselines"])


def test_on_other_data_it_keeps_its_scaler_and_gets_a_new_split(jobs, saved):
    longer = waves(900)
    run = LoadedRun.open(jobs.status(jobs.adopt(saved, longer, "d")).directory)
    assert run.spec.split.test == 900
    assert run.card["scaler"] == read_card(saved)["scaler"]
    assert run.card["metrics"]["windows"] == run.count(longer)


def test_a_short_or_gappy_series_is_taken_without_scores(jobs, saved):
    values = waves(200).values.copy()
    values[150] = np.nan
    gappy = Series("gappy", waves(200).times, values, waves().variates)
    for series in (waves(35), gappy):
        card = JobDirectory(jobs.status(jobs.adopt(saved, series, "d")).directory).card()
        assert card["metrics"] == {}


def refused(jobs, store, place, file, series) -> str:
    with pytest.raises(UserError) as error:
        jobs.adopt(file, series, "d")
    assert store.runs() == []
    assert list(place.runs.iterdir()) == []
    return str(error.value)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.safetensors"])
def test_a_pickle_is_refused_by_name_and_by_content(jobs, store, place, series, tmp_path, name):
    file = tmp_path / name
    file.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    assert "can run code" in refused(jobs, store, place, file, series)
    torch.save({"weights": torch.ones(3)}, file)
    assert "can run code" in refused(jobs, store, place, file, series)


@pytest.mark.parametrize("kept", [0, 5, 200, 2000])
def test_a_damaged_file_is_refused(jobs, store, place, series, saved, tmp_path, kept):
    file = tmp_path / "model.safetensors"
    file.write_bytes(saved.read_bytes()[:kept])
    assert "cut short" in refused(jobs, store, place, file, series)


def changed(saved, tmp_path, weights=None, **changes):
    """The saved file with another card or other weights."""
    file = tmp_path / "model.safetensors"
    card = read_card(saved)
    card["spec"] |= changes
    save_file(weights or load_file(saved), file, {"scalescope": json.dumps(card)})
    return file


def test_weights_of_another_shape_are_refused(jobs, store, place, series, saved, tmp_path):
    file = changed(saved, tmp_path, horizon=16)
    assert "do not fit" in refused(jobs, store, place, file, series)
    file = changed(saved, tmp_path, horizon=100_000)  # would take 160 GB, were it built before it is compared
    assert "do not fit" in refused(jobs, store, place, file, series)
    file = changed(saved, tmp_path, {"other": torch.ones(2)})
    assert "do not fit" in refused(jobs, store, place, file, series)


def test_an_unknown_architecture_and_a_broken_spec_are_refused(jobs, store, place, series, saved, tmp_path):
    assert "no architecture" in refused(jobs, store, place, changed(saved, tmp_path, model="../../x"), series)
    assert "lookback" in refused(jobs, store, place, changed(saved, tmp_path, lookback=-1), series)
    save_file({"w": torch.ones(1)}, tmp_path / "bare.safetensors")
    assert "no card" in refused(jobs, store, place, tmp_path / "bare.safetensors", series)


def test_a_series_without_its_variates_or_too_short_is_refused(jobs, store, place, saved):
    other = Series("other", waves().times, waves().values, ("load", "temperature"))
    assert "temperature" not in refused(jobs, store, place, saved, other)
    assert "looks back 32" in refused(jobs, store, place, saved, waves(20))


def test_the_file_itself_may_vanish_afterwards(jobs, series, saved, tmp_path):
    copy = tmp_path / "upload.safetensors"
    shutil.copy(saved, copy)
    id = jobs.adopt(copy, series, "d")
    copy.unlink()
    assert LoadedRun.open(jobs.status(id).directory).count(series) > 0
