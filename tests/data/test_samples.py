"""What the bundled samples promise: they load without a network, ready to train, with their repairs on record."""

import socket

import numpy as np
import pytest

from core.data.samples import SAMPLES
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


def test_the_synthetic_sample_knows_its_truth() -> None:
    series, card = SAMPLES["syn5"].open()
    assert card.truth == series.truth
    assert card.truth is not None and card.truth["lags"] == [71, 72, 73, 74, 75, 76, 77]
