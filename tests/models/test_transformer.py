"""Transformer: steps are tokens, two heads, two attentions, and too large a head is refused with what works."""

import pytest
import torch

from core.errors import UserError
from core.models.contract import Shape
from core.models.registry import build


def small(shape: Shape, **options):
    torch.manual_seed(0)
    return build("transformer", {"width": 16, "heads": 2, "hidden": 12} | options, shape).eval()


@pytest.mark.parametrize("head", ["flatten", "factored"])
@pytest.mark.parametrize("attention", ["full", "score"])
def test_every_option_traces_what_it_forecasts(head, attention):
    model = small(Shape(20, 6, 3), head=head, attention=attention)
    x = torch.randn(4, 20, 3, generator=torch.Generator().manual_seed(1)).cumsum(1)
    trace = model.trace(x)
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(trace.forecast), model(x), atol=1e-5, rtol=0)
        for use in ("uniform", "permuted"):
            assert not torch.allclose(model(x, attention=use), model(x), atol=1e-7)
    assert len(trace.maps) == (4 if attention == "full" else 2)
    for found in trace.maps:
        assert found.variate is None and found.over_time == (attention == "full")
        assert abs(found.weights.sum(-1) - 1).max() < 1e-5
    assert model.capabilities.time_saliency == (attention == "full")


def test_the_heads_are_as_large_as_they_say():
    def head_size(**options) -> int:
        model = small(Shape(20, 6, 3), **options)
        return sum(p.numel() for p in model.head.parameters())

    assert head_size(head="flatten") == (20 * 16 + 1) * 6 * 3
    assert head_size(head="factored") == (16 + 1) * 3 + (20 + 1) * 6


@pytest.mark.parametrize(
    "shape, options, words",
    [
        (Shape(720, 720, 7), {"width": 128}, "factored head, or a horizon of 77"),
        (Shape(720, 1, 862), {"width": 128}, r"factored head\."),
        (Shape(24, 6, 3), {"heads": 3}, "2 heads, or a width of 18"),
    ],
)
def test_what_cannot_work_is_refused_with_what_does(shape, options, words):
    with pytest.raises(UserError, match=words):
        small(shape, **options)


def test_the_largest_window_works_with_the_factored_head():
    model = small(Shape(720, 720, 7), head="factored", layers=1)
    with torch.no_grad():
        assert model(torch.randn(1, 720, 7)).shape == (1, 720, 7)
