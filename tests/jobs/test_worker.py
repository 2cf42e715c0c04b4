"""The worker by itself: what it may touch, what it leaves, how it fails."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import core
from core.evaluate import baselines
from core.evaluate.run import LoadedRun
from core.jobs.directory import JobDirectory
from core.jobs.stop import Stop, Stopped
from core.jobs.worker import Worker, finite, out_of_memory, work
from core.training.events import Cancelled, EpochDone, Failed, Finished, Progress
from tests.jobs.conftest import long_spec, spec_of

ROOT = Path(core.__file__).parents[1]


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "core.jobs.worker", str(folder)], cwd=ROOT, start_new_session=True)


def wait_for_epoch(job: JobDirectory) -> None:
    deadline = time.monotonic() + 60
    while not job.epochs() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_real_worker_loads_no_database_and_no_page(tmp_path, series):
    job = JobDirectory.create(tmp_path / "run", spec_of(series, epochs=1), series, "")
    script = """
import sys
from pathlib import Path
from core.jobs.worker import work
last = work(Path(sys.argv[1]))
print(last.kind, [m for m in sys.modules if m.split(".")[0] in ("duckdb", "streamlit") or m.startswith("core.store")])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(job.path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split(maxsplit=1) == ["finished", "[]\n"]


def test_everything_a_result_needs_is_in_its_card(tmp_path, series):
    job = JobDirectory.create(tmp_path / "run", spec_of(series), series, "mine")
    heard = []
    assert isinstance(work(job.path, heard.append), Finished)
    assert [e for e in heard if not isinstance(e, Progress)] == list(job.events())
    card = job.card()
    assert card["id"] == "run"
    assert card["name"] == "mine"
    assert card["spec"] == job.spec().model_dump(mode="json")
    assert card["series"]["fingerprint"] == series.fingerprint
    assert card["versions"]["torch"] == torch.__version__
    assert len(card["scaler"]["mean"]) == len(series.variates)
    assert (card["seed"], card["epochs_run"]) == (2021, 2)
    assert card["parameters"] == sum(p.numel() for p in LoadedRun.open(job.path).model.parameters())
    assert {"metrics", "relevance", "season", "seconds_per_epoch", "device", "created_at"} <= card.keys()
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    beside = card["metrics"]["baselines"]
    assert set(beside) == set(baselines.load(job.path, job.spec())) == {"naive", "drift", "autoets", "autotheta"}
    assert all(found["mse"] > 0 and found["mae"] > 0 for found in beside.values())


@pytest.mark.parametrize("name", ["naive", "seasonal_naive", "drift", "autoets", "autotheta"])
def test_a_model_by_rule_is_a_run_like_any_other(tmp_path, series, name):
    """It is fitted, saved, scored and opened; beside it stands what a learned model of the same spec gets."""
    job = JobDirectory.create(tmp_path / name, spec_of(series, model=name, config={}), series, name)
    last = work(job.path)
    assert isinstance(last, Finished), last
    run = LoadedRun.open(job.path)
    assert run.card["metrics"]["mse"] == last.metrics["mse"] > 0
    learned = JobDirectory.create(tmp_path / "learned", spec_of(series, epochs=1), series, "learned")
    work(learned.path)
    metrics = learned.card()["metrics"]
    beside = metrics["baselines"] | {"seasonal_naive": {"mse": metrics["naive_mse"]}}
    assert run.card["metrics"]["mse"] == pytest.approx(beside[name]["mse"], rel=1e-5, abs=1e-9)


def test_sigterm_stops_it_and_keeps_the_model(tmp_path, series):
    job = JobDirectory.create(tmp_path / "run", long_spec(series), series, "")
    worker = start(job.path)
    try:
        wait_for_epoch(job)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()
    assert isinstance(job.last_word(), Cancelled)
    assert LoadedRun.open(job.path).card["best_epoch"] == job.best_epoch() >= 1


def test_it_runs_below_the_priority_of_the_pages(tmp_path, series):
    job = JobDirectory.create(tmp_path / "run", long_spec(series), series, "")
    worker = start(job.path)
    try:
        wait_for_epoch(job)
        assert os.getpriority(os.PRIO_PROCESS, worker.pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
    finally:
        worker.kill()
        worker.wait()


def test_a_fault_is_a_sentence_with_its_traceback_aside(tmp_path, series):
    job = JobDirectory.create(tmp_path / "run", spec_of(series), series, "")
    (job.path / "series" / "values.npy").write_bytes(b"no table")
    last = work(job.path)
    assert isinstance(last, Failed)
    assert "Traceback" not in last.sentence
    assert "Traceback" in last.log
    assert last.log in (job.path / "log.txt").read_text()
    assert job.state() == "failed"


def test_a_damaged_resume_file_is_named_and_the_best_model_stays(tmp_path, series):
    job = JobDirectory.create(tmp_path / "run", spec_of(series, epochs=2), series, "")
    work(job.path)
    (job.path / "resume.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 not a header at all")
    last = work(job.path)
    assert isinstance(last, Failed)
    assert "resume.safetensors" in last.sentence
    assert LoadedRun.open(job.path).card["best_epoch"] == 2


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_too_little_memory_says_what_to_make_smaller(tmp_path, series, error):
    job = JobDirectory.create(tmp_path / "run", spec_of(series), series, "")
    assert out_of_memory(error)
    sentence = Worker(job, lambda event: None).sentence(error)
    assert "32 instead of 64" in sentence
    assert not out_of_memory(RuntimeError("shapes do not fit"))


def test_a_stop_interrupts_a_long_operation_but_never_a_write(tmp_path):
    """The exception comes in the middle of Python code, and waits while a file is being written."""
    file, done = tmp_path / "cancel", []
    threading.Timer(0.3, file.touch).start()
    with pytest.raises(Stopped), Stop(file) as stop:
        with stop.writing():
            time.sleep(1)
            done.append("written")
        done.append("never")
    assert done == ["written"]
    begun = time.monotonic()
    with pytest.raises(Stopped), Stop(seconds=0.3):
        time.sleep(30)
    assert time.monotonic() - begun < 10
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_cancel_before_the_first_epoch_leaves_no_model(tmp_path, series):
    job = JobDirectory.create(tmp_path / "run", long_spec(series), series, "")
    job.path.joinpath("cancel").touch()
    last = work(job.path)
    assert isinstance(last, Cancelled)
    assert (last.epochs_run, last.best_epoch) == (0, 0)
    assert not [e for e in job.events() if isinstance(e, EpochDone)]
    assert not (job.path / "checkpoint.safetensors").exists()


def test_a_card_holds_nothing_that_json_does_not_know():
    assert finite({"a": [1.0, float("nan")], "b": {"c": float("inf")}, "d": "x"}) == {
        "a": [1.0, None],
        "b": {"c": None},
        "d": "x",
    }
