"""The strip of lags: what the browser tells of strokes and clicks becomes the lags of the rule."""

import pytest

from core.ui.charts.lags import Strokes, over, strip
from core.ui.theme import COLORS


def drawn(*messages: tuple[tuple[float, ...], tuple[int, ...]], lags: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The lags after these messages, each the span and the clicked lags as the browser holds them."""
    strokes = Strokes()
    for span, clicked in messages:
        selection = {"span": {"from": list(span)} if span else {}, "one": [{"lag": lag} for lag in clicked]}
        strokes, lags = strokes.then(selection, lags)
    return lags


@pytest.mark.parametrize(
    ("span", "lags"),
    [((4.1, 4.3), [4]), ((6.2, 3.9), [4, 5, 6]), ((0.5, 2.5), [1, 2]), ((99.4, 100.5), [99, 100])],
)
def test_a_stroke_takes_the_lags_that_it_touches(span, lags):
    assert list(over(span)) == lags


def test_a_stroke_adds_and_over_chosen_lags_takes_out():
    assert drawn(((9.8, 12.1), ())) == (10, 11, 12)
    assert drawn(((10.8, 11.3), ()), lags=(10, 11, 12)) == (10, 12)
    assert drawn(((10.8, 13.3), ()), lags=(10, 11, 12)) == (10, 11, 12, 13)


def test_a_slow_stroke_in_pieces_is_one_stroke():
    """The first piece over chosen lags took them out, and the next, no longer all chosen, put them back."""
    pieces = (((20.2, 18.0), ()), ((20.2, 15.0), ()), ((20.2, 10.0), ()))
    assert drawn(*pieces, lags=tuple(range(5, 25))) == (*range(5, 10), *range(21, 25))
    assert drawn(*pieces) == tuple(range(10, 21))


def test_a_stroke_that_goes_on_where_the_last_one_ended_keeps_it():
    assert drawn(((30.0, 40.0), ()), ((40.0, 45.0), ())) == tuple(range(30, 46))


def test_a_click_turns_one_lag():
    """Clicks come as a set that each click turns; the first after a stroke was lost with the stroke's end."""
    assert drawn(((), (5,)), ((), (5, 7)), ((), (7,))) == (7,)
    assert drawn(((9.8, 12.1), ()), ((), (5,))) == (5, 10, 11, 12)
    assert drawn(((9.8, 12.1), ()), ((), (11,))) == (10, 12)


def test_the_click_that_ends_a_stroke_changes_nothing():
    assert drawn(((5.1, 5.3), ()), ((5.1, 5.3), (5,))) == (5,)
    assert drawn(((5.1, 5.3), (5,))) == (5,)


@pytest.mark.parametrize(("lags", "last"), [((), 100), ((3,), 100), ((3, 240), 240)])
def test_the_strip_shows_a_hundred_lags_or_as_far_as_the_rule_reaches(lags, last):
    table = strip(lags, COLORS["light"], drawn=True).to_dict()["datasets"]
    rows = next(iter(table.values()))
    assert [row["lag"] for row in rows] == list(range(1, last + 1))
    assert [row["lag"] for row in rows if row["rule"]] == list(lags)


def test_only_an_own_rule_can_be_drawn():
    assert "params" not in strip((3,), COLORS["dark"], drawn=False).to_dict()
    assert {each["name"] for each in strip((3,), COLORS["dark"], drawn=True).to_dict()["params"]} == {"span", "one"}
