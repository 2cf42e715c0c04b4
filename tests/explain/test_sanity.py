"""Maps beside those of fresh weights, of uniform attention and of other seeds: what is promised of each comparison."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from core.errors import UserError
from core.evaluate.run import LoadedRun
from core.explain import relevance, sanity
from core.explain.attribution import whole_windows
from core.explain.methods.contract import Question
from core.explain.sanity import Kept, Row, kept_of, only_seed_differs, rank_correlation, sentence
from tests.evaluate.test_run import trained

ASKED = Question(1, 4)


@pytest.fixture
def run(waves, small_spec) -> LoadedRun:
    return trained(waves, small_spec(waves))


def rows(found) -> dict[str, Row]:
    return {row.name: row for row in found.rows}


def told(kept: Kept) -> tuple[float, float, float]:
    assert kept.correlation is not None, kept.text
    return kept.correlation


def seeded(run: LoadedRun, seed: int) -> LoadedRun:
    return replace(run, spec=run.spec.model_copy(update={"seed": seed}))


def test_every_map_is_compared_and_the_answer_is_the_same_again(run, waves):
    names = ["adds_up", "gradient", "occlusion", "ablation", "random"]
    found = sanity.sanity(run, waves, ASKED, names, windows=20, draws=2, others=[seeded(run, 7)])
    assert list(rows(found)) == ["published", "corrected", *names]
    assert (found.draws, found.others) == (2, 1)
    for row in found.rows:
        for kept in (row.fresh, row.seeds):
            assert kept.windows == 20 and (kept.correlation is None or -1 <= told(kept)[1] <= told(kept)[2] <= 1)
        assert row.uniform.text == "is the attention itself" if row.reading else row.uniform.windows == 20
        assert (row.infidelity is None) == (row.sensitivity is None) == row.reading
    assert rows(found)["random"].infidelity[0] > 0.5 > rows(found)["adds_up"].infidelity[0]
    assert rows(found)["occlusion"].sensitivity[0] > 0 == rows(found)["random"].sensitivity[0]
    assert rows(found)["ablation"].fresh.text == "flat", "it tells no step from another"
    assert found.sentence.startswith("With fresh weights the published map keeps rank correlation")
    assert [line["Map"] for line in found.table()][:2] == ["Published attention", "Corrected attention"]
    again = sanity.sanity(run, waves, ASKED, names, windows=20, draws=2, others=[seeded(run, 7)])
    assert json.dumps(again.report()) == json.dumps(found.report())


def test_the_same_weights_keep_every_map_and_the_control_none(run, waves):
    found = rows(sanity.sanity(run, waves, ASKED, ["gradient", "random"], windows=20, draws=1, others=[seeded(run, 7)]))
    for name in ("published", "corrected", "gradient"):
        assert told(found[name].seeds) == pytest.approx((1, 1, 1))
    assert abs(told(found["random"].seeds)[0]) < 0.2 and abs(told(found["random"].uniform)[0]) < 0.2


def test_a_map_of_what_was_learnt_is_lost_with_fresh_weights(run, waves):
    """The finest scale reads one step of the window only, which no fresh weights do."""
    weights = {name: torch.zeros_like(value) for name, value in run.model.state_dict().items()}
    weights["revin.weight"] += 1
    weights["encoders.0.head"][:, 10] = 1
    weights["head"][0] = torch.eye(8)
    found = sanity.sanity(LoadedRun.of(run.card, weights), waves, ASKED, ["gradient"], windows=8)
    assert abs(told(rows(found)["gradient"].fresh)[0]) < 0.3


def test_weights_that_start_all_alike_rank_no_step(waves, small_spec):
    """DLinear begins as the mean of the window."""
    run = trained(waves, small_spec(waves, model="dlinear", config={"normalise": False}))
    found = sanity.sanity(run, waves, ASKED, ["gradient"], windows=8)
    assert found.rows[0].fresh.text == "flat"
    assert found.rows[0].uniform.text == "no attention" and found.rows[0].seeds.text == "no other seed"
    assert found.sentence.startswith('The map "Gradient" is flat with fresh weights')


def test_fresh_weights_are_not_those_the_training_began_with(run):
    torch.manual_seed(run.spec.seed)
    begun = sanity.make_model(run.spec).state_dict()
    draws = [sanity.fresh_model(run, draw).state_dict() for draw in range(2)]
    for one, other in ((begun, draws[0]), (begun, draws[1]), (draws[0], draws[1])):
        assert not torch.equal(one["head"], other["head"])


def test_attention_that_is_uniform_anyway_changes_no_map(run, waves):
    with torch.no_grad():
        for name, weight in run.model.named_parameters():
            if "_k." in name:
                weight.zero_()
    found = rows(sanity.sanity(run, waves, ASKED, ["gradient", "adds_up"], windows=6, draws=1))
    for name in ("gradient", "adds_up"):
        assert told(found[name].uniform) == pytest.approx((1, 1, 1), abs=1e-3)
    assert found["published"].fresh.text == "flat"


def test_a_flat_map_is_called_flat(waves, small_spec):
    """With one step ahead every key is one stretched number, all attention is uniform, the published map is flat."""
    run = trained(waves, small_spec(waves, horizon=1))
    found = sanity.sanity(run, waves, Question(1, 0), ["gradient"], windows=4, draws=1)
    assert rows(found)["published"].fresh == Kept(None, 4, 4)
    assert found.table()[0]["Fresh weights"] == "flat"
    assert found.sentence == (
        "The published map is flat with fresh weights or with the trained ones: nothing can be compared."
    )
    json.dumps(found.report(), allow_nan=False)


def test_the_change_of_the_error_is_read_from_the_card(run, waves, monkeypatch):
    monkeypatch.setattr(relevance, "relevance", None)
    found = sanity.sanity(run, waves, ASKED, ["random"], windows=2, draws=1)
    assert found.uniform is None and found.permuted is None
    card = run.card | {"relevance": {"uniform": 0.01, "permuted": -0.02}}
    found = sanity.sanity(replace(run, card=card), waves, ASKED, ["random"], windows=2, draws=1)
    assert (found.uniform, found.permuted) == (0.01, -0.02)


def test_a_model_that_is_fitted_has_no_fresh_weights(waves, small_spec):
    run = trained(waves, small_spec(waves, model="naive", config={}))
    found = sanity.sanity(run, waves, ASKED, ["gradient"], windows=2)
    assert found.rows[0].fresh.text == "no random weights: fitted" and found.draws == 0
    assert found.sentence.startswith("This model is fitted")


def test_runs_that_differ_in_more_than_the_seed_are_refused(run, waves):
    assert not only_seed_differs(run.spec, run.spec)
    written = {"seed": 7, "threads": 2, "config": run.spec.config | {"factor": 2}}
    assert only_seed_differs(run.spec, run.spec.model_copy(update=written))
    for changes in ({"horizon": 9}, {"config": run.spec.config | {"width": 9}}, {"fingerprint": "other"}):
        other = replace(run, spec=run.spec.model_copy(update={"seed": 7} | changes))
        with pytest.raises(UserError, match="differs in more than its seed"):
            sanity.sanity(run, waves, ASKED, ["gradient"], windows=2, others=[other])


def test_windows_with_missing_steps_are_left_out(run, waves):
    waves.values[330:340] = np.nan
    assert 0 < len(whole_windows(run, waves, 400)) < run.count(waves)
    waves.values[320:] = np.nan
    waves.values[:320:5] = np.nan
    with pytest.raises(UserError, match="no whole test window"):
        sanity.sanity(run, waves, ASKED, ["gradient"])


def test_rank_correlation_is_that_of_the_textbook():
    draw = np.random.default_rng(0)
    one, other = draw.integers(0, 5, (6, 30)).astype(float), draw.random((6, 30))
    other[2] = 0.25
    expected = [
        float(np.asarray(spearmanr(a, b))[0]) if i != 2 else np.nan
        for i, (a, b) in enumerate(zip(one, other, strict=True))
    ]
    np.testing.assert_allclose(rank_correlation(one, other), expected, atol=1e-12)
    assert np.isnan(rank_correlation(np.zeros((2, 4)), np.ones((2, 4)))).all()


def test_windows_without_an_answer_are_counted():
    found = kept_of([np.array([0.5, np.nan, 1.0]), np.array([0.7, np.nan, np.nan])], "")
    assert told(found)[0] == pytest.approx(0.8) and (found.flat, found.windows) == (1, 3)
    assert "flat in 1 of 3" in found.text
    assert kept_of([np.full(3, np.nan)], "").text == "flat"


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (0.93, "keeps rank correlation 0.93 with the trained one: it says more about the architecture than about this"),
        (0.3, "part of it is the architecture's"),
        (-0.01, "it depends on what this model has learnt"),
    ],
)
def test_the_sentence_says_what_was_found(kept, said):
    row = Row("published", "Published attention", True, Kept((kept, kept, kept), 0, 4), Kept(), Kept())
    assert said in sentence([row], fitted=False)
