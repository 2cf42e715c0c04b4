"""The maps of the Attention page: which there are in a view, and the picture of one of them with the series and the
strips. Nothing here speaks to Streamlit; what is computed comes from ``evidence``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.models.trace import AttentionMap
from core.ui import evidence
from core.ui.charts import attention as charts
from core.ui.charts.attention_map import map_picture
from core.ui.charts.cells import average, contribution_cells
from core.ui.charts.cells import cells as cells_of
from core.ui.charts.picture import Picture
from core.ui.evidence import Asked
from core.ui.inspect import View
from core.ui.theme import colors

ADDS = "contributions"
MEAN, ALL = "mean", "all"
# a branch as the picker and as the picture call it
BRANCHES = {
    ADDS: ("Adds up", "Contributions"),
    "patch": ("Patches", "Patch attention"),
    "local": ("Inside patches", "Inside patches"),
    "self": ("Self", "Self-attention"),
    "cross": ("Cross", "Cross-attention"),
    "cross, by variate": ("Cross, by variate", "Cross-attention, by variate"),
    "core": ("Core", "Core weights"),
    "score": ("Score", "Score attention"),
}
ABOUT_BRANCHES = {
    ADDS: "what every step adds to the forecast, for any architecture",
    "patch": "between patches",
    "local": "between the points inside each patch",
    "self": "tokens of one kind ask each other",
    "cross": "tokens of one scale ask those of another",
    "cross, by variate": "the same weights, added up for each variate that is asked",
    "core": "what each variate gives to the common core",
    "score": "how much of a feature each token keeps",
}


@dataclass(frozen=True)
class Choice:
    """Which map of a view is drawn; ``source`` is the variate whose contributions are counted, or all."""

    branch: str
    scale: Any = None
    layer: int = 0
    head: Any = MEAN
    source: str = ALL

    @property
    def name(self) -> str:
        return BRANCHES.get(self.branch, (self.branch, self.branch.capitalize()))[1]


@dataclass(frozen=True)
class Drawn:
    """The map of a view as it is drawn: its cells, and the map itself where it is one of attention."""

    choice: Choice
    cells: pd.DataFrame
    full_name: str
    over_time: bool
    resolution: int
    weights: AttentionMap | None = None

    @property
    def strongest(self) -> Any:
        return self.cells.loc[self.cells["weight"].abs().idxmax()]


def maps_of(view: View) -> list[AttentionMap]:
    return [m for m in view.trace().maps if m.variate in (None, view.column)]


def scales_of(view: View, branch: str) -> list[int]:
    """Fine to coarse: of the queries of this branch, or those that the forecast is a sum of."""
    if branch == ADDS:
        return [part.scale for part in view.trace().scales] if len(view.trace().scales) > 1 else []
    return sorted({m.scale for m in maps_of(view) if m.branch == branch and m.scale is not None})


def map_of(view: View, choice: Choice, asked: Asked) -> Drawn:
    """Raises UserError where this window cannot be read."""
    if choice.branch == ADDS:
        added = evidence.adds_up(asked, None if choice.scale in (None, ALL) else int(choice.scale))
        names = view.run.spec.columns
        kept = [names.index(choice.source)] if choice.source in names else list(range(len(names)))
        table = contribution_cells(added.values_HLC[..., kept].sum(axis=2), added.steps_H, view.horizon)
        parts = [f"of {scale_name(view, ADDS, choice.scale)}"] if choice.scale not in (None, ALL) else []
        parts += [f"of {choice.source}"] if choice.source in names else []
        return Drawn(choice, table, " ".join([choice.name, *parts]), True, 1)
    ours = [m for m in maps_of(view) if m.branch == choice.branch and m.scale == choice.scale]
    layers = {m.layer for m in ours}
    heads = [m for m in ours if m.layer == choice.layer]
    chosen = average(heads) if choice.head == MEAN else next(m for m in heads if m.head == choice.head)
    where = [f"layer {choice.layer + 1}"] if len(layers) > 1 else []
    if len(heads) > 1:
        where += [f"head {int(choice.head) + 1}" if choice.head != MEAN else f"mean of {len(heads)} heads"]
    full = ", ".join([choice.name if choice.scale is None else f"{choice.name} of scale {choice.scale}", *where])
    over_time = chosen.key.kind == "time"
    resolution = int(np.ptp(chosen.key.spans[0])) if over_time else 1
    return Drawn(choice, cells_of(chosen, view.run.spec.columns), full, over_time, resolution, chosen)


def scale_name(view: View, branch: str, number: Any) -> str:
    """A scale with what its keys span; by its own name where the model gives it one."""
    if number == ALL:
        return "all together"
    part = next((s for s in view.trace().scales if s.scale == number), None)
    name = part.name if part and part.name else str(number)
    if branch == ADDS:
        return name if part and part.name else f"scale {number}"
    keys = next(m.key for m in maps_of(view) if m.scale == number and m.branch == branch)
    if part and part.patch and branch == "patch":
        return f"{name} · patches of {part.patch} = {part.patch * part.factor} steps"
    return f"{name} · keys of {int(np.ptp(keys.spans[0]))} steps" if keys.kind == "time" else name


def picture_of(view: View, drawn: Drawn, strips: list[Any], changed: np.ndarray | None = None, **marks: Any) -> Picture:
    """Series, strips and map on one axis, or the map alone where it has no time axis."""
    strongest = f"{drawn.full_name}, strongest: {drawn.strongest['text']}."
    if not drawn.over_time and drawn.weights is not None:
        turned = drawn.weights.query.kind == "feature"
        return map_picture(
            drawn.cells,
            branch=drawn.choice.name,
            turned=turned,
            column_title="features of the model" if turned else f"{drawn.weights.key.kind}s that answer",
            colors=colors(),
            takeaway=strongest,
            cell=marks.get("cell"),
        )
    forecast = view.trace().forecast[0, :, view.column]
    lookback = view.window.lookback[:, view.column]
    tables = {
        "series": charts.lines(lookback, view.truth, forecast, view.stamps, changed),
        "points": charts.positions(lookback, view.truth, forecast, view.stamps),
        "strips": charts.strips(strips),
        "cells": drawn.cells,
        "truth": charts.truth_spans(view.known, view.lookback, view.step),
        "asked": pd.DataFrame({"at": [view.lookback + view.step + 0.5], "value": [forecast[view.step]]}),
    }
    return charts.attention_picture(
        tables,
        lookback=view.lookback,
        horizon=view.horizon,
        variate=view.variate,
        unit="in its own units",
        branch=drawn.choice.name,
        resolution=drawn.resolution,
        colors=colors(),
        takeaway=strongest,
        adds="in its own units" if drawn.choice.branch == ADDS else "",
        **marks,
    )
