"""Series, and homes in which a model is trained already: stored by the same Store and Jobs that the server uses.

A home belongs to one process at a time, so it is prepared before its server starts.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.audit import Raw, settle
from core.data.card import DatasetCard
from core.data.choice import Choice
from core.data.series import Series
from core.data.synthetic import syn
from core.jobs.queue import Jobs
from core.models.registry import architecture
from core.settings import Settings
from core.store.store import Store
from core.training.spec import Recipe, Spec, Split

IMAGE, DROP = "<img src=x onerror=alert(1)>", '"; drop table datasets; --'
HOSTILE = ("load", IMAGE, DROP, "**bold** [x](http://example.org)", "$x_1$ :material/home:", "=1+1", "oil, °C")


@dataclass(frozen=True)
class Trained:
    """A stored dataset with a finished run."""

    dataset: str
    run: str


def weather(rows: int = 3000, names: tuple[str, ...] = HOSTILE) -> Series:
    """Hourly waves of a day and a week with noise, one variate per name."""
    rng = np.random.default_rng(7)
    hour = np.arange(rows)[:, None]
    phase = np.linspace(0, 3, len(names))
    values = np.sin(2 * np.pi * hour / 24 + phase) + 0.5 * np.cos(2 * np.pi * hour / 168 + phase)
    values = 20 + 5 * values + rng.standard_normal((rows, len(names)))
    times = np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(3_600_000_000, "us")
    return Series("weather", times, values.astype(np.float32), names)


def csv(series: Series, file: Path) -> Path:
    """The series as a person would bring it: a header, a stamp in the first column."""
    import pandas as pd

    table = pd.DataFrame(series.values.round(3), columns=list(series.variates))
    table.insert(0, "date", pd.DatetimeIndex(series.times).strftime("%Y-%m-%d %H:%M:%S"))
    table.to_csv(file, index=False)
    return file


def secret_lags(rows: int = 2500) -> Series:
    """SYN5: y depends on x1 and x2, 71 to 77 steps back. Its truth is known, so the pages can show it."""
    return syn(5, length=rows, autocorrelation=0.0, current=False)


def train(home: Path, series: Series, recipe: Recipe, **about: object) -> Trained:
    """Store the series in ``home`` and train on it until the end. ``about`` goes into the Spec."""
    settings = Settings(home=home / "data", threads=1)
    for folder in (settings.uploads, settings.runs, settings.logs):
        folder.mkdir(parents=True, exist_ok=True)
    store = Store(settings.database, settings.uploads)
    jobs = Jobs(settings, store)
    try:
        clock = bool(np.issubdtype(series.times.dtype, np.datetime64))
        raw = Raw(
            np.ascontiguousarray(series.times).view(np.int64).copy(),
            series.values.copy(),
            np.arange(1, len(series) + 1),
            series.variates,
            clock=clock,
        )
        audit = settle(raw, Choice(), max_cells=10_000_000)[2]
        dataset = store.add_dataset(series, DatasetCard.of(series, audit, source=f"{series.name}.csv"))
        spec = Spec.model_validate(
            {
                "dataset": dataset,
                "variates": series.variates,
                "targets": series.variates,
                "split": Split.of(series),
                "recipe": recipe,
            }
            | about
        )
        title = architecture(spec.model).title
        run = jobs.submit(spec, series, f"{series.name} · {title} · {spec.horizon} ahead")
        while jobs.status(run).active:
            time.sleep(0.1)
        status = jobs.status(run)
        if status.state != "finished":
            raise RuntimeError(f"The training did not finish: {status.sentence}\n{jobs.log(run)}")
        jobs.refresh()
        return Trained(dataset, run)
    finally:
        jobs.close()
        store.close()
