"""What a series suggests about itself: its season, and a look-back and horizon to begin with.

The season serves the seasonal naive forecast. Periodogram, stationarity and strengths are not here.
"""

from dataclasses import dataclass

import numpy as np

from core.data.series import Series

MINUTE, HOUR, DAY = 60, 3_600, 86_400
WEEK, YEAR = 7 * DAY, 365.25 * DAY
LONGEST = 200_000  # rows looked at
WEAKEST = 0.2  # correlation one season apart


@dataclass(frozen=True)
class Suggestion:
    """A start for the Train page; ``reason`` is one sentence."""

    lookback: int
    horizon: int
    reason: str


def season(series: Series) -> int:
    """Steps in one season: the shortest natural period of the clock at which the series repeats about as well as at any
    other; without a clock the strongest peak of the autocorrelation; 1 where nothing repeats."""
    values = series.values[-LONGEST:].astype(np.float64)
    natural = [p for p in natural_periods(series) if 2 * p <= len(values)]
    if natural:
        strength = {p: _repeats(values, p) for p in natural}
        enough = max(WEAKEST, max(strength.values()) - 0.1)
        return next((p for p in natural if strength[p] >= enough), 1)
    r = autocorrelation(values)
    peaks = [p for p in range(2, len(r) - 1) if r[p - 1] <= r[p] > r[p + 1] and r[p] - r[1 : p + 1].min() > WEAKEST]
    best = max(peaks, key=lambda p: r[p], default=1)
    return best if _repeats(values, best) >= WEAKEST else 1


def natural_periods(series: Series) -> list[int]:
    """Hour, day, week and year in steps of this series, where they are at least two steps; none without a clock."""
    if not np.issubdtype(series.times.dtype, np.datetime64):
        return []
    periods = (round(length / series.step) for length in (HOUR, DAY, WEEK, YEAR) if series.step > 0)
    return sorted({p for p in periods if p >= 2})


def autocorrelation(values: np.ndarray) -> np.ndarray:
    """Mean autocorrelation of the columns of T x C values for lags up to a third of the rows."""
    rows = len(values)
    level = np.nanmean(values, axis=0)
    rest = np.where(np.isfinite(values), values - level, 0.0)
    size = 1 << (2 * rows - 1).bit_length()
    power = np.abs(np.fft.rfft(rest, size, axis=0)) ** 2
    found = np.fft.irfft(power, size, axis=0)[: max(rows // 3, 1)]
    return (found[:, found[0] > 0] / found[0, found[0] > 0]).mean(axis=1) if (found[0] > 0).any() else np.zeros(1)


def suggest(series: Series) -> Suggestion:
    """A look-back that covers the season and a horizon that leaves windows enough for the usual 70/10/20 split."""
    period, rows = season(series), len(series)
    horizon = next((h for h in (96, 48, 24, 12, 6, 3) if h <= rows * 0.05), 1)
    wanted = next((n for n in (96, 192, 336, 720) if n >= period), 720)
    lookback = next((n for n in (wanted, 96, 48, 32, 16, 8, 4) if n <= wanted and n <= rows * 0.3), 2)
    repeats = f"It repeats every {period:,} steps" if period > 1 else "No season was found"
    seen = f"{lookback} steps show {'all of that' if 1 < period <= lookback else 'what its length allows'}"
    return Suggestion(
        lookback, horizon, f"{repeats}; {seen}, and {rows:,} rows are enough to test {horizon} steps ahead."
    )


def _repeats(values: np.ndarray, period: int) -> float:
    """Mean correlation of the columns with themselves one period later, what is slower than a period taken out."""
    if period < 2:
        return 0.0
    padded = np.vstack([np.zeros((1, values.shape[1])), np.nancumsum(values, axis=0)])
    mean = (padded[period:] - padded[:-period]) / period
    rest = values[period // 2 : period // 2 + len(mean)] - mean
    rest = np.where(np.isfinite(rest), rest, 0.0)
    size = (rest**2).sum(axis=0)
    moving = size > 1e-12 * (np.nan_to_num(values) ** 2).sum(axis=0)
    if not moving.any() or len(rest) <= period:
        return 0.0
    return float(((rest[period:] * rest[:-period]).sum(axis=0)[moving] / size[moving]).mean())
