"""The queue with real workers: what a person may rely on from pressing Train to deleting the run."""

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import core
from core.errors import UserError
from core.evaluate.run import LoadedRun
from core.jobs.directory import JobDirectory
from core.jobs.queue import Jobs
from core.training.checkpoint import load_resume
from core.training.events import Cancelled, Checkpointed, EpochDone, Finished, Started
from core.training.spec import Split
from tests.jobs.conftest import end, long_spec, over, spec_of, until


def test_a_job_runs_to_a_scored_model_that_the_store_knows(jobs, store, series):
    id = jobs.submit(spec_of(series), series, "first")
    assert store.run(id).name == "first"
    status = until(jobs, id, over)
    assert (status.state, status.epoch, status.epochs) == ("finished", 2, 2)
    kinds = [type(event) for event in jobs.events(id)]
    assert kinds == [Started, EpochDone, Checkpointed, EpochDone, Checkpointed, Finished]
    run = LoadedRun.open(status.directory)
    assert run.card["metrics"]["mse"] == jobs.events(id)[-1].metrics["mse"]
    assert run.card["relevance"]["sentence"]
    assert run.card["season"] in (12, 24)
    assert run.card["spec"]["fingerprint"] == series.fingerprint
    row = store.run(id)
    assert row.state == "finished"
    assert row.finished_at is not None
    assert row.card is not None
    assert row.card["metrics"] == run.card["metrics"]
    assert jobs.active() == []


def test_cancel_keeps_the_best_model_and_scores_it(jobs, store, series):
    id = jobs.submit(long_spec(series), series)
    until(jobs, id, lambda s: s.epoch >= 2)
    jobs.cancel(id)
    status = until(jobs, id, over)
    assert status.state == "cancelled"
    last = jobs.events(id)[-1]
    assert isinstance(last, Cancelled)
    assert last.best_epoch >= 1
    assert f"epoch {last.best_epoch}" in status.sentence
    run = LoadedRun.open(status.directory)
    assert run.card["best_epoch"] == last.best_epoch
    deadline = time.monotonic() + 30
    while not (store.run(id).card or {}).get("metrics") and time.monotonic() < deadline:
        jobs.refresh()
        time.sleep(0.05)
    assert store.run(id).card["metrics"]["windows"] > 0


def test_a_queued_job_waits_its_turn_and_can_be_cancelled(jobs, series):
    first, second, third = (jobs.submit(long_spec(series), series, f"{n}") for n in range(3))
    until(jobs, first, lambda s: s.state == "running")
    assert [(s.id, s.position) for s in jobs.active()] == [(first, 0), (second, 1), (third, 2)]
    jobs.cancel(second)
    assert jobs.status(second).state == "cancelled"
    assert jobs.status(third).position == 1
    jobs.cancel(first)
    until(jobs, third, lambda s: s.state == "running")


def test_a_killed_worker_is_interrupted_and_resumes_after_its_last_epoch(jobs, store, series):
    id = jobs.submit(long_spec(series), series)
    status = until(jobs, id, lambda s: s.epoch >= 3)
    end(status.directory)
    status = until(jobs, id, over)
    assert status.state == "interrupted"
    assert store.run(id).state == "interrupted"
    before = jobs.events(id)
    said = [e.epoch for e in before if isinstance(e, Checkpointed)][-1]
    done = int(load_resume(status.directory)["numbers"][0])
    assert done in (said, said + 1)  # the file comes before the event that tells of it; the end may fall between
    jobs.resume(id)
    until(jobs, id, lambda s: s.state == "running" and s.epoch > done + 1)
    assert store.run(id).finished_at is None
    jobs.cancel(id)
    assert until(jobs, id, over).state == "cancelled"
    after = jobs.events(id)[len(before) :]
    assert isinstance(after[0], Started)
    assert after[0].resumed_from == done
    assert next(e.epoch for e in after if isinstance(e, EpochDone)) == done + 1


def test_a_restarted_server_finds_the_running_worker_again(jobs, place, store, series):
    id = jobs.submit(long_spec(series), series)
    until(jobs, id, lambda s: s.epoch >= 1)
    worker = JobDirectory(place.runs / id).process()
    jobs.close()
    again = Jobs(place, store)
    try:
        assert [s.id for s in again.active()] == [id]
        assert again.status(id).state == "running"
        assert JobDirectory(place.runs / id).process() == worker
        again.cancel(id)
        assert until(again, id, over).state == "cancelled"
    finally:
        again.close()


