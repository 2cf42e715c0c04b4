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
# what may make the attention matter, each by itself and all together
OURS = [
    {"centre_values": True},
    {"sharpness": 4.0},
    {"position_bias": "zero"},
    {"position_bias": "diagonal"},
    {"gated_residual": True},
    {"focus": True},
    {"agreement": 0.1},
]
ALL = {name: value for options in OURS for name, value in options.items()}


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


def weights_of(net) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in net.state_dict().items()}


def test_what_is_ours_is_off_and_adds_no_weight_then():
    plain = weights_of(model())
    off = {"centre_values": False, "sharpness": 0, "position_bias": "none", "gated_residual": False, "focus": False}
    assert weights_of(model(agreement=0, **off)) == plain
    for options in ({"centre_values": True}, {"focus": True}, {"agreement": 0.1}):
        assert weights_of(model(**options)) == plain
    assert weights_of(model(**ALL)).keys() > plain.keys()


@pytest.mark.parametrize("options", [*OURS, ALL])
@pytest.mark.parametrize("shape", [Shape(32, 12, 3), Shape(41, 12, 20)], ids=["few variates", "many, padded"])
def test_with_what_is_ours_both_paths_agree_and_what_it_adds_learns(options, shape):
    net, x = model(shape, **options), windows(lookback=shape.lookback, variates=shape.variates)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        trace = net.trace(x)
        np.testing.assert_allclose(trace.forecast, net(x).numpy(), atol=1e-4)
        total = trace.rest + sum(scale.contribution for scale in trace.scales)
        np.testing.assert_allclose(total, trace.forecast, atol=1e-4)
        assert not torch.allclose(net(x), net(x, attention="uniform"), atol=1e-6)
    forecast, extra = net.train().training_forward(x)
    assert (extra is not None) == ("agreement" in options)
    (forecast.square().mean() + (0 if extra is None else extra)).backward()
    added = weights_of(net).keys() - weights_of(model(shape)).keys()
    for name, weight in net.named_parameters():
        assert weight.grad is not None and torch.isfinite(weight.grad).all(), name
        assert name not in added or weight.grad.any(), name


def test_the_loss_of_agreement_goes_with_the_same_forecast():
    net, plain, x = model(agreement=0.5, dropout=0), model(dropout=0), windows()
    net.train(), plain.train()
    forecast, extra = net.training_forward(x)
    torch.testing.assert_close(forecast, plain(x), atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        trace = net.eval().trace(x)
        own = np.stack([len(trace.scales) * scale.contribution for scale in trace.scales])
    apart = np.abs(own - (trace.forecast - trace.rest)).mean()
    assert extra is not None and extra.item() == pytest.approx(0.5 * apart, rel=1e-3)
    assert model(agreement=0.5, scales=1).train().training_forward(x)[1] is None


def test_centred_values_pass_nothing_where_attention_is_uniform():
    net, x = model(centre_values=True), windows()
    attention, z = net.attention[0], torch.randn(3, 4, 16)
    with torch.no_grad():
        uniform, _ = attention(z, torch.randn(3, 4, 12), torch.randn(3, 4, 12), "uniform")
        learned, _ = attention(z, torch.randn(3, 4, 12), torch.randn(3, 4, 12))
        assert uniform.abs().max() < 1e-6 < learned.abs().max()
        assert not torch.allclose(net(x), net(x, attention="uniform"))


def test_a_gate_at_its_start_lets_no_attention_pass():
    net, x = model(gated_residual=True), windows()
    with torch.no_grad():
        assert torch.equal(net(x), net(x, attention="uniform"))


def test_uniform_attention_focuses_on_nothing():
    net, plain, x = model(focus=True), model(), windows()
    with torch.no_grad():
        torch.testing.assert_close(net(x, attention="uniform"), plain(x, attention="uniform"))
        assert not torch.allclose(net(x), plain(x), atol=1e-5)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_written_out_gradient_of_attention_is_that_of_the_plain_form(biased, weighted):
    from core.models import crossscalenet

    torch.manual_seed(0)
    q, k, v = (torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True) for _ in range(3))
    bias = torch.randn(5, 5, dtype=torch.float64, requires_grad=True) if biased else None
    out_weight, own_weight = torch.randn(3, 5, 7), torch.randn(5, 5, 7) * weighted
    leaves = [leaf for leaf in (q, k, v, bias) if leaf is not None]
    results = []
    for attend in (crossscalenet.FewVariates.apply, plain_attention):
        out, weights = attend(q, k, v, bias)
        loss = (out * out_weight).sum() + ((weights * own_weight).sum() if weighted else 0)
        results.append((out.detach(), torch.autograd.grad(loss, leaves)))
    torch.testing.assert_close(results[0], results[1], atol=1e-12, rtol=1e-10)


def plain_attention(q, k, v, bias):
    logits = torch.einsum("cjn,cin->jin", k, q) / len(q) ** 0.5
    weights = (logits if bias is None else logits + bias[..., None]).softmax(0)
    return torch.einsum("cjn,jin->cin", v, weights), weights
