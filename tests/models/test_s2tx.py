"""S2TX: every switch does what it says, and no more; maps lie where they claim; missing steps; refusals."""

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.models.contract import Shape
from core.models.registry import build
from core.models.s2tx import S2TX, Config

SHAPE = Shape(96, 12, 3)


def model(shape: Shape = SHAPE, **options) -> S2TX:
    torch.manual_seed(0)
    return build("s2tx", options, shape).eval()  # type: ignore[return-value]


def windows(batch: int = 2, lookback: int = 96, variates: int = 3) -> torch.Tensor:
    return torch.randn(batch, lookback, variates, generator=torch.Generator().manual_seed(1)).cumsum(1)


def moved(net: S2TX, x: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    """Which variates' forecasts differ between two inputs."""
    with torch.no_grad():
        return (net(x) - net(other)).abs().amax((0, 1)).numpy() > 1e-6


SWITCHES = [
    {},
    {"cross_variate": False},
    {"cross_attention": False},
    {"bidirectional": False},
    {"keys": "all"},
    {"keys": "all", "cross_variate": False},
    {"cross_attention": False, "keys": "all"},
    {"global_patches": 7},
    {"global_layers": 2, "local_layers": 1, "band": 0},
]


@pytest.mark.parametrize("options", SWITCHES)
def test_traced_and_fast_path_give_the_same_forecast(options):
    net, x = model(**options), windows()
    with torch.no_grad():
        fast = net(x).numpy()
    trace = net.trace(x)
    np.testing.assert_allclose(trace.forecast, fast, atol=1e-5)
    for found in trace.maps:
        np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-4)


@pytest.mark.parametrize("options", SWITCHES)
def test_every_learned_weight_is_used(options):
    net, x = model(**options).train(), windows(4)
    net(x).square().mean().backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_variates_meet_in_mamba_or_in_all_keys_and_nowhere_else():
    x = windows()
    other = x.clone()
    other[..., 0] = other[..., 0].flip(1)
    alone = [True, False, False]
    assert moved(model(), x, other).all()
    assert moved(model(cross_variate=False), x, other).tolist() == alone
    assert moved(model(cross_variate=False, keys="all"), x, other).all()
    assert moved(model(cross_variate=False, cross_attention=False), x, other).tolist() == alone
    # variate-major: read forwards only, a variate hears those before it
    assert moved(model(bidirectional=False), x, other).all()
    later = x.clone()
    later[..., 2] = later[..., 2].flip(1)
    assert moved(model(bidirectional=False), x, later).tolist() == [False, False, True]
    assert moved(model(), x, later).all()


def test_a_variate_alone_forecasts_as_in_company_of_itself():
    """Cross-variate off: variates are only a batch; the embedding is all that tells them apart."""
    net = model(cross_variate=False)
    with torch.no_grad():
        net.variate[:] = net.variate[0]
        x = windows()[..., :1].expand(-1, -1, 3)
        forecast = net(x)
    torch.testing.assert_close(forecast[..., 0], forecast[..., 2])


def test_maps_lie_where_they_claim():
    trace = model(Shape(672, 24, 2), global_patches=0).trace(windows(1, 672, 2))
    near, far = trace.map("self"), trace.map("cross")
    assert near is not None and far is not None
    assert near.query.spans[[0, -1]].tolist() == [[336, 352], [664, 672]]
    assert far.key.spans[[0, -1]].tolist() == [[0, 48], [640, 672]]
    assert (near.weights.shape, far.weights.shape) == ((1, 42, 42), (1, 42, 41))
    assert len(trace.maps) == 2 * 3 * 2 * 4  # kinds, layers, variates, heads


def test_all_keys_are_read_as_when_and_as_which_variate():
    net, x = model(keys="all"), windows(1)
    z = net.revin(x.transpose(1, 2), *net.revin.statistics(x.transpose(1, 2)))
    weights = net._tokens(z, "learned", whole=True)[1][0][1]
    assert weights is not None
    C, heads, P, G = 3, 4, net.local.patches, net.whole.patches
    assert weights.shape == (C, heads, P, C * G)
    maps = [m for m in net.trace(x).maps if m.layer == 0 and m.head == 1 and m.variate == 2]
    _, when, which = maps
    assert (when.branch, which.branch, which.key.kind) == ("cross", "cross, by variate", "variate")
    by_key = weights[2, 1].view(P, C, G).detach().numpy()
    np.testing.assert_allclose(when.weights[0], by_key.sum(1), atol=1e-6)
    np.testing.assert_allclose(which.weights[0], by_key.sum(2), atol=1e-6)


