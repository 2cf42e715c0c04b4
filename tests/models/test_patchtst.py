"""PatchTST: agrees with the Time-Series-Library's code, sees each variate alone, and takes CASA's score instead."""

import pytest
import torch

from core.errors import UserError
from core.explain.parity import check
from core.models.contract import Shape
from core.models.patchtst import PatchTST
from core.models.registry import build, configure
from core.training.recipes import preset, preset_options

SHAPE = Shape(40, 6, 3)


def small(shape: Shape = SHAPE, **options):
    torch.manual_seed(0)
    return build("patchtst", {"width": 8, "heads": 2, "hidden": 12, "layers": 2} | options, shape).eval()


def windows(batch: int = 4, lookback: int = 40) -> torch.Tensor:
    return torch.randn(batch, lookback, 3, generator=torch.Generator().manual_seed(1)).cumsum(1)


def test_agrees_with_the_public_code(shared):
    assert check(shared / "parity" / "patchtst_a.safetensors")["passed"]


def test_variates_do_not_see_each_other():
    model, x = small(), windows()
    other = x.clone()
    other[..., 1] += torch.randn(4, 40)
    with torch.no_grad():
        torch.testing.assert_close(model(other)[..., [0, 2]], model(x)[..., [0, 2]])


@pytest.mark.parametrize("lookback, patches", [(96, 12), (101, 12), (16, 2), (336, 42)])
def test_every_step_lies_in_a_patch(lookback, patches):
    (grid,) = PatchTST.grids(configure("patchtst", {}), lookback)
    assert grid.patches == patches
    assert (grid.patches - 1) * grid.stride + grid.patch >= lookback


@pytest.mark.parametrize("attention", ["full", "score"])
@pytest.mark.parametrize("lookback", [40, 45])
def test_both_attentions_trace_what_they_forecast(attention, lookback):
    model, x = small(Shape(lookback, 6, 3), attention=attention), windows(lookback=lookback)
    trace = model.trace(x)
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(trace.forecast), model(x), atol=1e-5, rtol=0)
        for use in ("uniform", "permuted"):
            assert not torch.allclose(model(x, attention=use), model(x), atol=1e-7)
    assert {m.variate for m in trace.maps} == {0, 1, 2}
    assert len(trace.maps) == 3 * 2 * (2 if attention == "full" else 1)
    for found in trace.maps:
        assert abs(found.weights.sum(-1) - 1).max() < 1e-5
        assert found.over_time == (attention == "full")
    assert trace.maps[0].key.spans[1].tolist() == [8, 24]
    assert trace.maps[0].key.spans.max() == lookback


def test_maps_belong_to_their_variate():
    """A variate forecast alone has the maps it has among others."""
    model, alone, x = small(), small(Shape(40, 6, 1)), windows()
    alone.load_state_dict(model.state_dict())
    among = [m.weights for m in model.trace(x).maps if m.variate == 1]
    by_itself = [m.weights for m in alone.trace(x[..., 1:2]).maps]
    for one, other in zip(among, by_itself, strict=True):
        assert abs(one - other).max() < 1e-6


def test_with_a_score_the_model_declares_no_time_saliency():
    assert small().capabilities.saliency == ("rollout",)
    scored = small(attention="score").capabilities
    assert not scored.time_saliency and scored.attention and "time" in scored.reason


def test_the_papers_recipe():
    recipe, config = preset("published", "patchtst", "ETTh1"), configure("patchtst", {})
    assert (recipe.learning_rate, recipe.batch_size, recipe.schedule, recipe.epochs) == (1e-4, 128, "fading", 100)
    assert (config.width, config.heads, config.hidden, config.layers, config.dropout) == (16, 4, 128, 3, 0.3)
    assert preset_options("published", "patchtst", "weather")["width"] == 128


@pytest.mark.parametrize(
    "options, words",
    [
        ({"patch": 50}, "patch 40"),
        ({"heads": 3}, "2 heads, or a width of 9"),
        ({"width": 6, "heads": 2, "attention": "score"}, "width 8"),
    ],
)
def test_what_cannot_work_is_refused_with_what_does(options, words):
    with pytest.raises(UserError, match=words):
        small(**options)
