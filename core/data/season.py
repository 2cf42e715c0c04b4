"""The season of a series, as a seasonal forecast needs it: the lag that errs least when it is repeated."""

import numpy as np

ROWS = 100_000  # the latest that are looked at
AS_GOOD = 1.02  # a longer season must err at least 2 % less than a shorter one (ours): noise favours multiples


def repeating_lag(values_TK: np.ndarray, longest: int, horizon: int) -> int:
    """Steps p, 1 to ``longest``, so that repeating the last p steps errs least over the horizon.

    A step h ahead repeats the value of the lag p * ceil(h / p), so the mean squared difference at every lag, known from
    one Fourier transform, answers for every p. It is the error itself and not the autocorrelation, which a trend
    misleads. Of seasons as good as the best the shortest is taken. A missing value (NaN) counts as the mean.
    """
    values_TK = values_TK[-ROWS:]
    longest = min(longest, len(values_TK) - 1)
    if longest < 1:
        return 1
    lags = np.minimum(np.arange(longest + horizon), len(values_TK) - 1)
    # variate by variate: the transforms of hundreds at once would take gigabytes
    error = np.mean([differences(values_T.astype(np.float64))[lags] for values_T in values_TK.T], axis=0)
    ahead = np.arange(1, horizon + 1)
    score = np.array([error[np.minimum(-(-ahead // p) * p, len(error) - 1)].mean() for p in range(1, longest + 1)])
    return int(np.argmax(score <= AS_GOOD * max(score.min(), 1e-9))) + 1


def differences(values_T: np.ndarray) -> np.ndarray:
    """Mean squared difference at lags 0 to T - 1, in variances."""
    rows, seen = len(values_T), np.isfinite(values_T)
    values_T = np.where(seen, values_T - (values_T[seen].mean() if seen.any() else 0.0), 0.0)
    size = 1 << (2 * rows - 1).bit_length()
    product = np.fft.irfft(np.abs(np.fft.rfft(values_T, size)) ** 2, size)[:rows]
    squares = np.cumsum(values_T**2)
    # of the pairs at each lag: squares of the earlier values, of the later ones, and their products
    earlier, later = squares[::-1], squares[-1] - np.r_[0.0, squares[:-1]]
    return (earlier + later - 2 * product) / np.arange(rows, 0, -1) / max(squares[-1] / rows, 1e-12)
