"""The classifier of events in series of different length: shipped, small, and as good as its card says."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.lesson import lengths, pretrained


@pytest.fixture(scope="module")
def card():
    return json.loads((lengths.FOLDER / f"{lengths.NAME}.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def found():
    return lengths.load()


def test_its_files_fit_in_beside_the_others():
    files = [*lengths.FOLDER.iterdir(), *pretrained.FOLDER.iterdir()]
    assert sum(f.stat().st_size for f in files) <= 2_000_000


def test_it_is_as_good_as_its_card_says_on_lengths_it_has_not_learned_from(found, card):
    assert not set(lengths.LEARNED) & set(lengths.JUDGED)
    measured = lengths.metrics(found)
    assert measured["accuracy"] == pytest.approx(card["metrics"]["accuracy"], abs=0.01)
    assert measured["accuracy"] > 0.85
    assert min(measured["by_length"].values()) > 0.8, "one feature space for every length of the interval"


def test_one_that_is_trained_again_is_as_good(card):
    _, again = lengths.train()
    assert again["metrics"]["accuracy"] == pytest.approx(card["metrics"]["accuracy"], abs=0.04)
    assert again["seconds"] < 60, "the lesson promises half a minute on two cores"


def test_what_is_shared_stays_as_it_was(monkeypatch):
    monkeypatch.setattr(lengths, "SERIES", 6)
    monkeypatch.setattr(lengths, "EPOCHS", 1)
    monkeypatch.setattr(lengths, "metrics", lambda found: {})
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    lengths.train()
    assert torch.equal(state, torch.get_rng_state()) and torch.get_num_threads() == threads


def test_occlusion_finds_the_event_better_than_chance(card):
    measured = card["metrics"]
    assert measured["auprc"]["Occlusion"] > 2 * measured["even"]


def test_a_series_is_told_with_its_maps(found):
    event = lengths.draw(3, [200], seed=9)[2]
    told = lengths.tell(found, event)
    assert told.chances.sum() == pytest.approx(1, abs=1e-5)
    assert told.label == event.label
    assert all(len(one.values) == 200 and np.isfinite(one.auprc) for one in told.maps)


def test_what_cannot_be_told_is_a_sentence(found):
    event = lengths.draw(1, [100], seed=9)[0]
    with pytest.raises(UserError, match=r"128 to 255 steps; 100 were given"):
        lengths.tell(found, event)
    values = event.values.copy()
    values[4] = np.nan
    with pytest.raises(UserError, match="empty or infinite"):
        lengths.tell(found, replace(event, values=values))


def test_a_missing_or_damaged_file_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"is missing\. It can be trained here"):
        lengths.load(tmp_path)
    path = tmp_path / f"{lengths.NAME}.safetensors"
    for content in (b"", b"\x80\x04pickle", b"x" * 5000):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is damaged"):
            lengths.load(tmp_path)
    shutil.copy(pretrained.FOLDER / "casa-syn5.safetensors", path)
    with pytest.raises(UserError, match="is damaged"):
        lengths.load(tmp_path)


def test_drawing_series_needs_no_torch():
    code = "import sys; from core.lesson import lengths; lengths.draw(3, [128], 0); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
