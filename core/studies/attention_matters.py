"""Can CrossScaleNet's attention be made to matter, and what does it cost? Options of ours, alone and together, on ETT
and on known truth: what uniform attention costs a trained model, beside its error (saliency.md).

The aim: with uniform attention the MSE rises by 5 % at least, while the model stays within 0.5 % of the best error.
Every variant is in the table. Which of them is preferred on a dataset is said by the validation loss; the aim is judged
on the test windows, where nothing is chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import mean
from typing import TYPE_CHECKING, Any

from core.data.series import Series
from core.studies.bench import cells_of
from core.studies.grid import Cell
from core.studies.study import Figure, Look, Study, known_sets

if TYPE_CHECKING:
    import pandas as pd

MATTERS, NEAR = 0.05, 0.005  # what uniform attention must cost, and how far from the best error a model may be
LOOKBACK, HORIZON, KNOWN_HORIZON = 96, 96, 24
SEEDS = (1,)
PLAIN = "plain"
DRAWN = 0.12  # a point further than this from the best error is in the table only

_FOCUS = {"focus": True, "sharpness": 1.0}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {},
    "scale dropout 0.1": {"scale_dropout": 0.1},
    "agreement 0.01": {"agreement": 0.01},
    "agreement 0.03": {"agreement": 0.03},
    "agreement 0.3": {"agreement": 0.3},
    "centred values": {"centre_values": True},
    "sharpness 4": {"sharpness": 4.0},
    "diagonal position bias": {"position_bias": "diagonal"},
    "gated residual": {"gated_residual": True},
    "focus": _FOCUS,
    "focus, sharpness 4": _FOCUS | {"sharpness": 4.0},
    "focus, centred values": _FOCUS | {"centre_values": True},
    "focus, scale dropout 0.1": _FOCUS | {"scale_dropout": 0.1},
    "focus, scale dropout 0.15": _FOCUS | {"scale_dropout": 0.15},
    "focus, scale dropout 0.2": _FOCUS | {"scale_dropout": 0.2},
    "focus, scale dropout 0.3": _FOCUS | {"scale_dropout": 0.3},
    "focus, agreement 0.03": _FOCUS | {"agreement": 0.03},
    "focus, agreement 0.03, scale dropout 0.15": _FOCUS | {"agreement": 0.03, "scale_dropout": 0.15},
    "gated residual, focus, scale dropout 0.15": _FOCUS | {"gated_residual": True, "scale_dropout": 0.15},
    "gated residual, agreement 0.03": {"gated_residual": True, "agreement": 0.03},
}


def cells(
    tables: Sequence[Series], variants: Mapping[str, Mapping[str, Any]] = VARIANTS, seeds: Sequence[int] = SEEDS
) -> tuple[Cell, ...]:
    """The trainings of every variant on every series, with our balanced recipe on the CPU: horizon 96, all variates.

    Of a series whose truth is known: horizon 24, and the target is forecast from the features alone, since its own past
    would be a shortcut. Raises UserError for an option that CrossScaleNet does not have.
    """
    found = []
    for seed in seeds:
        for name, options in variants.items():
            for series in tables:
                horizon = HORIZON if series.truth is None else KNOWN_HORIZON
                (cell,) = cells_of(
                    [series], ["crossscalenet"], [horizon], [seed], "balanced", LOOKBACK, options, device="cpu"
                )
                spec = cell.spec
                if series.truth is not None:
                    target = series.truth["target"]
                    features = tuple(name for name in series.variates if name != target)
                    spec = spec.model_copy(update={"variates": features, "targets": (target,)})
                found.append(Cell(spec, name))
    return tuple(found)


@dataclass(frozen=True)
class Row:
    """Finished cells of one variant on one dataset, that differ in their seed alone. ``error`` and ``validation`` are
    relative to ``plain`` with the same seed, averaged over the seeds: not every variant has every seed. ``best`` is the
    lowest ``error`` on this dataset, ``preferred`` whether no variant has a lower ``validation``."""

    cells: tuple[Cell, ...]
    error: float
    validation: float
    best: float = 1.0
    preferred: bool = False

    @property
    def set(self) -> str:
        return self.cells[0].spec.series_name

    @property
    def variant(self) -> str:
        return self.cells[0].settings

    def mean(self, name: str) -> float:
        return mean(float(cell.numbers[name]) for cell in self.cells)

    @cached_property
    def uniform(self) -> float:
        """Change of the MSE with uniform attention, as a share: 0.01 is 1 % worse."""
        return self.mean("uniform")

    @cached_property
    def behind(self) -> float:
        """How far its MSE is from the best, as a share."""
        return self.error / self.best - 1

    @property
    def reached(self) -> bool:
        return self.uniform >= MATTERS and self.behind <= NEAR


def rows(cells: Sequence[Cell]) -> list[Row]:
    """By dataset and variant, in the order of ``VARIANTS``. Left out are failed cells, those without attention, and
    seeds that ``plain`` has not been trained with."""
    sets: dict[str, dict[str, list[Cell]]] = {}
    plain: dict[tuple[str, int], Cell] = {}
    for cell in cells:
        if not cell.error and cell.numbers.get("uniform") is not None:
            sets.setdefault(cell.spec.series_name, {}).setdefault(cell.settings, []).append(cell)
            if cell.settings == PLAIN:
                plain[cell.spec.series_name, cell.spec.seed] = cell

    def against(cell: Cell, name: str) -> float:
        return float(cell.numbers[name]) / float(plain[cell.spec.series_name, cell.spec.seed].numbers[name])

    found, order = [], list(VARIANTS)
    for name, variants in sorted(sets.items()):
        known = sorted(variants, key=lambda variant: order.index(variant) if variant in order else len(order))
        compared = [tuple(c for c in variants[variant] if (name, c.spec.seed) in plain) for variant in known]
        own = [
            Row(c, mean(against(x, "mse") for x in c), mean(against(x, "validation") for x in c)) for c in compared if c
        ]
        best, lowest = (min((getattr(row, of) for row in own), default=1.0) for of in ("error", "validation"))
        found += [replace(row, best=best, preferred=row.validation == lowest) for row in own]
    return found


def table(cells: Sequence[Cell]) -> "pd.DataFrame":
    """One line for a variant on a dataset; changes are shares, 0.01 is 1 % worse."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "set": row.set,
                "variant": row.variant,
                "seeds": len(row.cells),
                "validation loss": row.mean("validation"),
                "test MSE": row.mean("mse"),
                "from plain": row.error - 1,
                "from the best": row.behind,
                "uniform attention": row.uniform,
                "aim": "reached" if row.reached else "",
                "by validation": "preferred" if row.preferred else "",
            }
            for row in rows(cells)
        ]
    )


