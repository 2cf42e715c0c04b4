"""SOFTS: agrees with its public code, draws the core by the weights it shows, and treats variates alike."""

import json

import pytest
import torch
from safetensors import safe_open

from core.explain.parity import check
from core.models.contract import Shape
from core.models.registry import build
from core.models.softs import SOFTS, drawn


def small(**options):
    torch.manual_seed(0)
    return build("softs", {"width": 16, "core": 8, "hidden": 16} | options, Shape(24, 6, 3)).eval()


def windows(batch: int = 4) -> torch.Tensor:
    return torch.randn(batch, 24, 3, generator=torch.Generator().manual_seed(1)).cumsum(1)


def test_agrees_with_the_public_code(shared):
    assert check(shared / "parity" / "softs_a.safetensors")["passed"]


def test_maps_every_weight_of_the_public_code(shared):
    with safe_open(shared / "parity" / "softs_a.safetensors", "pt") as file:
        weights = {k.removeprefix("weights/"): file.get_tensor(k) for k in file.keys() if k.startswith("weights/")}  # noqa: SIM118
        model = SOFTS.from_public(json.loads(file.metadata()["config"]), weights)
    assert sum(p.numel() for p in model.parameters()) == sum(w.numel() for w in weights.values())


def test_the_core_is_drawn_by_the_weights():
    torch.manual_seed(0)
    weights = torch.tensor([0.1, 0.6, 0.3])[None, :, None].expand(1, 3, 20_000)
    ones = drawn(weights)
    assert (ones.sum(1) == 1).all()
    torch.testing.assert_close(ones.mean(-1)[0], weights[0, :, 0], atol=0.02, rtol=0)


def test_training_draws_and_evaluation_does_not():
    model, x = small(), windows()
    with torch.no_grad():
        assert torch.equal(model(x), model(x))
        model.train()
        assert not torch.equal(model(x), model(x))


def test_variates_in_another_order_are_forecast_in_that_order():
    model, x, order = small(layers=2), windows(), [2, 0, 1]
    with torch.no_grad():
        torch.testing.assert_close(model(x[..., order]), model(x)[..., order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("normalise", [True, False])
def test_a_normalised_window_moves_with_its_level(normalise):
    model, x = small(normalise=normalise), windows()
    with torch.no_grad():
        moved = torch.allclose(model(x + 5), model(x) + 5, atol=1e-4)
    assert moved is normalise
