"""What the pages say about an architecture agrees with what it declares."""

import pytest

from core.errors import UserError
from core.models.contract import Shape
from core.models.registry import architectures, build
from core.ui import cards


@pytest.mark.parametrize("name", list(architectures()))
def test_marks_and_abilities_agree_with_the_capabilities(name):
    kind = architectures()[name]
    said = {title: (able, how) for able, title, how in cards.abilities(kind)}
    assert said["Time saliency"][0] == ("time saliency" in cards.marks(kind)) == kind.capabilities.time_saliency
    assert all(how.strip() for _, how in said.values())


@pytest.mark.parametrize("name", list(architectures()))
def test_the_size_is_that_of_a_model_that_was_built(name):
    kind, shape = architectures()[name], Shape(96, 24, 3)
    count = cards.parameters(kind, {}, shape)
    if kind.capabilities.fitted:
        assert count is None
    else:
        assert count == sum(p.numel() for p in build(name, {}, shape).parameters())


def test_what_cannot_work_says_why_instead_of_a_size():
    kind = architectures()["crossscalenet"]
    with pytest.raises(UserError, match="nearest that works"):
        cards.parameters(kind, {"scales": 6, "factor": 8}, Shape(96, 24, 3))
    size, refused = cards.standing(kind, {"scales": 6, "factor": 8}, Shape(96, 24, 3))
    assert size == "" and "nearest that works" in refused


def test_a_link_to_an_unknown_architecture_shows_the_nearest():
    assert cards.known("crosscalenet", ["casa", "crossscalenet"])[0] == "crossscalenet"
    assert "no architecture called 'crosscalenet'" in cards.known("crosscalenet", ["casa", "crossscalenet"])[1]
    assert cards.known("casa", ["casa"]) == ("casa", "")
    assert cards.known(None, ["casa"]) == (None, "")
