"""SYN1 to SYN8: series whose target depends on chosen features at chosen lags, so that a saliency map can be wrong.

y_t = sum_f b_f x_{f,t} + sum_{f,l} w_{f,l} x_{f,t-l} + sigma * eps. Lags, features and noise of each set are published;
the rest is our choice: five AR(1) features of unit variance, of which x3 and x4 never matter; every weight of a set is
1 / (features * lags), with alternating sign along the lags on request; each b_f is as large as one weight; sigma is
relative to the signal's deviation. SYN8 is the mean of the signals of SYN5 and SYN6, each with its own features.
"""

from dataclasses import dataclass

import numpy as np

from core.data.series import Series
from core.errors import UserError

FEATURES = 5


@dataclass(frozen=True)
class Recipe:
    """Where the information lies: ``parts`` are (features, lags) whose signals are averaged."""

    parts: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    noise: float


def _lags(*spans: int | tuple[int, int]) -> tuple[int, ...]:
    return tuple(lag for s in spans for lag in (range(s[0], s[1] + 1) if isinstance(s, tuple) else (s,)))


_SYN5 = ((1, 2), _lags((71, 77)))
_SYN6 = ((0, 2), _lags((48, 57)))
SETS: dict[int, Recipe] = {
    1: Recipe((((0, 1), _lags((1, 15))),), 0.01),
    2: Recipe((((0, 2), _lags((1, 5), (9, 10), (15, 16), 18, 20, (25, 26), (35, 36), (50, 52), (91, 95))),), 0.05),
    3: Recipe((((1, 2), _lags((9, 10), (15, 16), 18, (20, 25), 31, 34, (60, 65))),), 0.08),
    4: Recipe((((1, 2), _lags((9, 10), (15, 16), (18, 21), (41, 42), (45, 46))),), 0.10),
    5: Recipe((_SYN5,), 0.06),
    6: Recipe((_SYN6,), 0.05),
    7: Recipe((((0, 1), _lags(60, (62, 69))),), 0.02),
    8: Recipe((_SYN5, _SYN6), 0.11),
}


def weights(number: int, alternating: bool = False) -> tuple[list[int], list[int], np.ndarray]:
    """Features, lags and the signed weights (features x lags) of one set; zero where a pair carries nothing.

    >>> weights(5)[:2]
    ([1, 2], [71, 72, 73, 74, 75, 76, 77])
    """
    parts = SETS[number].parts
    features = sorted({f for part, _ in parts for f in part})
    lags = sorted({lag for _, part in parts for lag in part})
    found = np.zeros((len(features), len(lags)))
    for part_features, part_lags in parts:
        for k, lag in enumerate(part_lags):
            sign = -1.0 if alternating and k % 2 else 1.0
            for f in part_features:
                size = 1 / (len(part_features) * len(part_lags)) / len(parts)
                found[features.index(f), lags.index(lag)] = sign * size
    return features, lags, found


def syn(
    number: int,
    length: int = 10_000,
    autocorrelation: float = 0.5,
    noise: float | None = None,
    alternating: bool = False,
    current: bool = True,
    seed: int = 0,
) -> Series:
    """SYN``number`` with variates x0 ... x4 and y, T x 6, without a clock; ``truth`` names what y depends on.

    ``autocorrelation`` of the features in [0, 1) (0: white, where the truth is identifiable); ``noise`` replaces the
    published sigma; ``current=False`` drops the terms of the same step, which no window can see. Raises UserError for
    an unknown number or a coefficient outside its bounds.
    """
    if number not in SETS:
        raise UserError(f"There is no set SYN{number}. Choose 1 to 8.")
    if not 0 <= autocorrelation < 1:
        raise UserError(f"The autocorrelation {autocorrelation} is outside its bounds. Choose 0 to 0.99.")
    features, lags, weight = weights(number, alternating)
    draw = np.random.default_rng([seed, number])
    before = max(lags)
    x = draw.standard_normal((before + length, FEATURES))
    x[1:] *= np.sqrt(1 - autocorrelation**2)
    for t in range(1, len(x) if autocorrelation else 0):
        x[t] += autocorrelation * x[t - 1]
    signal = np.zeros(length)
    for f, row in zip(features, weight, strict=True):
        for lag, w in zip(lags, row, strict=True):
            signal += w * x[before - lag : before - lag + length, f]
    same_step = [float(np.abs(row).max()) if current else 0.0 for row in weight]
    for f, b in zip(features, same_step, strict=True):
        signal += b * x[before:, f]
    sigma = SETS[number].noise if noise is None else noise
    y = signal + sigma * signal.std() * draw.standard_normal(length)
    truth = {
        "target": "y",
        "features": [f"x{f}" for f in features],
        "lags": lags,
        "weights": weight.tolist(),
        "current": same_step,
        "noise": sigma,
        "autocorrelation": autocorrelation,
    }
    values = np.column_stack([x[before:], y]).astype(np.float32)
    names = (*(f"x{f}" for f in range(FEATURES)), "y")
    return Series(f"SYN{number}", np.arange(length, dtype=np.int64), values, names, truth=truth)
