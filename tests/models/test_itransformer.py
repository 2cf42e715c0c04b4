"""iTransformer: agrees with its public code, is as large, treats variates alike, and takes CASA's score instead."""

import pytest
import torch

from core.errors import UserError
from core.explain.parity import check
from core.models.contract import Shape
from core.models.registry import build
from core.training.recipes import preset_options


def small(**options):
    torch.manual_seed(0)
    return build("itransformer", {"width": 16, "heads": 4, "hidden": 24} | options, Shape(24, 6, 3)).eval()


def windows(batch: int = 4) -> torch.Tensor:
    return torch.randn(batch, 24, 3, generator=torch.Generator().manual_seed(1)).cumsum(1)


def test_agrees_with_the_public_code(shared):
    assert check(shared / "parity" / "itransformer_a.safetensors")["passed"]


@pytest.mark.parametrize("dataset, count", [("ETTh1", 841_568), ("ETTh2", 224_224)])
def test_has_as_many_parameters_as_the_public_code(dataset, count):
    model = build("itransformer", preset_options("published", "itransformer", dataset), Shape(96, 96, 7))
    assert sum(p.numel() for p in model.parameters()) == count


def test_variates_in_another_order_are_forecast_in_that_order():
    model, x, order = small(), windows(), [2, 0, 1]
    with torch.no_grad():
        torch.testing.assert_close(model(x[..., order]), model(x)[..., order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["full", "score"])
@pytest.mark.parametrize("activation, normalise", [("gelu", True), ("relu", False)])
def test_both_attentions_trace_what_they_forecast(attention, activation, normalise):
    model, x = small(attention=attention, activation=activation, normalise=normalise), windows()
    trace = model.trace(x)
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(trace.forecast), model(x), atol=1e-5, rtol=0)
        for use in ("uniform", "permuted"):
            assert not torch.allclose(model(x, attention=use), model(x), atol=1e-7)
    kinds = {(m.branch, m.query.kind, m.key.kind) for m in trace.maps}
    assert kinds == {("self", "variate", "variate") if attention == "full" else ("score", "feature", "variate")}
    assert len(trace.maps) == (2 * 4 if attention == "full" else 2)
    for found in trace.maps:
        assert abs(found.weights.sum(-1) - 1).max() < 1e-5


@pytest.mark.parametrize(
    "options, words",
    [
        ({"heads": 5}, "4 heads, or a width of 20"),
        ({"width": 18, "attention": "score"}, "width 16"),
        ({"kernel": 4, "attention": "score"}, "kernel 5"),
    ],
)
def test_what_cannot_work_is_refused_with_what_does(options, words):
    with pytest.raises(UserError, match=words):
        small(**options)
