"""LMS-AutoTSF: agrees with its public code; its filters are those of the discrete Fourier transform."""

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.explain.parity import check
from core.models.contract import Shape
from core.models.lmsautotsf import LMSAutoTSF, fourier
from core.models.registry import build


def model(lookback: int = 32, **options) -> LMSAutoTSF:
    torch.manual_seed(0)
    built = build("lmsautotsf", {"width": 8} | options, Shape(lookback, 12, 3))
    assert isinstance(built, LMSAutoTSF)
    with torch.no_grad():  # a trained model's filters differ from variate to variate
        built.cutoff.uniform_(0.05, 0.45)
        built.steepness.uniform_(-5, 40)
    return built.eval()


def windows(batch: int = 4, lookback: int = 32, variates: int = 3) -> torch.Tensor:
    return torch.randn(batch, lookback, variates, generator=torch.Generator().manual_seed(1)).cumsum(1)


def test_agrees_with_the_public_code(shared):
    assert check(shared / "parity" / "lmsautotsf_a.safetensors")["passed"]


def test_has_as_many_parameters_as_the_public_code():
    assert sum(p.numel() for p in build("lmsautotsf", {}, Shape(96, 96, 7)).parameters()) == 506_950


@pytest.mark.parametrize("points", [1, 2, 3, 12, 25])
def test_the_basis_is_orthonormal_and_knows_its_frequencies(points):
    basis, pairs = fourier(points)
    torch.testing.assert_close(basis.T @ basis, torch.eye(points, dtype=torch.float64))
    assert sorted(pairs[0].abs().tolist()) == pytest.approx(sorted(torch.fft.fftfreq(points).abs().tolist()))


@pytest.mark.parametrize("lookback", [32, 37, 101])
@pytest.mark.parametrize("frequencies", ["absolute", "signed"])
def test_the_split_by_matrices_is_the_filter_of_the_complex_spectrum(lookback, frequencies):
    net, z = model(lookback, frequencies=frequencies), windows(lookback=lookback).permute(2, 0, 1)
    with torch.no_grad():
        for fast, plain in zip(net._split(z), net._split_plainly(z), strict=True):
            torch.testing.assert_close(fast, plain, atol=2e-5, rtol=1e-5)


def test_a_wave_goes_to_the_side_of_the_cutoff_that_it_lies_on():
    """One turn in 32 points is below a cutoff of 0.2 cycles a point, eight turns are above it."""
    net, time = model(scales=1), torch.arange(32)
    with torch.no_grad():
        net.cutoff.fill_(0.2)
        net.steepness.fill_(1000)
        slow, fast = (torch.sin(2 * torch.pi * turns * time / 32) for turns in (1, 8))
        seasonal, trend = net._split((slow + fast).expand(3, 1, 32))[0]
    torch.testing.assert_close(trend[0, 0], slow, atol=1e-5, rtol=0)
    torch.testing.assert_close(seasonal[0, 0], fast, atol=1e-5, rtol=0)


@pytest.mark.parametrize("normalise", [True, False])
def test_training_and_evaluation_forecast_alike(normalise):
    net, x = model(dropout=0.0, normalise=normalise), windows()
    with torch.no_grad():
        torch.testing.assert_close(net.train()(x), net.eval()(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{"normalise": False}, {"mix_variates": False}, {"scales": 1}, {"factor": 3}])
def test_contributions_sum_to_the_forecast(options):
    net, x = model(**options), windows()
    trace = net.trace(x)
    with torch.no_grad():
        np.testing.assert_allclose(trace.forecast, net(x).numpy(), atol=1e-5)
    assert len(trace.scales) == options.get("scales", 4)


def test_unmixed_variates_do_not_see_each_other():
    net, x = model(mix_variates=False), windows()
    other = x.clone()
    other[..., 0] = 3.0
    with torch.no_grad():
        torch.testing.assert_close(net(other)[..., 1:], net(x)[..., 1:])


def test_what_cannot_work_is_refused_with_what_does():
    with pytest.raises(UserError, match="4 scales"):
        build("lmsautotsf", {"scales": 5}, Shape(12, 4, 2))
