"""CrossScaleNet: agrees with its public code, its two paths agree, and its forecast is the sum of its scales."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.explain.parity import check
from core.models.contract import Shape
from core.models.crossscalenet import CrossScaleNet
from core.models.layers.encoders import FastRepresentation, representation
from core.models.registry import build, configure

MODES = ["self", "patch-self", "shared", "dual", "seasonal", "trend"]


SHAPE = Shape(32, 12, 3)


def model(shape: Shape = SHAPE, **options):
    torch.manual_seed(0)
    built = build("crossscalenet", {"width": 8} | options, shape)
    with torch.no_grad():  # a trained model's normalisation is not the identity
        built.revin.weight.uniform_(0.5, 1.5)
        built.revin.bias.uniform_(-0.5, 0.5)
    return built.eval()


def windows(batch: int = 4, lookback: int = 32, variates: int = 3) -> torch.Tensor:
    return torch.randn(batch, lookback, variates, generator=torch.Generator().manual_seed(1)).cumsum(1)


def test_agrees_with_the_public_code(shared):
    report = check(shared / "parity" / "crossscalenet_a.safetensors")
    assert report["max_abs_error"] <= 1e-5
    assert report["saliency_max_abs_error"] <= 1e-5


def test_has_as_many_parameters_as_the_public_code():
    count = sum(p.numel() for p in build("crossscalenet", {}, Shape(96, 96, 7)).parameters())
    assert count == 100_866


@pytest.mark.parametrize("keys", MODES)
@pytest.mark.parametrize("scales", [1, 2, 4, 6])
def test_traced_and_fast_path_give_the_same_forecast(keys, scales):
    net, x = model(Shape(96, 12, 3), keys=keys, scales=scales), windows(lookback=96)
    with torch.no_grad():
        fast = net(x).numpy()
    np.testing.assert_allclose(net.trace(x).forecast, fast, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    lookback=st.integers(16, 70),
    horizon=st.integers(1, 20),
    variates=st.integers(1, 5),
    batch=st.integers(1, 3),
    scales=st.integers(1, 4),
    factor=st.integers(2, 3),
    patch=st.integers(1, 16),
    mix=st.booleans(),
)
def test_contributions_sum_to_the_forecast(lookback, horizon, variates, batch, scales, factor, patch, mix):
    options = {"scales": scales, "factor": factor, "patch": patch, "mix_variates": mix}
    shape = Shape(lookback, horizon, variates)
    try:
        net = model(shape, **options)
    except UserError:
        return  # refused in words; that such a sentence names what works is tested below
    x = windows(batch, lookback, variates)
    trace = net.trace(x)
    assert trace.forecast.shape == (batch, horizon, variates)
    total = trace.rest + sum(scale.contribution for scale in trace.scales)
    with torch.no_grad():
        forecast = net(x).numpy()
    np.testing.assert_allclose(total, forecast, atol=1e-4)
    for scale in trace.scales:
        np.testing.assert_allclose(scale.seasonal + scale.trend, scale.contribution, atol=1e-5)
    for found in trace.maps:
        np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-4)
        assert (found.key.spans[:, 0] < found.key.spans[:, 1]).all() and found.key.spans.max() <= lookback


@pytest.mark.parametrize("mix", [True, False])
@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("split", [True, False])
def test_written_out_gradient_is_the_gradient_of_the_readable_form(mix, dropped, split):
    torch.manual_seed(0)
    C, B, points, d = 3, 4, 10, 5

    def parameter(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    x = parameter(2, C * B, points) if split else parameter(C * B, points)
    trend = None if split else torch.rand(points, points, dtype=torch.float64)
    keep = (torch.rand(2, C * B, points) > 0.2).double() / 0.8 if dropped else None
    gates = [parameter(2, points, d), parameter(2, 1, d), parameter(2, d, points), parameter(2, 1, points)]
    mixing = [parameter(2, d, C), parameter(2, d, 1), parameter(2, C, d), parameter(2, C, 1)] if mix else [None] * 4
    leaves = [x, *gates, *[m for m in mixing if m is not None]]
    weight = torch.randn(2, C * B, points, dtype=torch.float64)
    results = []
    for encode in (representation, FastRepresentation.apply):
        out = encode(x, trend, keep, C, *gates, *mixing)
        results.append((out.detach(), torch.autograd.grad((out * weight).sum(), leaves)))
    (slow, slow_gradients), (fast, fast_gradients) = results
    torch.testing.assert_close(fast, slow, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(fast_gradients, slow_gradients, atol=1e-10, rtol=1e-10)


def test_many_variates_take_the_other_attention_path_with_the_same_forecast():
    """C > 16 uses matrix products where fewer variates use broadcasting."""
    from core.models import crossscalenet

    q, k, v = (torch.randn(20, 5, 7) for _ in range(3))
    far, weights = crossscalenet.attend(q, k, v, "learned")
    logits = torch.einsum("cin,cjn->jin", q, k) / 20**0.5
    torch.testing.assert_close(weights, logits.softmax(0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(far, torch.einsum("cjn,jin->cin", v, weights), atol=1e-5, rtol=1e-5)


def test_every_scale_has_as_many_patches_and_each_spans_sixteen_steps():
    found = CrossScaleNet.grids(configure("crossscalenet", {}), 96)
    assert [(g.factor, g.points, g.patch, g.patches) for g in found] == [
        (1, 96, 0, 0),
        (2, 48, 8, 6),
        (4, 24, 4, 6),
        (8, 12, 2, 6),
    ]


def test_a_withheld_target_changes_nothing_in_the_forecast():
    net = build("crossscalenet", {"width": 8}, Shape(32, 8, 3, withheld=(2,))).eval()
    x = windows()
    x[..., 2] = 0
    assert torch.isfinite(net(x)).all()
    mean, std = net.revin.statistics(x.permute(2, 0, 1))
    assert (mean[2] == 0).all() and (std[2] == 1).all()


def test_uniform_and_permuted_attention_answer_differently():
    net, x = model(scales=3, patch=8), windows()
    with torch.no_grad():
        learned, uniform, permuted = (net(x, attention=use) for use in ("learned", "uniform", "permuted"))
    assert not torch.allclose(learned, uniform) and not torch.allclose(learned, permuted)


@pytest.mark.parametrize(
    "options, shape, words",
    [
        ({"scales": 6, "factor": 4}, Shape(96, 96, 7), "4 scales"),
        ({"patch": 40}, Shape(32, 8, 3), "patch 32"),
        ({"scales": 9}, Shape(96, 96, 7), "scales"),
        ({"sclaes": 3}, Shape(96, 96, 7), "sclaes"),
    ],
)
def test_what_cannot_work_is_refused_with_what_does(options, shape, words):
    with pytest.raises(UserError, match=words):
        build("crossscalenet", options, shape)
