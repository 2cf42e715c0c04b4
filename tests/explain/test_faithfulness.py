"""How far a forecast follows a map: by hand, and against time-interpret and captum on the same arrays."""

import numpy as np
import pytest
import torch

from core.explain.faithfulness import (
    FRACTIONS,
    SCORES,
    agreement,
    count,
    counts,
    curves,
    infidelity,
    random_curves,
    sensitivity,
    sentence,
    times_random,
    together,
)
from core.explain.methods.contract import Probe, Question
from core.explain.methods.registry import method
from core.explain.scores import scores
from core.models.contract import Shape
from tests.explain.methods.test_adds_up import shaken
from tests.explain.methods.test_methods import linear, model_of, windows

ONE = Shape(96, 6, 1)


def probe_of(step: int | None = 2, name: str = "patchtst", shape: Shape = ONE) -> Probe:
    return Probe(model_of(name, shape), windows(shape, 5), Question(0, step))


def test_numbers_of_steps():
    assert counts(96)[[0, 1, -1]].tolist() == [0, 1, 96]
    assert {count(f, 96) for f in FRACTIONS} == {1, 4, 9, 19, 48} <= set(counts(96))
    assert counts(3).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("step", [2, None])
def test_by_hand(step):
    """Every point of every curve as one changed window after the other."""
    probe = probe_of(step, "crossscalenet", Shape(96, 6, 3))
    map_BL = np.random.default_rng(0).random((5, 96))
    found = curves(probe, map_BL)
    for b, k in ((0, 1), (3, 5), (4, len(found.steps_K) - 1)):
        first = np.argsort(-map_BL[b])[: found.steps_K[k]]
        less, only = probe.x_BLC[b].clone(), probe.baseline_BLC[b].clone()
        less[first], only[first] = probe.baseline_BLC[b, first], probe.x_BLC[b, first]
        clean, changed, kept = (float(probe.value(x[None], torch.tensor([b]))[0]) for x in (probe.x_BLC[b], less, only))
        unit = found.whole_B[b]
        assert found.deletion_BK[b, k] * unit == pytest.approx(abs(changed - clean), rel=1e-3, abs=1e-5)
        assert found.insertion_BK[b, k] * unit == pytest.approx(abs(kept - clean), rel=1e-3, abs=1e-5)
        assert found.signed_BK[b, k] * unit == pytest.approx(changed, rel=1e-3, abs=1e-5)
    np.testing.assert_allclose(found.deletion_BK[:, -1], 1, rtol=1e-4)
    np.testing.assert_allclose(found.insertion_BK[:, 0], 1, rtol=1e-4)
    np.testing.assert_allclose(found.last_BK[:, -1], found.signed_BK[:, -1], rtol=1e-4)


def test_a_linear_model_of_one_step():
    """Only the last step counts: without it all is lost, with it alone nothing is."""
    model = linear()
    with torch.no_grad():
        for weight in (model.seasonal, model.trend):
            weight.zero_()
            weight[:, -1] = 1
    probe = Probe(model, windows(), Question(0, 2))
    right, wrong = np.arange(96.0)[None].repeat(2, 0), -np.arange(96.0)[None].repeat(2, 0)
    found = curves(probe, right)
    for values_B, expected in ((found.comprehensiveness_B, 1), (found.sufficiency_B, 0), (found.cpd_B, 1)):
        np.testing.assert_allclose(values_B, expected, atol=1e-4)
    np.testing.assert_allclose(found.cpp_B, 0, atol=1e-4)
    # along the wrong order nothing happens until the last step of the half that is looked at
    other = curves(probe, -wrong - 200)
    assert (other.deletion_B < 0.1).all() and (found.deletion_B > 0.9).all()
    assert times_random(found, random_curves(probe)) > 3
    assert set(found.scores()[0]) == set(SCORES)


def test_a_model_that_does_not_react_divides_by_nothing():
    model = linear()
    with torch.no_grad():
        model.seasonal.zero_()
        model.trend.zero_()
    probe = Probe(model, windows(), Question(0, 2))
    found = curves(probe, np.ones((2, 96)))
    assert np.isnan(found.deletion_B).all() and not found.whole_B.any()
    assert np.isnan(times_random(found, found))
    assert "nothing to be right about" in sentence("the gradient", float("nan"), float("nan"))


