"""Key ablation: where CrossScaleNet's attention takes its keys from, six modes on eight sets with a known rule."""

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from core.data.series import Series
from core.studies.grid import Cell
from core.studies.study import Figure, Look, Study, known_sets, known_spec

if TYPE_CHECKING:
    import pandas as pd

MODES = {
    "dual": "dual (published)",
    "self": "self",
    "patch-self": "patches self, points seasonal",
    "shared": "both the finest forecast",
    "seasonal": "both its seasonal part",
    "trend": "both its trend part",
}
STEP, WINDOWS = 12, 32  # ahead from 0, and test windows, of the map that is scored


def cells(sets: Sequence[Series]) -> tuple[Cell, ...]:
    """Every mode of a set before the next set."""
    return tuple(Cell(known_spec(series, {"keys": mode}), mode) for series in sets for mode in MODES)


def look(found: Look) -> dict[str, Any]:
    """How well the published attention finds the truth, over patches of 16 steps."""
    from core.explain.attribution import score
    from core.explain.methods.contract import Question

    question = Question(found.run.spec.columns.index("y"), STEP)
    scored = {one.name: one for one in score(found.run, found.series, question, [], WINDOWS)}
    return {name: scored[name].report() for name in ("published", "uniform", "ceiling")}


def _mse(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """By mode, then by set."""
    found: dict[str, dict[str, float]] = {mode: {} for mode in MODES}
    for cell in sorted(cells, key=lambda cell: cell.spec.series_name):
        found[cell.settings][cell.spec.series_name] = float(cell.numbers["mse"])
    return {mode: by_set for mode, by_set in found.items() if by_set}


def _against_dual(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """Change of the MSE in percent, by mode and set, where the published mode has a result."""
    found = _mse(cells)
    base = found.get("dual", {})
    return {
        mode: {name: 100 * (mse / base[name] - 1) for name, mse in by_set.items() if name in base}
        for mode, by_set in found.items()
    }


def _saliency(cells: Sequence[Cell]) -> dict[str, float]:
    """Mean AUPRC of the published map over patches, by mode."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        if patch := cell.numbers["study"]["published"]["patch"]:
            found.setdefault(cell.settings, []).append(patch["auprc"][0])
    return {mode: mean(values) for mode, values in found.items()}


def table(cells: Sequence[Cell]) -> "pd.DataFrame":
    import pandas as pd

    found, right = _against_dual(cells), _saliency(cells)
    return pd.DataFrame(
        [
            {"keys": MODES[mode], **{f"MSE {name}": mse for name, mse in by_set.items()}}
            | {"mean change %": mean(found[mode].values()) if found[mode] else None}
            | {"AUPRC of the published map over patches": right.get(mode)}
            for mode, by_set in _mse(cells).items()
        ]
    )


def figure(cells: Sequence[Cell]) -> Figure:
    import pandas as pd

    rows = [
        {"x": name, "y": MODES[mode], "value": change, "facet": ""}
        for mode, by_set in _against_dual(cells).items()
        for name, change in {**by_set, "mean": mean(by_set.values()) if by_set else 0.0}.items()
    ]
    most = max((abs(row["value"]) for row in rows), default=1.0)
    table = pd.DataFrame(rows, columns=pd.Index(["x", "y", "value", "facet"]))
    value = "change of the MSE against dual keys, %"
    return Figure("tiles", table, "set", "keys", value, sentence(cells), -most, most, form="+.1f")


def sentence(cells: Sequence[Cell]) -> str:
    changes = {mode: mean(by_set.values()) for mode, by_set in _against_dual(cells).items() if by_set}
    others = {mode: change for mode, change in changes.items() if mode != "dual"}
    if not others:
        return "Only one mode has a result yet."
    best, worst = min(others, key=others.__getitem__), max(others, key=others.__getitem__)
    sets = len({cell.spec.series_name for cell in cells})
    spread = max(abs(change) for change in others.values())
    if spread < 1:
        return (
            f"Where the keys come from does not matter on these {sets} sets: every mode is within {spread:.1f} % "
            "of the published dual keys."
        )
    return (
        f"Against the published dual keys, over {sets} sets, {MODES[best]} changes the MSE by {changes[best]:+.1f} % "
        f"and {MODES[worst]} by {changes[worst]:+.1f} %."
    )


STUDY = Study(
    "keys",
    "Key ablation",
    "Does it matter where the keys of the attention come from?",
    "arXiv 2509.22839, its ablation of the keys",
    20,
    known_sets,
    cells,
    look,
    table,
    figure,
    sentence,
)
