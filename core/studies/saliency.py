"""Saliency on SYN1 to SYN8: which maps find the steps that the target was made from (saliency.md, Known truth).

One CrossScaleNet for each set, the target's history withheld; every method, every reading of the attention and every
control at three steps ahead, over test windows.
"""

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from core.data.series import Series
from core.errors import UserError
from core.studies.grid import Cell
from core.studies.study import Figure, Look, Study, known_sets, known_spec

if TYPE_CHECKING:
    import pandas as pd

STEPS = (0, 12, 23)  # ahead, from 0
WINDOWS = 32
CONTROLS = ("random", "recency", "uniform")
LEVELS = {"step": "single steps", "patch": "patches of 16 steps"}


def cells(sets: Sequence[Series]) -> tuple[Cell, ...]:
    return tuple(Cell(known_spec(series)) for series in sets)


def look(found: Look) -> dict[str, Any]:
    """Scores by step ahead (from 1), map, and level; the share of the target's variance that is noise, and is missed;
    and how far the forecast follows each map, at the middle step."""
    from core.explain.attribution import faithful, score
    from core.explain.methods.contract import Question
    from core.explain.methods.registry import methods_for

    run, series = found.run, found.series
    names, target = [name for name in methods_for(run.model) if name != "leave_scale_out"], run.spec.columns.index("y")
    scores: dict[str, Any] = {}
    for step in STEPS:
        try:
            scored = score(run, series, Question(target, step), names, WINDOWS)
        except UserError:  # no true lag lies in the window
            continue
        scores[str(step + 1)] = {one.name: one.report() for one in scored}
    follows = faithful(run, series, Question(target, STEPS[1]), names, WINDOWS)
    noise = (series.truth or {})["noise"] ** 2
    return {
        "scores": scores,
        "faithful": {one.name: one.report() for one in follows},
        "noise": noise / (1 + noise),
    }


def averages(cells: Sequence[Cell], level: str = "step", name: str = "auprc") -> dict[str, dict[str, float]]:
    """Mean over the steps ahead: by map, then by set."""
    found: dict[str, dict[str, float]] = {}
    for cell in sorted(cells, key=lambda cell: cell.spec.series_name):
        steps = cell.numbers["study"]["scores"].values()
        for one in next(iter(steps), {}):
            values = [step[one][level][name][0] for step in steps if step[one][level]]
            if values := [v for v in values if v is not None]:
                found.setdefault(one, {})[cell.spec.series_name] = mean(values)
    return found


def titles(cells: Sequence[Cell]) -> dict[str, str]:
    return {
        name: one["title"]
        for cell in cells
        for step in cell.numbers["study"]["scores"].values()
        for name, one in step.items()
    }


def table(cells: Sequence[Cell]) -> "pd.DataFrame":
    """AUPRC by map and set, over single steps and over patches, with the mean over the sets."""
    import pandas as pd

    named, rows = titles(cells), []
    for level, told in LEVELS.items():
        for name, by_set in averages(cells, level).items():
            rows.append({"map": named[name], "over": told} | by_set | {"mean": mean(by_set.values())})
    return pd.DataFrame(rows)


def figure(cells: Sequence[Cell]) -> Figure:
    import pandas as pd

    named, rows = titles(cells), []
    for level, told in LEVELS.items():
        for name, by_set in averages(cells, level).items():
            values = {**by_set, "mean": mean(by_set.values())}
            rows += [{"x": x, "y": named[name], "value": v, "facet": f"over {told}"} for x, v in values.items()]
    return Figure("tiles", pd.DataFrame(rows), "set", "map", "AUPRC", sentence(cells), 0, 1)


def sentence(cells: Sequence[Cell]) -> str:
    step, patch = (
        {name: mean(by_set.values()) for name, by_set in averages(cells, level).items()} for level in ("step", "patch")
    )
    sets = len({cell.spec.series_name for cell in cells})
    over = f"{sets} sets" if sets > 1 else "one set"
    coarse = f"; over patches of 16 steps {patch['published']:.2f} against {patch['adds_up']:.2f}" if patch else ""
    return (
        f"Over {over}, what adds up to the forecast finds the true steps with an AUPRC of {step['adds_up']:.2f}, the "
        f"gradient with {step['gradient']:.2f}, occlusion with {step['occlusion']:.2f}; the published attention with "
        f"{step['published']:.2f}, where an even map has {step['uniform']:.2f} and no map of 16 steps more than "
        f"{step['ceiling']:.2f}{coarse}."
    )


STUDY = Study(
    "saliency",
    "Saliency on SYN1 to SYN8",
    "Which maps find the steps that the target was made from?",
    "arXiv 2509.22839, its synthetic sets; Ismail 2020; Crabbé & van der Schaar 2021",
    8,
    known_sets,
    cells,
    look,
    table,
    figure,
    sentence,
)
