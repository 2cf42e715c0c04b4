"""The queue of jobs: starts workers where a slot is free, follows them, and tells the store how they stand.

A job's truth is its directory (``directory.py``); nothing here is lost when the server is restarted.
Training itself is in ``worker.py``, which is never imported here.
"""

import logging
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

import core
from core.data.series import Series
from core.errors import UserError
from core.jobs.directory import ACTIVE, JobDirectory, State
from core.settings import Settings
from core.store.store import Store
from core.training.events import Cancelled, EpochDone, Event, Failed, Finished, Started
from core.training.spec import Spec

log = logging.getLogger("scalescope.jobs")

POLL = 0.5  # seconds between two looks of the supervisor
PATIENCE = 5.0  # seconds a worker may take to answer a cancel before it is killed
AFTERWORK = 60.0  # seconds a worker may live after its last event (it scores a cancelled model)
ID = re.compile(r"\d{8}-\d{9}-[0-9a-f]{6}")


@dataclass(frozen=True)
class JobStatus:
    """How one job stands. Counts are 0 and losses None before the first epoch; ``position`` is 1 for the next to start
    and 0 outside the queue. ``loss`` is of the running epoch, ``validation_loss`` the best so far (both z-scored).
    While ``stage`` is "pretraining", epochs and loss are those of that stage. ``fitted``: it has no batches and curves.
    ``sentence`` is for the person; it may quote names from an upload."""

    id: str
    name: str
    state: State
    directory: Path
    sentence: str
    position: int = 0
    epoch: int = 0
    epochs: int = 0
    batch: int = 0
    batches: int = 0
    loss: float | None = None
    validation_loss: float | None = None
    windows_per_second: float | None = None
    eta_seconds: float | None = None
    device: str = ""
    stage: str = "forecasting"
    fitted: bool = False

    @property
    def active(self) -> bool:
        """Whether anything is still to be expected of it."""
        return self.state in ACTIVE


