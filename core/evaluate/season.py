"""The season of the seasonal naive. Every forecast is shown beside that baseline, so it should be a strong one."""

import numpy as np

from core.data.series import Series
from core.training.spec import Spec

ROWS = 100_000  # the latest of the training part that are looked at


def season(series: Series, spec: Spec) -> int:
    """Steps p, 1 to the look-back, so that repeating the last p steps errs least over the horizon on training rows.

    A step h ahead repeats the value of the lag p * ceil(h / p), and the squared error at a lag falls with the
    autocorrelation there, so one autocorrelation of the targets answers for every p. The smallest p of equals wins.
    """
    values_TK = series.select(spec.targets).values[: spec.split.train][-ROWS:].astype(np.float64)
    longest = min(spec.lookback, len(values_TK) - 1)
    values_TK = np.nan_to_num(values_TK - np.nanmean(values_TK, axis=0))
    size = 1 << (2 * len(values_TK) - 1).bit_length()
    power = np.abs(np.fft.rfft(values_TK, size, axis=0)) ** 2
    product = np.fft.irfft(power, axis=0)[: len(values_TK)]
    # per lag the mean over the pairs that exist, per target in units of its variance
    pairs = np.arange(len(values_TK), 0, -1)[:, None]
    likeness = (product / pairs / np.maximum(product[0] / len(values_TK), 1e-12)).mean(axis=1)
    ahead = np.arange(1, spec.horizon + 1)
    score = [likeness[np.minimum(-(-ahead // p) * p, len(likeness) - 1)].mean() for p in range(1, longest + 1)]
    return int(np.argmax(np.round(score, 6))) + 1 if score else 1
