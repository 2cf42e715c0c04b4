"""What is asked of a model about some windows, and what a method answers.

The scalar that is explained: the forecast of one variate at one step ahead, or over all steps the sum of the absolute
changes. All on the z-scored scale. Work for every architecture, whatever is inside.

A model that normalises its window takes new statistics from a window that a method has changed, so that a step left out
moves the whole forecast. By default every changed window keeps the statistics of the clean one (saliency.md).

Shape suffixes: B windows, N examples (a window in one of its changed forms, or asked about one step), L look-back, H
horizon, C variates.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError
from core.models.contract import Forecaster
from core.models.layers.normalisation import RevIN
from core.models.trace import Trace

Baseline = Literal["mean", "zero", "last", "sample"]
BASELINES: dict[Baseline, str] = {
    "mean": "the window's mean",
    "zero": "the training part's mean",
    "last": "the window's last value",
    "sample": "another window",
}
Statistics = Literal["frozen", "free"]
VALUES_AT_ONCE = 2**20  # input values of all examples that one call of the model sees


@dataclass(frozen=True)
class Question:
    """``variate`` is a position among the model's columns; ``step`` counts from 0, None asks about all steps.
    ``baseline`` is what a step that is taken away becomes."""

    variate: int
    step: int | None = None
    baseline: Baseline = "mean"
    statistics: Statistics = "frozen"
    seed: int = 0


@dataclass(frozen=True)
class Method:
    """``signed``: whether the sign says if a value raises or lowers the forecast. ``per_step``: False where it tells
    variates apart, not steps. ``scales``: only for models whose forecast is a sum over scales. ``per_unit``: its values
    are slopes, forecast per unit of input, not parts of the forecast. ``attribute`` gives B x L x C."""

    name: str
    title: str
    source: str
    summary: str
    attribute: Callable[["Probe"], Tensor]
    signed: bool = True
    per_step: bool = True
    scales: bool = False
    per_unit: bool = False


class Probe:
    """A copy of a model, ready to be asked one question about some windows.

    ``x_BLC`` are the windows, z-scored, without missing steps; ``others`` the windows that a baseline may be drawn
    from, needed for "sample". Raises UserError for a question that has no answer.
    """

    def __init__(
        self, model: Forecaster, x_BLC: Tensor, question: Question, others: Tensor | None = None, patch: int = 16
    ) -> None:
        H, C = model.shape.horizon, model.shape.variates
        if question.step is not None and not 0 <= question.step < H:
            raise UserError(f"Step {question.step + 1} ahead does not exist: this model forecasts 1 to {H}.")
        if not 0 <= question.variate < C:
            raise UserError(f"This model has {C} variates, numbered from 0; {question.variate} was asked for.")
        if question.baseline not in get_args(Baseline):
            raise UserError(f"There is no baseline {question.baseline!r}. Choose one of: {', '.join(BASELINES)}.")
        if not torch.isfinite(x_BLC).all():
            raise UserError(
                "This window has missing steps, which cannot be changed one by one. Choose a window without, or look "
                "at the model's own attention."
            )
        self.question, self.patch = question, patch
        self.x_BLC = x_BLC.detach()
        self.baseline_BLC = baseline(self.x_BLC, question, others)
        self.withheld = list(model.shape.withheld)
        # copies: other tabs use the same model meanwhile
        self._plain = copy.deepcopy(model).eval().requires_grad_(False)
        self._model = copy.deepcopy(self._plain)
        self._held = Held(self._model, self.x_BLC) if question.statistics == "frozen" else None
        with torch.no_grad():
            self.clean_BH = self.forecast(self.x_BLC, self.rows_B)

    @property
    def horizon(self) -> int:
        return self._model.shape.horizon

    @property
    def rows_B(self) -> Tensor:
        return torch.arange(len(self.x_BLC))

    @property
    def at_once(self) -> int:
        """Examples that one call of the model may see."""
        return max(VALUES_AT_ONCE // self.x_BLC[0].numel(), 1)

    def value(self, x_NLC: Tensor, rows_N: Tensor) -> Tensor:
        """The scalar of every example, N; ``rows_N`` are the windows they were made from. Over all steps it is a sum
        of absolute changes: 0 for a clean window."""
        y_NH = self.forecast(x_NLC, rows_N)
        if self.question.step is not None:
            return y_NH[:, self.question.step]
        return (y_NH - self.clean_BH[rows_N]).abs().sum(1)

    def at(self, x_NLC: Tensor, steps_N: Tensor, rows_N: Tensor) -> Tensor:
        """The forecast of every example at a step of its own, N."""
        return self.forecast(x_NLC, rows_N).gather(1, steps_N[:, None])[:, 0]

    @torch.no_grad()
    def change(self, taken_BKL: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the forecast loses when steps become the baseline in every variate: |f(x) - f(changed x)| and
        f(changed x), B x K each. ``taken_BKL`` is True where a step is taken away. Over all steps both are the sum of
        the absolute changes."""
        taken_NL = torch.from_numpy(taken_BKL).flatten(0, 1)
        rows_N = self.rows_B.repeat_interleave(taken_BKL.shape[1])
        parts = []
        for taken, rows in zip(taken_NL.split(self.at_once), rows_N.split(self.at_once), strict=True):
            x_NLC = torch.where(taken[..., None], self.baseline_BLC[rows], self.x_BLC[rows])
            parts.append(self.value(x_NLC, rows))
        value_BK = torch.cat(parts).view(taken_BKL.shape[:2])
        step = self.question.step
        clean_B1 = torch.zeros(1) if step is None else self.clean_BH[:, step, None]
        return (value_BK - clean_B1).abs().numpy(), value_BK.numpy()

    def about(self, x_NLC: Tensor) -> "Probe":
        """The same question about other windows: as many as there were, or a whole multiple, each in turn."""
        times = len(x_NLC) // len(self.x_BLC)
        other = copy.copy(self)
        other.x_BLC = x_NLC.detach()
        other.baseline_BLC = self.baseline_BLC.repeat_interleave(times, 0)
        other._model = copy.deepcopy(self._plain)
        other._held = Held(other._model, other.x_BLC) if self._held else None
        with torch.no_grad():
            other.clean_BH = other.forecast(other.x_BLC, other.rows_B)
        return other

    def by_step(self, attribute: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        """B x L x C by a method that explains ``at``: it is given windows, baselines, steps and rows, as many at once
        as memory bears. Over all steps, the sum of the absolute attributions of each."""
        step = self.question.step
        steps = torch.arange(self.horizon) if step is None else torch.tensor([step])
        rows_N, steps_N = self.rows_B.repeat_interleave(len(steps)), steps.repeat(len(self.x_BLC))
        parts = [
            attribute(self.x_BLC[rows].requires_grad_(), self.baseline_BLC[rows], asked, rows).detach()
            for rows, asked in zip(rows_N.split(self.at_once), steps_N.split(self.at_once), strict=True)
        ]
        found = torch.cat(parts).view(len(self.x_BLC), len(steps), *self.x_BLC.shape[1:])
        return self.without_withheld(found[:, 0] if step is not None else found.abs().sum(1))

    def trace(self) -> Trace:
        return self._plain.trace(self.x_BLC)

    def without_withheld(self, found_BLC: Tensor) -> Tensor:
        """Zero where nothing of a variate enters."""
        found_BLC[..., self.withheld] = 0
        return found_BLC

    def forecast(self, x_NLC: Tensor, rows_N: Tensor) -> Tensor:
        """The asked variate of every example at all steps, N x H, z-scored; ``rows_N`` as in ``value``."""
        if self._held is not None:
            self._held.rows_N = rows_N
        return self._model(x_NLC)[..., self.question.variate]


Statistic = Callable[[Tensor], tuple[Tensor, Tensor]]


class Held:
    """Makes every RevIN of a model answer with the statistics of the clean windows."""

    def __init__(self, model: Forecaster, x_BLC: Tensor) -> None:
        self.rows_N = torch.arange(len(x_BLC))
        self._calls = 0
        self._known: list[tuple[Tensor, Tensor]] = []
        layers = [layer for layer in model.modules() if isinstance(layer, RevIN)]
        for layer in layers:
            own = layer.statistics

            def note(x: Tensor, own: Statistic = own) -> tuple[Tensor, Tensor]:
                self._known.append(own(x))
                return self._known[-1]

            layer.statistics = note  # type: ignore[method-assign]
        with torch.no_grad():
            model(x_BLC)
        for layer in layers:
            layer.statistics = self._answer(1 if layer.axis == 0 else 0)  # type: ignore[method-assign]

    def _answer(self, windows_at: int) -> Statistic:
        """The calls of a forward pass come in the same order every time."""

        def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
            mean, std = self._known[self._calls % len(self._known)]
            self._calls += 1
            return mean.index_select(windows_at, self.rows_N), std.index_select(windows_at, self.rows_N)

        return statistics


def baseline(x_BLC: Tensor, question: Question, others: Tensor | None) -> Tensor:
    """What a value becomes when it is taken away, B x L x C."""
    if question.baseline == "zero":
        return torch.zeros_like(x_BLC)
    if question.baseline == "last":
        return x_BLC[:, -1:].expand_as(x_BLC).clone()
    if question.baseline == "mean":
        return x_BLC.mean(1, keepdim=True).expand_as(x_BLC).clone()
    if others is None or not len(others):
        raise UserError("There is no other window to take values from. Choose another baseline.")
    chosen = torch.randint(len(others), (len(x_BLC),), generator=torch.Generator().manual_seed(question.seed))
    return others[chosen].clone()
