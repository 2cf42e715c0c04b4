"""A small real place to run jobs in: home folder, store, queue, and a series that trains in a moment."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from core.data.series import Series
from core.jobs.queue import Jobs, JobStatus
from core.settings import Settings
from core.store.store import Store
from core.training.spec import Recipe, Spec, Split


def waves(rows: int = 600) -> Series:
    """Two sine waves an hour apart, with a name nobody would choose."""
    steps = np.arange(rows)
    values = np.stack([np.sin(steps * 2 * np.pi / 24), np.cos(steps * 2 * np.pi / 12)], axis=1).astype(np.float32)
    times = np.datetime64("2020-01-01", "us") + steps * np.timedelta64(3600, "s")
    return Series("waves", times, values, ("load", '"; drop table datasets; --'))


def spec_of(series: Series, **changes) -> Spec:
    """A training of well under a second; ``epochs`` and ``batch_size`` go to the recipe."""
    recipe = {k: changes.pop(k) for k in ("epochs", "batch_size", "patience") if k in changes}
    about = {
        "dataset": "d",
        "config": {"patch": 8, "width": 8},
        "lookback": 32,
        "horizon": 8,
        "variates": series.variates,
        "targets": series.variates,
        "split": Split.of(series),
        "recipe": Recipe(**{"epochs": 2, "batch_size": 64} | recipe),
        "device": "cpu",
        "threads": 1,
    }
    return Spec(**about | changes)


def long_spec(series: Series) -> Spec:
    """A training that would go on for minutes, with an epoch every few tenths of a second."""
    return spec_of(series, epochs=5000, patience=1000, batch_size=16)


@pytest.fixture
def series() -> Series:
    return waves()


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    found = Settings(home=tmp_path / "home", threads=1)
    found.runs.mkdir(parents=True)
    return found


@pytest.fixture
def store(place: Settings) -> Iterator[Store]:
    opened = Store(place.database, place.uploads)
    yield opened
    opened.close()


@pytest.fixture
def jobs(place: Settings, store: Store) -> Iterator[Jobs]:
    queue = Jobs(place, store)
    yield queue
    for status in queue.active():
        queue.cancel(status.id)
    queue.close()
    for folder in place.runs.iterdir():
        end(folder)


def end(folder: Path) -> None:
    """Kills the worker of this folder, as a crash would."""
    from core.jobs.directory import JobDirectory

    process = JobDirectory(folder).process()
    if process is not None:
        process.kill()
        process.wait(10)


def until(jobs: Jobs, id: str, what: Callable[[JobStatus], bool], seconds: float = 60) -> JobStatus:
    """The first status of which ``what`` is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        jobs.refresh()
        status = jobs.status(id)
        if what(status):
            jobs.refresh()  # the store hears of it at the next look
            return status
        time.sleep(0.02)
    raise AssertionError(f"still {status}")


def over(status: JobStatus) -> bool:
    return not status.active
