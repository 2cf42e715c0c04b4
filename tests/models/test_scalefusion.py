"""ScaleFusion: one feature space for all lengths of an interval, parts that add up, pretraining, frozen or not."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import UserError
from core.explain.rollout import rollout
from core.models.contract import Shape
from core.models.registry import build
from core.models.scalefusion import ScaleFusion, dependence, join

SHAPE = Shape(128, 12, 3)


def model(shape: Shape = SHAPE, **options) -> ScaleFusion:
    torch.manual_seed(0)
    return build("scalefusion", options, shape).eval()  # type: ignore[return-value]


def windows(batch: int = 4, lookback: int = 128, variates: int = 3) -> Tensor:
    return torch.randn(batch, lookback, variates, generator=torch.Generator().manual_seed(1)).cumsum(1)


@pytest.mark.parametrize(
    "steps, joins, tokens",
    [(32, 1, 1), (63, 1, 2), (64, 2, 1), (127, 2, 2), (512, 5, 1), (1023, 5, 2), (1024, 6, 1), (2047, 6, 2)],
)
def test_the_length_rule(steps, joins, tokens):
    grids = ScaleFusion.grids(ScaleFusion.Config(), steps)
    assert len(grids) == joins + 1 == math.floor(math.log2(steps / 16)) + 1
    assert grids[-1].patches == tokens
    assert [g.patch for g in grids] == [16 * 2**level for level in range(joins + 1)]
    assert all(g.patch * (g.patches - 1) < steps <= g.padded for g in grids)


def test_every_length_of_an_interval_lands_in_one_feature_space():
    net = model()
    assert (net.encoder.lengths[0], net.encoder.lengths[-1]) == (32, 255)
    with torch.no_grad():
        for interval, width in (((32, 33, 47, 63), 32), ((64, 65, 96, 100, 127), 64), ((128, 129, 200, 255), 128)):
            for steps in interval:
                assert net.features(windows(2, steps)).shape == (2, 3, width)


@pytest.mark.parametrize("steps, nearest", [(31, "32 steps"), (2, "32 steps"), (256, "255 steps"), (5000, "255 steps")])
def test_a_length_outside_the_range_is_refused_with_the_range(steps, nearest):
    with pytest.raises(UserError, match=f"reads 32 to 255 steps; .* works: {nearest}"):
        model().features(windows(1, steps))


def test_a_forecast_needs_the_look_back_it_was_trained_on():
    for read in (model(), model().trace, model().training_forward):
        with pytest.raises(UserError, match="forecasts from 128 steps; 130"):
            read(windows(1, 130))


def test_the_end_of_the_last_patch_repeats_the_last_step():
    net = model()
    z_short = windows(1, 120, 1)[..., 0]
    z_full = torch.cat([z_short, z_short[:, -1:].expand(-1, 8)], 1)
    with torch.no_grad():
        levels = net.encoder(z_short)[0]
        assert [level.shape[1] for level in levels] == [8, 4, 2]  # one join fewer: an interval below
        for one, other in zip(levels, net.encoder(z_full)[0], strict=False):
            torch.testing.assert_close(one, other)


def test_an_odd_last_token_is_joined_with_itself():
    x = torch.arange(10.0).view(1, 5, 2)
    expected = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 8, 9]]
    torch.testing.assert_close(join(x), torch.tensor([expected], dtype=torch.float32))


@pytest.mark.parametrize("fusion", ["attention", "addition"])
@pytest.mark.parametrize("lookback", [32, 101, 512])
def test_levels_add_up_to_the_forecast(fusion, lookback):
    net, x = model(Shape(lookback, 12, 2), fusion=fusion), windows(3, lookback, 2) / 10
    trace = net.trace(x)
    with torch.no_grad():
        forecast = net(x).numpy()
    total = trace.rest + sum(part.contribution for part in trace.scales)
    np.testing.assert_allclose(trace.forecast, forecast, atol=1e-5)
    np.testing.assert_allclose(total, forecast, atol=1e-4)
    assert [part.name for part in trace.scales] == [f"level {level}" for level in range(len(net.geometry))]
    assert ("cross" in {m.branch for m in trace.maps}) == (fusion == "attention")


def test_a_level_left_out_of_the_head_is_its_contribution():
    net, x = model(), windows()
    before, part = net.trace(x), 1
    first = sum(net.features_of[:part])
    with torch.no_grad():
        net.head.weight[:, first : first + net.features_of[part]] = 0
        after = net(x).numpy()
    np.testing.assert_allclose(before.forecast - after, before.scales[part].contribution, atol=1e-5)


def test_maps_say_which_level_asks_which():
    trace = model(Shape(101, 8, 2)).trace(windows(1, 101, 2))
    self_maps = [m for m in trace.maps if m.branch == "self" and m.variate == 1]
    cross = [m for m in trace.maps if m.branch == "cross" and m.variate == 1]
    assert [(m.scale, m.head) for m in self_maps] == [(0, 0), (1, 0), (1, 1), *((2, h) for h in range(4))]
    assert [(m.scale, m.key_scale, m.weights.shape[1:]) for m in cross[:1] + cross[-1:]] == [
        (1, 0, (4, 7)),
        (2, 1, (2, 4)),
    ]
    assert cross[-1].query.spans.tolist() == [[0, 64], [64, 101]]
    assert cross[-1].key.spans.tolist() == [[0, 32], [32, 64], [64, 96], [96, 101]]
    assert all(m.real is None for m in trace.maps), "no token is padding"


def test_variates_are_read_alone_and_alike():
    net, x = model(Shape(128, 12, 2)), windows(2, variates=2)
    with torch.no_grad():
        both, swapped = net(x), net(x.flip(-1))
        x[..., 1] = torch.randn(2, 128)
        torch.testing.assert_close(net(x)[..., 0], both[..., 0])
    torch.testing.assert_close(swapped, both.flip(-1), atol=1e-5, rtol=1e-5)


def test_attention_is_followed_down_to_the_steps():
    net, x = model(), windows(2)
    found = rollout(net.trace(x), 128, 1)
    assert found.values.shape == (128,) and found.resolution == 16
    assert found.values.sum() == pytest.approx(1, abs=1e-4)
    by_patch = found.values.reshape(8, 16)
    np.testing.assert_allclose(by_patch, by_patch[:, :1].repeat(16, 1), atol=1e-6)


def test_independent_features_cost_nothing_and_equal_ones_cost_one():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 2, 4, generator=generator)
    assert float(dependence(x)) == pytest.approx(0, abs=2e-3)
    assert float(dependence(x[..., :1].repeat(1, 1, 4))) == pytest.approx(1, abs=1e-3)
    pair = torch.stack([x[..., 0], 0.6 * x[..., 0] + 0.8 * x[..., 1]], -1)
    assert float(dependence(pair)) == pytest.approx(0.36, abs=0.03)


def test_the_pretraining_loss_is_the_levels_mean_of_reconstruction_and_dependence():
    net, x = model(independence=0.5), windows(8)
    with torch.no_grad():
        z = ((x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()).transpose(1, 2)
        z = z.reshape(24, 128)
        levels = net.encoder(z)[0]
        expected = 0.0
        for decode, tokens in zip(net.decoders, levels, strict=True):
            again = decode(tokens).reshape(24, 128)
            correlation = torch.corrcoef(tokens.flatten(0, 1).T)
            off = correlation[~torch.eye(len(correlation), dtype=torch.bool)]
            expected += float((again - z).square().mean() + 0.5 * off.square().mean()) / len(levels)
        assert float(net.pretraining_loss(x)) == pytest.approx(expected, rel=1e-3)
        assert torch.isfinite(net.pretraining_loss(x[:, :50])), "a short window has fewer levels"


def test_pretraining_learns_to_reconstruct():
    net, x = model(Shape(64, 4, 2), dropout=0.0).train(), windows(16, 64, 2)
    net.begin("pretraining")
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = net.pretraining_loss(x)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "options, stage, parts",
    [
        ({}, "pretraining", {"encoder", "decoders"}),
        ({}, "forecasting", {"encoder", "head"}),
        ({"auxiliary": 0.5}, "forecasting", {"encoder", "decoders", "head"}),
        ({"encoder": "frozen"}, "pretraining", {"encoder", "decoders"}),
        ({"encoder": "frozen", "auxiliary": 0.5}, "forecasting", {"head"}),
    ],
)
def test_each_stage_teaches_its_own_part(options, stage, parts):
    net = model(**options)
    net.begin(stage)
    assert {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad} == parts


def test_a_frozen_encoder_stays_and_drops_nothing():
    net, x = model(encoder="frozen", dropout=0.5), windows()
    net.begin("forecasting")
    net.train()
    first, extra = net.training_forward(x)
    torch.testing.assert_close(first, net.training_forward(x)[0])
    assert extra is None
    first.square().mean().backward()
    assert {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None} == {"head"}


def test_the_auxiliary_loss_is_a_share_of_the_pretraining_loss():
    net, x = model(auxiliary=0.25, dropout=0.0).train(), windows()
    _, extra = net.training_forward(x)
    assert extra is not None
    torch.testing.assert_close(extra, 0.25 * net.pretraining_loss(x))


@pytest.mark.parametrize(
    "options, shape, words",
    [
        ({}, Shape(31, 8, 2), "look-back of 32, or a patch of 15"),
        ({"patch": 48}, Shape(64, 8, 2), "look-back of 96, or a patch of 32"),
        ({"levels": 6}, Shape(512, 8, 2), "5 joins, or a look-back of 1,024"),
        ({"width": 24}, Shape(96, 8, 2), "width of 32"),
        ({"cap": 40}, Shape(96, 8, 2), "largest width of 32"),
        ({"width": 64, "cap": 32}, Shape(96, 8, 2), "largest width of 64"),
    ],
)
def test_what_cannot_work_is_refused_with_what_does(options, shape, words):
    with pytest.raises(UserError, match=words) as refused:
        build("scalefusion", options, shape)
    nearest = refused.value.nearest
    lookback = nearest.pop("lookback", shape.lookback)
    build("scalefusion", options | nearest, Shape(lookback, shape.horizon, shape.variates))


def test_fewer_joins_leave_more_tokens_of_a_smaller_width():
    net = model(levels=1)
    assert [(g.patch, g.patches) for g in net.geometry] == [(16, 8), (32, 4)]
    assert net.features(windows()).shape == (4, 3, 32)
