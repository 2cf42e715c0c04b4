"""TimeMixer: agrees with its public code, trains by the same function that it is evaluated by, adds up over scales."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import UserError
from core.explain.parity import check
from core.models.contract import Shape
from core.models.registry import build
from core.models.timemixer import TimeMixer

OPTIONS = {
    "seq_len": 40,
    "pred_len": 7,
    "enc_in": 3,
    "d_model": 4,
    "d_ff": 6,
    "e_layers": 2,
    "moving_avg": 5,
    "down_sampling_layers": 2,
    "down_sampling_window": 2,
    "down_sampling_method": "avg",
    "decomp_method": "moving_avg",
    "channel_independence": 1,
    "use_norm": 1,
}


def model(lookback: int = 40, variates: int = 3, **options) -> TimeMixer:
    torch.manual_seed(0)
    built = build("timemixer", {"width": 4, "hidden": 6, "window": 5} | options, Shape(lookback, 7, variates))
    assert isinstance(built, TimeMixer)
    return built.eval()


def windows(batch: int = 4, lookback: int = 40, variates: int = 3) -> Tensor:
    return torch.randn(batch, lookback, variates, generator=torch.Generator().manual_seed(1)).cumsum(1)


def public_weights(options: dict) -> dict[str, Tensor]:
    """Random weights under the public code's names."""
    together = options["enc_in"] if options["channel_independence"] == 0 else 1
    d, hidden, horizon = options["d_model"], options["d_ff"], options["pred_len"]
    lengths = [options["seq_len"] // options["down_sampling_window"] ** m for m in range(3)]
    layers = {"projection_layer": (d, together)}
    for m, length in enumerate(lengths):
        layers[f"predict_layers.{m}"] = (length, horizon)
        if together > 1:
            layers |= {f"out_res_layers.{m}": (length, length), f"regression_layers.{m}": (length, horizon)}
    for n in range(options["e_layers"]):
        for channels in ("cross_layer", "out_cross_layer"):
            layers |= {f"pdm_blocks.{n}.{channels}.0": (d, hidden), f"pdm_blocks.{n}.{channels}.2": (hidden, d)}
        for m, (fine, coarse) in enumerate(pairwise(lengths)):
            down = f"pdm_blocks.{n}.mixing_multi_scale_season.down_sampling_layers.{m}"
            up = f"pdm_blocks.{n}.mixing_multi_scale_trend.up_sampling_layers.{len(lengths) - 2 - m}"
            layers |= {f"{down}.0": (fine, coarse), f"{down}.2": (coarse, coarse)}
            layers |= {f"{up}.0": (coarse, fine), f"{up}.2": (fine, fine)}
    torch.manual_seed(0)
    weights = {f"{name}.weight": torch.randn(b, a) / a**0.5 for name, (a, b) in layers.items()}
    weights |= {f"{name}.bias": 0.1 * torch.randn(b) for name, (_, b) in layers.items()}
    weights["enc_embedding.value_embedding.tokenConv.weight"] = torch.randn(d, together, 3)
    for m in range(3):
        weights[f"normalize_layers.{m}.affine_weight"] = torch.rand(options["enc_in"]) + 0.5
        weights[f"normalize_layers.{m}.affine_bias"] = torch.randn(options["enc_in"])
    return weights


def mixed_variates_written_out(options: dict, weights: dict[str, Tensor], x_BLC: Tensor) -> Tensor:
    """Wang et al. 2024 with all variates in one embedding, straight from the equations."""

    def linear(z: Tensor, name: str) -> Tensor:
        return F.linear(z, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def perceptron(z: Tensor, name: str) -> Tensor:
        return linear(F.gelu(linear(z, f"{name}.0")), f"{name}.2")

    def average(z_BCl: Tensor) -> Tensor:
        side = options["moving_avg"] // 2
        return F.avg_pool1d(F.pad(z_BCl, (side, side), mode="replicate"), 2 * side + 1, 1)

    pool = F.avg_pool1d if options["down_sampling_method"] == "avg" else F.max_pool1d
    scales = [x_BLC.transpose(1, 2)]
    for _ in range(2):
        scales.append(pool(scales[-1], 2))
    mean, std = scales[0].mean(-1, keepdim=True), (scales[0].var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    gains = [weights[f"normalize_layers.{m}.affine_weight"][:, None] for m in range(3)]
    shifts = [weights[f"normalize_layers.{m}.affine_bias"][:, None] for m in range(3)]
    if options["use_norm"]:
        for m, z in enumerate(scales):
            deviation = (z.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
            scales[m] = (z - z.mean(-1, keepdim=True)) / deviation * gains[m] + shifts[m]
    past = [average(z) for z in scales]
    kernel = weights["enc_embedding.value_embedding.tokenConv.weight"]
    inside = [
        F.conv1d(F.pad(z - trend, (1, 1), mode="circular"), kernel) for z, trend in zip(scales, past, strict=True)
    ]
    for n in range(options["e_layers"]):
        block = f"pdm_blocks.{n}"
        trends = [average(z) for z in inside]
        parts = [[z - trend for z, trend in zip(inside, trends, strict=True)], trends]
        cross = f"{block}.cross_layer"
        seasonal, trend = ([perceptron(z.transpose(1, 2), cross).transpose(1, 2) for z in part] for part in parts)
        for m in range(2):
            seasonal[m + 1] += perceptron(seasonal[m], f"{block}.mixing_multi_scale_season.down_sampling_layers.{m}")
        for m in (1, 0):
            trend[m] += perceptron(trend[m + 1], f"{block}.mixing_multi_scale_trend.up_sampling_layers.{1 - m}")
        inside = [a + b for a, b in zip(seasonal, trend, strict=True)]
    y_BCH = torch.zeros(())
    for m, z in enumerate(inside):
        ahead = linear(linear(z, f"predict_layers.{m}").transpose(1, 2), "projection_layer").transpose(1, 2)
        y_BCH = y_BCH + ahead + linear(linear(past[m], f"out_res_layers.{m}"), f"regression_layers.{m}")
    if options["use_norm"]:
        y_BCH = (y_BCH - shifts[0]) / gains[0] * std + mean
    return y_BCH.transpose(1, 2)


def test_agrees_with_the_public_code(shared):
    assert check(shared / "parity" / "timemixer_a.safetensors")["passed"]


def test_has_the_public_codes_parameters_but_for_those_that_do_nothing():
    """A layer for marks of the calendar (16 x 4) and a LayerNorm in either block (2 x 16) take no part there."""
    count = sum(p.numel() for p in build("timemixer", {}, Shape(96, 96, 7)).parameters())
    assert count == 75_497 - 16 * 4 - 2 * 2 * 16


@pytest.mark.parametrize("method", ["avg", "max"])
@pytest.mark.parametrize("norm", [0, 1])
def test_mixed_variates_are_what_the_equations_say(method, norm):
    options = OPTIONS | {"channel_independence": 0, "down_sampling_method": method, "use_norm": norm}
    weights, x = public_weights(options), windows()
    net = TimeMixer.from_public(options, weights).eval()
    with torch.no_grad():
        torch.testing.assert_close(net(x), mixed_variates_written_out(options, weights, x), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"mix_variates": True}, {"pooling": "max"}, {"scales": 1}, {"factor": 3}, {"normalise": False}, {"window": 4}],
)
@pytest.mark.parametrize("lookback", [40, 29])
def test_training_and_evaluation_forecast_alike_and_the_scales_add_up(options, lookback):
    options = {"scales": 3, "dropout": 0.0} | options
    net, x = model(lookback, **options), windows(lookback=lookback)
    with torch.no_grad():
        forecast = net(x)
        torch.testing.assert_close(net.train()(x), forecast, atol=1e-5, rtol=1e-5)
    trace = net.eval().trace(x)
    np.testing.assert_allclose(trace.forecast, forecast.numpy(), atol=1e-5)
    assert len(trace.scales) == options["scales"]


@pytest.mark.parametrize("mix", [True, False])
def test_every_weight_learns(mix):
    net = model(mix_variates=mix, scales=3).train()
    net(windows()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_variates_alone_do_not_see_each_other():
    net, x = model(), windows()
    other = x.clone()
    other[..., 0] = 3.0
    with torch.no_grad():
        torch.testing.assert_close(net(other)[..., 1:], net(x)[..., 1:])


@pytest.mark.parametrize(
    "options, words",
    [
        ({"down_sampling_method": "conv"}, "'avg' or 'max'"),
        ({"decomp_method": "dft_decomp"}, "'moving_avg'"),
        ({"moving_avg": 24}, "25"),
        ({"down_sampling_layers": 0}, "1"),
    ],
)
def test_what_the_public_code_cannot_be_held_to_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        TimeMixer.from_public(OPTIONS | options, public_weights(OPTIONS))


def test_what_cannot_work_is_refused_with_what_does():
    with pytest.raises(UserError, match="4 scales") as refused:
        build("timemixer", {"scales": 5}, Shape(12, 4, 2))
    assert refused.value.nearest == {"scales": 4}
