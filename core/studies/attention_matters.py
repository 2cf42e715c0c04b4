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

if TYPE_CHECKING:
    import altair as alt

QUESTION = "Can the attention be made to matter, at no cost in error?"
MATTERS, NEAR = 0.05, 0.005  # what uniform attention must cost, and how far from the best error a model may be
LOOKBACK, HORIZON, KNOWN_HORIZON = 96, 96, 24
SEEDS = (1,)
PLAIN = "plain"
DRAWN = 0.05  # a point further than this from the best error is named, not drawn

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
    "focus, sharpness 1": _FOCUS,
    "focus, sharpness 4": _FOCUS | {"sharpness": 4.0},
    "focus, sharpness 1, centred values": _FOCUS | {"centre_values": True},
    "focus, sharpness 1, scale dropout 0.1": _FOCUS | {"scale_dropout": 0.1},
    "focus, sharpness 1, scale dropout 0.15": _FOCUS | {"scale_dropout": 0.15},
    "focus, sharpness 1, scale dropout 0.2": _FOCUS | {"scale_dropout": 0.2},
    "gated residual, focus, sharpness 1, scale dropout 0.15": _FOCUS | {"gated_residual": True, "scale_dropout": 0.15},
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


def table(cells: Sequence[Cell]) -> str:
    """Markdown: one line for a variant on a dataset, the one with the lowest validation loss in bold."""
    lines = [
        "| set | variant | seeds | validation MSE | test MSE | from plain | from the best | uniform attention | aim |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows(cells):
        name = f"**{row.variant}**" if row.preferred else row.variant
        lines.append(
            f"| {row.set} | {name} | {len(row.cells)} | {row.mean('validation'):.4f} | {row.mean('mse'):.4f} | "
            f"{row.error - 1:+.1%} | {row.behind:+.1%} | {row.uniform:+.1%} | {'reached' if row.reached else ''} |"
        )
    return "\n".join(lines)


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


def figure(cells: Sequence[Cell], colors: Any) -> "alt.FacetChart":
    """Error against relevance, one field a dataset. The aim is the shaded corner, the line the frontier: what no other
    variant beats in both. ``colors`` are those of ``core.ui.theme``."""
    import altair as alt
    import pandas as pd

    found = [row for row in rows(cells) if row.behind <= DRAWN]
    fields: list[str] = list(dict.fromkeys(row.set for row in found))
    top = {field: 1.1 * max(MATTERS, *(row.uniform for row in found if row.set == field), 0) for field in fields}
    table = pd.DataFrame(
        [
            {
                "set": row.set,
                "variant": row.variant,
                "behind": 100 * row.behind,
                "uniform": 100 * row.uniform,
                "frontier": on_frontier(row, found),
                "named": on_frontier(row, found) or row.variant == PLAIN,
                "first": row is next(other for other in found if other.set == row.set),
                "best": 0.0,
                "near": 100 * NEAR,
                "least": 100 * MATTERS,
                "most": 100 * top[row.set],
            }
            for row in found
        ]
    )
    # layers without data of their own, so that each field draws its own rows
    at = alt.Chart().encode(
        x=alt.X("behind:Q", title="Test MSE, % above the best"),
        y=alt.Y("uniform:Q", title="MSE with uniform attention, % higher"),
    )
    corner = (
        alt.Chart()
        .transform_filter("datum.first")
        .mark_rect(color=colors.truth, opacity=0.25)
        .encode(x="best:Q", x2="near", y="least:Q", y2="most")
    )
    line = at.transform_filter("datum.frontier").mark_line(color=colors.accent, strokeWidth=1, opacity=0.6)
    mark = at.mark_circle(size=70, opacity=1).encode(
        color=alt.condition("datum.frontier", alt.value(colors.accent), alt.value(colors.baseline)),
        tooltip=[
            alt.Tooltip("variant:N"),
            alt.Tooltip("behind:Q", format="+.1f", title="% above the best"),
            alt.Tooltip("uniform:Q", format="+.1f", title="% with uniform attention"),
        ],
    )
    name = at.transform_filter("datum.named").mark_text(align="left", dx=7, dy=-6, color=colors.muted, fontSize=11)
    return (
        alt.layer(corner, line, mark, name.encode(text="variant:N"))
        .properties(width=300, height=240)
        .facet(data=table, facet=alt.Facet("set:N", title=None, sort=fields), columns=2)
        .resolve_scale(y="independent")
    )


def on_frontier(row: Row, found: Sequence[Row]) -> bool:
    """Whether no other variant on this dataset is better in error or relevance and as good in the other."""
    return not any(
        other.behind <= row.behind
        and other.uniform >= row.uniform
        and (other.behind < row.behind or other.uniform > row.uniform)
        for other in found
        if other.set == row.set
    )
