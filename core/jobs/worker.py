"""The worker: trains what stands in one job's directory and leaves everything it has to say there.

``python -m core.jobs.worker DIR`` is what the queue starts; the command line's ``train`` calls ``work`` in its own
process, so that both leave the same files. It knows the directory only: no database, no page, no queue.
"""

import math
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.data.series import Series
from core.errors import UserError
from core.jobs.directory import JobDirectory
from core.jobs.stop import Stop, Stopped
from core.training.events import Cancelled, Checkpointed, EpochDone, Event, Failed, Finished, Progress, Started
from core.training.spec import Spec

AFTERTHOUGHT = 20.0  # seconds that scoring a cancelled model may take

Listener = Callable[[Event], None]


def work(directory: Path, heard: Listener = lambda event: None) -> Event:
    """Trains until the end, a cancel or a fault, and returns the last event. ``heard`` gets every event as it comes.

    Goes on after the last finished epoch where an earlier attempt left ``resume.safetensors``. Never raises for a
    fault of the training; that is a Failed event, with the traceback in it and in ``log.txt``.
    """
    job = Worker(JobDirectory(directory), heard)
    try:
        try:
            with Stop(directory / "cancel") as stop:
                if (directory / "cancel").exists():  # before the first batch, however busy the machine is
                    raise Stopped
                return job.train(stop)
        except Stopped:
            return job.cancelled()
    except Exception as error:  # the one place where any fault becomes a sentence
        return job.failed(error)


