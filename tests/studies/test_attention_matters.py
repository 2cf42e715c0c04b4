"""Attention that matters: its trainings, what the table and the sentence say, and the figure."""

from dataclasses import replace

import pytest

from core.data.synthetic import syn
from core.studies.attention_matters import VARIANTS, cells, figure, on_frontier, rows, sentence, table
from core.studies.grid import Cell, Grid, Plan
from core.ui.charts.study import study_picture
from core.ui.theme import COLORS
from tests.jobs.conftest import waves

SERIES = waves(rows=1200)


def measured(*found: tuple[str, str, float, float, float | None]) -> list[Cell]:
    """Cells of (dataset, variant, validation, test MSE, uniform)."""
    (spec,) = (cell.spec for cell in cells([SERIES], {"plain": {}}))
    return [
        Cell(
            spec.model_copy(update={"series_name": name}),
            variant,
            numbers={"validation": validation, "mse": mse, "uniform": uniform},
        )
        for name, variant, validation, mse, uniform in found
    ]


FOUND = measured(
    ("A", "plain", 0.50, 0.400, 0.000),
    ("A", "focus", 0.49, 0.401, 0.060),
    ("A", "agreement", 0.9, 0.800, 0.200),
    ("B", "plain", 0.20, 0.300, 0.001),
    ("B", "focus", 0.21, 0.310, 0.070),
)


def test_every_variant_is_trained_on_every_series():
    known = syn(5, length=600)
    found = cells([SERIES, known], seeds=(1, 2))
    assert len(found) == len({cell.key for cell in found}) == 2 * 2 * len(VARIANTS)
    first, second = found[:2]
    assert (first.spec.horizon, first.spec.targets, first.spec.withheld) == (96, SERIES.variates, ())
    assert (second.spec.horizon, second.spec.targets, second.spec.withheld) == (24, ("y",), (5,))
    assert second.spec.variates == ("x0", "x1", "x2", "x3", "x4")


def test_a_cell_of_it_can_be_trained(tmp_path):
    known = syn(5, length=600)
    (cell,) = cells([known], {"plain": {"focus": True, "sharpness": 1.0}})
    short = cell.spec.recipe.model_copy(update={"epochs": 1})
    cell = replace(cell, spec=cell.spec.model_copy(update={"recipe": short}))
    grid = Grid(tmp_path / "matters")
    Plan(grid, (cell,), {known.fingerprint: known}).run(lambda text: None)
    (row,) = rows(list(grid.cells().values()))
    assert row.behind == 0 and row.preferred and isinstance(row.uniform, float)


def test_the_table_holds_every_variant_and_marks_what_validation_prefers():
    found = table(FOUND).set_index(["set", "variant"])
    focus = found.loc[("A", "focus")]
    assert (focus["aim"], focus["by validation"]) == ("reached", "preferred")
    assert (focus["from plain"], focus["uniform attention"]) == pytest.approx((0.0025, 0.06))
    assert (found.loc[("B", "focus")]["aim"], found.loc[("A", "plain")]["by validation"]) == ("", "")
    assert len(found) == len(FOUND)


def test_the_sentence_says_how_near_the_aim_was_reached():
    assert sentence(FOUND) == (
        "Uniform attention costs at least 5% in MSE, within 0.5% of the best error, on 1 of 2 datasets; the most it "
        "costs there: +6.0% on A (focus), +0.1% on B (plain)."
    )
    assert sentence([]) == "Nothing has been trained yet."


def test_seeds_are_one_row_each_against_plain_with_its_own_seed():
    def seeded(cell: Cell, seed: int, **numbers: float) -> Cell:
        spec = cell.spec.model_copy(update={"seed": seed})
        return replace(cell, spec=spec, numbers=dict(cell.numbers) | numbers)

    plain, focus = FOUND[:2]
    two = [plain, focus, seeded(plain, 2, mse=0.5), seeded(focus, 2, mse=0.51, uniform=0.02), seeded(focus, 3, mse=9.0)]
    one, other = rows(two)
    assert (one.variant, one.error, one.behind) == ("plain", 1.0, 0.0)
    assert len(other.cells) == 2 and other.uniform == pytest.approx(0.04)
    assert other.behind == pytest.approx((0.401 / 0.4 + 0.51 / 0.5) / 2 - 1)
    assert [row.variant for row in rows([plain, replace(focus, error="no"), FOUND[2]])] == ["plain", "agreement"]
    assert not rows(measured(("A", "plain", 0.5, 0.4, None)))


def test_the_frontier_is_what_nothing_beats_in_both():
    found = rows(FOUND)
    assert [on_frontier(row, found) for row in found] == [True, True, True, True, True]
    worse = rows([*FOUND, *measured(("B", "worse", 0.3, 0.32, 0.05))])
    assert not on_frontier(worse[-1], worse)


def test_the_figure_has_a_field_for_every_dataset():
    drawn = figure(FOUND)
    assert list(zip(drawn.table["facet"], drawn.table["y"], strict=True)) == [
        ("A", "plain"),
        ("A", "focus"),
        ("B", "plain"),
        ("B", "focus"),
    ], "what is far from the best is named in the table alone"
    assert drawn.rule == 5
    for colors in COLORS.values():
        study_picture(drawn, colors).chart(colors)
