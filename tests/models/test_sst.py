"""SST: agrees with its public code, splits its forecast in two, and refuses what cannot work with what does."""

import json

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.explain.parity import check
from core.models.contract import Shape
from core.models.registry import build
from core.models.sst import GLOBAL, LOCAL, SST, Config

SHAPE = Shape(96, 12, 3)


def model(shape: Shape = SHAPE, **options) -> SST:
    torch.manual_seed(0)
    return build("sst", options, shape).eval()  # type: ignore[return-value]


def windows(batch: int = 4, lookback: int = 96, variates: int = 3) -> torch.Tensor:
    return torch.randn(batch, lookback, variates, generator=torch.Generator().manual_seed(1)).cumsum(1)


def test_agrees_with_the_public_code(shared):
    report = check(shared / "parity" / "sst_a.safetensors")
    assert report["max_abs_error"] <= 1e-5
    assert report["trace_max_abs_error"] <= 1e-5


def test_the_public_code_inverts_its_band_and_we_do_not_by_default(shared):
    from safetensors import safe_open

    with safe_open(shared / "parity" / "sst_a.safetensors", "pt") as file:
        options = json.loads(file.metadata()["config"])
        public = {k.removeprefix("weights/"): file.get_tensor(k) for k in file.keys() if "/" in k}  # noqa: SIM118
    model = SST.from_public(options, public)
    assert model.config.inverted and not Config().inverted
    with pytest.raises(UserError, match="concat = 1"):
        SST.from_public(options | {"concat": 0}, public)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_token_asks_its_band_or_all_but_it(inverted):
    (found, *_) = model(band=1, inverted=inverted).trace(windows()).maps
    i = np.arange(len(found.query))
    near = np.abs(i[:, None] - i) <= 1
    assert ((found.weights > 0).all(0) == (near ^ inverted)).all()


def test_the_two_parts_are_weighed_by_the_router_and_add_up_to_the_forecast():
    net, x = model(affine=True), windows(1)
    trace = net.trace(x)
    local, whole = trace.scales
    assert (local.scale, whole.scale) == (LOCAL, GLOBAL)
    assert local.weight + whole.weight == pytest.approx(1)
    assert (local.first, local.seen.shape[1], whole.first, whole.seen.shape[1]) == (48, 48, 0, 96)
    with torch.no_grad():
        net.router.bias.add_(torch.tensor([1e4, 0.0]))  # the public order: global first
        only_global = net(x)
    np.testing.assert_allclose(trace.rest + whole.contribution / whole.weight, only_global.numpy(), atol=1e-4)


def test_each_branch_sees_its_own_steps():
    local, whole = SST.grids(Config(), 672)
    assert (local.first, local.points, local.patch, local.stride, local.patches) == (336, 336, 16, 8, 42)
    assert (whole.first, whole.points, whole.patch, whole.stride, whole.patches) == (0, 672, 48, 16, 41)


def test_the_router_is_its_two_layers():
    net = model()
    z = torch.randn(2, 3, 96)
    logits = net.router(net.router_embed(z.transpose(1, 2)).flatten(1))
    torch.testing.assert_close(net._route(z), logits.softmax(-1).flip(-1))


def test_a_variate_passes_the_branches_alone():
    net, x = model(), windows()
    changed = x.clone()
    changed[..., 2] = changed[..., 2].flip(1)
    one, other = net.trace(x), net.trace(changed)
    for before, after in zip(one.maps, other.maps, strict=True):
        assert (before.variate == 2) != np.allclose(before.weights, after.weights)


@pytest.mark.parametrize(
    "options, shape, words",
    [
        ({"local": 97}, SHAPE, "local window of 96"),
        ({}, Shape(40, 8, 2), "global patch 40, or a look-back of 48"),
        ({"local": 12}, SHAPE, "local patch 12, or a local window of 16"),
        ({"width": 18}, SHAPE, "3 heads, or a width of 20"),
        ({"inverted": True, "band": 5}, SHAPE, "band 2"),
        ({"band": -1}, SHAPE, "band"),
    ],
)
def test_what_cannot_work_is_refused_with_what_does(options, shape, words):
    with pytest.raises(UserError, match=words):
        build("sst", options, shape)


@pytest.mark.parametrize(
    "options, shape",
    [
        ({"local": 96}, SHAPE),
        ({"global_patch": 40}, Shape(40, 8, 2)),
        ({"local": 12, "local_patch": 12}, SHAPE),
        ({"width": 18, "heads": 3}, SHAPE),
        ({"width": 20}, SHAPE),
        ({"inverted": True, "band": 2}, SHAPE),
        ({"local": 1, "local_patch": 1, "local_stride": 3, "global_patch": 1, "global_stride": 5}, Shape(2, 1, 1)),
    ],
)
def test_the_nearest_that_works_works(options, shape):
    net, x = model(shape, **options), windows(2, shape.lookback, shape.variates)
    with torch.no_grad():
        forecast = net(x).numpy()
    assert np.isfinite(forecast).all()
    np.testing.assert_allclose(net.trace(x).forecast, forecast, atol=1e-5)
    assert all(np.isfinite(m.weights).all() for m in net.trace(x).maps)
