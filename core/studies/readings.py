"""Readings of the attention: does a forecast follow what its attention is read to look at? For every architecture whose
attention leads to steps (rolled out through its layers, or CrossScaleNet's own readings), beside contributions,
gradient and occlusion on the same windows.

The judge is the forecast itself (``core.explain.faithfulness``), not a known truth: half of these architectures
forecast each variate from its own past alone, which no set with the target's past withheld can ask about.
"""

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from core.data.series import Series
from core.data.synthetic import syn
from core.models.registry import architecture, architectures
from core.studies.bench import cells_of
from core.studies.grid import Cell
from core.studies.study import HORIZON, LOOKBACK, SYN_SEED, Figure, Look, Study

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("adds_up", "gradient", "occlusion")
WINDOWS, STEP = 16, 11  # test windows, and the step ahead from 0
SEED = 2021
FOLLOWS = 1.05  # times what random steps change, from which a forecast is said to follow a map (ours)


def sets() -> list[Series]:
    """SYN8 with slow features, so that a variate's own past tells of its future; a call may name others."""
    return [syn(8, autocorrelation=0.9, current=False, seed=SYN_SEED)]


def cells(sets: Sequence[Series]) -> tuple[Cell, ...]:
    """Architectures whose attention leads to steps, quickly trained, every variate from every variate."""
    models = [name for name, one in architectures().items() if one.capabilities.saliency]
    return cells_of(sets, models, [HORIZON], [SEED], "quick", LOOKBACK, device="cpu")


def look(found: Look) -> dict[str, Any]:
    from core.explain.attribution import faithful
    from core.explain.methods.contract import Question

    series, columns = found.series, found.run.spec.columns
    target = series.truth["target"] if series.truth else columns[-1]
    question = Question(columns.index(target), STEP)
    return {"faithful": {one.name: one.report() for one in faithful(found.run, series, question, METHODS, WINDOWS)}}


def table(cells: Sequence[Cell]) -> "pd.DataFrame":
    """A line a map and architecture; ``uniform attention`` is the change of the MSE, as a share."""
    import pandas as pd

    rows = []
    for cell in cells:
        for one in cell.numbers["study"]["faithful"].values():
            rows.append(
                {
                    "set": cell.spec.series_name,
                    "architecture": architecture(cell.spec.model).title,
                    "map": one["title"],
                    "times random": one["times_random"],
                    "comprehensiveness": one["scores"]["comprehensiveness"][0],
                    "sufficiency": one["scores"]["sufficiency"][0],
                    "uniform attention": cell.numbers.get("uniform"),
                }
            )
    return pd.DataFrame(rows)


def figure(cells: Sequence[Cell]) -> Figure:
    import pandas as pd

    rows = [
        {"x": line["architecture"], "y": line["map"], "value": line["times random"], "facet": line["set"]}
        for line in table(cells).to_dict("records")
        if line["map"] != "Random order" and pd.notna(line["times random"])
    ]
    most = max((row["value"] for row in rows), default=1.0)
    drawn = pd.DataFrame(rows, columns=pd.Index(["x", "y", "value", "facet"]))
    return Figure("tiles", drawn, "architecture", "map", "times random", sentence(cells), 0, most, form=".1f")


def sentence(cells: Sequence[Cell]) -> str:
    found = [cell.numbers["study"]["faithful"] for cell in cells]
    others = {*METHODS, "random"}
    readings = [one["times_random"] for maps in found for name, one in maps.items() if name not in others]
    follow = sum(times is not None and times >= FOLLOWS for times in readings)

    def of(name: str) -> float:
        return mean(maps[name]["times_random"] or 0 for maps in found)

    return (
        f"Without its top 10 % the forecast changes more than without random steps for {follow} of {len(readings)} "
        f"readings of an attention, {mean(times or 0 for times in readings):.1f} times as much on average; for "
        f"contributions it is {of('adds_up'):.1f} times, for occlusion {of('occlusion'):.1f}, for the gradient "
        f"{of('gradient'):.1f}."
    )


STUDY = Study(
    "readings",
    "Readings of the attention",
    "Does a forecast follow what its attention is read to look at?",
    "Abnar & Zuidema 2020 (roll-out); DeYoung 2020; Jain & Wallace 2019",
    10,
    sets,
    cells,
    look,
    table,
    figure,
    sentence,
)
