"""Words and numbers for people."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from core.ui.widgets import ago, distinct, duration, figures, plain, size


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (99, "99 s"), (125, "2 min"), (7500, "2 h 5 min"), (7200, "2 h"), (None, "")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.44812, "0.448"),
        (12345.6, "12,300"),
        (1.0, "1.00"),
        (0, "0"),
        (float("nan"), "–"),
        (None, "–"),
        (-0.0123456, "-0.0123"),
    ],
)
def test_three_significant_digits(value, words):
    assert figures(value) == words


def test_sizes_and_ages():
    assert (size(640), size(1229)) == ("640 MB", "1.2 GB")
    now = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert ago(now - timedelta(seconds=5), now) == "just now"
    assert ago(now - timedelta(minutes=5), now) == "5 min ago"
    assert ago(now - timedelta(hours=3), now) == "3 h ago"
    assert ago(now - timedelta(days=3), now) == "2025-12-30"


@given(st.text())
def test_plain_text_has_no_bare_markdown(text):
    bare = plain(text).replace("\\\\", "")
    for sign in "`*_[]<>$:#|!":
        assert bare.count(sign) == bare.count("\\" + sign)


@given(st.dictionaries(st.text(max_size=4), st.sampled_from(["a", "b", "a (2)"])))
def test_options_are_told_apart(names):
    labels = distinct(names)
    assert list(labels) == list(names)
    assert len(set(labels.values())) == len(names)


def test_a_problem_is_shown_letter_by_letter():
    def script():
        from core.errors import UserError
        from core.ui import widgets

        widgets.problem(UserError("Column ![x](http://a.b/c.png) is not there."))

    at = AppTest.from_function(script).run()
    assert "](http" not in at.error[0].value
    assert at.error[0].value.replace("\\", "") == "Column ![x](http://a.b/c.png) is not there."
