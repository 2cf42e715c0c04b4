"""Several methods on the windows of a run, scored against a rule that the model follows exactly."""

import json
import re

import numpy as np
import pytest
import torch

from core.data.series import Series
from core.errors import UserError
from core.evaluate.run import LoadedRun
from core.explain import attribution
from core.explain.attribution import attribute, compare, faithful, others_of, score
from core.explain.methods.contract import Question
from core.explain.methods.registry import methods, methods_for
from core.explain.truth import read_truth
from tests.evaluate.test_run import card_of, trained

LAGS = (20, 21, 22)


@pytest.fixture
def ruled(waves, small_spec) -> tuple[LoadedRun, Series]:
    """DLinear whose forecast is the mean of the values 20 to 22 steps before."""
    spec = small_spec(waves, model="dlinear", config={"normalise": False})
    weights = {name: torch.zeros_like(value) for name, value in trained(waves, spec).model.state_dict().items()}
    for name in ("seasonal", "trend"):  # together they read the window itself
        for step in range(8):
            weights[name][0, [32 + step - lag for lag in LAGS], step] = 1 / 3
    return LoadedRun.of(card_of(spec, waves), weights), waves


def truth_of(series: Series) -> dict:
    target = series.variates[1]
    return {"target": target, "features": [target], "lags": list(LAGS), "weights": [[1 / 3] * 3]}


def test_the_rule_is_the_model(ruled):
    run, series = ruled
    window = run.window(series, 0)
    expected = [window.lookback[[32 + step - lag for lag in LAGS]].mean(0) for step in range(8)]
    np.testing.assert_allclose(run.forecast(window.lookback), expected, atol=1e-4)


def test_methods_find_the_rule_and_controls_do_not(ruled):
    run, series = ruled
    found = {one.name: one for one in score(run, series, Question(1, 4), ["gradient", "random"], 24, truth_of(series))}
    assert list(found) == ["gradient", "random", "recency", "uniform", "ceiling"]
    mean, low, high = found["gradient"].step["auprc"]
    assert (mean, low, high) == pytest.approx((1, 1, 1))
    assert found["random"].step["auprc"][2] < 0.7
    assert found["uniform"].step["auprc"][0] == pytest.approx(3 / 32)
    assert not found["gradient"].patch, "both patches of 16 hold some of the steps 14 to 16"
    assert found["ceiling"].step["auprc"][0] < 0.2
    assert json.dumps([one.report() for one in found.values()])


def test_readings_of_the_attention_are_scored_beside_the_methods(waves, small_spec):
    run = trained(waves, small_spec(waves))
    found = score(run, waves, Question(1, 0), ["gradient"], 3, truth_of(waves))
    names = ["published", "corrected", "gradient", "random", "recency", "uniform", "ceiling"]
    assert [one.name for one in found] == names


def test_windows_in_several_batches_are_the_same(ruled, monkeypatch):
    run, series = ruled
    whole = score(run, series, Question(1, 4), ["gradient", "occlusion"], 10, truth_of(series))
    monkeypatch.setattr(attribution, "BATCH", 3)
    parts = score(run, series, Question(1, 4), ["gradient", "occlusion"], 10, truth_of(series))
    for one, other in zip(parts[:2], whole[:2], strict=True):
        for name, interval in one.step.items():
            assert interval == pytest.approx(other.step[name]), name


def test_what_every_method_says_in_words(ruled):
    run, series = ruled
    x = run.normalised(run.window(series, 0).lookback)
    for one in attribute(run, x, Question(1, 4), list(methods()), others_of(run, series)):
        assert one.reacts and one.values_BLC.shape == (1, 32, 3) and one.per_step_BL.shape == (1, 32)
        assert one.seconds > 0 and one.sentence(series.variates).endswith(".")
        if one.method.name == "gradient":
            told = r"Highest 1[678] steps before the forecast, in load b \(100% of the map\)\."
            assert re.fullmatch(told, one.sentence(series.variates))


