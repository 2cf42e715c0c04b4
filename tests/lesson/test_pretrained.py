"""The models that the lesson ships: all there, small, what their cards say, and what the lesson says of them is so."""

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest

from core.errors import UserError
from core.lesson import pretrained
from core.lesson.answer import Answer, answer
from core.lesson.models import SHIPPED

LAGS5 = set(range(71, 78))


@pytest.fixture(autouse=True)
def own_home(home):
    """Nothing that was trained on this machine stands in for what is shipped."""


@pytest.fixture
def shipped_in(tmp_path, monkeypatch):
    """A copy of the shipped files that a test may damage."""
    place = tmp_path / "pretrained"
    shutil.copytree(pretrained.FOLDER, place)
    monkeypatch.setattr(pretrained, "FOLDER", place)
    return place


def stored(name: str) -> Answer:
    found = pretrained.stored(name)
    assert found is not None
    return found


def score(name: str, of: str) -> float:
    """Mean over test windows, as it was measured when the model was made."""
    return pretrained.card(name)["scores"][of]


def test_all_are_there_and_nothing_else_and_small():
    files = {f.name for f in pretrained.FOLDER.iterdir()}
    assert files == {f"{name}{end}" for name in SHIPPED for end in (".safetensors", ".json", ".answer.json")}
    assert sum(f.stat().st_size for f in pretrained.FOLDER.iterdir()) <= 2_000_000


@pytest.mark.parametrize("name", SHIPPED)
def test_the_stored_answer_is_the_live_one(name):
    one = SHIPPED[name]
    live = answer(pretrained.load(name), pretrained.series_of(name), name, one.window, one.step, occlusion=True)
    kept = stored(name)
    assert [m.name for m in kept.maps] == [m.name for m in live.maps]
    for a, b in zip(kept.maps, live.maps, strict=True):
        np.testing.assert_allclose(a.values, b.values, rtol=2e-2, atol=2e-3 * max(float(b.values.max()), 1e-9))
        assert a.auprc == pytest.approx(b.auprc, abs=0.02, nan_ok=True)
    np.testing.assert_allclose(kept.forecast, live.forecast, atol=2e-3)
    np.testing.assert_allclose(kept.lookback, live.lookback, atol=2e-3)
    assert (kept.true_steps, kept.variates, kept.uniform) == (live.true_steps, live.variates, live.uniform)
    for part, other in zip(kept.parts, live.parts, strict=True):
        np.testing.assert_allclose(part.contribution, other.contribution, atol=2e-3)


def test_scales_and_rest_add_up_to_the_forecast():
    found = stored("crossscalenet-syn5")
    total = sum((part.contribution for part in found.parts), found.rest)
    np.testing.assert_allclose(total, found.forecast, atol=5e-3)


def test_one_that_is_trained_again_has_the_same_scores(tmp_path):
    again = pretrained.make("crossscalenet-syn5", tmp_path)
    was = pretrained.card("crossscalenet-syn5")
    assert again["metrics"]["mse"] == pytest.approx(was["metrics"]["mse"], rel=0.1)
    assert again["seconds"] < 60, "the lesson promises half a minute on two cores"
    for title, value in was["scores"].items():
        assert again["scores"][title] == pytest.approx(value, abs=0.1), title


