"""A saved model file becomes a run on a dataset of this server, without training.

The file comes from outside: its card is validated like any upload, and nothing of it becomes a path.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from core.data.series import Series
from core.errors import UserError
from core.evaluate import baselines
from core.evaluate.metrics import metrics
from core.evaluate.run import LoadedRun
from core.evaluate.season import season
from core.explain.relevance import relevance
from core.jobs.directory import JobDirectory
from core.jobs.worker import finite
from core.training.checkpoint import load_weights, read_card, save
from core.training.events import Finished
from core.training.spec import Spec, Split

QUICK = 20_000  # test windows that are scored while the person waits; above, the run has no scores
FEW = 10  # targets for which AutoETS and AutoTheta are estimated while the person waits
LETTERS = 200  # of a name that came with a file


def adopt(file: Path, series: Series, dataset_id: str, directory: Path) -> JobDirectory:
    """Fills ``directory`` with a finished run of this model on this series.

    Raises UserError, and leaves nothing, for a pickle, a damaged file, weights that do not fit their card, variates
    that the series lacks, or a series shorter than the look-back.
    """
    card, weights = read_card(file), load_weights(file)
    run = LoadedRun.of(card, weights)
    spec = _moved(run.spec, series, dataset_id)
    run.check(series)
    if len(series) < spec.lookback:
        raise UserError(
            f"This model looks back {spec.lookback:,} rows, and {series.name} has {len(series):,}. "
            "Choose a longer dataset, or a model with a shorter look-back."
        )
    name = str(card.get("name") or "Loaded model")[:LETTERS]
    card = finite(card) | _about(directory.name, name, spec, series)
    run = LoadedRun.of(card, weights)
    card |= _scores(run, series)
    beside = baselines.estimate(run, series, FEW)
    if card["metrics"]:
        card["metrics"]["baselines"] = finite(baselines.scores(run, series, beside))
    job = JobDirectory.create(directory, spec, series, name)
    save(job.path, weights, card)
    baselines.save(job.path, beside)
    epochs, best = (n if isinstance(n := card.get(k), int) else 0 for k in ("epochs_run", "best_epoch"))
    job.append(Finished(time.time(), epochs, best, 0.0, False, card["metrics"]))
    return job


def _moved(spec: Spec, series: Series, dataset_id: str) -> Spec:
    """The spec on this series; its split stays where the data is the same."""
    changes: dict[str, Any] = {"dataset": dataset_id, "series_name": series.name, "fingerprint": series.fingerprint}
    if spec.fingerprint != series.fingerprint:
        changes["split"] = Split.of(series, spec.covariates.observed(series, spec.targets))
    return spec.model_copy(update=changes)


def _about(id: str, name: str, spec: Spec, series: Series) -> dict[str, Any]:
    """What the card says anew. Its scaler, seed and versions stay those of the training."""
    return {
        "id": id,
        "name": name,
        "spec": spec.model_dump(mode="json"),
        "series": {
            "name": series.name,
            "fingerprint": series.fingerprint,
            "variates": list(spec.columns),
            "rows": len(series),
        },
        "season": season(series, spec),
        "adopted": True,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _scores(run: LoadedRun, series: Series) -> dict[str, Any]:
    """Metrics and relevance on this series; empty where there is no test window, a gap, or too much to wait for."""
    if not 0 < run.count(series) <= QUICK:
        return {"metrics": {}, "relevance": {}}
    blocks = series.blocks(run.spec.needed, run.spec.split.test)
    if not all(np.isfinite(block).all() for block in blocks):
        return {"metrics": {}, "relevance": {}}
    return {"metrics": finite(metrics(run, series)), "relevance": finite(relevance(run, series))}
