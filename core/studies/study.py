"""What a study is: a question, the trainings that answer it, one figure and one sentence (product.md, Studies).

A study is one file of this folder that defines ``STUDY``; the registry finds it, the Studies page and
``python -m core study`` run it. Its trainings are the cells of a resumable grid (``grid.py``), and what it looks at in
each trained model is stored with the cell, so that figures are drawn from the file alone.
"""

import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.data.series import Series
from core.data.synthetic import syn
from core.errors import UserError
from core.studies.grid import Cell, Grid, Plan
from core.training.spec import Recipe, Spec, Split

if TYPE_CHECKING:
    import pandas as pd

    from core.evaluate.run import LoadedRun
    from core.jobs.directory import JobDirectory

ORDER = ("saliency", "readings", "keys", "scales", "dual_keys", "attention_matters")
SYN_SEED = 0
LOOKBACK, HORIZON = 96, 24  # of the synthetic sets; a horizon of one leaves CrossScaleNet's attention even


@dataclass(frozen=True)
class Look:
    """What a study may look at after a training: the model, its series, and the folder with its events."""

    run: "LoadedRun"
    series: Series
    job: "JobDirectory"


@dataclass(frozen=True)
class Figure:
    """What a study draws, without how it looks (``core.ui.charts.study``).

    ``table`` has the columns x, y, value and facet (empty text where there is one field only). ``tiles``: x and y are
    names, in order of appearance, value is written on each; ``lines`` and ``points``: x and value are numbers, y names
    the line or the point. ``low`` and ``high`` bound the colours (both are needed) or the value axis, NaN leaves it
    open; ``rule`` is a value that counts, drawn as a line.
    """

    kind: Literal["tiles", "lines", "points"]
    table: "pd.DataFrame"
    x: str
    y: str
    value: str
    takeaway: str
    low: float = math.nan
    high: float = math.nan
    rule: float = math.nan
    form: str = ".2f"


@dataclass(frozen=True)
class Study:
    """``minutes`` is what it takes on two CPU cores. ``sets`` gives the series, ``cells`` the trainings on them,
    ``look`` what is stored of each trained model (JSON). From finished cells: ``table`` for people and files,
    ``figure`` what is drawn, ``sentence`` the answer; none of them is called without a finished cell.
    """

    name: str
    title: str
    question: str
    source: str
    minutes: float
    sets: Callable[[], list[Series]]
    cells: Callable[[Sequence[Series]], tuple[Cell, ...]]
    look: Callable[[Look], dict[str, Any]]
    table: Callable[[Sequence[Cell]], "pd.DataFrame"]
    figure: Callable[[Sequence[Cell]], "Figure"]
    sentence: Callable[[Sequence[Cell]], str]

    def plan(
        self, path: Path, workers: int = 1, threads: int = 1, retry: bool = False, given: Sequence[Series] = ()
    ) -> Plan:
        """All of it, into ``<path>.jsonl``; on series that are given in place of its own."""
        series = list(given) or self.sets()
        cells = tuple(
            Cell(cell.spec.model_copy(update={"threads": threads}), cell.settings) for cell in self.cells(series)
        )
        return Plan(Grid(path), cells, {one.fingerprint: one for one in series}, workers, retry, self.name)

    def finished(self, grid: Grid) -> list[Cell]:
        """Cells with a result of this study, in the order of the file."""
        return [cell for cell in grid.cells().values() if "study" in cell.numbers]


@cache
def studies() -> dict[str, Study]:
    """All studies by name, in the order of the page."""
    import core.studies as package

    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        one = getattr(importlib.import_module(f"core.studies.{module.name}"), "STUDY", None)
        if one is not None:
            found[one.name] = one
    return dict(sorted(found.items(), key=lambda item: (*[ORDER.index(n) for n in ORDER if n == item[0]], len(ORDER))))


def study(name: str) -> Study:
    """The study of this name. Raises UserError for an unknown one."""
    if name not in studies():
        raise UserError(f"There is no study called {name!r}. Choose among: {', '.join(studies())}.")
    return studies()[name]


def known_sets(numbers: Sequence[int] = range(1, 9)) -> list[Series]:
    """SYN1 to SYN8 as they are used to judge maps: white features, so that the truth is identifiable, and no terms of
    the same step, which no window can see (saliency.md)."""
    return [syn(number, autocorrelation=0.0, current=False, seed=SYN_SEED) for number in numbers]


# chosen by the validation loss on SYN1, 2, 5 and 8 (docs/results/saliency-recipe.md): the balanced recipe and one
# without weight decay stay far from the noise
KNOWN_CONFIG = {"width": 64, "dropout": 0.0, "head_dropout": 0.0}
KNOWN_RECIPE = Recipe(name="known sets", loss="mse", learning_rate=3e-3, epochs=20, patience=6, weight_decay=1)


def known_spec(series: Series, config: Mapping[str, Any] | None = None) -> Spec:
    """A CrossScaleNet on a synthetic set with the target's history withheld, for it is a shortcut (saliency.md)."""
    return Spec(
        series_name=series.name,
        fingerprint=series.fingerprint,
        model="crossscalenet",
        config=KNOWN_CONFIG | dict(config or {}),
        lookback=LOOKBACK,
        horizon=HORIZON,
        variates=tuple(name for name in series.variates if name != "y"),
        targets=("y",),
        split=Split.of(series),
        recipe=KNOWN_RECIPE,
    )
