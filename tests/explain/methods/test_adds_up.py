"""The map that adds up, on every architecture: the frozen model is affine, its parts are all of it."""

import numpy as np
import pytest
import torch

from core.explain.methods.adds_up import contributions
from core.explain.methods.contract import Probe, Question
from core.models.registry import architectures
from tests.explain.methods.test_methods import SHAPE, linear, model_of, windows

OPTIONS = [
    ("timemixer", {"pooling": "max"}),
    ("timemixer", {"mix_variates": True}),
    ("itransformer", {"attention": "score"}),
    ("patchtst", {"activation": "relu"}),
    ("s2tx", {"cross_attention": False}),
    ("s2tx", {"keys": "all", "cross_variate": True}),
    ("dlinear", {"normalise": True}),
    ("crossscalenet", {"keys": "self", "mix_variates": False}),
    ("crossscalenet", {"scales": 1}),
    ("crossscalenet", {"centre_values": True}),
    ("crossscalenet", {"sharpness": 4.0}),
    ("crossscalenet", {"position_bias": "diagonal", "gated_residual": True}),
    ("crossscalenet", {"focus": True}),
    ("crossscalenet", {"focus": True, "sharpness": 1.0, "centre_values": True}),
]
CASES = [(name, {}) for name in architectures()] + OPTIONS
SCALED = [(n, o) for n, o in CASES if model_of(n, **o).capabilities.scales]


def shaken(name: str, options: dict):
    """A model whose weights are far from a start that may be all alike."""
    model, draw = model_of(name, **options), torch.Generator().manual_seed(3)
    if not model.capabilities.fitted:
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.1 * torch.randn(weight.shape, generator=draw))
    return model


@pytest.mark.parametrize("baseline", ["mean", "zero"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_contributions_and_rest_are_the_forecast(name, options, baseline):
    model = shaken(name, options)
    x = windows(count=1)
    found = contributions(Probe(model, x, Question(1, baseline=baseline)))
    with torch.no_grad():
        assert np.allclose(found.forecast_H, model(x)[0, :, 1].numpy(), atol=1e-5)
    scale = max(1.0, np.abs(found.values_HLC).sum(axis=(1, 2)).max())
    assert found.off < 1e-4 * scale
    if name not in ("naive", "drift"):
        assert np.abs(found.values_HLC).sum() > 0


@pytest.mark.parametrize(("name", "options"), SCALED)
def test_the_scales_are_all_of_it(name, options):
    model = shaken(name, options)
    x = windows(count=1)
    probe, count = Probe(model, x, Question(0)), len(model.trace(x).scales)
    whole = contributions(probe)
    parts = [contributions(probe, scale=m).values_HLC for m in range(count)]
    assert np.allclose(sum(parts), whole.values_HLC, atol=1e-4 * max(1.0, np.abs(whole.values_HLC).max()))
    if count > 1:
        assert all(np.abs(part).sum() > 0 for part in parts)


def test_a_factor_that_is_not_held_is_found(monkeypatch):
    monkeypatch.setattr("core.models.layers.encoders.held", lambda factor: factor)
    found = contributions(Probe(shaken("crossscalenet", {}), windows(count=1), Question(1)))
    assert found.off > 1e-2


def test_of_a_linear_model_they_are_gradient_times_input():
    model, x = linear(), windows(count=1)
    found = contributions(Probe(model, x, Question(0, baseline="zero")))
    weight_LH = model.seasonal[0] + model.moving_average @ (model.trend[0] - model.seasonal[0])
    with torch.no_grad():
        expected = (weight_LH.T * x[0, :, 0]).numpy()
    assert np.allclose(found.values_HLC[..., 0], expected, atol=1e-5)
    assert not found.values_HLC[..., 1:].any()


@pytest.mark.parametrize("name", ["crossscalenet", "s2tx", "scalefusion", "patchtst", "casa", "softs", "transformer"])
def test_what_passes_the_attention_can_be_left_out(name):
    model, x = shaken(name, {}), windows(count=1)
    probe = Probe(model, x, Question(0))
    whole = contributions(probe).values_HLC
    without = contributions(probe, without=("attention",)).values_HLC
    assert not np.allclose(whole, without, atol=1e-6)
    if name == "crossscalenet":
        # only the finest scale has no attention
        assert np.allclose(without, contributions(probe, scale=0).values_HLC, atol=1e-5)
        far, near = (whole - contributions(probe, without=(b,)).values_HLC for b in ("patch", "local"))
        assert np.allclose(far + near, whole - without, atol=1e-4)


def test_the_model_is_left_as_it_was():
    model, x = shaken("crossscalenet", {}), windows(count=1)
    with torch.no_grad():
        before = model(x)
        contributions(Probe(model, x, Question(0)))
        assert torch.equal(model(x), before)
    assert SHAPE.horizon == before.shape[1]
