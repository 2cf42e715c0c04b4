"""What the synthetic sets promise: the target depends on what the truth names, and on nothing else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.series import Series
from core.data.synthetic import SETS, own_rule, syn, weights
from core.errors import UserError

LAGS = {  # as published, written out
    1: list(range(1, 16)),
    2: [*range(1, 6), 9, 10, 15, 16, 18, 20, 25, 26, 35, 36, 50, 51, 52, *range(91, 96)],
    3: [9, 10, 15, 16, 18, *range(20, 26), 31, 34, *range(60, 66)],
    4: [9, 10, 15, 16, 18, 19, 20, 21, 41, 42, 45, 46],
    5: list(range(71, 78)),
    6: list(range(48, 58)),
    7: [60, *range(62, 70)],
    8: [*range(48, 58), *range(71, 78)],
}
FEATURES = {1: [0, 1], 2: [0, 2], 3: [1, 2], 4: [1, 2], 5: [1, 2], 6: [0, 2], 7: [0, 1], 8: [0, 1, 2]}


@pytest.mark.parametrize("number", SETS)
@pytest.mark.parametrize("alternating", [False, True])
@pytest.mark.parametrize("current", [False, True])
def test_without_noise_the_truth_gives_the_target_exactly(number: int, alternating: bool, current: bool) -> None:
    series = syn(number, length=500, noise=0.0, alternating=alternating, current=current, seed=3)
    truth = series.truth
    assert truth is not None
    assert (truth["lags"], truth["features"]) == (LAGS[number], [f"x{f}" for f in FEATURES[number]])
    np.testing.assert_allclose(*target_and_rebuilt(series), atol=1e-6)
    assert (max(truth["current"]) > 0) == current


def target_and_rebuilt(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """y where all its lags lie in the series, and the same from the features by the truth alone."""
    truth = series.truth
    assert truth is not None
    x, y = series.values[:, :5].astype(float), series.values[:, 5]
    known = np.arange(max(truth["lags"]), len(series))
    rebuilt = np.zeros(len(known))
    for name, row, b in zip(truth["features"], truth["weights"], truth["current"], strict=True):
        column = x[:, series.variates.index(name)]
        rebuilt += b * column[known] + sum(w * column[known - lag] for lag, w in zip(truth["lags"], row, strict=True))
    return y[known], rebuilt


@settings(max_examples=20, deadline=None)
@given(
    features=st.sets(st.integers(0, 4), min_size=1),
    lags=st.sets(st.integers(1, 250), min_size=1, max_size=20),
    alternating=st.booleans(),
    current=st.booleans(),
    autocorrelation=st.sampled_from([0.0, 0.7]),
)
def test_an_own_rule_is_what_its_truth_says(features, lags, **about) -> None:
    series = own_rule(features, lags, length=500, noise=0.0, **about).series()
    assert series.truth is not None
    assert series.truth["features"] == [f"x{f}" for f in sorted(features)]
    assert series.truth["lags"] == sorted(lags)
    np.testing.assert_allclose(*target_and_rebuilt(series), atol=1e-6)


@pytest.mark.parametrize("number", SETS)
def test_the_rule_of_a_set_makes_the_set(number: int) -> None:
    made = replace(SETS[number], length=600, noise=0.3, alternating=True, seed=2).series()
    same = syn(number, length=600, autocorrelation=0.0, noise=0.3, alternating=True, current=False, seed=2)
    assert (made.fingerprint, made.truth) == (same.fingerprint, same.truth)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"features": []}, "at least one of x0 to x4"),
        ({"features": [5]}, "x5 does not exist"),
        ({"lags": []}, "No lag is named"),
        ({"lags": [0, 3]}, "Lag 0 is not in the past"),
        ({"lags": [1001], "length": 5000}, "Lag 1,001 is too far back"),
        ({"lags": [251], "length": 500}, "Lag 251 is longer than half the series of 500 steps. Choose lags up to 250"),
        ({"length": 499}, "Choose 500 to 100,000"),
        ({"length": 100_001}, "Choose 500 to 100,000"),
        ({"noise": -0.1}, "The noise -0.1 is outside its bounds"),
        ({"noise": float("nan")}, "The noise nan is outside its bounds"),
        ({"autocorrelation": 1.0}, "Choose 0 to 0.99"),
        ({"autocorrelation": -0.1}, "Choose 0 to 0.99"),
        ({"seed": -1}, "The seed -1 is negative"),
    ],
)
def test_an_own_rule_out_of_bounds_is_a_sentence(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as error:
        own_rule(**{"features": [0], "lags": [3]} | changes)
    assert says in str(error.value)


def test_a_name_says_what_differs_from_the_usual() -> None:
    assert SETS[5].name == SETS[5].series().name == "SYN5"
    assert replace(SETS[5], noise=0.2).name == "SYN5, noise 0.2"
    changed = replace(SETS[2], length=5000, autocorrelation=0.5, alternating=True, current=True, seed=3)
    assert changed.name == "SYN2, autocorrelation 0.5, alternating signs, same step, 5,000 steps, seed 3"
    assert own_rule([2, 0], range(48, 58)).name == "own rule, lags 48-57 of x0 and x2"
    long = own_rule(range(5), range(1, 300, 2), noise=1.25, alternating=True, current=True, seed=2**31 - 1)
    assert len(long.name) <= 120


def test_weights_are_equal_and_may_alternate() -> None:
    for number in (1, 2, 3, 4, 5, 6, 7):
        _, lags, weight = weights(number)
        np.testing.assert_allclose(weight, 1 / (2 * len(lags)))
        assert np.sign(weights(number, alternating=True)[2][0, :2]).tolist() == [1, -1]
    _, lags, weight = weights(8)
    assert weight[1, lags.index(48)] == 0 and weight[0, lags.index(71)] == 0  # x1 is of SYN5, x0 of SYN6
    assert weight.sum() == pytest.approx(1)


def test_noise_is_relative_to_the_signal() -> None:
    clean, noisy = syn(5, noise=0.0).values[:, 5], syn(5).values[:, 5]
    assert np.std(noisy - clean) / np.std(clean) == pytest.approx(0.06, rel=0.05)


def test_features_have_unit_variance_and_the_chosen_memory() -> None:
    for coefficient in (0.0, 0.5, 0.9):
        x = syn(1, length=40_000, autocorrelation=coefficient).values[:, :5]
        np.testing.assert_allclose(x.std(axis=0), 1, atol=0.06)
        found = [np.corrcoef(c[1:], c[:-1])[0, 1] for c in x.T]
        np.testing.assert_allclose(found, coefficient, atol=0.03)


def test_a_seed_is_a_series() -> None:
    assert syn(5, length=300).fingerprint == syn(5, length=300).fingerprint
    assert syn(5, length=300).fingerprint != syn(5, length=300, seed=1).fingerprint
    assert syn(5, length=300).fingerprint != syn(6, length=300).fingerprint


@pytest.mark.parametrize("arguments", [{"number": 9}, {"number": 1, "autocorrelation": 1.0}])
def test_bounds_are_sentences(arguments: dict[str, float]) -> None:
    with pytest.raises(UserError, match="Choose"):
        syn(**arguments)  # type: ignore[arg-type]