def test_without_cross_attention_the_forecast_is_a_local_and_a_global_part():
    """Then, and only then, the head reads both branches, and pages may show their parts."""
    assert not model().capabilities.scales and not S2TX.capabilities.scales
    net, x = model(cross_attention=False), windows()
    assert net.capabilities.scales
    trace = net.trace(x)
    local, whole = trace.scales
    assert (local.first, local.seen.shape[1], whole.first, whole.seen.shape[1]) == (48, 48, 0, 96)
    with torch.no_grad():
        np.testing.assert_allclose(trace.rest + local.contribution + whole.contribution, net(x).numpy(), atol=1e-5)
        net.head.weight[:, : net.local.patches * net.config.width] = 0
        np.testing.assert_allclose(trace.rest + whole.contribution, net(x).numpy(), atol=1e-5)


def test_variates_exchange_information_by_mamba_or_by_keys():
    assert model().capabilities.multivariate
    assert not model(cross_variate=False).capabilities.multivariate
    assert model(cross_variate=False, keys="all").capabilities.multivariate


def test_own_keys_are_all_keys_where_there_is_one_variate():
    shape, x = Shape(96, 12, 1), windows(2, 96, 1)
    own, every = model(shape), model(shape, keys="all")
    every.load_state_dict(own.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(own(x), every(x))


@pytest.mark.parametrize("lookback", [96, 101, 672, 1344])
def test_a_fixed_number_of_global_patches_reaches_to_the_end(lookback):
    whole = S2TX.grids(Config(global_patches=41), lookback)[1]
    assert whole.patches == 41 and whole.stride == lookback // 41
    assert whole.first + 41 * whole.stride == lookback


def test_missing_steps_count_nowhere():
    net, x = model(), windows()
    x[0, 30:60, 1] = torch.nan
    filled = x.clone()
    mean = x[0, :, 1].nanmean()
    filled[0, 30:60, 1] = mean
    with torch.no_grad():
        z = net.revin(x.transpose(1, 2), *net.revin.statistics(x.transpose(1, 2)))
        forecast = net(x)
    assert (z[0, 1, 30:60] == 0).all() and torch.isfinite(forecast).all()
    observed = torch.cat([x[0, :30, 1], x[0, 60:, 1]])
    expected = (observed - observed.mean()) / (observed.var(unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(torch.cat([z[0, 1, :30], z[0, 1, 60:]]), expected)


def test_published_is_small_on_small_sets():
    small, large = S2TX.published["ETTh1"], S2TX.published[""]
    assert (small.lookback, Config(**small.config).width, Config(**large.config).width) == (672, 16, 128)


@pytest.mark.parametrize(
    "options, shape, words",
    [
        ({"local": 97}, SHAPE, "local window of 96"),
        ({}, Shape(40, 8, 2), "global patch 40, or a look-back of 48"),
        ({"local": 12}, SHAPE, "local patch 12, or a local window of 16"),
        ({"width": 18}, SHAPE, "3 heads, or a width of 20"),
        ({"global_patches": 100}, SHAPE, "96 global patches"),
        ({"keys": "some"}, SHAPE, "keys"),
    ],
)
def test_what_cannot_work_is_refused_with_what_does(options, shape, words):
    with pytest.raises(UserError, match=words):
        build("s2tx", options, shape)


@pytest.mark.parametrize(
    "options, shape",
    [
        ({"local": 96}, SHAPE),
        ({"global_patch": 40}, Shape(40, 8, 2)),
        ({"local": 12, "local_patch": 12}, SHAPE),
        ({"global_patches": 96}, SHAPE),
        ({"local": 1, "local_patch": 1, "global_patch": 1}, Shape(2, 1, 1)),
    ],
)
def test_the_nearest_that_works_works(options, shape):
    net, x = model(shape, **options), windows(2, shape.lookback, shape.variates)
    with torch.no_grad():
        forecast = net(x).numpy()
    assert np.isfinite(forecast).all()
    np.testing.assert_allclose(net.trace(x).forecast, forecast, atol=1e-5)