class Worker:
    """One attempt at one job."""

    def __init__(self, job: JobDirectory, heard: Listener) -> None:
        self.job, self.heard = job, heard

    @cached_property
    def spec(self) -> Spec:
        return self.job.spec()

    @cached_property
    def series(self) -> Series:
        return self.job.series()

    @cached_property
    def scaler(self) -> dict[str, list[float]]:
        """Mean and deviation of the training part, one per column of the spec: what the model's numbers are made of."""
        from core.data.windows import Scaler

        scaler = Scaler.fit(self.series, self.spec.columns, self.spec.split.train)
        return {"mean": scaler.mean.tolist(), "std": scaler.std.tolist()}

    @cached_property
    def season(self) -> int:
        from core.evaluate.season import season

        return season(self.series, self.spec)

    def train(self, stop: Stop) -> Event:
        """Until the loop ends by itself. Raises Stopped, and whatever the loop raises."""
        from core.training.checkpoint import load_resume
        from core.training.device import keep_freed_memory
        from core.training.loop import train

        keep_freed_memory()
        last: Event | None = None
        done: EpochDone | None = None  # told together with its checkpoint, so that no stop falls between the two
        for event in train(self.spec, self.series, load_resume(self.job.path)):
            if isinstance(event, EpochDone):
                done = event
                continue
            if isinstance(event, Finished):
                event = replace(event, metrics=self.score(stop))
            with stop.writing():
                if done is not None:
                    self.record(done)
                self.record(event)
            last, done = event, None
        if last is None or not last.final:
            raise RuntimeError("the training loop ended without its last event")
        return last

    def cancelled(self) -> Event:
        """The last word at once; then the model that is kept gets its scores, if they come quickly."""
        last = Cancelled(time.time(), self.job.epochs_run(), self.job.best_epoch())
        self.record(last)
        if last.best_epoch:
            with suppress(Stopped), Stop(seconds=AFTERTHOUGHT) as stop:
                self.score(stop)
        return last

    def failed(self, error: Exception) -> Event:
        """The fault as a sentence for the person and a traceback for us."""
        trace = traceback.format_exc()
        with (self.job.path / "log.txt").open("a", encoding="utf-8") as log:
            log.write(trace)
        last = Failed(time.time(), self.sentence(error), trace)
        self.record(last)
        return last

    def record(self, event: Event) -> None:
        """Writes one event, and before it the files that it speaks of."""
        match event:
            case Progress():
                self.job.write("progress.json", {"kind": event.kind} | asdict(event))
            case Checkpointed():
                self.keep(event)
                self.job.append(event)
            case _:
                self.job.append(event)
        self.heard(event)

    def keep(self, event: Checkpointed) -> None:
        """The best weights with their card, and what a resume needs."""
        from core.training.checkpoint import save, save_resume

        if event.weights is not None:
            save(self.job.path, event.weights, self.card(event.epoch))
        if event.resume is not None:
            save_resume(self.job.path, event.resume)

    def score(self, stop: Stop) -> dict[str, Any]:
        """Metrics on all test windows, what each scale is worth, and the baselines beside them, into the card; returns
        the metrics."""
        from core.evaluate import baselines
        from core.evaluate.metrics import metrics
        from core.evaluate.run import LoadedRun
        from core.explain.relevance import relevance
        from core.training.checkpoint import load_weights, save

        self.job.write("progress.json", {"kind": "scoring"})
        run = LoadedRun.open(self.job.path)
        weights = load_weights(self.job.path / "checkpoint.safetensors")
        card = self.card(self.job.best_epoch())
        for part, measure in (("metrics", metrics), ("relevance", relevance)):
            card[part] = finite(measure(run, self.series))
            with stop.writing():
                save(self.job.path, weights, card)
        beside = baselines.estimate(run, self.series)
        card["metrics"]["baselines"] = finite(baselines.scores(run, self.series, beside))
        with stop.writing():
            baselines.save(self.job.path, beside)
            save(self.job.path, weights, card)
        return card["metrics"]

    def card(self, best_epoch: int) -> dict[str, Any]:
        """Everything that makes the result reproducible, and where the training stands."""
        epochs = self.job.epochs()
        begun = next(e for e in reversed(self.job.events()) if isinstance(e, Started))
        return {
            "id": self.job.id,
            "name": self.job.name,
            "spec": self.spec.model_dump(mode="json"),
            "series": {
                "name": self.series.name,
                "fingerprint": self.spec.fingerprint or self.series.fingerprint,
                "variates": list(self.series.variates),
                "rows": len(self.series),
            },
            "scaler": self.scaler,
            "season": self.season,
            "parameters": begun.parameters,
            "device": begun.device,
            "threads": begun.threads,
            "seed": self.spec.seed,
            "versions": versions(),
            "best_epoch": best_epoch,
            "epochs_run": len(epochs),
            "seconds_per_epoch": statistics.median(e.seconds for e in epochs) if epochs else None,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def sentence(self, error: Exception) -> str:
        """What a person can do about this fault."""
        if isinstance(error, UserError):
            return str(error)
        if out_of_memory(error):
            spec, batch = self.spec, self.spec.recipe.batch_size
            smaller = f"a batch of {batch // 2} instead of {batch}, " if batch > 1 else ""
            return (
                f"The memory was not enough for {len(spec.columns)} variates, look-back {spec.lookback} and horizon "
                f"{spec.horizon}. Try {smaller}fewer variates, a shorter look-back or a smaller width."
            )
        return (
            f"The training stopped on a fault of ours ({type(error).__name__}), not of your data. The log below says "
            "where. Try again with safer settings; if it fails again, the log is worth reporting."
        )


def out_of_memory(error: Exception) -> bool:
    """Whether this is what torch or Python raise where an allocation was refused, on any device."""
    words = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def finite(value: Any) -> Any:
    """The same with None for NaN and infinities, which JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def versions() -> dict[str, str]:
    """Versions of what takes part in a result, and the commit where this runs from a checkout."""
    packages = ("torch", "numpy", "safetensors", "statsmodels")
    found = {"python": platform.python_version()} | {name: version(name) for name in packages}
    with suppress(OSError, subprocess.CalledProcessError):
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        found["commit"] = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    return found


def main() -> None:
    """One attempt at the job in the directory named on the command line, below the priority of the pages."""
    with suppress(OSError, AttributeError):
        os.nice(10)
    last = work(Path(sys.argv[1]))
    sys.exit(1 if isinstance(last, Failed) else 0)


if __name__ == "__main__":
    main()
