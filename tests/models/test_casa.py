"""CASA: agrees with its public code, is as large, and refuses what a score cannot be built of."""

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.explain.parity import check
from core.models.casa import CASA
from core.models.contract import Shape
from core.models.registry import build
from core.training.recipes import preset, preset_options


def test_agrees_with_the_public_code(shared):
    assert check(shared / "parity" / "casa_a.safetensors")["passed"]


@pytest.mark.parametrize("dataset, count", [("ETTh1", 137_703), ("ETTh2", 496_487)])
def test_has_as_many_parameters_as_the_public_code(dataset, count):
    model = build("casa", preset_options("published", "casa", dataset), Shape(96, 96, 7))
    assert sum(p.numel() for p in model.parameters()) == count


def test_the_papers_recipe():
    recipe = preset("published", "casa", "ETTh2")
    assert (recipe.learning_rate, recipe.batch_size, recipe.schedule, recipe.warmup) == (1e-4, 64, "cosine", 0)
    assert (recipe.optimizer, recipe.epochs, recipe.patience) == ("adam", 20, 5)
    assert preset_options("published", "casa", "ETTm1") == {"width": 512, "kernel": 13, "layers": 2}


def test_the_map_says_how_much_each_variate_counts_for_each_feature():
    torch.manual_seed(0)
    model = build("casa", {"width": 16, "layers": 2}, Shape(24, 6, 3)).eval()
    x = torch.randn(2, 24, 3).cumsum(1)
    maps = model.trace(x).maps
    assert [(m.branch, m.layer, m.query.kind, m.key.kind) for m in maps] == [
        ("score", 0, "feature", "variate"),
        ("score", 1, "feature", "variate"),
    ]
    assert maps[0].weights.shape == (2, 16, 3)
    np.testing.assert_allclose(maps[0].weights.sum(-1), 1, atol=1e-5)
    assert not CASA.capabilities.time_saliency and "time axis" in CASA.capabilities.reason


@pytest.mark.parametrize(
    "options, words",
    [({"width": 100}, "width 96"), ({"kernel": 4}, "kernel 5"), ({"width": 4}, "greater than or equal to 8")],
)
def test_what_cannot_work_is_refused_with_what_does(options, words):
    with pytest.raises(UserError, match=words):
        build("casa", options, Shape(96, 24, 7))
