"""Where a known rule says that the forecast comes from, for windows of a synthetic set (saliency.md)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.data.synthetic import SETS, syn
from core.errors import UserError


def true_weights(truth: Mapping[str, Any], columns: Sequence[str], lookback: int, step: int) -> np.ndarray:
    """The rule's signed weights in a window of L steps for step ``step`` ahead (from 0), L x C.

    Lag l sits at position L + step - l: lags of ``step`` or less are still to come, and lags that reach back before the
    window are not in it; neither has a weight here. A feature that does not enter the model has none either.
    """
    found = np.zeros((lookback, len(columns)))
    for feature, row in zip(truth["features"], truth["weights"], strict=True):
        for lag, weight in zip(truth["lags"], row, strict=True):
            at = lookback + step - int(lag)
            if 0 <= at < lookback and feature in columns:
                found[at, columns.index(feature)] += weight
    return found


def read_truth(source: str) -> dict[str, Any]:
    """The rule of ``syn1`` to ``syn8``, or from a JSON file: target, features, lags, and weights as a row of lags for
    each feature. Raises UserError for anything else."""
    if source.lower() in {f"syn{number}" for number in SETS}:
        return syn(int(source[3:]), length=1).truth or {}
    try:
        found = json.loads(Path(source).read_text("utf-8"))
        weights = np.array(found["weights"], float)
        sound = weights.shape == (len(found["features"]), len(found["lags"])) and np.isfinite(weights).all()
        sound = sound and isinstance(found["target"], str) and all(int(lag) == lag > 0 for lag in found["lags"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"No truth can be read from {source}: {error}. Give syn1 to syn8, or a JSON file with target, features, "
            "lags and weights."
        ) from None
    if not sound:
        raise UserError(
            f"The truth in {source} does not hold together: it needs the name of a target, whole positive lags, and "
            "one finite weight for every feature and lag."
        )
    return found


def check_truth(truth: Mapping[str, Any] | None, target: str, columns: Sequence[str], lookback: int, step: int) -> None:
    """Raises UserError where nothing is known about this forecast, or nothing of it lies in the window."""
    if not truth:
        raise UserError("No truth is known for this dataset: a map can be compared with other methods, not scored.")
    if target != truth["target"]:
        raise UserError(f"The truth is known for {truth['target']} only, not for {target}.")
    if not true_weights(truth, columns, lookback, step).any():
        raise UserError(
            f"For step {step + 1} ahead no true lag lies in a window of {lookback} steps. Choose a nearer step, or a "
            "longer look-back."
        )
