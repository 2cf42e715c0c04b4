"""Scores against values worked out by hand, and what a flat map, an empty map and the controls get."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from core.data.synthetic import syn
from core.errors import UserError
from core.explain.scores import SCORES, at_patches, ceiling, controls, scores, summary
from core.explain.truth import check_truth, true_weights

TRUE = np.array([0, 0, 0.5, -0.5, 0, 0, 0, 0])


def truth_of(number: int) -> dict[str, Any]:
    return syn(number, length=200).truth or {}


def test_a_perfect_map_has_the_best_of_everything():
    found = scores(np.abs(TRUE), TRUE)
    assert set(found) == set(SCORES)
    for name in ("auprc", "auroc", "mass", "rank", "pointing", "spearman"):
        assert found[name] == pytest.approx(1), name
    assert found["distance"] == 0


def test_by_hand():
    """Ranks: false .9, true .8, false .2, true .1, the rest 0."""
    found = scores(np.array([0.9, 0, 0.8, 0.1, 0.2, 0, 0, 0]), TRUE)
    assert found["auprc"] == pytest.approx(0.5 * (1 / 2) + 0.5 * (2 / 4))
    assert found["auroc"] == pytest.approx(1 - (1 + 2) / (2 * 6))
    assert found["mass"] == pytest.approx(0.9 / 2.0)
    assert found["rank"] == pytest.approx(1 / 2)
    assert found["pointing"] == 0
    # thresholds 0, 1/9, 2/9, 8/9, 1 of the scaled map: precision 2/8, 2/4, 1/3, 1/2, 0; recall 1, 1, 1/2, 1/2, 0
    at, precision, recall = [0, 1 / 9, 2 / 9, 8 / 9, 1], [2 / 8, 2 / 4, 1 / 3, 1 / 2, 0], [1, 1, 1 / 2, 1 / 2, 0]
    assert found["aup"] == pytest.approx(np.trapezoid(precision, at))
    assert found["aur"] == pytest.approx(np.trapezoid(recall, at))
    # cumulated: the map's mass .45 .45 .85 .9 1, the truth 0 0 .5 1 1
    assert found["distance"] == pytest.approx(0.45 + 0.45 + 0.35 + 0.10)


def test_a_flat_map_has_what_chance_has():
    found = scores(np.full(8, 0.3), TRUE)
    chance = 2 / 8
    for name in ("auprc", "aup", "mass", "rank", "pointing"):
        assert found[name] == pytest.approx(chance), name
    assert (found["auroc"], found["spearman"]) == (0.5, 0)


def test_a_map_of_zeros_has_no_mass():
    found = scores(np.zeros(8), TRUE)
    assert np.isnan(found["mass"]) and np.isnan(found["distance"]) and found["auprc"] == pytest.approx(0.25)


@pytest.mark.parametrize("weights", [np.zeros(8), np.ones(8)])
def test_a_truth_of_nothing_or_everything_is_refused(weights):
    with pytest.raises(ValueError, match="places that matter"):
        scores(np.ones(8), weights)


def test_the_random_control_scores_like_chance():
    found = summary([scores(controls(8, seed)["random"], TRUE) for seed in range(400)])
    assert found["auroc"][1] < 0.5 < found["auroc"][2]
    assert found["mass"][1] < 0.25 < found["mass"][2]


def test_no_map_of_a_resolution_beats_the_ceiling():
    weights = np.zeros(96)
    weights[20:27] = 1
    best = scores(ceiling(weights, 16), weights)["auprc"]
    assert scores(ceiling(weights, 1), weights)["auprc"] == 1
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert average_precision_score(weights > 0, np.repeat(rng.random(6), 16)) <= best + 1e-12
    assert len(ceiling(weights, 50)) == 96


def test_patches_are_summed():
    np.testing.assert_array_equal(at_patches(np.array([1, -1, 2, 3, 4.0]), 2), [2, 5, 4])


def test_the_interval_holds_the_mean_and_leaves_out_what_is_not_known():
    found = summary([{"a": float(v)} for v in range(50)] + [{"a": float("nan")}])
    mean, low, high = found["a"]
    assert mean == pytest.approx(24.5) and low < mean < high < 30
    assert summary([]) == {}


def test_where_the_rule_lies_moves_with_the_step():
    truth = truth_of(5)
    columns = ["x0", "x1", "x2", "x3", "x4", "y"]
    for step in (0, 12, 23):
        found = true_weights(truth, columns, 96, step)
        at = np.flatnonzero(found.any(1))
        np.testing.assert_array_equal(at, np.arange(96 + step - 77, 96 + step - 70))
        np.testing.assert_array_equal(np.flatnonzero(found.any(0)), [1, 2])
        np.testing.assert_allclose(found.sum(), 1)


def test_lags_to_come_and_lags_too_far_back_are_not_in_the_window():
    truth = truth_of(1)
    assert np.count_nonzero(true_weights(truth, ["x0", "x1"], 96, 12).any(1)) == 3  # lags 13 to 15
    longest = truth_of(2)
    assert np.count_nonzero(true_weights(longest, ["x0", "x2"], 92, 0).any(1)) == 18 + 2  # of 91 to 95 two


def test_what_cannot_be_scored_says_why():
    truth, columns = truth_of(1), ["x0", "x1"]
    check_truth(truth, "y", columns, 96, 0)
    with pytest.raises(UserError, match="No truth"):
        check_truth(None, "y", columns, 96, 0)
    with pytest.raises(UserError, match="only"):
        check_truth(truth, "x0", columns, 96, 0)
    with pytest.raises(UserError, match="nearer step"):
        check_truth(truth, "y", columns, 96, 15)