class Jobs:
    """All jobs under ``settings.runs``. One object a server; safe to call from several threads.

    Every method that takes an id raises UserError for one that is not ours.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._lock = threading.RLock()
        self._children: dict[str, subprocess.Popen] = {}
        self._known: dict[str, str] = {}  # jobs to be watched, with the state that the store knows
        for run in store.runs():
            if run.state in ACTIVE or self._at(run.id).alive():
                self._known[run.id] = run.state
        self._closed = threading.Event()
        self.refresh()
        self._supervisor = threading.Thread(target=self._supervise, name="jobs", daemon=True)
        self._supervisor.start()

    # -- what pages ask for -------------------------------------------------------------------------------------------

    def submit(self, spec: Spec, series: Series, name: str = "") -> str:
        """Queues a training and returns its id; it starts at once where a slot is free.

        Raises UserError where the spec cannot be trained on this series.
        """
        spec = spec.model_copy(
            update={
                "series_name": spec.series_name or series.name,
                "fingerprint": spec.fingerprint or series.fingerprint,
                "device": self._settings.device if spec.device == "auto" else spec.device,
                "threads": spec.threads or self._threads(),
            }
        )
        spec.check(series)
        job = JobDirectory.create(self._settings.runs / _new_id(), spec, series, name)
        self._store.add_run(job.id, name, spec.model_dump_json(), "queued", job.path)
        self._enqueue(job)
        return job.id

    def status(self, id: str) -> JobStatus:
        """How this job stands now."""
        job = self._job(id)
        return self._status(job, self._name(job))

    def active(self) -> list[JobStatus]:
        """Queued and running jobs, oldest first."""
        with self._lock:
            jobs = [self._at(id) for id in sorted(self._known)]
        found = [self._status(job, self._name(job)) for job in jobs if job.path.exists()]
        return [status for status in found if status.active]

    def events(self, id: str) -> list[Event]:
        """What it said so far, all attempts, without Progress (see ``status`` for that)."""
        return list(self._job(id).events())

    def log(self, id: str, lines: int = 200) -> str:
        """The end of the worker's own log, tracebacks included."""
        try:
            text = (self._job(id).path / "log.txt").read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def cancel(self, id: str) -> None:
        """Stops it within about a second; the best checkpoint stays. Nothing happens to a job that is over."""
        job = self._job(id)
        with self._lock:
            state = job.state()
            if state == "queued":
                job.append(Cancelled(time.time(), job.epochs_run(), job.best_epoch()))
                job.path.joinpath("queued").unlink(missing_ok=True)
            elif state == "running":
                job.path.joinpath("cancel").touch()
            self.refresh()

    def settled(self, id: str, seconds: float = 1.0) -> bool:
        """Waits until the job is over, ``seconds`` at most: a cancel is shown at once instead of at the next poll."""
        job, deadline = self._job(id), time.monotonic() + seconds
        while job.state() in ACTIVE and time.monotonic() < deadline:
            time.sleep(0.03)
        self.refresh()
        return job.state() not in ACTIVE

    def resume(self, id: str) -> None:
        """Queues it again, to go on after its last finished epoch. Raises UserError where nothing can be resumed."""
        job = self._job(id)
        with self._lock:
            state = job.state()
            if state in ACTIVE:
                raise UserError(f"This job is {state} already. There is nothing to resume.")
            if state == "finished":
                raise UserError("This training ran to its end. To train longer, start a new one with more epochs.")
            if not job.has_series():
                raise UserError("The folder of this run no longer holds its series. Start a new training instead.")
            self._end(job)
            self._enqueue(job)

    def retry(self, id: str) -> str:
        """A failed job as a new one with half the batch and, as steps get noisier, half the learning rate; returns the
        new id. The first helps where memory ran out, the second where the loss became infinite. The old one stays."""
        job = self._job(id)
        if job.state() in ACTIVE:
            raise UserError("This job has not ended yet. Cancel it before you try it with another setting.")
        spec = job.spec()
        safer = {"batch_size": max(spec.recipe.batch_size // 2, 1), "learning_rate": spec.recipe.learning_rate / 2}
        recipe = spec.recipe.model_copy(update=safer)
        return self.submit(spec.model_copy(update={"recipe": recipe}), job.series(), self._name(job))

    def delete(self, id: str, stop: bool = False) -> None:
        """Removes the run with its folder. Raises UserError while it runs, unless ``stop`` says to end it first."""
        if not ID.fullmatch(id):
            raise _unknown(id)
        job = self._at(id)
        with self._lock:
            if not stop and job.state() == "running":
                raise UserError("This job is running. Cancel it first, then delete it.")
            self._store.delete_run(id)
            self._remove(job)

    def adopt(self, file: Path, series: Series, dataset_id: str) -> str:
        """A saved model file as a new, finished run on this dataset; returns its id.

        Raises UserError for a pickle, a damaged file, weights of another shape, or variates that the series lacks.
        """
        from core.jobs.adopt import adopt  # brings torch

        job = adopt(file, series, dataset_id, self._settings.runs / _new_id())
        self._store.add_run(job.id, job.name, job.spec().model_dump_json(), "finished", job.path)
        self._store.update_run(job.id, card=job.card(), finished_at=datetime.now(UTC))
        return job.id

    # -- the supervisor -----------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Looks at every job that is not over: states and cards go to the store, free slots are filled. Cheap."""
        with self._lock:
            for child in self._children.values():
                child.poll()  # takes the ended ones off the process table
            for id in list(self._known):
                try:
                    self._settle(self._at(id))
                except UserError:  # deleted from the store, with its dataset
                    self._remove(self._at(id))
                except Exception:  # one broken folder must not hold up the others
                    log.exception("job %s could not be looked at", id)
            self._start_queued()

    def close(self) -> None:
        """Ends the supervisor. Workers go on; the next Jobs finds them."""
        self._closed.set()
        self._supervisor.join()

    def _supervise(self) -> None:
        while not self._closed.wait(POLL):
            try:
                self.refresh()
            except Exception:  # it must outlive a full disk or a busy database
                log.exception("the queue could not be refreshed")

    def _settle(self, job: JobDirectory) -> None:
        """Brings one job forward: what was asked of it, what became of it, what the store should know.

        Raises UserError where the store knows it no longer.
        """
        self._store.run(job.id)
        alive, state, last = job.alive(), job.state(), job.last_word()
        cancel = job.path / "cancel"
        if state == "running" and cancel.exists() and time.time() - cancel.stat().st_mtime > PATIENCE:
            self._end(job)
            alive, state = False, job.state()
        if state == "cancelled" and last is None:  # it died before it could say so
            last = Cancelled(time.time(), job.epochs_run(), job.best_epoch())
            job.append(last)
        if alive and last is not None and time.time() - last.time > AFTERWORK:
            self._end(job)
        if state != self._known.get(job.id):
            over = None if state in ACTIVE else datetime.now(UTC)
            self._store.update_run(job.id, state=state, card=job.card() or None, finished_at=over)
            self._known[job.id] = state
        if not alive and state not in ACTIVE:
            self._store.update_run(job.id, card=job.card() or None)  # a cancelled model is scored after its last event
            self._known.pop(job.id, None)
            self._children.pop(job.id, None)

    def _start_queued(self) -> None:
        running = sum(self._at(id).alive() for id in self._known)
        for job in self._queue()[: max(self._settings.workers - running, 0)]:
            self._start(job)

    def _start(self, job: JobDirectory) -> None:
        """A worker of its own session, so that it outlives this server, with the directory as all it is told."""
        for old in ("cancel", "progress.json"):
            job.path.joinpath(old).unlink(missing_ok=True)
        before = len(job.events())
        try:
            with (job.path / "log.txt").open("ab") as out:
                child = subprocess.Popen(
                    [sys.executable, "-m", "core.jobs.worker", str(job.path)],
                    cwd=Path(core.__file__).parents[1],
                    env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},  # idle threads must not spin beside the server
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
        except OSError as error:
            job.path.joinpath("queued").unlink(missing_ok=True)
            job.append(Failed(time.time(), f"The training process could not be started: {error.strerror}."))
            return
        job.started(child.pid, before)
        self._children[job.id] = child

    # -- inside -------------------------------------------------------------------------------------------------------

    def _at(self, id: str) -> JobDirectory:
        return JobDirectory(self._settings.runs / id)

    def _job(self, id: str) -> JobDirectory:
        """The job of this id; ids are ours, so that no text from outside becomes a path."""
        if not ID.fullmatch(id) or not self._at(id).path.is_dir():
            raise _unknown(id)
        return self._at(id)

    def _name(self, job: JobDirectory) -> str:
        """As it is called now; as it was submitted where the store has lost it."""
        try:
            return self._store.run(job.id).name
        except UserError:
            return job.name

    def _threads(self) -> int:
        """Threads of one worker: as set, else the cores but one, shared among the slots."""
        cores = (
            len(psutil.Process().cpu_affinity() or [1]) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
        )
        return self._settings.threads or max(((cores or 1) - 1) // self._settings.workers, 1)

    def _queue(self) -> list[JobDirectory]:
        """Queued jobs, the next to start first."""
        places = []
        with self._lock:
            for id in self._known:
                try:
                    places.append((float((self._at(id).path / "queued").read_text()), id))
                except (FileNotFoundError, ValueError):
                    continue
        return [self._at(id) for _, id in sorted(places)]

    def _enqueue(self, job: JobDirectory) -> None:
        with self._lock:
            self._known[job.id] = ""
            beside = job.path / ".queued"
            beside.write_text(repr(time.time()))
            beside.replace(job.path / "queued")
            self.refresh()

    def _remove(self, job: JobDirectory) -> None:
        """Ends its worker and removes its folder."""
        self._end(job)
        self._known.pop(job.id, None)
        self._children.pop(job.id, None)
        shutil.rmtree(job.path, ignore_errors=True)

    def _end(self, job: JobDirectory) -> None:
        """Kills what is left of a worker and waits until it is gone."""
        process = job.process()
        if process is not None:
            try:
                for each in (*process.children(recursive=True), process):  # torch.compile has helpers of its own
                    each.kill()
                process.wait(5)
            except psutil.Error:
                log.exception("the worker of job %s could not be ended", job.id)

    def _status(self, job: JobDirectory, name: str) -> JobStatus:
        state, events, progress = job.state(), job.events(), job.progress()
        begun = next((e for e in reversed(events) if isinstance(e, Started)), None)
        epochs = job.epochs()
        done = epochs[-1] if epochs else None
        position = 0
        if state == "queued":
            position = next((n for n, other in enumerate(self._queue(), 1) if other == job), 0)
        if progress is not None and done is not None and progress.epoch <= done.epoch:
            progress = None  # left over from an epoch that is done
        stage = progress.stage if progress and state == "running" else "forecasting"
        recipe = job.spec().recipe
        return JobStatus(
            id=job.id,
            name=name,
            state=state,
            directory=job.path,
            sentence=_sentence(job, state, position, done, begun),
            position=position,
            epoch=progress.epoch if progress else done.epoch if done else 0,
            epochs=recipe.pretrain_epochs if stage == "pretraining" else begun.epochs if begun else recipe.epochs,
            batch=progress.batch if progress else 0,
            batches=begun.batches if begun else 0,
            loss=progress.loss if progress else done.train_loss if done else None,
            validation_loss=min((e.validation_loss for e in epochs), default=None),
            windows_per_second=(progress or done).windows_per_second if progress or done else None,  # type: ignore[union-attr]
            eta_seconds=max(done.eta_seconds - (time.time() - done.time), 0.0) if done and state == "running" else None,
            device=begun.device if begun else "",
            stage=stage,
            fitted=begun is not None and not begun.batches,
        )


def _unknown(id: str) -> UserError:
    return UserError(f"There is no run {id!r} here. It may have been deleted; choose one from the list.")


def _new_id() -> str:
    """Sorts by time, tells two of the same millisecond apart, and holds nothing but digits, a-f and hyphens."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}{now.microsecond // 1000:03d}-{secrets.token_hex(3)}"


def _sentence(job: JobDirectory, state: State, position: int, done: EpochDone | None, begun: Started | None) -> str:
    last, kept = job.last_word(), job.best_epoch()
    model = f"The model of epoch {kept} is kept." if kept else "No epoch was finished, so there is no model yet."
    match state:
        case "queued":
            return "Next to start." if position <= 1 else f"Waiting; {position - 1} before it."
        case "running" if job.path.joinpath("cancel").exists():
            return "Stopping."
        case "running" if begun is None:
            return "Starting."
        case "running" if job.scoring():
            return "Trained; scoring the model on all test windows."
        case "running" if begun is not None and not begun.batches:
            return "Fitting."
        case "running":
            return f"Epoch {done.epoch if done else 0} of {begun.epochs if begun else 0} is done."
        case "finished" if isinstance(last, Finished) and begun is not None and not begun.batches:
            return f"Fitted in {last.seconds:.1f} s."
        case "finished" if isinstance(last, Finished):
            early = ", stopped early since the validation loss no longer fell" if last.stopped_early else ""
            return f"Finished after {last.epochs_run} epoch{'s' * (last.epochs_run != 1)}{early}. {model}"
        case "failed" if isinstance(last, Failed):
            return last.sentence
        case "interrupted":
            return (
                "The training process ended without a word; the machine was restarted, or the process was stopped, "
                f"perhaps for lack of memory. {model} Resume goes on after epoch {job.epochs_run()}."
            )
    epochs = job.epochs_run()
    return f"Cancelled after {epochs} epoch{'s' * (epochs != 1)}. {model}"
