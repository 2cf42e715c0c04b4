"""The season of the seasonal naive. Every forecast is shown beside that baseline, so it should be a strong one."""

import numpy as np

from core.data.series import Series
from core.training.spec import Spec

ROWS = 100_000  # the latest of the training part that are looked at
AS_GOOD = 1.02  # a longer season must err at least 2 % less than a shorter one (ours): noise favours multiples


def season(series: Series, spec: Spec) -> int:
    """Steps p, 1 to the look-back, so that repeating the last p steps errs least over the horizon on training rows.

    A step h ahead repeats the value of the lag p * ceil(h / p), so the mean squared difference at every lag, known from
    one Fourier transform, answers for every p. It is the error itself and not the autocorrelation, which a trend
    misleads. Of seasons as good as the best the shortest is taken.
    """
    values_TK = series.select(spec.targets).values[: spec.split.train][-ROWS:].astype(np.float64)
    rows, longest = len(values_TK), min(spec.lookback, len(values_TK) - 1)
    if longest < 1:
        return 1
    values_TK = np.nan_to_num(values_TK - np.nanmean(values_TK, axis=0))
    size = 1 << (2 * rows - 1).bit_length()
    power = np.abs(np.fft.rfft(values_TK, size, axis=0)) ** 2
    product = np.fft.irfft(power, size, axis=0)[:rows]
    squares = np.cumsum(values_TK**2, axis=0)
    # of the pairs at each lag: squares of the earlier values, of the later ones, and their products
    earlier = squares[::-1]
    later = squares[-1] - np.vstack([np.zeros_like(squares[:1]), squares[:-1]])
    pairs = np.arange(rows, 0, -1)[:, None]
    variance = np.maximum(squares[-1] / rows, 1e-12)
    error = ((earlier + later - 2 * product) / pairs / variance).mean(axis=1)
    ahead = np.arange(1, spec.horizon + 1)
    score = np.array([error[np.minimum(-(-ahead // p) * p, rows - 1)].mean() for p in range(1, longest + 1)])
    return int(np.argmax(score <= AS_GOOD * max(score.min(), 1e-9))) + 1
