"""Completeness of the dual keys: what the two keys of CrossScaleNet's attention carry of what is to come.

The patches ask the finest scale's forecast, the points its seasonal part. Together they should hold what a coarse
scale needs to know of the future (the paper's claim, in our reading): measured as the share of the future's variance
that a ridge regression explains from each key, from both, and from the finest forecast's two parts.
"""

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from core.data.series import Series
from core.studies.grid import Cell
from core.studies.study import Figure, Look, Study, known_sets, known_spec

if TYPE_CHECKING:
    import pandas as pd

KEYS = {
    "seasonal": "the points' key (seasonal part)",
    "trend": "the trend part (no key by itself)",
    "forecast": "the patches' key (finest forecast)",
    "both": "both keys",
    "model": "the whole model",
}
WINDOWS = 1024  # of the training part, and as many of the test part at most


def cells(sets: Sequence[Series]) -> tuple[Cell, ...]:
    return tuple(Cell(known_spec(series)) for series in sets)


def look(found: Look) -> dict[str, Any]:
    """Explained share of the variance of the target's next H steps, on test windows, by key."""
    import numpy as np
    from sklearn.linear_model import Ridge

    from core.data.windows import spaced

    run, target = found.run, found.run.spec.columns.index("y")
    parts = []
    for windows in (run.training_windows(found.series), run.test_windows(found.series)):
        x_BLC, y_BHK = windows.batch(spaced(len(windows), WINDOWS))
        finest, whole = run.model.trace(x_BLC).scales[0], run.model(x_BLC).numpy()
        if finest.seasonal is None or finest.trend is None:
            raise TypeError("the finest scale splits into a seasonal and a trend part")
        keys = {"seasonal": finest.seasonal, "trend": finest.trend, "forecast": finest.contribution}
        parts.append(({k: v.reshape(len(v), -1) for k, v in keys.items()}, whole[..., target], y_BHK[..., 0].numpy()))
    (fit, _, y_fit), (test, model, y_test) = parts
    fit["both"], test["both"] = (np.hstack([part["seasonal"], part["forecast"]]) for part in (fit, test))
    spread = ((y_test - y_fit.mean(0)) ** 2).mean()
    explained = {
        name: 1 - ((Ridge(1.0).fit(fit[name], y_fit).predict(test[name]) - y_test) ** 2).mean() / spread for name in fit
    }
    explained["model"] = 1 - ((model - y_test) ** 2).mean() / spread
    return {"explained": {name: float(explained[name]) for name in KEYS}}


def _explained(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    ordered = sorted(cells, key=lambda cell: cell.spec.series_name)
    return {
        name: {cell.spec.series_name: cell.numbers["study"]["explained"][name] for cell in ordered} for name in KEYS
    }


def table(cells: Sequence[Cell]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        [
            {"explained by": KEYS[name], **by_set, "mean": mean(by_set.values())}
            for name, by_set in _explained(cells).items()
        ]
    )


def figure(cells: Sequence[Cell]) -> Figure:
    import pandas as pd

    rows = [
        {"x": x, "y": KEYS[name], "value": value, "facet": ""}
        for name, by_set in _explained(cells).items()
        for x, value in {**by_set, "mean": mean(by_set.values())}.items()
    ]
    return Figure(
        "tiles", pd.DataFrame(rows), "set", "explained by", "share of the future's variance", sentence(cells), 0, 1
    )


def sentence(cells: Sequence[Cell]) -> str:
    found = {name: mean(by_set.values()) for name, by_set in _explained(cells).items()}
    gain = found["both"] - found["forecast"]
    adds = "adds nothing" if gain < 0.005 else f"adds {gain:.0%}"
    return (
        f"The two keys together explain {found['both']:.0%} of the variance of what is to come, where the whole model "
        f"explains {found['model']:.0%}; the points' seasonal key {adds} to the patches' key."
    )


STUDY = Study(
    "dual_keys",
    "Completeness of the dual keys",
    "Do the two keys together hold what a coarse scale needs to know of the future?",
    "arXiv 2509.22839, its dual keys; the measure is ours",
    5,
    known_sets,
    cells,
    look,
    table,
    figure,
    sentence,
)
