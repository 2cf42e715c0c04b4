"""Specs are validated before anything starts, and estimates are measured."""

import pytest
from pydantic import ValidationError

from core.errors import UserError
from core.models.registry import architecture
from core.training.estimate import estimate
from core.training.recipes import preset, preset_lookback
from core.training.spec import PRESETS, Recipe, Spec, Split
from tests.conftest import sine_series


def test_the_usual_split_is_seventy_ten_twenty(waves):
    split = Split.of(waves)
    assert (split.train, split.validation, split.test) == (280, 320, 400)


def test_borders_must_rise():
    with pytest.raises(ValidationError):
        Split(train=100, validation=90, test=120)


def test_an_unknown_field_is_an_error(waves, small_spec):
    with pytest.raises(ValidationError):
        small_spec(waves, loockback=96)


def test_a_spec_survives_its_json(waves, small_spec):
    spec = small_spec(waves)
    assert Spec.model_validate_json(spec.model_dump_json()) == spec


def test_every_preset_is_a_recipe_and_published_is_the_papers():
    assert [preset(name).name for name in PRESETS] == list(PRESETS)
    published = preset("published", "crossscalenet")
    assert (published.optimizer, published.learning_rate, published.schedule) == ("adam", 1e-4, "halving")
    assert (published.batch_size, published.epochs, published.patience) == (32, 20, 3)


def test_a_long_lookback_of_ours_is_proposed_only_where_the_rows_are_there():
    long = architecture("dlinear").ours_lookback
    assert preset_lookback("balanced", "dlinear") == preset_lookback("balanced", "dlinear", rows=8640) == long > 96
    assert preset_lookback("balanced", "dlinear", rows=8 * long - 1) == 96
    assert preset_lookback("quick", "dlinear", rows=200) == 50
    assert preset_lookback("published", "dlinear", rows=8640) == 96, "the paper's own is not ours to change"


def test_an_architecture_changes_fields_of_our_recipes_only():
    usual, own = preset("balanced"), architecture("dlinear").ours_recipe
    assert preset("balanced", "dlinear") == usual.model_copy(update=dict(own)) != usual
    assert preset("published", "dlinear").optimizer == "adam"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"lookback": 500, "horizon": 8}, "look-back 272"),
        ({"lookback": 32, "horizon": 300}, "nearest that works"),
        ({"variates": ("nothing",), "targets": ("nothing",)}, "'nothing'"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_what_can(waves, small_spec, changes, words):
    with pytest.raises(UserError, match=words):
        small_spec(waves, **changes).check(waves)


def test_the_nearest_that_works_works(waves, small_spec):
    small_spec(waves, lookback=272, horizon=8).check(waves)


def test_estimate_is_measured_and_grows_with_the_work(waves, small_spec):
    small, large = small_spec(waves), small_spec(waves, config={"scales": 3, "patch": 8, "width": 512})
    one, other = estimate(small, len(waves)), estimate(large, len(waves))
    assert one.seconds > 0 and one.steps == 4
    assert other.parameters > one.parameters and other.memory_mb > one.memory_mb


def test_a_frozen_encoder_without_pretraining_is_refused_before_anything_starts(small_spec):
    series = sine_series(900)
    about = {"model": "scalefusion", "lookback": 64, "config": {"encoder": "frozen"}}
    with pytest.raises(UserError, match="1 pretraining epoch"):
        small_spec(series, **about).check(series)
    small_spec(series, recipe=Recipe(pretrain_epochs=1), **about).check(series)


def test_what_an_architecture_cannot_do_is_part_of_the_check(waves, small_spec):
    with pytest.raises(UserError, match="nearest that works: patch 32"):
        small_spec(waves, config={"patch": 40}).check(waves)