def sentence(cells: Sequence[Cell]) -> str:
    """How near the aim was reached: of each dataset the variant whose attention matters most among those near the best
    error."""
    sets: dict[str, list[Row]] = {}
    for row in rows(cells):
        sets.setdefault(row.set, []).append(row)
    if not sets:
        return "Nothing has been trained yet."
    nearest = [max((r for r in own if r.behind <= NEAR), key=lambda r: r.uniform) for own in sets.values()]
    reached = sum(row.reached for row in nearest)
    told = ", ".join(f"{row.uniform:+.1%} on {row.set} ({row.variant})" for row in nearest)
    return (
        f"Uniform attention costs at least {MATTERS:.0%} in MSE, within {NEAR:.1%} of the best error, on {reached} of "
        f"{len(nearest)} datasets; the most it costs there: {told}."
    )


def figure(cells: Sequence[Cell]) -> Figure:
    """Error against relevance, one field a dataset. Named are plain, and of the frontier (what no other variant beats
    in both) its two ends and what reaches the least that uniform attention must cost."""
    import pandas as pd

    found = [row for row in rows(cells) if row.behind <= DRAWN]
    table = pd.DataFrame(
        [
            {
                "x": 100 * row.uniform,
                "y": row.variant if row.variant == PLAIN or named(row, found) else "",
                "value": 100 * row.behind,
                "facet": row.set,
            }
            for row in found
        ],
        columns=pd.Index(["x", "y", "value", "facet"]),
    )
    x, value = "MSE with uniform attention, % higher", "test MSE, % above the best"
    return Figure("points", table, x, "variant", value, sentence(cells), rule=100 * MATTERS, form=".1f")


def on_frontier(row: Row, found: Sequence[Row]) -> bool:
    """Whether no other variant on this dataset is better in error or relevance and as good in the other."""
    return not any(
        other.behind <= row.behind
        and other.uniform >= row.uniform
        and (other.behind < row.behind or other.uniform > row.uniform)
        for other in found
        if other.set == row.set
    )


def named(row: Row, found: Sequence[Row]) -> bool:
    """Whether the figure names this point of the frontier: the middle of one is too crowded."""
    frontier = [one for one in found if one.set == row.set and on_frontier(one, found)]
    ends = (min(frontier, key=lambda one: one.behind), max(frontier, key=lambda one: one.uniform))
    return row in frontier and (row in ends or row.uniform >= MATTERS)


def sets() -> list[Series]:
    """Those whose rule is known; a call may name others, such as ETTh1 and ETTh2."""
    return known_sets()


def look(found: Look) -> dict[str, Any]:
    """What a cell measures anyway is enough."""
    return {}


STUDY = Study(
    "attention_matters",
    "Attention that matters",
    "Can the attention be made to matter, at no cost in error?",
    "ours, after Jain & Wallace 2019",
    75,
    sets,
    cells,
    look,
    table,
    figure,
    sentence,
)
