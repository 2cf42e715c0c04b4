"""Several maps of the same windows of a run, on the same steps: methods that work for any model beside the model's own
attention, how far they agree, how far the forecast follows them, and how well each finds a known truth (saliency.md).

Shape suffixes: B windows, L look-back, C variates.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.series import Series
from core.data.windows import spaced
from core.errors import UserError
from core.evaluate.run import LoadedRun
from core.explain import faithfulness
from core.explain.faithfulness import Agreement, Curves
from core.explain.methods.contract import Method, Probe, Question
from core.explain.methods.registry import methods, methods_for
from core.explain.relevance import TRACED_AT_ONCE
from core.explain.saliency import SaliencyMap, readings
from core.explain.scores import Interval, at_patches, ceiling, controls, scores, summary
from core.explain.truth import check_truth, true_weights

BATCH = 16  # windows that are asked about together
PATCH = 16  # steps; of occlusion by patch, and of the coarser of the two scores
NO_REACTION = "This model does not react to this window: its forecast is the same whatever stands there."


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
            return NO_REACTION
        values_LC = np.abs(self.values_BLC[0])
        step, variate = np.unravel_index(values_LC.argmax(), values_LC.shape)
        share, L = values_LC[:, variate].sum() / values_LC.sum(), len(values_LC)
        most = columns[int(values_LC.sum(axis=0).argmax())]
        if not self.method.per_step:
            return f"Most by {most}, {values_LC.sum(axis=0).max() / values_LC.sum():.0%} of the map."
        return f"Highest {L - step} steps before the forecast, in {columns[variate]} ({share:.0%} of the map)."


@dataclass(frozen=True)
class StepMap:
    """One map on the axis of the steps, whatever it comes from: ``values_BL`` is not negative, in units of its own.
    ``resolution`` is the steps below which it cannot tell apart. ``signed_BLC`` is what a method said of every value,
    None for a reading of the attention."""

    name: str
    title: str
    source: str
    summary: str
    values_BL: np.ndarray
    resolution: int = 1
    signed_BLC: np.ndarray | None = None
    seconds: float = 0.0

    @property
    def method(self) -> str:
        return self.name

    @property
    def values(self) -> np.ndarray:
        """Of the first window."""
        return self.values_BL[0]


def attribute(
    run: LoadedRun, x_BLC: Tensor, question: Question, names: Sequence[str], others: Tensor | None = None
) -> list[Attribution]:
    """What each of these methods says about these windows, z-scored. Raises UserError for a question without an
    answer."""
    return _attribute(Probe(run.model, x_BLC, question, others, patch=PATCH), names)


def _attribute(probe: Probe, names: Sequence[str]) -> list[Attribution]:
    known = methods()
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"There is no method called {unknown[0]!r}. Choose among: {', '.join(known)}.")
    found = []
    for name in names:
        begun = time.perf_counter()
        values = known[name].attribute(probe).numpy()
        found.append(Attribution(known[name], probe.question, values, time.perf_counter() - begun))
    return found


def intrinsic(run: LoadedRun, x_BLC: Tensor, variate: int) -> list[StepMap]:
    """The readings of the model's own attention that lead to steps, for as many windows at once as memory bears; empty
    where it has none."""
    begun = time.perf_counter()
    kinds = run.model.capabilities.saliency
    if not kinds:
        return []
    bytes_a_window = max(sum(one.weights.nbytes for one in run.model.trace(x_BLC[:1]).maps), 1)
    parts = [
        readings(run.model.trace(x), kinds, run.spec.lookback, variate)
        for x in x_BLC.split(max(TRACED_AT_ONCE // bytes_a_window, 1))
    ]
    took = (time.perf_counter() - begun) / max(len(parts[0]), 1)
    return [read(own, took) for own in zip(*parts, strict=True)]


def read(parts: Sequence[SaliencyMap], seconds: float = 0.0) -> StepMap:
    """A reading of several batches as one map."""
    first, values_BL = parts[0], np.abs(np.concatenate([one.values_batch for one in parts]))
    about = (first.method, first.title, "this model's attention", first.sentence)
    return StepMap(*about, values_BL, first.resolution, None, seconds)


def step_maps(
    run: LoadedRun, x_BLC: Tensor, question: Question, names: Sequence[str], others: Tensor | None = None
) -> list[StepMap]:
    """Readings of the attention, then these methods, on the same steps. Raises UserError for a question without an
    answer."""
    probe = Probe(run.model, x_BLC, question, others, patch=PATCH)
    return intrinsic(run, x_BLC, question.variate) + step_maps_of(probe, names)


def step_maps_of(probe: Probe, names: Sequence[str]) -> list[StepMap]:
    """What these methods answer to one question, as maps of the steps."""
    coarse, lookback = {"occlusion_patch": PATCH}, probe.x_BLC.shape[1]
    return [
        StepMap(
            one.method.name,
            one.method.title,
            one.method.source,
            one.method.summary,
            one.per_step_BL,
            coarse.get(one.method.name, 1) if one.method.per_step else lookback,
            one.values_BLC,
            one.seconds,
        )
        for one in _attribute(probe, names)
    ]


@dataclass(frozen=True)
class Comparison:
    """Maps of the same windows, what the forecast does along each, and along random orders."""

    maps: tuple[StepMap, ...]
    curves: dict[str, Curves]
    control: Curves
    question: Question

    def __getitem__(self, name: str) -> StepMap:
        return next(one for one in self.maps if one.name == name)

    @cached_property
    def agreement(self) -> Agreement:
        """Of the first window's maps."""
        return faithfulness.agreement({one.name: one.values for one in self.maps})

    @property
    def reacts(self) -> bool:
        """Whether the first window's forecast changes at all when the window is taken away."""
        return bool(self.control.whole_B[0] > 0)

    def times_random(self, name: str) -> float:
        return faithfulness.times_random(self.curves[name], self.control)

    def sentence(self, name: str) -> str:
        """How far to believe this map, in one sentence with numbers."""
        if not self.reacts:
            return NO_REACTION
        judge = "gradient" if name == "occlusion" or "occlusion" not in self.curves else "occlusion"
        agreed = self.agreement.between(name, judge) if judge in self.curves else float("nan")
        title = f"the {'' if self[name].signed_BLC is None else 'map by '}{begun(self[name].title)}"
        return faithfulness.sentence(title, agreed, self.times_random(name), judge)


