"""What the Attention page computes of one window: maps by every method, what adds up to the forecast, and how far to
believe each. Every answer is computed once and shared by all pages and tabs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import streamlit as st

from core.ui import inspect, resources
from core.ui.inspect import View

if TYPE_CHECKING:
    from core.explain.attribution import StepMap
    from core.explain.faithfulness import Curves
    from core.explain.methods.adds_up import Contributions
    from core.explain.methods.contract import Baseline, Probe, Statistics
    from core.explain.sanity import Sanity

ROWS = 48  # steps ahead that contributions are computed for; a map of more could not be told apart
MOST_SEEDS = 4  # runs of other seeds that maps are compared with
CHEAP = 1000  # values of a window up to which occlusion, one forecast for each, is drawn unasked


@dataclass(frozen=True)
class Asked:
    """A question about a view: the step ahead (None: all together), what a value that is taken away becomes, and the
    window's statistics."""

    view: View
    together: bool = False
    baseline: Baseline = "mean"
    statistics: Statistics = "frozen"

    @property
    def step(self) -> int | None:
        return None if self.together else self.view.step

    @property
    def key(self) -> tuple[Any, ...]:
        """Everything that an answer depends on."""
        view = self.view
        place = (view.row.id, inspect.version(view.row.id), view.dataset.fingerprint, view.window.index, view.column)
        return (*place, self.step, self.baseline, self.statistics)

    def probe(self) -> Probe:
        """Raises UserError where this window cannot be asked about."""
        from core.explain.attribution import PATCH, others_of
        from core.explain.methods.contract import Probe, Question

        view = self.view
        others = others_of(view.run, view.series) if self.baseline == "sample" else None
        question = Question(view.column, self.step, self.baseline, self.statistics)
        return Probe(view.run.model, view.run.normalised(view.window.lookback), question, others, PATCH)

    def provenance(self) -> str:
        from core.explain.methods.contract import BASELINES

        ahead = "all steps ahead together" if self.together else f"{self.view.step + 1} steps ahead"
        return f"{ahead}, taken away: {BASELINES[self.baseline]}, statistics {self.statistics}"


def default_methods(view: View) -> list[str]:
    """Drawn unasked: what adds up, and the quickest that takes steps away."""
    return ["adds_up", "occlusion" if view.lookback * len(view.run.spec.columns) <= CHEAP else "occlusion_patch"]


def step_map(asked: Asked, name: str) -> StepMap:
    """One map of the window's steps: a method's, or a reading of the attention. Raises UserError without an answer."""
    return _step_map(asked.key, name, asked)


def intrinsic(asked: Asked) -> list[StepMap]:
    """The readings of the model's own attention, from the trace that the page has anyway."""
    from core.explain.attribution import read
    from core.explain.saliency import readings

    view = asked.view
    found = readings(view.trace(), view.run.model.capabilities.saliency, view.lookback, view.column)
    return [read([one]) for one in found]


def curves(asked: Asked, found: StepMap | Literal["random"]) -> Curves:
    """What the forecast does when steps are taken away in a map's order, or at random."""
    return _curves(asked.key, found if isinstance(found, str) else found.name, asked, found)


def adds_up(asked: Asked, scale: int | None = None) -> Contributions:
    """Contributions at up to ``ROWS`` steps ahead, the one in question among them, in the data's own units."""
    return _adds_up(asked.key, scale, asked)


def carried(asked: Asked) -> float:
    """How much of the contributions' size passes through attention."""
    return _carried(asked.key, asked)


def without(asked: Asked, first: int, last: int) -> np.ndarray:
    """The forecast of the variate, H in the data's own units, with the steps [first, last) taken away in every
    variate."""
    return _without(asked.key, first, last, asked)


def sanity(asked: Asked, names: Sequence[str]) -> Sanity:
    """The maps beside fresh weights, uniform attention and the stored runs of other seeds, over test windows."""
    view = asked.view
    from core.explain.sanity import only_seed_differs
    from core.training.spec import Spec

    others = [
        id
        for id, row in inspect.comparable(view).items()
        if only_seed_differs(view.run.spec, Spec.model_validate(row.spec))
    ]
    return _sanity(asked.key, tuple(names), tuple(others[:MOST_SEEDS]), asked)


def steps_of(view: View) -> list[int]:
    every = -(-view.horizon // ROWS)
    return sorted({*range(0, view.horizon, every), view.step})


def own_units(view: View) -> tuple[float, float]:
    """Mean and deviation of the variate, which the model's numbers are made of."""
    return float(view.run.scaler.mean[view.column]), float(view.run.scaler.std[view.column])


@st.cache_resource(max_entries=32, show_spinner=False)
def _sanity(key: tuple[Any, ...], names: tuple[str, ...], others: tuple[str, ...], _asked: Asked) -> Sanity:
    from core.explain.methods.contract import Question
    from core.explain.sanity import sanity

    view = _asked.view
    question = Question(view.column, _asked.step, _asked.baseline, _asked.statistics)
    return sanity(view.run, view.series, question, names, others=[resources.loaded_run(id) for id in others])


@st.cache_resource(max_entries=512, show_spinner=False)
def _step_map(key: tuple[Any, ...], name: str, _asked: Asked) -> StepMap:
    from core.explain.attribution import step_maps_of

    return step_maps_of(_asked.probe(), [name])[0]


@st.cache_resource(max_entries=512, show_spinner=False)
def _curves(key: tuple[Any, ...], name: str, _asked: Asked, _found: Any) -> Curves:
    from core.explain import faithfulness

    probe = _asked.probe()
    return faithfulness.random_curves(probe) if name == "random" else faithfulness.curves(probe, _found.values_BL)


@st.cache_resource(max_entries=128, show_spinner=False)
def _adds_up(key: tuple[Any, ...], scale: int | None, _asked: Asked) -> Contributions:
    from core.explain.methods.adds_up import contributions

    found = contributions(_asked.probe(), steps_of(_asked.view), scale)
    mean, std = own_units(_asked.view)
    return replace(
        found,
        values_HLC=found.values_HLC * std,
        rest_H=found.rest_H * std + mean,
        forecast_H=found.forecast_H * std + mean,
    )


@st.cache_data(max_entries=512, show_spinner=False)
def _carried(key: tuple[Any, ...], _asked: Asked) -> float:
    from core.explain.methods.adds_up import share_of_attention

    return share_of_attention(_asked.probe(), [_asked.view.step])


@st.cache_data(max_entries=256, show_spinner=False)
def _without(key: tuple[Any, ...], first: int, last: int, _asked: Asked) -> np.ndarray:
    import torch

    probe = _asked.probe()
    x_1LC = probe.x_BLC.clone()
    x_1LC[:, first:last] = probe.baseline_BLC[:, first:last]
    mean, std = own_units(_asked.view)
    with torch.no_grad():
        return probe.forecast(x_1LC, probe.rows_B)[0].numpy() * std + mean
