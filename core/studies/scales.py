"""Number of scales: CrossScaleNet with one to six, and how their weights move while it learns."""

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from core.data.series import Series
from core.studies.grid import Cell
from core.studies.study import Figure, Look, Study, known_sets, known_spec

if TYPE_CHECKING:
    import pandas as pd

COUNTS = range(1, 7)


def sets() -> list[Series]:
    """A near rule, a far one, and both mixed."""
    return known_sets((1, 5, 8))


def cells(sets: Sequence[Series]) -> tuple[Cell, ...]:
    return tuple(
        Cell(known_spec(series, {"scales": count}), f"{count} scale{'s' * (count > 1)}")
        for series in sets
        for count in COUNTS
    )


def look(found: Look) -> dict[str, Any]:
    """Weight of every scale after each epoch, and each scale's share of the forecast."""
    relevance = found.run.card.get("relevance") or {}
    return {
        "weights": [list(epoch.scale_weights) for epoch in found.job.epochs()],
        "shares": relevance.get("shares", []),
        "without_scale": relevance.get("without_scale", []),
    }


def _count(cell: Cell) -> int:
    return int(cell.spec.config.get("scales", 4))


def _apart(found: Sequence[float]) -> float:
    """By how much the largest exceeds the smallest."""
    return max(found) - min(found) if found else 0.0


def table(cells: Sequence[Cell]) -> "pd.DataFrame":
    import pandas as pd

    rows = []
    for cell in sorted(cells, key=lambda cell: (cell.spec.series_name, _count(cell))):
        study = cell.numbers["study"]
        last = study["weights"][-1] if study["weights"] else []
        rows.append(
            {
                "set": cell.spec.series_name,
                "scales": _count(cell),
                "MSE": cell.numbers["mse"],
                "weights at the end": ", ".join(f"{weight:.3f}" for weight in last),
                "shares of the forecast": ", ".join(f"{share:.2f}" for share in study["shares"]),
                "attention uniform": cell.numbers["uniform"],
            }
        )
    return pd.DataFrame(rows)


def figure(cells: Sequence[Cell]) -> Figure:
    """Error by number of scales, and the weights of the largest model by epoch."""
    import pandas as pd

    rows = []
    for cell in sorted(cells, key=lambda cell: (cell.spec.series_name, _count(cell))):
        rows.append(
            {"x": _count(cell), "y": cell.spec.series_name, "value": cell.numbers["mse"], "facet": "MSE by number"}
        )
    most = max(_count(cell) for cell in cells)
    for cell in (cell for cell in cells if _count(cell) == most):
        for epoch, weights in enumerate(cell.numbers["study"]["weights"], start=1):
            rows += [
                {"x": epoch, "y": f"scale {m}", "value": weight, "facet": f"{cell.spec.series_name}: weights by epoch"}
                for m, weight in enumerate(weights)
            ]
    return Figure("lines", pd.DataFrame(rows), "scales, or epochs", "", "", sentence(cells))


def sentence(cells: Sequence[Cell]) -> str:
    by_count: dict[int, list[float]] = {}
    for cell in cells:
        by_count.setdefault(_count(cell), []).append(float(cell.numbers["mse"]))
    whole = max(len(values) for values in by_count.values())
    means = {count: mean(values) for count, values in by_count.items() if len(values) == whole}
    best = min(means, key=means.__getitem__)
    last = [cell.numbers["study"] for cell in cells if _count(cell) > 1]
    weights, shares = (
        max((_apart(values) for values in found), default=0.0)
        for found in ([one["weights"][-1] for one in last if one["weights"]], [one["shares"] for one in last])
    )
    gain = f", {100 * (1 - means[best] / means[1]):.1f} % below one scale" if 1 in means and best != 1 else ""
    little = ": the weights say little by themselves" if weights < shares / 2 else ""
    return (
        f"The error is least with {best} scale{'s' * (best > 1)}{gain}; within a model the weights of the scales "
        f"differ by at most {weights:.3f}, their shares of the forecast by {shares:.2f}{little}."
    )


STUDY = Study(
    "scales",
    "Number of scales",
    "How many scales does it take, and do their weights say which one counts?",
    "arXiv 2509.22839, its ablation of the scales",
    8,
    sets,
    cells,
    look,
    table,
    figure,
    sentence,
)
