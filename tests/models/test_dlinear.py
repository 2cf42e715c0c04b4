"""DLinear: agrees with its public code and with its two layers written out, and splits into trend and rest."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.errors import UserError
from core.explain.parity import check
from core.models.contract import Shape
from core.models.dlinear import Config, DLinear
from core.models.registry import build


def public(variates: int, lookback: int, horizon: int, individual: bool) -> dict[str, torch.Tensor]:
    """Weights under the public code's names."""
    torch.manual_seed(0)
    layers = [f".{c}" for c in range(variates)] if individual else [""]
    names = [f"Linear_{part}{layer}" for part in ("Seasonal", "Trend") for layer in layers]
    weights = {f"{name}.weight": torch.randn(horizon, lookback) / lookback for name in names}
    return weights | {f"{name}.bias": torch.randn(horizon) for name in names}


def test_agrees_with_the_public_code(shared):
    assert check(shared / "parity" / "dlinear_a.safetensors")["passed"]


def test_has_as_many_parameters_as_the_public_code():
    assert sum(p.numel() for p in build("dlinear", {}, Shape(96, 96, 7)).parameters()) == 18_624


@pytest.mark.parametrize("individual", [False, True])
@pytest.mark.parametrize("window", [1, 25, 41])
def test_is_two_linear_layers_after_a_moving_average(individual, window):
    weights, x = public(3, 30, 7, individual), torch.randn(4, 30, 3).cumsum(1)
    model = DLinear.from_public({"seq_len": 30, "pred_len": 7, "enc_in": 3, "moving_avg": window}, weights).eval()
    x_BCL, left = x.transpose(1, 2), (window - 1) // 2
    trend = F.avg_pool1d(F.pad(x_BCL, (left, left), mode="replicate"), window, 1)
    for c in range(3):
        layer = f".{c}" if individual else ""
        parts = [(x_BCL - trend, f"Linear_Seasonal{layer}"), (trend, f"Linear_Trend{layer}")]
        expected = sum(F.linear(z[:, c], weights[f"{n}.weight"], weights[f"{n}.bias"]) for z, n in parts)
        with torch.no_grad():
            for mode in (model.train(), model.eval()):
                torch.testing.assert_close(mode(x)[..., c], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("individual", [False, True])
def test_a_straight_line_is_all_trend(individual):
    """Away from the edges the moving average of a line is the line itself, so nothing is left for the other part."""
    weights, lookback = public(2, 60, 5, individual), 60
    for name in [n for n in weights if "Seasonal" in n and n.endswith("weight")]:
        weights[name][:, :2] = weights[name][:, -2:] = 0
    model = DLinear.from_public({"seq_len": lookback, "pred_len": 5, "enc_in": 2, "moving_avg": 5}, weights)
    part = model.trace(torch.linspace(0, 1, lookback)[None, :, None].repeat(1, 1, 2)).scales[0]
    assert part.seasonal is not None and part.trend is not None
    np.testing.assert_allclose(part.seasonal, 0, atol=1e-6)
    assert np.abs(part.trend).max() > 1e-3


def test_an_even_moving_average_cannot_be_compared():
    with pytest.raises(UserError, match="25"):
        DLinear.from_public({"seq_len": 30, "pred_len": 7, "enc_in": 3, "moving_avg": 24}, public(3, 30, 7, False))


@pytest.mark.parametrize("individual", [False, True])
def test_normalised_it_follows_the_level_and_the_spread_of_a_window(individual):
    torch.manual_seed(0)
    model = build("dlinear", {"normalise": True, "individual": individual}, Shape(60, 7, 3)).eval()
    x = torch.randn(4, 60, 3).cumsum(1)
    with torch.no_grad():
        for mode in (model.train(), model.eval()):
            torch.testing.assert_close(mode(3 * x + 50), 3 * mode(x) + 50, atol=1e-3, rtol=1e-4)
    trace = model.trace(x)
    np.testing.assert_allclose(trace.forecast, model(x).detach(), atol=1e-5)
    np.testing.assert_allclose(trace.rest + trace.scales[0].contribution, trace.forecast, atol=1e-5)


def test_normalised_it_leaves_a_withheld_target_at_its_level():
    model = DLinear(Config(normalise=True), Shape(60, 7, 3, (2,))).eval()
    x = torch.randn(4, 60, 3)
    x[..., 2] = 0
    forecast = model(x)[..., 2]
    torch.testing.assert_close(forecast, (model.seasonal_bias + model.trend_bias)[0].expand(4, -1))