def test_a_model_that_ignores_its_window_is_called_so(waves, small_spec):
    spec = small_spec(waves, model="dlinear", config={"normalise": False})
    weights = {name: torch.zeros_like(value) for name, value in trained(waves, spec).model.state_dict().items()}
    run = LoadedRun.of(card_of(spec, waves), weights)
    x = run.normalised(run.window(waves, 0).lookback)
    for step in (2, None):
        for one in attribute(run, x, Question(0, step), ["gradient", "integrated_gradients", "occlusion", "ablation"]):
            assert not one.reacts
            assert "does not react to this window" in one.sentence(waves.variates)
    whole = compare(run, x, Question(0, 2), ["gradient", "occlusion"])
    assert not whole.reacts and "does not react to this window" in whole.sentence("gradient")
    assert np.isnan(whole.times_random("gradient")) and np.isnan(whole.agreement.rank).all()
    found = score(run, waves, Question(1, 4), ["gradient"], 4, truth_of(waves))
    assert np.isnan(found[0].step["mass"][0]) and found[0].step["auprc"][0] == pytest.approx(3 / 32)


def test_a_constant_window_has_an_answer(waves, small_spec):
    run = trained(waves, small_spec(waves))
    for one in attribute(
        run, torch.ones(1, 32, 3), Question(0, 2), list(methods_for(run.model)), torch.zeros(1, 32, 3)
    ):
        assert np.isfinite(one.values_BLC).all(), one.method.name


def test_everything_of_one_window_is_compared(ruled):
    run, series = ruled
    x = run.normalised(run.window(series, 0).lookback)
    found = compare(run, x, Question(1, 4), others=others_of(run, series))
    names = [one.name for one in found.maps]
    assert names == list(methods_for(run.model)) == list(found.curves)
    assert found.agreement.between("occlusion", "adds_up") == pytest.approx(1)
    assert found.times_random("occlusion") > 2
    assert "almost as occlusion does (rank correlation 1.00)" in found.sentence("adds_up")
    assert re.search(r"deleting its top 10 % changes the forecast \d+\.\d times as much", found.sentence("occlusion"))
    assert "at every step" in found.sentence("ablation")


def test_over_many_windows_the_forecast_follows_the_rule_only(ruled):
    run, series = ruled
    found = {one.name: one for one in faithful(run, series, Question(1, 4), ["occlusion", "ablation"], 20)}
    assert list(found) == ["occlusion", "ablation", "random"]
    assert found["occlusion"].scores["deletion"][0] > found["random"].scores["deletion"][2]
    assert found["occlusion"].scores["insertion"][2] < found["random"].scores["insertion"][0]
    assert found["random"].times_random == 1 and found["occlusion"].times_random > 3
    assert json.dumps([one.report() for one in found.values()])


def test_what_cannot_be_answered_is_refused(ruled):
    run, series = ruled
    with pytest.raises(UserError, match="Choose among: adds_up, gradient"):
        attribute(run, torch.zeros(1, 32, 3), Question(0, 0), ["shap"])
    with pytest.raises(UserError, match="one step ahead"):
        score(run, series, Question(1), ["gradient"], 4, truth_of(series))
    with pytest.raises(UserError, match="No truth"):
        score(run, series, Question(1, 2), ["gradient"], 4)
    with pytest.raises(UserError, match="only"):
        score(run, series, Question(0, 2), ["gradient"], 4, truth_of(series))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "No truth can be read"),
        ("[]", "No truth can be read"),
        ('{"target": "y", "features": ["a"], "lags": [1], "weights": [[1, 2]]}', "does not hold together"),
        ('{"target": "y", "features": ["a"], "lags": [0], "weights": [[1]]}', "does not hold together"),
        ('{"target": "y", "features": ["a"], "lags": [1], "weights": [[NaN]]}', "does not hold together"),
        ('{"target": 1, "features": ["a"], "lags": [1], "weights": [[1]]}', "does not hold together"),
        ('{"target": "y", "features": ["a"], "lags": ["1"], "weights": [[1]]}', "does not hold together"),
    ],
)
def test_a_truth_that_is_none_is_refused(tmp_path, text, said):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(UserError, match=said):
        read_truth(str(tmp_path / "truth.json"))
    with pytest.raises(UserError, match="No truth can be read"):
        read_truth("syn9")


def test_a_truth_from_a_file_is_that_of_its_set(tmp_path):
    truth = read_truth("SYN5")
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    assert read_truth(str(tmp_path / "truth.json")) == truth