def test_comprehensiveness_is_that_of_time_interpret():
    from tint.metrics import mae

    probe = probe_of()
    map_BL = np.random.default_rng(1).random((5, 96)).astype(np.float32)
    found = curves(probe, map_BL)
    for fraction in FRACTIONS[1:]:  # the library takes no step for 1 %
        theirs = mae(
            lambda x: probe.value(x, probe.rows_B)[:, None],
            probe.x_BLC,
            torch.from_numpy(map_BL)[..., None],
            baselines=probe.baseline_BLC,
            target=0,
            topk=fraction,
        )
        ours = (found.deletion_BK[:, found.at(fraction)] * found.whole_B).mean()
        assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_scores_with_a_truth_are_those_of_time_interpret(seed):
    from tint.metrics.white_box import aup, auprc, aur

    draw = np.random.default_rng(seed)
    map_L = draw.random(60)
    true_L = (draw.random(60) < 0.2).astype(float)
    ours = scores(map_L, true_L)
    # scaled here: the library adds 1e-5 to the range of the map, which moves every threshold
    true = torch.from_numpy(true_L).long()[None]
    scaled = torch.from_numpy((map_L - map_L.min()) / np.ptp(map_L))[None]
    assert ours["aup"] == pytest.approx(np.asarray(aup(scaled, true, normalize=False)).item(), abs=1e-6)
    assert ours["aur"] == pytest.approx(np.asarray(aur(scaled, true, normalize=False)).item(), abs=1e-6)
    assert ours["auprc"] == pytest.approx(np.asarray(auprc(scaled, true, normalize=False)).item(), abs=1e-6)


def test_agreement_by_hand():
    up, down, flat = np.arange(20.0), -np.arange(20.0)[::-1] + 19, np.ones(20)
    top = np.where(np.arange(20) >= 18, 5.0, 0)
    found = agreement({"up": up, "same": up**2, "down": down[::-1], "flat": flat, "top": top})
    assert found.between("up", "same") == pytest.approx(1)
    assert found.between("up", "down") == pytest.approx(-1)
    assert np.isnan(found.between("up", "flat"))
    at = found.names.index
    assert found.overlap[at("up"), at("same")] == 1 and found.overlap[at("up"), at("down")] == 0
    assert found.overlap[at("up"), at("top")] == pytest.approx(1)
    assert found.overlap[at("top"), at("top")] == pytest.approx(1)


@pytest.mark.parametrize(
    ("agreed", "times", "said"),
    [
        (
            0.81,
            3.21,
            "almost as occlusion does (rank correlation 0.81); deleting its top 10 % changes the forecast 3.2",
        ),
        (
            0.6,
            1.0,
            "much as occlusion does (rank correlation 0.60); deleting its top 10 % changes the forecast just as",
        ),
        (0.0, 0.5, "unlike what occlusion says (rank correlation 0.00)"),
        (-0.7, 2.0, "contrary to what occlusion says"),
        (float("nan"), 1.0, "is the same at every step"),
    ],
)
def test_sentence(agreed, times, said):
    assert said in sentence("the attention", agreed, times)


def test_a_linear_models_gradient_is_faithful_and_steady():
    probe = Probe(shaken("dlinear", {"normalise": False}), windows(), Question(0, 2))
    gradient = method("gradient")
    right = gradient.attribute(probe).numpy()
    np.testing.assert_allclose(infidelity(probe, right, per_unit=True), 0, atol=1e-6)
    for name in ("adds_up", "gradient_input", "occlusion"):  # parts of the forecast: the same for a linear model
        np.testing.assert_allclose(infidelity(probe, method(name).attribute(probe).numpy()), 0, atol=1e-6)
    assert (infidelity(probe, np.roll(right, 7, axis=1), per_unit=True) > 0.1).all()
    np.testing.assert_allclose(infidelity(probe, np.zeros_like(right)), 1)
    np.testing.assert_allclose(sensitivity(probe, gradient), 0, atol=1e-5)
    assert (sensitivity(probe, method("gradient_input")) > 1e-3).all()


def test_batches_together():
    probe = probe_of()
    whole = curves(probe, np.random.default_rng(0).random((5, 96)))
    assert together([whole, whole]).deletion_B.tolist() == [*whole.deletion_B, *whole.deletion_B]