def test_a_worker_outlives_the_server_that_started_it(place, series, tmp_path):
    """The server dies with kill -9; a real second process is the server here."""
    script = """
import sys, time
from dataclasses import replace
from pathlib import Path
from core.jobs.queue import Jobs
from core.settings import Settings
from core.store.store import Store
from tests.jobs.conftest import long_spec, waves
place = Settings(home=Path(sys.argv[1]), threads=1)
jobs = Jobs(place, Store(place.database, place.uploads))
print(jobs.submit(long_spec(waves()), waves()), flush=True)
time.sleep(600)
"""
    server = subprocess.Popen(
        [sys.executable, "-c", script, str(place.home)],
        cwd=Path(core.__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    id = server.stdout.readline().strip()
    server.kill()
    server.wait()
    from core.store.store import Store

    store = Store(place.database, place.uploads)
    again = Jobs(place, store)
    try:
        assert until(again, id, lambda s: s.epoch >= 1).state == "running"
    finally:
        again.cancel(id)
        until(again, id, over)
        again.close()
        end(place.runs / id)
        store.close()


def test_a_failed_job_says_why_and_can_be_tried_with_safer_settings(jobs, store, series):
    values = series.values.copy()
    values[Split.of(series).train :] = 1e30  # finite, and passes every check; its square is not
    series = replace(series, values=values)
    spec = spec_of(series)
    id = jobs.submit(spec, series)
    status = until(jobs, id, over)
    assert status.state == "failed"
    assert "The loss became infinite in epoch 1" in status.sentence
    assert "Traceback" in jobs.log(id)
    assert store.run(id).state == "failed"
    again = jobs.retry(id)
    assert again != id
    assert jobs.status(again).state in ("queued", "running")
    safer = JobDirectory(jobs.status(again).directory).spec().recipe
    assert (safer.batch_size, safer.learning_rate) == (32, spec.recipe.learning_rate / 2)
    until(jobs, again, over)


def test_what_cannot_be_trained_is_refused_before_it_is_queued(jobs, store, series):
    with pytest.raises(UserError, match="look-back"):
        jobs.submit(spec_of(series, lookback=500), series)
    assert store.runs() == []


def test_delete_refuses_a_running_job_and_removes_a_finished_one(jobs, place, store, series):
    id = jobs.submit(long_spec(series), series)
    until(jobs, id, lambda s: s.state == "running")
    with pytest.raises(UserError, match="Cancel it first"):
        jobs.delete(id)
    jobs.cancel(id)
    until(jobs, id, over)
    jobs.delete(id)
    assert store.runs() == []
    assert list(place.runs.iterdir()) == []
    with pytest.raises(UserError, match="no run"):
        jobs.status(id)


def test_a_running_job_ends_when_its_run_is_deleted_with_the_dataset(jobs, place, store, series):
    id = jobs.submit(long_spec(series), series)
    until(jobs, id, lambda s: s.epoch >= 1)
    worker = JobDirectory(place.runs / id).process()
    assert worker is not None
    store.delete_run(id)
    jobs.refresh()
    assert jobs.active() == []
    assert not worker.is_running()
    assert list(place.runs.iterdir()) == []


def test_delete_ends_a_running_job_where_asked_and_minds_no_missing_folder(jobs, place, store, series):
    id = jobs.submit(long_spec(series), series)
    other = jobs.submit(spec_of(series), series)
    until(jobs, id, lambda s: s.state == "running")
    jobs.delete(id, stop=True)
    until(jobs, other, over)
    shutil.rmtree(place.runs / other)
    jobs.delete(other)
    assert store.runs() == []


def test_a_name_from_outside_is_only_ever_text(jobs, place, store, series):
    name = "../../<img src=x onerror=alert(1)>'; drop table runs; --"
    id = jobs.submit(spec_of(series, epochs=1), series, name)
    assert [folder.name for folder in place.runs.iterdir()] == [id]
    assert until(jobs, id, over).name == store.run(id).name == name
    assert LoadedRun.open(place.runs / id).card["name"] == name


@pytest.mark.parametrize("id", ["", ".", "..", "../home", "/etc", "a/b", "20200101-000000000-abcdef", "x\0y", "<img>"])
def test_only_ids_of_ours_become_paths(jobs, id):
    for ask in (jobs.status, jobs.events, jobs.log, jobs.cancel, jobs.resume, jobs.retry, jobs.delete):
        with pytest.raises(UserError, match="no run"):
            ask(id)


def test_finished_jobs_are_not_resumed(jobs, series):
    id = jobs.submit(spec_of(series, epochs=1), series)
    until(jobs, id, over)
    with pytest.raises(UserError, match="more epochs"):
        jobs.resume(id)


def test_a_worker_that_does_not_answer_a_cancel_is_ended(jobs, place, series, monkeypatch):
    """A stopped process (SIGSTOP) stands for one stuck in a single long operation."""
    monkeypatch.setattr("core.jobs.queue.PATIENCE", 0.5)
    id = jobs.submit(long_spec(series), series)
    job = JobDirectory(place.runs / id)
    until(jobs, id, lambda s: job.best_epoch() >= 1)
    process = job.process()
    assert process is not None
    process.suspend()
    jobs.cancel(id)
    status = until(jobs, id, over)
    assert status.state == "cancelled"
    assert LoadedRun.open(status.directory).card["best_epoch"] >= 1
