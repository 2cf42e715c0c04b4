"""A resumable grid of trainings: which cells are finished, who works on which, and how one is measured.

A cell is a Spec; what it gave is one line of JSON in ``<name>.jsonl``, appended once and never changed. A cell is known
by all that determines its result, so a finished one is never run again, by this process or another: whoever works on
a cell holds a file lock that dies with the process. A cell that is interrupted goes on after its last epoch. What a
study asks and how it shows it lives in the other files of this folder.
"""

import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

from pydantic import ValidationError

from core.data.series import Series
from core.errors import UserError
from core.jobs.directory import JobDirectory
from core.jobs.stop import Stop, Stopped
from core.jobs.worker import Worker
from core.models.registry import configure
from core.training.events import Failed
from core.training.spec import Spec

LOOK = 0.5  # seconds between two looks at the other processes


@dataclass(frozen=True)
class Cell:
    """What one Spec gave, or is to give: then ``measured`` is empty. ``settings`` is what a table calls it.

    ``error`` is the sentence of a cell that failed, empty for a finished one. Its ``numbers`` are mse, mae (z-scored,
    every test window), windows, parameters, epochs, best_epoch, seconds (training alone), validation (the best),
    uniform (change of the MSE with uniform attention), threads, commit, torch.
    """

    spec: Spec
    settings: str = ""
    error: str = ""
    measured: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        return key(self.spec)

    def line(self) -> str:
        about = {"settings": self.settings, "error": self.error, "measured": self.measured, **self.numbers}
        return json.dumps({"spec": self.spec.model_dump(mode="json")} | about)

    @classmethod
    def of(cls, line: str) -> "Cell":
        """Raises ValueError for a line that is none of ours, or torn."""
        about = json.loads(line)
        try:
            spec = Spec.model_validate(about.pop("spec"))
            return cls(spec, about.pop("settings"), about.pop("error"), about.pop("measured"), about)
        except (KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"not a cell: {line[:80]}") from error


