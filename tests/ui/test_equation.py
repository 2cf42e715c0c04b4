"""The equation of a rule and the sentences under it say what the stored truth says, and a name in it does nothing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.synthetic import SETS, own_rule
from core.ui.equation import equation, meaning, parts

VARIATES = ["x0", "x1", "x2", "x3", "x4", "y"]


@pytest.mark.parametrize("number", SETS)
@pytest.mark.parametrize("alternating", [False, True])
def test_the_parts_hold_every_weight(number: int, alternating: bool) -> None:
    truth = replace(SETS[number], alternating=alternating).truth()
    found = np.zeros_like(np.array(truth["weights"]))
    for part in parts(truth):
        assert part.alternating == alternating
        for name in part.features:
            for lag in part.lags:
                found[truth["features"].index(name), truth["lags"].index(lag)] += part.size
    np.testing.assert_allclose(found, np.abs(truth["weights"]), rtol=1e-6)


def test_one_span_is_a_sum_between_its_ends() -> None:
    truth = SETS[5].truth()
    assert equation(truth) == (
        r"y_{t} = \tfrac{1}{14}\sum_{l=71}^{77} \left(x_{1,t-l} + x_{2,t-l}\right) + 0.06\,s\,\varepsilon_t"
    )
    assert "x1 and x2 enter at the 7 lags 71 to 77, each with weight 1/14. x0, x3 and x4 do not" in meaning(
        truth, VARIATES
    )


def test_several_spans_are_a_named_set() -> None:
    truth = SETS[7].truth()
    assert r"\sum_{l \in L}" in equation(truth)
    assert "the 9 lags L = 60, 62 to 69" in meaning(truth, VARIATES)


def test_one_lag_of_one_feature_needs_no_sum() -> None:
    truth = own_rule([3], [4], noise=0.0).truth()
    assert equation(truth) == "y_{t} = x_{3,t-4}"
    assert "x3 enters at lag 4 with weight 1." in meaning(truth, VARIATES)
    assert "noise" not in meaning(truth, VARIATES)


def test_signs_the_same_step_and_two_parts_stand_on_their_own_lines() -> None:
    truth = replace(SETS[8], alternating=True, current=True).truth()
    said = equation(truth)
    assert said.count(r"\\") == 4
    assert said.count("(-1)^{k}") == 2
    assert r"\tfrac{1}{28}\left(x_{1,t} + x_{2,t}\right)" in said
    assert "signs alternate" in meaning(truth, VARIATES)
    assert "same step" in meaning(truth, VARIATES)


def test_many_features_are_summed_over() -> None:
    assert r"\sum_{f \in \{0,1,2,4\}} x_{f,t-4}" in equation(own_rule([0, 1, 2, 4], [4]).truth())


@given(st.text(max_size=20))
def test_a_strange_name_cannot_leave_its_place(name: str) -> None:
    truth = SETS[5].truth()
    usual = equation(truth | {"features": ["load", "x2"]})
    strange = equation(truth | {"features": [name, "x2"]})
    assert strange.count("{") - strange.count("}") == 0
    assert set(strange) - set(usual) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ")
