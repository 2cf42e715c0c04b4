"""Learning rates by epoch, as the papers' own codes set them."""

import pytest

from core.training.loop import TrainingState, make_model
from core.training.spec import Recipe


def test_fading_begins_at_the_fourth_epoch(waves, small_spec):
    """PatchTST's own schedule on ETTh."""
    recipe = Recipe(name="test", schedule="fading", warmup=0, learning_rate=1e-4, batch_size=64, epochs=5)
    state = TrainingState(make_model(small_spec(waves)), recipe, 130, "cpu")
    rates = []
    for epoch in range(5):
        state.steps = epoch * state.batches
        rates.append(state.learning_rate())
    assert rates == pytest.approx([1e-4, 1e-4, 1e-4, 0.9e-4, 0.81e-4])
