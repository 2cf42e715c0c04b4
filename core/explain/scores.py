"""How well a map finds a known truth, beside what chance and the map's resolution allow (saliency.md).

A map is |attribution| over the steps of a window; the truth is the steps that carry weight. Every score is of one
window; ``summary`` takes many.

Sources: AUPRC and AUROC as in Ismail et al. 2020; AUP and AUR, Crabbe & van der Schaar 2021 (precision and recall
averaged over the thresholds of a map scaled to 0 to 1); relevance mass and rank, Arras et al. 2022; pointing game,
Zhang et al. 2018.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata, wasserstein_distance
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

SCORES: dict[str, str] = {
    "auprc": "area under precision over recall",
    "auroc": "chance that a true step ranks above a false one",
    "aup": "precision, averaged over thresholds",
    "aur": "recall, averaged over thresholds",
    "mass": "share of the map on true steps",
    "rank": "true steps among as many of the highest",
    "pointing": "whether the highest step is true",
    "spearman": "rank correlation with |weight|",
    "distance": "steps that the map's mass must be moved to match |weight|",
}


def scores(map_L: np.ndarray, weights_L: np.ndarray) -> dict[str, float]:
    """All scores of one map of non-negative values against the rule's weights, both over the same steps (or any other
    places). Raises ValueError where no place, or every place, carries weight.

    A map that is the same everywhere has what chance has; equal places share a rank. A map of zeros has no mass.

    >>> scores(np.array([0.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.5, 0.0, 0.0]))["auprc"]
    1.0
    """
    size, weight = np.abs(map_L).astype(float), np.abs(weights_L)
    true = weight > 0
    if true.all() or not true.any():
        raise ValueError("a truth needs places that matter and places that do not")
    low, high = size.min(), size.max()
    flat = high <= low
    scaled = np.zeros_like(size) if flat else (size - low) / (high - low)
    precision, recall, thresholds = precision_recall_curve(true, scaled)
    total = size.sum()
    # places of equal size are taken in every order at once
    top = np.sort(size)[::-1][true.sum() - 1]
    above, level = size > top, size == top
    expected = true[above].sum() + (true.sum() - above.sum()) * true[level].mean()
    at = np.arange(len(size))
    return {
        "auprc": float(average_precision_score(true, scaled)),
        "auroc": float(roc_auc_score(true, scaled)),
        "aup": float(true.mean()) if flat else float(auc(thresholds, precision[:-1])),
        "aur": float("nan") if flat else float(auc(thresholds, recall[:-1])),
        "mass": float(size[true].sum() / total) if total else float("nan"),
        "rank": float(expected / true.sum()),
        "pointing": float(true[size == high].mean()),
        "spearman": 0.0 if flat else float(np.corrcoef(rankdata(size), rankdata(weight))[0, 1]),
        "distance": float(wasserstein_distance(at, at, size, weight)) if total else float("nan"),
    }


def controls(steps: int, seed: int = 0) -> dict[str, np.ndarray]:
    """What a map must beat: drawn at random, the nearer the more, the same everywhere."""
    return {
        "random": np.random.default_rng(seed).random(steps),
        "recency": np.arange(1, steps + 1) / steps,
        "uniform": np.ones(steps),
    }


def ceiling(weights_L: np.ndarray, resolution: int) -> np.ndarray:
    """The best map that is constant over patches of so many steps: each patch's share of true steps, which orders the
    patches by precision."""
    true = np.abs(weights_L) > 0
    starts = np.arange(0, len(true), resolution)
    means = np.add.reduceat(true.astype(float), starts) / np.diff(np.append(starts, len(true)))
    return np.repeat(means, np.diff(np.append(starts, len(true))))


def at_patches(values_L: np.ndarray, patch: int) -> np.ndarray:
    """Sums over patches of so many steps; the last may be shorter."""
    return np.add.reduceat(np.abs(values_L).astype(float), np.arange(0, len(values_L), patch))


Interval = tuple[float, float, float]  # mean, low, high


def summary(found: Sequence[Mapping[str, float]], draws: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """Mean over windows of every score with its 95 % bootstrap interval. NaN counts nowhere."""
    rng = np.random.default_rng(seed)
    out = {}
    for name in found[0] if found else ():
        values = np.array([one[name] for one in found], float)
        values = values[np.isfinite(values)]
        if not len(values):
            out[name] = (float("nan"),) * 3
            continue
        means = values[rng.integers(0, len(values), (draws, len(values)))].mean(1)
        low, high = np.quantile(means, [0.025, 0.975])
        out[name] = (float(values.mean()), float(low), float(high))
    return out
