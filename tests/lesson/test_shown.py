"""Numbers that the lesson's stops lean on, which another choice of width or seed could turn around."""

import pytest

from core.lesson import pretrained
from core.lesson.models import SHIPPED, leaked


def scores(name: str) -> dict[str, float]:
    return pretrained.card(name)["scores"]


def test_the_published_attention_of_the_first_model_is_no_better_than_chance():
    found = scores("crossscalenet-syn5")
    assert found["Published attention"] < 1.5 * found["Uniform (control)"]
    assert found["Contributions"] > 0.9 and found["Gradient"] > 0.95 and found["Occlusion"] > 0.9


def test_and_yet_the_forecast_needs_it():
    """Uniform attention is no small change on the known sets: the map is wrong though the attention is used."""
    assert pretrained.card("crossscalenet-syn5")["relevance"]["uniform"] > 1


def test_the_untrained_model_has_the_same_specification():
    one, other = (SHIPPED[name] for name in ("crossscalenet-syn5", "crossscalenet-broken"))
    assert (one.config, one.recipe, one.horizon) == (other.config, other.recipe, other.horizon)
    assert scores("crossscalenet-broken")["Gradient"] < 2 * scores("crossscalenet-broken")["Uniform (control)"]


def test_the_leak_gives_an_error_that_the_noise_forbids():
    truth = leaked().truth
    assert truth is not None
    forbidden = truth["noise"] ** 2 / (1 + truth["noise"] ** 2)
    assert pretrained.card("crossscalenet-leak")["metrics"]["mse"] < 0.2 * forbidden
    found = pretrained.stored("crossscalenet-leak")
    assert found is not None and found.share_of("leak") > 0.5


def test_the_own_past_hides_the_rule_that_the_same_model_finds_without_it():
    with_past, without = scores("crossscalenet-past"), scores("crossscalenet-syn5")
    assert with_past["Gradient"] < 0.5 * without["Gradient"]


@pytest.mark.parametrize("name", [name for name, one in SHIPPED.items() if one.trained and one.series().truth])
def test_each_forecasts_better_than_the_mean_unless_it_cannot_see_the_causes(name):
    mse = pretrained.card(name)["metrics"]["mse"]
    assert mse < 0.8 or SHIPPED[name].model == "patchtst"
