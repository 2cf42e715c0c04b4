"""The statistical forecasters: values by hand, equality with the library, real series, files."""

import numpy as np
import pytest
import torch
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.theta import ThetaModel

from core.data.samples import SAMPLES
from core.errors import UserError
from core.models.autoets import TRENDS, AutoETS, linear_smoothing
from core.models.autotheta import AutoTheta
from core.models.contract import Shape
from core.models.layers.statistical import NoOptions, filled
from core.models.registry import build
from core.training.checkpoint import load_weights, write_tensors

NAMES = ("naive", "seasonal_naive", "drift", "autoets", "autotheta")
FITTED = ("autoets", "autotheta")


def window_of(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[None, :, None]


def waves(steps: int = 400, variates: int = 2, period: int = 12) -> torch.Tensor:
    """Waves on a slope with noise, T x C in float64."""
    step = torch.arange(steps, dtype=torch.float64)[:, None]
    noise = torch.randn(steps, variates, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.sin(2 * torch.pi * step / period + torch.arange(variates)) + 0.01 * step + 0.2 * noise


def forecast(name: str, x: torch.Tensor, horizon: int, **buffers: object) -> list[float]:
    model = build(name, {}, Shape(x.shape[1], horizon, 1))
    for buffer, value in buffers.items():
        getattr(model, buffer).copy_(torch.as_tensor(value))
    return model(x)[0, :, 0].tolist()


def test_the_simple_ones_by_hand():
    x = window_of(1, 5, 2, 7)
    assert forecast("naive", x, 3) == [7, 7, 7]
    assert forecast("drift", x, 3) == [9, 11, 13]
    assert forecast("seasonal_naive", x, 3, period=2) == [2, 7, 2]
    assert forecast("seasonal_naive", x, 3) == [7, 7, 7]


def test_simple_smoothing_by_hand():
    """A level alone, alpha 1/2. The first level that errs least over (0, 4) is 0.8 by least squares: errors -l and
    4 - l / 2."""
    assert forecast("autoets", window_of(0, 4), 2, smoothing_C4=[[0.5, 0, 0, 0]]) == pytest.approx([2.4, 2.4])


def test_theta_by_hand():
    """Levels 0, 2, 4 with alpha 1/2 (0, 2, 5 smoothed from 0: 0, 1, 3), the line's slope 5/2, half of it taken."""
    reached = [0 + (1 - 0.125) / 0.5, 1 + (1 - 0.125) / 0.5]
    expected = [3 + 0.5 * 2.5 * h for h in reached]
    assert forecast("autotheta", window_of(0, 2, 5), 2, alpha_C=[0.5], share_C=[0.5]) == pytest.approx(expected)


@pytest.mark.parametrize("trend", TRENDS)
@pytest.mark.parametrize("seasonal", [False, True])
def test_smoothing_is_the_librarys(trend, seasonal):
    """The library started from our first states gives our forecast, and its one-step errors are ours."""
    kind, damped = trend
    L, H, period = 60, 30, 12
    y = waves(L, 1)[:, 0]
    model = AutoETS(NoOptions(), Shape(L, H, 1))
    smoothing = [0.4, 0.05 if kind else 0.0, 0.2 if seasonal else 0.0, 0.9 if damped else float(kind == "add")]
    model.smoothing_C4.copy_(torch.tensor([smoothing]))
    model.seasonal_C.fill_(seasonal)
    model.period.fill_(period)
    first_CLk, _, _ = linear_smoothing(model.smoothing_C4, model.seasonal_C, L, period if seasonal else 1)
    level, slope, *season = (y @ first_CLk[0]).tolist()
    known = {"initial_level": level} | ({"initial_trend": slope} if kind else {})
    theirs = ETSModel(
        y.numpy(),
        trend=kind,
        damped_trend=damped,
        seasonal="add" if seasonal else None,
        seasonal_periods=period if seasonal else None,
        initialization_method="known",
        **known | ({"initial_seasonal": season} if seasonal else {}),
    )
    values = {"smoothing_level": 0.4, "smoothing_trend": 0.05, "smoothing_seasonal": 0.2, "damping_trend": 0.9}
    found = theirs.smooth([values[name] for name in theirs.param_names if name in values])
    np.testing.assert_allclose(model(y[None, :, None])[0, :, 0], found.forecast(H), atol=1e-6)


@pytest.mark.parametrize("seasonal", [False, True])
def test_the_first_states_err_no_more_than_those_the_library_searches(seasonal):
    L, period = 72, 12
    y = waves(L, 1)[:, 0]
    smoothing = torch.tensor([[0.4, 0.05, 0.2 if seasonal else 0.0, 1.0]], dtype=torch.float64)
    theirs = ETSModel(
        y.numpy(), trend="add", seasonal="add" if seasonal else None, seasonal_periods=period if seasonal else None
    )
    fixed = {"smoothing_level": 0.4, "smoothing_trend": 0.05} | ({"smoothing_seasonal": 0.2} if seasonal else {})
    with theirs.fix_params(fixed):
        searched = theirs.fit(disp=False, maxiter=2000)
    first_CLk, _, _ = linear_smoothing(smoothing, torch.tensor([seasonal]), L, period if seasonal else 1)
    level, slope, *season = (y @ first_CLk[0]).tolist()
    known = {"initial_level": level, "initial_trend": slope} | ({"initial_seasonal": season} if seasonal else {})
    ours = ETSModel(
        y.numpy(),
        trend="add",
        seasonal="add" if seasonal else None,
        seasonal_periods=period if seasonal else None,
        initialization_method="known",
        **known,
    ).smooth(list(fixed.values()))
    assert ours.sse <= searched.sse * (1 + 1e-6)
    assert ours.sse == pytest.approx(searched.sse, rel=0.05)


@pytest.mark.parametrize("seasonal", [False, True])
@pytest.mark.parametrize("theta", [1.0, 2.0, 5.0])
def test_theta_is_the_librarys(seasonal, theta):
    """What the library forecasts from the window it was estimated on, ours forecasts with the same alpha."""
    L, H, period = 61, 30, 12
    y = waves(L, 1)[:, 0]
    theirs = ThetaModel(y.numpy(), period=period, deseasonalize=seasonal, use_test=False, method="additive").fit()
    model = AutoTheta(NoOptions(), Shape(L, H, 1))
    model.alpha_C.fill_(float(theirs.params["alpha"]))
    model.share_C.fill_(1 - 1 / theta)
    model.seasonal_C.fill_(seasonal)
    model.period.fill_(period)
    np.testing.assert_allclose(model(y[None, :, None])[0, :, 0], theirs.forecast(H, theta=theta), atol=1e-6)


def test_what_is_estimated_is_what_the_library_estimates():
    values = waves()
    ets, theta = (build(name, {}, Shape(48, 24, 2)) for name in FITTED)
    ets.fit(values.float(), (0, 1))
    theta.fit(values.float(), (0, 1))
    for variate in range(2):
        y = values[:, variate].float().double().numpy()
        seasonal = {"seasonal": "add", "seasonal_periods": 12, "initialization_method": "heuristic"}
        kind = ets.smoothing_C4[variate, 3]
        model = ETSModel(y, trend="add" if kind else None, damped_trend=bool(0 < kind < 1), **seasonal)
        expected = dict(zip(model.param_names, model.fit(disp=False).params, strict=True))
        assert bool(ets.seasonal_C[variate]) and int(ets.period) == 12
        assert float(ets.smoothing_C4[variate, 0]) == pytest.approx(expected["smoothing_level"], abs=1e-6)
        assert float(ets.smoothing_C4[variate, 2]) == pytest.approx(expected["smoothing_seasonal"], abs=1e-6)
        alpha = ThetaModel(y, period=12, method="additive").fit().params["alpha"]
        assert float(theta.alpha_C[variate]) == pytest.approx(alpha, abs=1e-6)
        assert bool(theta.seasonal_C[variate])


def test_the_form_follows_the_series():
    """A random walk is a level alone with alpha near 1; a trend and a season are found where they are."""
    generator = np.random.default_rng(0)
    step = np.arange(600)
    walk = generator.standard_normal(600).cumsum()
    rising = 0.5 * step + generator.standard_normal(600)
    daily = 3 * np.sin(2 * np.pi * step / 24) + generator.standard_normal(600)
    values = torch.from_numpy(np.stack([walk, rising, daily], axis=1)).float()
    model = build("autoets", {}, Shape(96, 24, 3))
    model.fit(values, (0, 1, 2))
    assert model.seasonal_C.tolist()[0] is False and model.seasonal_C.tolist()[2] is True
    assert float(model.smoothing_C4[0, 0]) > 0.8 and float(model.smoothing_C4[0, 3]) == 0
    assert float(model.smoothing_C4[1, 3]) > 0.8


def test_theta_is_chosen_on_the_training_part():
    """Where all goes on rising the whole line counts; where the window's slope is noise, hardly any of it."""
    step = torch.arange(500, dtype=torch.float32)[:, None]
    noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    model = build("autotheta", {}, Shape(48, 24, 2))
    model.fit(torch.tensor([0.1, 0.0]) * step + noise, (0, 1))
    assert float(model.share_C[0]) > 0.9
    assert float(model.share_C[1]) < 0.2


@pytest.mark.parametrize("name", FITTED)
def test_a_real_series_is_forecast_better_than_by_its_last_value(name):
    series, _ = SAMPLES["co2"].open()
    values = torch.from_numpy(np.array(series.values))
    values = (values - values.mean(0)) / values.std(0)
    train, L, H = int(len(values) * 0.7), 208, 52
    model, naive = (build(n, {}, Shape(L, H, values.shape[1])) for n in (name, "naive"))
    model.fit(values[:train], (0,))
    x, y = values[train - L :].unfold(0, L + H, 1).transpose(1, 2).split((L, H), dim=1)
    error, naive_error = (float((m(x) - y)[..., 0].square().mean()) for m in (model, naive))
    assert error < 0.5 * naive_error


@pytest.mark.parametrize("name", NAMES)
def test_the_forecast_moves_with_the_window(name):
    """Level and unit of the window are the forecast's."""
    values = waves().float()
    model = build(name, {}, Shape(48, 24, 2))
    model.fit(values, (0, 1))
    x = values[None, -48:]
    torch.testing.assert_close(model(3 * x + 5), 3 * model(x) + 5, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_only_targets_are_estimated_and_missing_steps_take_the_last_value(name):
    values = waves(variates=3).float()
    values[50:60, 1] = torch.nan
    values[:, 2] = torch.nan
    model = build(name, {}, Shape(48, 24, 3))
    model.fit(values, (0, 1))
    x = values[None, 30:78]
    assert torch.isfinite(model(x)).all()
    torch.testing.assert_close(model(x), model(filled(x)))
    assert (model(x)[..., 2] == 0).all()


def test_missing_steps_by_hand():
    gap = torch.nan
    assert filled(window_of(gap, 1, gap, gap, 4)).flatten().tolist() == [0, 1, 1, 1, 4]


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_file_forecasts_the_same(name, tmp_path):
    values = waves().float()
    shape = Shape(48, 24, 2)
    first, second = build(name, {}, shape), build(name, {}, shape)
    x = values[None, -48:]
    second(x)  # what it has worked out from its first numbers must not outlive them
    first.fit(values, (0, 1))
    write_tensors(tmp_path / "model.safetensors", first.state_dict(), {"scalescope": "{}"})
    second.load_state_dict(load_weights(tmp_path / "model.safetensors"))
    torch.testing.assert_close(second(x), first(x))


@pytest.mark.parametrize("name", NAMES)
def test_a_season_no_window_can_hold_is_not_believed(name):
    """A file from outside may claim any season; the memory it takes is bounded by the window."""
    model = build(name, {}, Shape(48, 24, 2))
    for buffer in ("period", "seasonal_C"):
        if hasattr(model, buffer):
            getattr(model, buffer).fill_(True if buffer == "seasonal_C" else 10**15)
    assert torch.isfinite(model(waves(48)[None].float())).all()


@pytest.mark.parametrize("name", FITTED)
def test_too_few_rows_are_refused(name):
    model = build(name, {}, Shape(4, 2, 1))
    with pytest.raises(UserError, match="10 rows or more, and the training part has 8"):
        model.fit(waves(8, 1).float(), (0,))


@pytest.mark.parametrize("name", FITTED)
@pytest.mark.parametrize("rows", [10, 14, 30])
def test_few_rows_and_a_constant_are_enough(name, rows):
    values = waves(rows, 2).float()
    values[:, 1] = 2.0
    model = build(name, {}, Shape(6, 3, 2))
    model.fit(values, (0, 1))
    found = model(values[None, -6:])
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[..., 1], torch.full((1, 3), 2.0))


def test_a_gradient_passes_to_the_window():
    """Explanations ask for it, also after a forecast in inference mode made the matrices."""
    model = build("autoets", {}, Shape(48, 24, 2))
    model.fit(waves().float(), (0, 1))
    x = waves(48)[None].float()
    with torch.inference_mode():
        model(x)
    x.requires_grad_(True)
    model(x).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
