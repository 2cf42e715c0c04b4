"""Several methods on the same windows of a run, and how well each finds a known truth (saliency.md).

Shape suffixes: B windows, L look-back, C variates.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.series import Series
from core.errors import UserError
from core.evaluate.run import LoadedRun
from core.explain.methods.contract import Method, Probe, Question
from core.explain.methods.registry import methods
from core.explain.saliency import readings
from core.explain.scores import Interval, at_patches, ceiling, controls, scores, summary
from core.explain.truth import check_truth, true_weights

BATCH = 16  # windows that are asked about together
PATCH = 16  # steps; of occlusion by patch, and of the coarser of the two scores


@dataclass(frozen=True)
class Attribution:
    """``values_BLC`` is in units of the z-scored forecast (gradients: per unit of input); ``seconds`` of all."""

    method: Method
    question: Question
    values_BLC: np.ndarray
    seconds: float

    @property
    def per_step_BL(self) -> np.ndarray:
        """|attribution| summed over the variates."""
        return np.abs(self.values_BLC).sum(axis=2)

    @property
    def reacts(self) -> bool:
        """Whether the forecast changes with any value of any of these windows."""
        return bool(np.abs(self.values_BLC).max() > 0)

    def sentence(self, columns: Sequence[str]) -> str:
        """Where the first window's map is highest, in words."""
        if not self.reacts:
            return "This model does not react to this window: its forecast is the same whatever stands there."
        values_LC = np.abs(self.values_BLC[0])
        step, variate = np.unravel_index(values_LC.argmax(), values_LC.shape)
        share, L = values_LC[:, variate].sum() / values_LC.sum(), len(values_LC)
        most = columns[int(values_LC.sum(axis=0).argmax())]
        if not self.method.per_step:
            return f"Most by {most}, {values_LC.sum(axis=0).max() / values_LC.sum():.0%} of the map."
        return f"Highest {L - step} steps before the forecast, in {columns[variate]} ({share:.0%} of the map)."


def attribute(
    run: LoadedRun, x_BLC: Tensor, question: Question, names: Sequence[str], others: Tensor | None = None
) -> list[Attribution]:
    """What each of these methods says about these windows, z-scored. Raises UserError for a question without an
    answer."""
    known = methods()
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"There is no method called {unknown[0]!r}. Choose among: {', '.join(known)}.")
    probe = Probe(run.model, x_BLC, question, others, patch=PATCH)
    found = []
    for name in names:
        begun = time.perf_counter()
        values = known[name].attribute(probe).numpy()
        found.append(Attribution(known[name], question, values, time.perf_counter() - begun))
    return found


def others_of(run: LoadedRun, series: Series, count: int = 64) -> Tensor:
    """Windows that a baseline may be drawn from: evenly spaced test windows without missing steps."""
    test = run.test_windows(series)
    x_BLC = test.batch(spaced(len(test), count))[0]
    return x_BLC[torch.isfinite(x_BLC).flatten(1).all(1)]


def spaced(total: int, count: int) -> Tensor:
    """At most ``count`` of ``total`` positions, evenly spaced."""
    return torch.from_numpy(np.unique(np.linspace(0, total - 1, min(count, total)).astype(int)))


@dataclass(frozen=True)
class Scored:
    """One map over many windows. ``step`` and ``patch`` are the scores by name, over single steps and over patches of
    16, each with its 95 % interval; ``patch`` is empty where every patch has, or none has, a true step."""

    name: str
    title: str
    step: dict[str, Interval]
    patch: dict[str, Interval]

    def report(self) -> dict[str, Any]:
        return {"title": self.title, "step": self.step, "patch": self.patch}


def score(
    run: LoadedRun, series: Series, question: Question, names: Sequence[str], windows: int = 64, truth: Any = None
) -> list[Scored]:
    """How well each method, each reading of the model's own attention and each control finds the truth, over test
    windows. The last is the best that a map of 16 steps can do.

    ``truth`` is the series' own where it is not given. Raises UserError where nothing is known or nothing of it lies in
    the window.
    """
    spec, step = run.spec, question.step
    truth = truth or series.truth
    if step is None:
        raise UserError("A truth belongs to one step ahead. Choose a step.")
    check_truth(truth, spec.columns[question.variate], spec.columns, spec.lookback, step)
    weights_L = np.abs(true_weights(truth, spec.columns, spec.lookback, step)).sum(axis=1)
    coarse_P = at_patches(weights_L, PATCH)
    both = 0 < (coarse_P > 0).sum() < len(coarse_P)
    steps: dict[str, list[dict[str, float]]] = {}
    patches: dict[str, list[dict[str, float]]] = {}
    titles: dict[str, str] = {}
    for name, title, map_L in _maps(run, series, question, names, windows, weights_L):
        titles[name] = title
        steps.setdefault(name, []).append(scores(map_L, weights_L))
        if both:
            patches.setdefault(name, []).append(scores(at_patches(map_L, PATCH), coarse_P))
    return [Scored(name, titles[name], summary(steps[name]), summary(patches.get(name, []))) for name in steps]


def _maps(
    run: LoadedRun, series: Series, question: Question, names: Sequence[str], windows: int, weights_L: np.ndarray
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name, title and map of every window in turn."""
    test, variate = run.test_windows(series), question.variate
    others = others_of(run, series)
    for n, rows in enumerate(spaced(len(test), windows).split(BATCH)):
        x_BLC = test.batch(rows)[0]
        # a control draws anew for every window
        asked = replace(question, seed=question.seed + n)
        for found in attribute(run, x_BLC, asked, names, others):
            for map_L in found.per_step_BL:
                yield found.method.name, found.method.title, map_L
        for row in x_BLC.split(1):
            trace = run.model.trace(row)
            for reading in readings(trace, run.model.capabilities.saliency, run.spec.lookback, variate):
                yield reading.method, reading.title, reading.values
    for seed in range(min(windows, len(test))):
        for name, map_L in controls(run.spec.lookback, seed).items():
            if name != "random" or "random" not in names:
                yield name, f"{name.capitalize()} (control)", map_L
    yield "ceiling", f"Best map of {PATCH} steps", ceiling(weights_L, PATCH)
