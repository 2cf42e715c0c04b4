"""A model trained again from a page: in a thread that is not the main one, and without a trace where it is stopped."""

import threading

import pytest
import torch

from core.lesson import pretrained
from core.training.events import EpochDone, Finished, Started

NAME = "scalefusion-waves"  # the quickest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    from core.settings import settings

    monkeypatch.setenv("SCALESCOPE_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_it_trains_outside_the_main_thread(home):
    """Pages run in threads, where no signal can be caught: with the worker's own stop every offer to train failed."""
    found: list[object] = []

    def offered() -> None:
        try:
            found.append(pretrained.make(NAME, home / "lesson"))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=offered)
    thread.start()
    thread.join()
    assert isinstance(found[0], dict), found[0]
    assert pretrained.folder_of(NAME) == home / "lesson"
    assert pretrained.stored(NAME) is not None and pretrained.load(NAME).spec.model == "scalefusion"


def test_it_tells_every_epoch_and_ends_with_its_numbers(home):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    told = list(pretrained.train_again(NAME))
    assert isinstance(told[0], Started) and isinstance(told[-1], Finished)
    assert len([event for event in told if isinstance(event, EpochDone)]) == told[-1].epochs_run
    assert told[-1].metrics["mse"] == pytest.approx(pretrained.card(NAME)["metrics"]["mse"])
    assert (home / "lesson" / f"{NAME}.safetensors").exists()
    assert torch.equal(state, torch.get_rng_state()) and torch.get_num_threads() == threads


def test_who_stops_listening_has_changed_nothing(home):
    threads = torch.get_num_threads()
    events = pretrained.train_again(NAME)
    next(event for event in events if isinstance(event, EpochDone))
    events.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == threads
    assert pretrained.folder_of(NAME) == pretrained.FOLDER and not (home / "lesson").exists()
