"""What stands beside a learned model: estimated on the training part alone, scored on every test window, read back."""

import numpy as np
import pytest
import torch

from core.evaluate import baselines
from core.evaluate.run import LoadedRun
from core.models.registry import build
from tests.evaluate.test_run import card_of, trained


@pytest.fixture
def run(waves, small_spec) -> LoadedRun:
    return trained(waves, small_spec(waves))


@pytest.fixture
def beside(run, waves):
    return baselines.estimate(run, waves)


def test_all_four_stand_beside_a_learned_model(beside):
    assert set(beside) == set(baselines.NAMES)


def test_scores_are_those_of_single_windows(run, waves, beside):
    found = baselines.scores(run, waves, beside, batch_size=7)
    errors = {name: [] for name in beside}
    targets, std = list(run.spec.target_index), run.scaler.std.numpy()
    for index in range(run.count(waves)):
        window = run.window(waves, index)
        for name, values in baselines.forecast(run, beside, window.lookback).items():
            errors[name].append(((values - window.truth) / std)[:, targets])
    for name in beside:
        assert found[name]["mse"] == pytest.approx(np.mean(np.square(errors[name])), rel=1e-4)
        assert found[name]["mae"] == pytest.approx(np.mean(np.abs(errors[name])), rel=1e-4)


def test_nothing_beyond_the_training_part_is_looked_at(run, waves, beside):
    changed = waves.values.copy()
    changed[run.spec.split.train :] = 1e3
    other = baselines.estimate(run, type(waves)(waves.name, waves.times, changed, waves.variates))
    for name, model in beside.items():
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, other[name].state_dict()[key])


def test_what_is_saved_forecasts_the_same(run, waves, beside, tmp_path):
    baselines.save(tmp_path, beside)
    again = baselines.load(tmp_path, run.spec)
    lookback = run.window(waves, 5).lookback
    first, second = (baselines.forecast(run, found, lookback) for found in (beside, again))
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=1e-6)


@pytest.mark.parametrize("content", [None, b"", b"not a model at all"])
def test_without_a_usable_file_the_simple_ones_remain(run, tmp_path, content):
    """Runs from before, and folders that a disk has damaged."""
    if content is not None:
        (tmp_path / baselines.FILE).write_bytes(content)
    assert set(baselines.load(tmp_path, run.spec)) == {"naive", "drift"}


def test_a_file_of_another_shape_is_not_used(run, waves, beside, tmp_path):
    baselines.save(tmp_path, beside)
    one = run.spec.model_copy(update={"targets": run.spec.targets[:1]})
    assert set(baselines.load(tmp_path, one)) == {"naive", "drift"}


def test_a_model_is_no_baseline_of_itself(waves, small_spec):
    spec = small_spec(waves).model_copy(update={"model": "naive", "config": {}})
    run = LoadedRun.of(card_of(spec, waves), build("naive", {}, baselines.shape_of(spec)).state_dict())
    assert "naive" not in baselines.estimate(run, waves)


def test_a_yardstick_sees_what_is_withheld_and_forecasts_targets_only(waves, small_spec):
    spec = small_spec(waves)
    spec = spec.model_copy(update={"variates": spec.variates[1:], "targets": spec.variates[:1]})
    run = trained(waves, spec)
    lookback = run.window(waves, 0).lookback
    found = baselines.forecast(run, baselines.estimate(run, waves), lookback)["naive"]
    column = run.spec.columns.index(spec.targets[0])
    np.testing.assert_allclose(found[:, column], lookback[-1, column], rtol=1e-5)
    assert np.isnan(np.delete(found, column, axis=1)).all()


def test_many_targets_are_not_waited_for(run, waves):
    assert set(baselines.estimate(run, waves, most=1)) == {"naive", "drift"}