def test_one_trained_here_goes_before_the_shipped_one(home, shipped_in):
    (shipped_in / "crossscalenet-broken.safetensors").unlink()
    with pytest.raises(UserError, match=r"is missing\. It can be trained here"):
        pretrained.load("crossscalenet-broken")
    pretrained.make("crossscalenet-broken", home / "lesson")
    assert pretrained.load("crossscalenet-broken").spec.model == "crossscalenet"
    assert pretrained.folder_of("crossscalenet-broken") == home / "lesson"


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"x" * 5000])
def test_a_damaged_file_is_a_sentence(shipped_in, content):
    (shipped_in / "casa-syn5.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        pretrained.load("casa-syn5")
    (shipped_in / "casa-syn5.answer.json").write_bytes(content)
    assert pretrained.stored("casa-syn5") is None
    with pytest.raises(UserError, match="has no model"):
        pretrained.load("../../etc/passwd")


def test_weights_of_another_model_are_refused(shipped_in):
    shutil.copy(shipped_in / "casa-syn5.safetensors", shipped_in / "s2tx-syn5.safetensors")
    with pytest.raises(UserError, match="is damaged"):
        pretrained.load("s2tx-syn5")


def test_a_stored_answer_needs_no_torch():
    code = (
        "import sys; from core.lesson import pretrained; "
        "found = pretrained.stored('crossscalenet-syn5'); found.auprc(found.map('Contributions').values); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_window_that_holds_no_number_is_refused():
    run, series = pretrained.load("crossscalenet-syn5"), pretrained.series_of("crossscalenet-syn5")
    lookback = run.window(series, 0).lookback.copy()
    for value in (np.nan, np.inf):
        lookback[3, 1] = value
        with pytest.raises(UserError, match="empty or infinite"):
            answer(run, series, "crossscalenet-syn5", 0, 12, lookback)
    with pytest.raises(UserError, match="1 to 24 steps ahead"):
        answer(run, series, "crossscalenet-syn5", 0, 24)


def test_an_answer_survives_its_file():
    found = stored("crossscalenet-syn5")
    again = Answer.from_json(found.to_json())
    np.testing.assert_array_equal(again.lookback, found.lookback)
    assert again.true_steps == tuple(sorted(lag - 12 for lag in LAGS5))
    with pytest.raises((ValueError, KeyError, TypeError)):
        Answer.from_json(json.dumps({"model": "x"}))


# what the lesson says


def test_the_model_uses_the_true_steps_and_its_attention_cannot_show_which():
    name = "crossscalenet-syn5"
    assert score(name, "Gradient") > 0.95 and score(name, "Contributions") > 0.85
    assert score(name, "Published attention") < 0.6
    assert pretrained.card(name)["metrics"]["mse"] < 0.2 < pretrained.card(name)["metrics"]["baselines"]["naive"]["mse"]


def test_patchtst_alone_finds_nothing_and_casa_has_no_map_over_time():
    assert pretrained.card("patchtst-syn5")["metrics"]["mse"] > 0.85
    assert score("patchtst-syn5", "Gradient") < 0.15
    assert not stored("casa-syn5").attention and score("casa-syn5", "Gradient") > 0.95
    assert score("casa-syn5", "Contributions") < 0.2, "its cross-variate path is frozen in what adds up"


def test_attention_that_does_not_matter_is_one():
    assert abs(pretrained.card("crossscalenet-waves")["relevance"]["uniform"]) < 0.005
    metrics = pretrained.card("crossscalenet-waves")["metrics"]
    assert metrics["mse"] < 0.7 * metrics["naive_mse"]


def test_keys_make_another_map_and_the_same_forecast():
    one, other = (pretrained.card(name)["metrics"]["mse"] for name in ("crossscalenet-syn5", "crossscalenet-seasonal"))
    assert one == pytest.approx(other, rel=0.1)


def test_random_weights_have_a_map_too():
    found = stored("crossscalenet-broken").map("Published attention")
    assert found is not None and found.values.max() > found.values.mean()
    assert pretrained.card("crossscalenet-broken")["metrics"]["mse"] > 0.8


def test_a_leak_is_what_the_model_looks_at():
    found = stored("crossscalenet-leak")
    others = max(found.share_of(name) for name in found.variates if name != "leak")
    assert found.share_of("leak") > others
    assert score("crossscalenet-leak", "Gradient") < 0.6


def test_a_twin_takes_over_from_the_cause():
    found = stored("crossscalenet-correlated")
    assert found.share_of("x3") > 0.1


def test_the_own_past_is_a_shortcut():
    assert stored("crossscalenet-past").share_of("y") > 0.3
    assert score("crossscalenet-past", "Gradient") < 0.6


def test_with_one_step_ahead_the_published_map_is_flat():
    found = stored("crossscalenet-h1").map("Published attention")
    assert found is not None and math.isclose(found.values.max(), found.values.min(), rel_tol=1e-3)
