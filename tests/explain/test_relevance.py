"""Whether attention and scales matter: keys and numbers for every kind of architecture, and the sentence."""

import json
import math

import numpy as np
import pytest
import torch

from core.explain import relevance as module
from core.explain.relevance import Errors, relevance, sentence
from core.models.registry import architectures
from tests.evaluate.test_run import trained

KEYS = {"windows", "mse", "attention", "uniform", "permuted", "traced", "without_scale", "without_scale_mse"}
KEYS |= {"without_attended", "shares", "sentence"}


def test_a_run_with_attention_and_scales(waves, small_spec):
    run = trained(waves, small_spec(waves))
    found = relevance(run, waves)
    assert found.keys() == KEYS
    assert found["attention"] and isinstance(found["without_attended"], float)
    assert len(found["without_scale"]) == len(found["without_scale_mse"]) == len(found["shares"]) == 3
    assert sum(found["shares"]) == pytest.approx(1, abs=1e-5)
    assert found["windows"] == found["traced"] == run.count(waves)
    assert found["mse"] == pytest.approx(float(run.errors(waves).mse.mean()), rel=1e-4)
    assert json.loads(json.dumps(found)) == found


def test_changes_are_those_of_the_errors_by_hand(waves, small_spec):
    run = trained(waves, small_spec(waves))
    found = relevance(run, waves)
    x_BLC, y_BHK = run.test_windows(waves).batch(slice(None))

    def mse(forecast: torch.Tensor) -> float:
        return float((forecast - y_BHK).double().square().mean())

    whole = mse(run.model(x_BLC))
    for use in ("uniform", "permuted"):
        assert found[use] == pytest.approx(mse(run.model(x_BLC, attention=use)) / whole - 1, rel=1e-3, abs=1e-6)
    trace = run.model.trace(x_BLC)
    parts = [torch.from_numpy(s.contribution) for s in trace.scales]
    without = [mse(torch.from_numpy(trace.forecast) - part) for part in parts]
    np.testing.assert_allclose(found["without_scale"], [each / whole - 1 for each in without], rtol=1e-3)
    np.testing.assert_allclose(found["without_scale_mse"], [each - whole for each in without], rtol=1e-3)
    attended = mse(torch.from_numpy(trace.forecast) - parts[1] - parts[2])
    assert found["without_attended"] == pytest.approx(attended / whole - 1, rel=1e-3)


@pytest.mark.parametrize("name", list(architectures()))
def test_every_architecture_has_what_it_declares(name, waves, small_spec):
    model = architectures()[name]
    spec = small_spec(waves, model=name, config={}, lookback=64, horizon=8)
    if not (model.capabilities.scales or model.capabilities.attention):
        return
    spec = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"epochs": 1})})
    run = trained(waves, spec)
    found = relevance(run, waves, windows=5)
    assert found.keys() == KEYS and found["windows"] == 5
    assert found["attention"] == model.capabilities.attention
    assert (found["uniform"] is not None) == (found["permuted"] is not None) == found["attention"]
    assert bool(found["without_scale"]) == bool(found["shares"]) == bool(found["traced"]) == model.capabilities.scales
    assert found["sentence"].endswith(".")
    assert all(math.isfinite(v) for v in (found["mse"], *found["without_scale"], *found["shares"]))


def test_large_traces_are_looked_at_in_fewer_windows(waves, small_spec, monkeypatch):
    run = trained(waves, small_spec(waves))
    monkeypatch.setattr(module, "TRACED", 1)
    monkeypatch.setattr(module, "TRACED_AT_ONCE", 1)
    monkeypatch.setattr(module, "FEWEST", 4)
    found = relevance(run, waves)
    assert (found["windows"], found["traced"]) == (run.count(waves), 4)
    monkeypatch.setattr(module, "VALUES", 1)
    assert relevance(run, waves)["windows"] == 4


def test_what_is_missing_of_the_truth_counts_nowhere():
    errors = Errors()
    truth = torch.tensor([[[1.0], [math.nan]], [[0.0], [0.0]]])
    errors.add("learned", torch.zeros(2, 2, 1), truth)
    errors.add("uniform", torch.ones(2, 2, 1), truth)
    assert errors.mse("learned") == pytest.approx(1 / 3)
    assert errors.change("uniform", "learned") == pytest.approx(1.0)


def about(**changes):
    return {
        "attention": True,
        "uniform": 0.05,
        "permuted": 0.1,
        "without_scale": [0.8, 0.001],
        "without_attended": None,
    } | changes


@pytest.mark.parametrize(
    ("changes", "names", "said"),
    [
        ({"uniform": 0.0004, "without_attended": 0.1}, ["fine", "coarse"], "does not use its attention"),
        ({"uniform": 0.00001}, [], "by less than 0.01%"),
        ({"uniform": -0.02}, [], "hurts on this dataset: made uniform, the error falls by 2.0%"),
        ({"without_attended": 0.1}, ["a", "b"], "rises by 5.0%; without the attended scales it changes by +10.0%."),
        (
            {},
            ["trend", "rest"],
            "rises by 5.0%. Without trend the error rises by 80.0%; without rest it changes by less",
        ),
        ({"without_scale": []}, [], "rises by 5.0%; with its weights given to the wrong tokens it changes by +10.0%."),
        ({"attention": False}, ["a", "b"], "This model has no attention. Without a the error rises by 80.0%"),
        ({"attention": False, "without_scale": [4.2, -0.1]}, ["a", "b"], "by 420%, without b it changes by -10.0%."),
        ({"attention": False, "without_scale": [0.001, -0.1]}, ["a", "b"], "No scale is needed on this dataset"),
        ({"attention": False, "without_scale": [0.8]}, ["scale 0"], "one scale and no attention"),
    ],
)
def test_the_sentence_says_what_was_found(changes, names, said):
    assert said in sentence(about(**changes), names)
