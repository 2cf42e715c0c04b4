"""A job's directory as two processes share it: torn lines, half-written files, reused process numbers."""

import json
import os
import time

import psutil
import pytest

from core.jobs.directory import JobDirectory
from core.training.events import Cancelled, EpochDone, Failed, Finished, Progress, Started
from tests.jobs.conftest import spec_of


@pytest.fixture
def job(tmp_path, series):
    return JobDirectory.create(tmp_path / "20200101-000000000-abcdef", spec_of(series), series, "name")


def started(resumed_from: int = 0) -> Started:
    return Started(1.0, 10, 5, 3, 100, 20, "cpu", 1, resumed_from)


def epoch(number: int, loss: float) -> EpochDone:
    return EpochDone(1.0, number, 5, loss, loss, True, 0.1, 1e-3, 100.0, 1.0)


def test_spec_and_series_come_back_as_they_went_in(job, series):
    assert job.spec() == spec_of(series)
    assert job.series().fingerprint == series.fingerprint
    assert job.name == "name"


def test_only_the_columns_of_the_spec_are_copied(tmp_path, series):
    spec = spec_of(series, variates=("load",), targets=("load",))
    assert JobDirectory.create(tmp_path / "run", spec, series, "").series().variates == ("load",)


@pytest.mark.parametrize("torn", [b'{"kind": "epo', b"\xff\xfe\x00", b'{"kind": "unknown"}', b"[]", b"null"])
def test_a_torn_line_is_skipped_and_swallows_no_later_one(job, torn):
    job.append(started())
    with (job.path / "events.jsonl").open("ab") as lines:
        lines.write(torn)
    assert job.events() == (started(),)
    job.append(Cancelled(2.0, 0, 0))
    assert job.events() == (started(), Cancelled(2.0, 0, 0))


def test_a_line_still_being_written_is_seen_once_it_is_whole(job):
    line = started().to_json().encode() + b"\n"
    with (job.path / "events.jsonl").open("ab", buffering=0) as lines:
        lines.write(line[:20])
        assert job.events() == ()
        lines.write(line[20:])
    assert job.events() == (started(),)


def test_epochs_that_a_later_attempt_repeated_count_once(job):
    for event in (started(), epoch(1, 0.5), epoch(2, 0.4), epoch(3, 0.3), started(2), epoch(3, 0.2)):
        job.append(event)
    assert [(e.epoch, e.train_loss) for e in job.epochs()] == [(1, 0.5), (2, 0.4), (3, 0.2)]
    job.append(started(0))
    assert job.epochs() == []


def test_the_last_word_of_an_earlier_attempt_does_not_end_the_present_one(job):
    job.append(Failed(1.0, "no"))
    assert job.state() == "failed"
    job.started(os.getpid(), before=1)
    assert job.state() == "running"
    job.append(Finished(2.0, 1, 1, 0.1, False))
    assert job.state() == "finished"


def test_a_process_number_used_again_is_not_our_worker(job):
    job.write("worker.json", {"process": os.getpid(), "created": psutil.Process().create_time() - 100, "events": 0})
    assert not job.alive()
    assert job.state() == "interrupted"


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"kind": "scoring"}'])
def test_progress_that_is_none_reads_as_none(job, text):
    (job.path / "progress.json").write_text(text)
    assert job.progress() is None


def test_progress_is_replaced_and_never_half_there(job):
    for batch in range(3):
        job.write("progress.json", {"kind": "progress"} | vars(Progress(time.time(), 1, batch, 3, 0.5, 10.0)))
        progress = job.progress()
        assert progress is not None
        assert progress.batch == batch
    assert [f.name for f in job.path.iterdir() if f.name.startswith(".")] == []


def test_numbers_that_json_does_not_know_survive_in_events(job):
    job.append(epoch(1, float("nan")))
    (event,) = job.events()
    assert event.train_loss != event.train_loss
    assert json.loads((job.path / "events.jsonl").read_text())["epoch"] == 1
