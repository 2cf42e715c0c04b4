"""Edits of an input window: what each kind does, what is refused in words, and their text in a link."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.data.edits import KINDS, LARGEST, MOST, Edit, apply, edit, read, write
from core.errors import UserError

NAMES = ("load", "oil ~ !°C")
WINDOW = np.array([[1, 10], [2, 20], [3, 30], [6, np.nan], [8, 50]], np.float32)


def done(*edits: tuple) -> np.ndarray:
    return apply(WINDOW, NAMES, [Edit(kind=k, variate=v, start=a, stop=b, value=x) for k, v, a, b, x in edits])


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (("set", "load", 1, 3, 7), [1, 7, 7, 6, 8]),
        (("shock", "load", 4, 5, -3), [1, 2, 3, 6, 5]),
        (("shift", "load", 0, 2, 0.5), [1.5, 2.5, 3, 6, 8]),
        (("scale", "load", 0, 3, 3), [-1, 2, 5, 6, 8]),
        (("mask", "load", 3, 5, 0), [1, 2, 3, 4, 4]),
    ],
)
def test_each_kind_does_what_it_says_and_nothing_else(change: tuple, column: list[float]) -> None:
    changed = done(change)
    assert changed[:, 0].tolist() == column
    np.testing.assert_array_equal(changed[:, 1], WINDOW[:, 1])


def test_edits_follow_each_other_and_the_last_can_be_taken_off() -> None:
    edits = [("shift", "load", 0, 5, 1), ("scale", "load", 0, 5, 0), ("mask", NAMES[1], 2, 4, 0)]
    assert done(*edits)[:, 0].tolist() == [5] * 5
    assert done(*edits[:1])[:, 0].tolist() == [2, 3, 4, 7, 9]
    np.testing.assert_array_equal(done(), WINDOW)


def test_a_mask_is_the_mean_of_the_window_before_any_edit() -> None:
    assert done(("set", "load", 0, 1, 1000), ("mask", "load", 1, 2, 0))[1, 0] == 4


def test_the_window_itself_is_never_changed() -> None:
    before = WINDOW.copy()
    done(("set", "load", 0, 5, 9))
    np.testing.assert_array_equal(WINDOW, before)
    assert not np.shares_memory(done(), WINDOW)


def test_missing_steps_are_filled_by_set_and_mask_and_left_missing_by_the_others() -> None:
    assert done(("set", NAMES[1], 3, 4, 40))[3, 1] == 40
    assert done(("mask", NAMES[1], 3, 4, 0))[3, 1] == pytest.approx(27.5)
    shifted = done(("shift", NAMES[1], 2, 5, 1))[:, 1]
    assert np.isnan(shifted[3]) and shifted[4] == 51
    assert done(("scale", NAMES[1], 2, 5, 0))[2, 1] == 40
    with pytest.raises(UserError, match=r"Step 3 of .* is missing.*Set a value"):
        done(("shock", NAMES[1], 3, 4, 1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("set", "gone", 0, 1, 1), r"no variate 'gone'.*load"),
        (("set", "load", 5, 6, 1), r"do not lie in this window.*0 to 4"),
        (("set", "load", -1, 1, 1), "do not lie in this window"),
        (("shift", "load", 3, 9, 1), "do not lie in this window"),
        (("shift", "load", 3, 3, 1), "run backwards"),
        (("shift", "load", 3, 1, 1), "run backwards"),
        (("shock", "load", 0, 2, 1), "one step; 2 are chosen"),
        (("set", "load", 0, 1, math.nan), "not a number"),
        (("shift", "load", 0, 1, math.inf), "infinite"),
        (("scale", "load", 0, 1, -math.inf), "infinite"),
        (("set", "load", 0, 1, 1e39), "larger than"),
        (("scale", "load", 0, 5, 1e308), "larger than"),
        (("shift", "load", 0, 5, LARGEST * 1.001), "larger than"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(change: tuple, said: str) -> None:
    with pytest.raises(UserError, match=said):
        done(change)


def test_sums_of_large_edits_are_refused_too() -> None:
    with pytest.raises(UserError, match="larger than"):
        done(("set", "load", 0, 1, 3e38), ("shift", "load", 0, 1, 3e38))


def test_a_window_without_any_value_has_no_mean() -> None:
    empty = np.full((3, 1), np.nan, np.float32)
    with pytest.raises(UserError, match="no mean"):
        apply(empty, ["a"], [Edit(kind="mask", variate="a", start=0, stop=2)])


def test_too_many_edits_are_refused() -> None:
    one = Edit(kind="shift", variate="load", start=0, stop=1, value=0.5)
    assert apply(WINDOW, NAMES, [one] * MOST)[0, 0] == 1 + MOST / 2
    with pytest.raises(UserError, match="too many"):
        apply(WINDOW, NAMES, [one] * (MOST + 1))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (("shift", "load", None, 3, 1.0), "No step is chosen"),
        (("shift", "load", 0, 3, None), "amount is empty"),
        (("set", "load", 0, 3, None), "value is empty"),
        (("set", "load", 0, 3, "much"), "'much'"),
        (("set", "load", 0.5, 3, 1.0), "start.*'0.5'"),
        (("blow up", "load", 0, 3, 1.0), "no change called 'blow up'"),
    ],
)
def test_empty_and_foreign_fields_are_refused_in_words(fields: tuple, said: str) -> None:
    with pytest.raises(UserError, match=said):
        edit(*fields)


edits = some.builds(
    Edit,
    kind=some.sampled_from(KINDS),
    variate=some.text(max_size=12),
    start=some.integers(0, 9999),
    stop=some.integers(0, 9999),
    value=some.floats(allow_nan=False, allow_infinity=False),
)


@given(some.lists(edits, max_size=5))
def test_a_link_brings_back_the_same_edits(given: list[Edit]) -> None:
    found = read(write(given))
    kept = tuple(e if e.kind != "mask" else e.model_copy(update={"value": 0.0}) for e in given)
    assert found == kept


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "set~load~1~2",
        "set~load~1~2~nan",
        "set~load~1~2~inf",
        "set~load~1~2~1_000",
        "set~load~-1~2~1",
        "set~load~1~2~0x10",
        "set~load~99999999999~2~1",
        "set~load~1~2~1!",
        "boom~load~1~2~1",
        "<img src=x>",
    ],
)
def test_a_nonsense_link_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read(text)


@given(some.text(max_size=60))
def test_no_text_makes_more_than_a_sentence_of_trouble(text: str) -> None:
    try:
        apply(WINDOW, NAMES, read(text))
    except UserError as error:
        assert len(str(error)) < 400


def test_an_endless_link_is_refused() -> None:
    one = "set~load~1~2~1!"
    for text in (one * MOST + one.strip("!"), "set~" + "x" * 50_000):
        with pytest.raises(UserError, match="by hand"):
            read(text)