def key(spec: Spec) -> str:
    """A short name of everything that determines a result: threads, the dataset's id and the recipe's name do not.
    Options that stand at their default count as if they were written out."""
    about = spec.model_dump(mode="json", exclude={"threads": True, "dataset": True, "recipe": {"name"}})
    with suppress(UserError):  # an architecture that is not here any more keeps its lines as they are
        about["config"] = configure(spec.model, spec.config).model_dump(mode="json")
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def impossible(spec: Spec, series: Series) -> str:
    """Why this cell cannot be trained, as a sentence; empty where it can."""
    try:
        spec.check(series)
    except UserError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class Grid:
    """The cells in ``<path>.jsonl``; ``<path>.running/`` holds those under way."""

    path: Path

    @property
    def lines(self) -> Path:
        return self.path.with_name(self.path.name + ".jsonl")

    @property
    def running(self) -> Path:
        return self.path.with_name(self.path.name + ".running")

    def attempts(self) -> list[Cell]:
        """Every line, in order. Torn lines and those of another kind are passed over."""
        found = []
        with suppress(FileNotFoundError):
            for line in self.lines.read_text("utf-8").splitlines():
                with suppress(ValueError, ValidationError):
                    found.append(Cell.of(line))
        return found

    def cells(self) -> dict[str, Cell]:
        """Every cell by its key, in the order of the first attempt; of several attempts the last."""
        return {cell.key: cell for cell in self.attempts()}

    def append(self, cell: Cell) -> None:
        """Adds one line as a whole; a torn one before it is closed first, so that it stays alone in being lost."""
        self.lines.parent.mkdir(parents=True, exist_ok=True)
        with self.lines.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                torn = file.read(1) != b"\n"
                file.write(b"\n" if torn else b"")
            file.write(cell.line().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def claim(self, cell: Cell) -> Iterator[Path | None]:
        """The cell's own folder while nobody else has it, else None. Leaving the block gives it back."""
        self.running.mkdir(parents=True, exist_ok=True)
        with (self.running / f"{cell.key}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield self.running / cell.key

    def tidy(self, cells: Sequence[Cell]) -> None:
        """Takes away what these cells have left, and the folder where nothing else is in it."""
        for cell in cells:
            with suppress(FileNotFoundError), self.claim(cell) as folder:
                if folder is not None:
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.with_suffix(".lock").unlink(missing_ok=True)
        with suppress(OSError):
            self.running.rmdir()


@dataclass(frozen=True)
class Plan:
    """Cells to be measured into a grid, by ``workers`` processes; ``tables`` are their series by fingerprint. With
    ``retry`` cells that failed before are tried once more. ``study`` names what looks at every trained model."""

    grid: Grid
    cells: tuple[Cell, ...]
    tables: Mapping[str, Series]
    workers: int = 1
    retry: bool = False
    study: str = ""

    def todo(self, attempts: Sequence[Cell]) -> list[Cell]:
        """Cells without a result among these attempts."""
        latest = {cell.key: cell for cell in attempts}
        done = {name for name, cell in latest.items() if not (self.retry and cell.error)}
        return [cell for cell in self.cells if cell.key not in done]

    def run(self, told: Callable[[str], None]) -> None:
        """All of it. Raises Stopped on Ctrl-C or SIGTERM; then finished cells are kept, and those under way go on at
        the next call. Cells that somebody else's process holds are left to it."""
        todo = self.todo(self.grid.attempts())
        told(f"{len(self.cells):,} cells: {len(self.cells) - len(todo):,} have a result, {len(todo):,} to run.")
        # the helpers outside: a Stop asks again until its block is left, and ending them takes a moment
        with self._helpers(min(self.workers, len(todo)) - 1) as helpers, Stop() as stop:
            self.work(told, stop)
            while any(helper.is_alive() for helper in helpers):
                time.sleep(LOOK)
            replace(self, retry=False).work(told, stop)  # what a helper that was killed has left
        done = self.grid.cells()
        self.grid.tidy([cell for cell in self.cells if cell.key in done])

    def work(self, told: Callable[[str], None], stop: Stop) -> None:
        """One process's part: every open cell that nobody else is at, in order."""
        attempts = self.grid.attempts()
        before = Counter(cell.key for cell in attempts)
        for cell in self.todo(attempts):
            with self.grid.claim(cell) as folder:
                if folder is None or Counter(c.key for c in self.grid.attempts())[cell.key] != before[cell.key]:
                    continue  # another process is at it, or was
                found = measure(cell, self.tables[cell.spec.fingerprint], folder, stop, self.study)
                with stop.writing():
                    self.grid.append(found)
                    shutil.rmtree(folder, ignore_errors=True)
            told(self._said(found))

    @contextmanager
    def _helpers(self, count: int) -> Iterator[list[Any]]:
        """So many further processes at the same plan; none of them outlives the block."""
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        helpers: list[Any] = [context.Process(target=help_with, args=(self,)) for _ in range(count)]
        heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is for this process to pass on
        for helper in helpers:
            helper.start()
        signal.signal(signal.SIGINT, heard)
        try:
            yield helpers
        finally:
            for helper in helpers:
                helper.terminate()
            for helper in helpers:
                helper.join()

    def _said(self, found: Cell) -> str:
        """A cell that has just ended, how far the plan is, and how long it may take."""
        cells = self.grid.cells()
        done = [cells[cell.key] for cell in self.cells if cell.key in cells]
        todo = [cell for cell in self.cells if cell.key not in cells]
        spec, numbers = found.spec, found.numbers
        what = found.error or f"MSE {numbers['mse']:.4f} after {numbers['seconds']:,.0f} s"
        return (
            f"[{len(done)}/{len(self.cells)}] {spec.series_name} {spec.horizon} {spec.model} seed {spec.seed}: {what} "
            f"({time_left(todo, done, self.workers)})"
        )


def help_with(plan: Plan) -> None:
    """What a further process does: works until nothing is free, or until it is stopped."""
    with suppress(Stopped), Stop() as stop:
        plan.work(on_stderr, stop)


def on_stderr(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def measure(cell: Cell, series: Series, folder: Path, stop: Stop, study: str = "") -> Cell:
    """Trains and scores one cell in a folder of its own, going on where an earlier attempt was interrupted. A fault
    becomes the sentence of a failed cell; only Stopped is raised. What a study finds is ``numbers["study"]``."""
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    if sentence := impossible(cell.spec, series):
        return replace(cell, error=sentence, measured=day)
    if not (folder / "spec.json").exists():  # the last file of a new folder
        shutil.rmtree(folder, ignore_errors=True)
        JobDirectory.create(folder, cell.spec, series, cell.settings)
    job = JobDirectory(folder)
    worker = Worker(job, lambda event: None)
    try:
        last = worker.train(stop)
        seen = {"study": looked(study, job, series)} if study and not isinstance(last, Failed) else {}
    except Exception as error:  # the grid goes on; what happened stands in the cell
        last, seen = worker.failed(error), {}
    if isinstance(last, Failed):
        return replace(cell, error=last.sentence, measured=day, numbers={"log": last.log})
    card, epochs = job.card(), job.epochs()
    numbers: dict[str, Any] = {name: card["metrics"][name] for name in ("mse", "mae", "windows")}
    numbers |= {name: card[name] for name in ("parameters", "best_epoch", "threads")}
    numbers |= {
        "epochs": len(epochs),
        "seconds": round(sum(epoch.seconds for epoch in epochs), 1),
        "validation": min(epoch.validation_loss for epoch in epochs),
        "uniform": (card.get("relevance") or {}).get("uniform"),
        "commit": card["versions"].get("commit", ""),
        "torch": card["versions"]["torch"],
        **seen,
    }
    return replace(cell, measured=day, numbers=numbers)


def looked(study: str, job: JobDirectory, series: Series) -> dict[str, Any]:
    """What this study stores of a model that has just been trained."""
    from core.evaluate.run import LoadedRun
    from core.jobs.worker import finite
    from core.studies.study import Look
    from core.studies.study import study as study_of

    return finite(study_of(study).look(Look(LoadedRun.open(job.path), series, job)))


def time_left(todo: Sequence[Cell], done: Sequence[Cell], workers: int) -> str:
    """In words; a cell may take what its model's cells took on average, or else all."""
    took = [(c.spec.model, float(c.numbers["seconds"])) for c in done if not c.error]
    if not todo or not took:
        return "time left not known yet" if todo else "this was the last"
    everyone = mean(seconds for _, seconds in took)
    total = 0.0
    for cell in todo:
        own = [seconds for model, seconds in took if model == cell.spec.model]
        total += mean(own) if own else everyone
    return f"about {max(1, round(total / 60 / workers)):,} min left"
