"""What the bundled samples promise: they load without a network, ready to train, with their repairs on record."""

import socket

import numpy as np
import pytest

from core.data.samples import SAMPLES, known
from core.data.synthetic import SETS, own_rule, syn
from core.training.spec import Split


@pytest.mark.parametrize("key", SAMPLES)
def test_a_sample_is_ready_to_train_offline(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a sample asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    series, card = SAMPLES[key].open()
    assert np.isfinite(series.values).all()
    split = Split.of(series)
    lookback = horizon = 96  # what the Train page offers at most
    assert split.train >= lookback + horizon
    assert split.validation - split.train >= horizon
    assert (card.kind, card.rows, card.fingerprint) == ("sample", len(series), series.fingerprint)
    assert SAMPLES[key].load().fingerprint == series.fingerprint


def test_the_missing_weeks_of_the_real_sample_are_on_record() -> None:
    series, card = SAMPLES["co2"].open()
    assert (len(series), card.step) == (2_284, "1 week")
    assert card.audit.count("missing") == 59
    assert card.repairs == ["59 missing values filled: linear between neighbours."]


@pytest.mark.parametrize("number", SETS)
def test_a_synthetic_sample_knows_its_truth(number: int) -> None:
    series, card = SAMPLES[f"syn{number}"].open()
    assert card.truth == series.truth == syn(number, length=1, autocorrelation=0.0, current=False).truth
    assert (card.name, card.source) == (f"SYN{number}", f"SYN{number}, known lags")
    assert "y depends on" in card.description


def test_an_own_rule_is_a_sample_with_its_truth() -> None:
    series, card = known(own_rule([3], [4, 5], length=500)).open()
    assert (card.kind, card.name, card.rows) == ("sample", "own rule, lags 4-5 of x3, 500 steps", 500)
    assert card.truth == series.truth
    assert "y depends on x3, 4 to 5 steps back, and on nothing else." in card.description
