"""What the synthetic sets promise: the target depends on what the truth names, and on nothing else."""

import numpy as np
import pytest

from core.data.synthetic import SETS, syn, weights
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
    x, y = series.values[:, :5].astype(float), series.values[:, 5]
    known = np.arange(max(truth["lags"]), 500)
    rebuilt = np.zeros(len(known))
    for name, row, b in zip(truth["features"], truth["weights"], truth["current"], strict=True):
        column = x[:, series.variates.index(name)]
        rebuilt += b * column[known] + sum(w * column[known - lag] for lag, w in zip(truth["lags"], row, strict=True))
    np.testing.assert_allclose(y[known], rebuilt, atol=1e-6)
    assert (max(truth["current"]) > 0) == current


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
