"""A finished run: its windows, its forecasts in the data's units, its scores, and files that are refused."""

import json

import numpy as np
import pytest
import torch

from core.data.series import Series
from core.data.windows import Scaler
from core.errors import UserError
from core.evaluate.metrics import metrics
from core.evaluate.run import LoadedRun
from core.training import checkpoint
from core.training.events import Checkpointed
from core.training.loop import train
from core.training.spec import Spec


def card_of(spec: Spec, series: Series) -> dict:
    scaler = Scaler.fit(series, spec.columns, spec.split.train)
    numbers = {"mean": scaler.mean.tolist(), "std": scaler.std.tolist()}
    return {"spec": spec.model_dump(mode="json"), "season": 24, "scaler": numbers}


def weights_of(spec: Spec, series: Series) -> dict[str, torch.Tensor]:
    events = train(spec, series)
    return [e.weights for e in events if isinstance(e, Checkpointed) and e.weights is not None][-1]


def trained(series: Series, spec: Spec) -> LoadedRun:
    return LoadedRun.of(card_of(spec, series), weights_of(spec, series))


@pytest.fixture
def run(waves, small_spec) -> LoadedRun:
    return trained(waves, small_spec(waves))


def test_windows_are_the_test_part_and_the_future(run, waves):
    count = run.count(waves)
    assert count == 400 - 320 - 8 + 1
    first, last, future = (run.window(waves, i) for i in (0, count - 1, count))
    assert first.start == 320 - 32 and len(first.truth) == 8
    np.testing.assert_array_equal(last.truth, waves.values[392:400])
    assert future.truth is None and future.times_horizon[0] - waves.times[-1] == np.timedelta64(1, "h")
    with pytest.raises(UserError, match="does not exist"):
        run.window(waves, count + 1)


def test_the_trace_is_the_forecast_in_the_data_units(run, waves):
    window = run.window(waves, 3)
    trace, forecast = run.trace(window.lookback), run.forecast(window.lookback)
    np.testing.assert_allclose(trace.forecast[0], forecast, atol=1e-4)
    total = trace.rest + sum(scale.contribution for scale in trace.scales)
    np.testing.assert_allclose(total, trace.forecast, atol=1e-5)
    np.testing.assert_allclose(trace.scales[0].seen[0], window.lookback, atol=1e-5)


def test_scores_are_those_of_single_windows(run, waves):
    """Vectorised over all windows, they must equal what a person computes for one."""
    errors, scaler = run.errors(waves), run.scaler
    assert len(errors.mse) == run.count(waves)
    window = run.window(waves, 5)
    wrong = (run.forecast(window.lookback) - window.truth) / scaler.std.numpy()
    assert errors.mse[5] == pytest.approx(float((wrong**2).mean()), rel=1e-4)
    assert errors.mae[5] == pytest.approx(float(np.abs(wrong).mean()), rel=1e-4)
    naive = (run.seasonal_naive(window) - window.truth) / scaler.std.numpy()
    assert run.season == 24 and np.isfinite(naive).all()
    found = metrics(run, waves)
    assert found["mse"] == pytest.approx(float(errors.mse_by_step.mean()), rel=1e-9)
    assert found["windows"] == run.count(waves)
    assert json.loads(json.dumps(found)) == found


def test_seasonal_naive_repeats_the_last_season(run, waves):
    window = run.window(waves, 0)
    np.testing.assert_array_equal(run.seasonal_naive(window), window.lookback[-24:][:8])


def test_a_saved_run_opens_as_it_was(run, waves, tmp_path):
    checkpoint.save(tmp_path, dict(run.model.state_dict()), run.card)
    again = LoadedRun.open(tmp_path)
    window = run.window(waves, 2)
    np.testing.assert_array_equal(again.forecast(window.lookback), run.forecast(window.lookback))
    assert checkpoint.read_card(tmp_path / checkpoint.WEIGHTS)["spec"]["lookback"] == 32


def test_bad_model_files_are_refused_in_words(run, tmp_path):
    checkpoint.save(tmp_path, dict(run.model.state_dict()), run.card)
    path = tmp_path / checkpoint.WEIGHTS
    whole = path.read_bytes()
    for content, words in (
        (whole[:-100], "damaged"),
        (b"", "empty or cut short"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"PK\x03\x04" + b"0" * 40, "pickle"),
        (b"not a model at all, just text", "damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            LoadedRun.open(tmp_path)
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="can run code"):
        checkpoint.load_weights(tmp_path / "model.pt")


def test_weights_of_another_shape_are_refused_in_words(run):
    weights = dict(run.model.state_dict())
    weights["head_bias"] = torch.zeros(9)
    with pytest.raises(UserError, match="head_bias"):
        LoadedRun.of(run.card, weights)
    weights = dict(run.model.state_dict()) | {"scale_logits": torch.full((3,), float("nan"))}
    with pytest.raises(UserError, match="not finite"):
        LoadedRun.of(run.card, weights)


def test_a_dataset_without_the_variates_is_refused_in_words(run, waves):
    other = Series("other", waves.times, waves.values, ("x", "y", "z"))
    with pytest.raises(UserError, match="'load a'"):
        run.window(other, 0)


def test_a_folder_without_a_model_is_refused_in_words(tmp_path):
    with pytest.raises(UserError, match="no saved model"):
        LoadedRun.open(tmp_path)
