"""Lags as people write them: read strictly, written back the same, and answered with a sentence where they are bad."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.lags import LONGEST, read_lags, spans, toggle, write_lags
from core.errors import UserError

some_lags = st.sets(st.integers(1, LONGEST), min_size=1, max_size=40)


@given(some_lags)
def test_what_is_written_reads_back(lags: set[int]) -> None:
    assert read_lags(write_lags(lags)) == tuple(sorted(lags))


@given(some_lags)
def test_spans_hold_every_lag_once_and_never_touch(lags: set[int]) -> None:
    found = spans(lags)
    assert [lag for a, b in found for lag in range(a, b + 1)] == sorted(lags)
    assert all(b + 1 < a for (_, b), (a, _) in pairwise(found))


@given(st.text(alphabet="0123456789-–, x.", max_size=30))
def test_any_text_is_lags_or_a_sentence(text: str) -> None:
    try:
        lags = read_lags(text)
    except UserError as error:
        assert str(error).endswith(".")
    else:
        assert lags
        assert all(1 <= lag <= LONGEST for lag in lags)


@pytest.mark.parametrize(
    ("text", "lags"),
    [("71", (71,)), (" 48 - 50,71 ", (48, 49, 50, 71)), ("3–5", (3, 4, 5)), ("5, 4-6, 5", (4, 5, 6)), ("007", (7,))],
)
def test_what_may_be_written(text: str, lags: tuple[int, ...]) -> None:
    assert read_lags(text) == lags


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "No lag is named"),
        ("  ", "48-57, 71"),
        ("48, 5o", "Part 2 of the lags, '5o', is neither"),
        ("1.5", "'1.5'"),
        ("-3", "'-3'"),
        ("3-", "'3-'"),
        ("1-2-3", "'1-2-3'"),
        ("٣", "neither a whole number"),
        ("3,,4", "Part 2 of the lags is empty"),
        ("3,", "Part 2 of the lags is empty"),
        ("57-48", "runs backwards. Write 48-57"),
        ("5, 0", "Lag 0 in part 2 is not in the past"),
        ("1-999999999", "Lag 999,999,999 in part 1 is too far back"),
        ("9" * 5000, "neither a whole number"),
    ],
)
def test_bad_lags_are_answered_with_what_where_and_what_to_do(text: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        read_lags(text)
    assert says in str(error.value)
    assert len(str(error.value)) < 200


@given(some_lags, some_lags)
def test_a_toggled_span_is_in_or_out_as_a_whole(lags: set[int], span: set[int]) -> None:
    found = set(toggle(lags, span))
    assert span.isdisjoint(found) if span <= lags else span <= found
    assert found - span == lags - span
