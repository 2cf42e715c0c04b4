"""Models shows every architecture with the shapes of what was chosen, and a link to each."""

import pytest

from core.models.registry import architectures
from tests.pages.conftest import sound, words


@pytest.mark.parametrize("name", list(architectures()))
def test_every_architecture_is_shown_with_what_it_claims_and_may_not(app, name):
    kind = architectures()[name]
    at = sound(app("models", model=name))
    assert not at.warning and not at.error
    said = words(at)
    for part in (kind.summary, kind.claims, kind.limits, kind.source, f"Data flow of {kind.title}"):
        assert " ".join(part.split()) in said
    assert at.query_params["model"] == name
    for part in ("Options", "Published settings", "All architectures"):
        at.radio(key="models-part").set_value(part).run()
        sound(at)
    table = at.dataframe[-1].value
    assert set(table["architecture"]) == {k.title for k in architectures().values()}


def test_an_unknown_architecture_shows_the_nearest_and_says_so(app):
    at = sound(app("models", model="crosscalenet"))
    assert "no architecture called" in words(at)
    assert "Data flow of CrossScaleNet" in words(at)


def test_the_window_that_is_typed_changes_the_shapes_and_what_cannot_work_is_explained(app):
    at = sound(app("models", model="crossscalenet"))
    at.number_input(key="models-crossscalenet--lookback").set_value(48).run()
    table = sound(at).dataframe[0].value
    assert table["what leaves it"].iloc[0] == "B × 48 × 7"
    at.number_input(key="models-crossscalenet--lookback").set_value(3).run()
    assert "nearest that works" in words(sound(at))


def test_another_architecture_is_one_choice_away(app):
    at = sound(app("models", model="crossscalenet"))
    other = next(name for name in architectures() if name != "crossscalenet")
    at.selectbox(key="models-model").set_value(other).run()
    assert sound(at).query_params["model"] == other


def test_a_link_to_a_run_that_is_gone_says_so(app):
    at = sound(app("models", run="20200101-000000000-abcdef"))
    assert "not stored here" in words(at)
    assert "Data flow of CrossScaleNet" in words(at)
