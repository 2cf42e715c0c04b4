"""How long the maps of one window take: the model's own attention, every method, and how far the forecast follows each.

Weights and series are random: the time does not depend on them.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch

from core.data.series import Series
from core.evaluate.run import LoadedRun
from core.explain.attribution import PATCH, compare, intrinsic, others_of
from core.explain.methods.contract import Probe, Question
from core.explain.methods.registry import methods_for
from core.training.device import resolve_threads
from core.training.recipes import preset_lookback
from core.training.spec import Spec, Split
from tests.evaluate.test_run import trained

HORIZON, VARIATES, STEP, TIMES = 96, 7, 11, 7
BESIDE = ("s2tx", "scalefusion", "casa", "patchtst")

Row = dict[str, object]


def measure() -> list[Row]:
    """A row for each method of CrossScaleNet, and for all of them together, there and on other architectures."""
    torch.set_num_threads(resolve_threads(0))
    run, series = random_run("crossscalenet", 96)
    x_1LC, others, question = window(run, series), others_of(run, series), Question(VARIATES - 1, STEP)
    forecast = timed(torch.no_grad()(lambda: run.model(x_1LC)))

    def row(what: str, seconds: float, aim: str = "") -> Row:
        times = f"{seconds / forecast:.0f}"
        return {"map": what, "median, ms": f"{seconds * 1e3:.0f}", "forecasts": times, "aim": aim}

    rows = [
        row("intrinsic: published, corrected", timed(lambda: intrinsic(run, x_1LC, question.variate)), "under 50 ms")
    ]
    for one in methods_for(run.model).values():
        seconds = timed(lambda one=one: one.attribute(Probe(run.model, x_1LC, question, others, PATCH)))
        rows.append(row(one.title, seconds))
    whole = "all, with their deletion and insertion curves"
    seconds = timed(lambda: compare(run, x_1LC, question, others=others))
    rows.append(row(f"**{whole}**", seconds, "under 3,000 ms"))
    for name in BESIDE:
        run, series = random_run(name, preset_lookback("published", name))
        x, others = window(run, series), others_of(run, series)
        forecast = timed(torch.no_grad()(lambda run=run, x=x: run.model(x)))
        seconds = timed(lambda run=run, x=x, others=others: compare(run, x, question, others=others), 1)
        rows.append(row(f"{run.model.title}, look-back {run.spec.lookback}: {whole}", seconds))
    return rows


def random_run(name: str, lookback: int) -> tuple[LoadedRun, Series]:
    """An architecture with its defaults and random weights, on random walks."""
    walk = np.random.default_rng(0).normal(size=(4000, VARIATES)).cumsum(axis=0).astype(np.float32)
    columns = tuple(f"x{i}" for i in range(VARIATES))
    times = np.arange("2020-01-01", 4000, dtype="datetime64[h]").astype("datetime64[ns]")
    series = Series("walk", times, walk, columns)
    about: dict[str, Any] = {"series_name": series.name, "fingerprint": series.fingerprint, "split": Split.of(series)}
    spec = Spec(model=name, lookback=lookback, horizon=HORIZON, variates=columns, targets=columns, **about)
    return trained(series, spec), series


def window(run: LoadedRun, series: Series) -> torch.Tensor:
    """The first test window, 1 x L x C."""
    return run.normalised(run.window(series, 0).lookback)


def timed(work: Callable[[], object], times: int = TIMES) -> float:
    """Median seconds, after one call that is not counted."""
    work()
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return median(found)