def begun(title: str) -> str:
    """A title inside a sentence: "SmoothGrad" stays as it is.

    >>> begun("Integrated gradients"), begun("SmoothGrad")
    ('integrated gradients', 'SmoothGrad')
    """
    return title if title[1:] != title[1:].lower() else title.lower()


def compare(
    run: LoadedRun, x_BLC: Tensor, question: Question, names: Sequence[str] | None = None, others: Tensor | None = None
) -> Comparison:
    """Every reading and every one of these methods (None: all that the model can answer) on the same windows.
    Raises UserError for a question without an answer."""
    probe = Probe(run.model, x_BLC, question, others, patch=PATCH)
    found = intrinsic(run, x_BLC, question.variate)
    found += step_maps_of(probe, tuple(methods_for(run.model)) if names is None else names)
    curves = {one.name: faithfulness.curves(probe, one.values_BL) for one in found}
    return Comparison(tuple(found), curves, faithfulness.random_curves(probe), question)


def others_of(run: LoadedRun, series: Series, count: int = 64) -> Tensor:
    """Windows that a baseline may be drawn from, N x L x C: as ``whole_windows``, but there may be none."""
    test = run.test_windows(series)
    x_BLC = test.batch(spaced(len(test), count))[0] if len(test) else torch.zeros(0, 1, 1)
    return x_BLC[torch.isfinite(x_BLC).flatten(1).all(1)]


def whole_windows(run: LoadedRun, series: Series, count: int) -> Tensor:
    """Evenly spaced test windows without missing steps, B x L x C. Raises UserError where there is none."""
    x_BLC = others_of(run, series, count)
    if not len(x_BLC):
        raise UserError(
            f"{series.name} has no whole test window for this model. Fill its gaps, or use a longer series."
        )
    return x_BLC


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
    x_BLC, others = whole_windows(run, series, windows), others_of(run, series)
    for n, x in enumerate(x_BLC.split(BATCH)):
        # a control draws anew for every window
        for found in step_maps(run, x, replace(question, seed=question.seed + n), names, others):
            for map_L in found.values_BL:
                yield found.name, found.title, map_L
    for seed in range(len(x_BLC)):
        for name, map_L in controls(run.spec.lookback, seed).items():
            if name != "random" or "random" not in names:
                yield name, f"{name.capitalize()} (control)", map_L
    yield "ceiling", f"Best map of {PATCH} steps", ceiling(weights_L, PATCH)


@dataclass(frozen=True)
class Faithful:
    """How far the forecasts of many windows follow one map: ``scores`` by the names of ``faithfulness.SCORES`` with
    their 95 % intervals, and ``times_random``: the change without the top 10 % over that without 10 % at random; None
    where nothing changes."""

    name: str
    title: str
    scores: dict[str, Interval]
    times_random: float | None

    def report(self) -> dict[str, Any]:
        return {"title": self.title, "scores": self.scores, "times_random": self.times_random}


def faithful(
    run: LoadedRun, series: Series, question: Question, names: Sequence[str], windows: int = 64
) -> list[Faithful]:
    """Every reading, method and random orders (last) over evenly spaced test windows; needs no truth. Raises UserError
    where no window is whole."""
    others, asked = others_of(run, series), [name for name in names if name != "random"]
    titles: dict[str, str] = {}
    found: dict[str, list[Curves]] = {}
    for n, x in enumerate(whole_windows(run, series, windows).split(BATCH)):
        one = compare(run, x, replace(question, seed=question.seed + n), asked, others)
        titles |= {m.name: m.title for m in one.maps}
        for name, curves in (*one.curves.items(), ("random", one.control)):
            found.setdefault(name, []).append(curves)
    whole = {name: faithfulness.together(parts) for name, parts in found.items()}
    times = {name: faithfulness.times_random(curves, whole["random"]) for name, curves in whole.items()}
    return [
        Faithful(
            name,
            titles.get(name, "Random order"),
            summary(curves.scores()),
            times[name] if np.isfinite(times[name]) else None,
        )
        for name, curves in whole.items()
    ]
