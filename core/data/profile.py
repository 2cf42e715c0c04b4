"""What a series is like before any model sees it: its seasons, trend, stationarity, what is missing, how its variates
move together, and what all that suggests for a first training.

Seasons are peaks of the periodogram that the autocorrelation confirms; strengths are those of Wang, Smith & Hyndman
(2006) from an STL decomposition; stationarity is the ADF and the KPSS test together. Which lengths they suggest is
ours, and every suggestion says why.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log2
from typing import Any

import numpy as np
from pydantic import Field

from core.data.card import Record
from core.data.series import Series

ROWS = 20_000  # the latest that seasons are looked for in
DECOMPOSED = 4_000  # the latest that are decomposed and tested
MOST = 32  # variates that are decomposed; correlation and what is missing are of all
BINS = 120  # columns of the map of what is missing
SEASONS = 3
PEAK, CONFIRMED = 0.02, 0.2  # share of the spectrum's power, and autocorrelation, from which a season is one (ours)
WEAK, STRONG = 0.2, 0.5  # mean |correlation| of the changes of two variates
PATCHES = 96  # steps a look-back should hold at least, where the series is long enough


class Season(Record):
    """``period`` in steps; ``autocorrelation`` at that lag, of what moves no more slowly."""

    period: int
    autocorrelation: float


class Variate(Record):
    """``missing`` is a share of all rows; strengths run from 0 to 1 (None: too short, constant, or too much missing);
    ``stationary`` says what both tests agree on."""

    name: str
    missing: float
    mean: float | None = None
    deviation: float | None = None
    season: int | None = None
    seasonal: float | None = None
    trend: float | None = None
    stationary: str = ""


class Suggestion(Record):
    """``field`` is one of lookback, horizon, scales, kind; ``reason`` a sentence."""

    field: str
    value: str
    reason: str


class Profile(Record):
    """``correlation`` is C x C, of the changes from step to step; ``absent`` is C x bins, the share that is missing in
    each part of the series. ``tied``: how far variates move together, in a word."""

    rows: int
    seasons: list[Season] = Field(default_factory=list)
    variates: list[Variate] = Field(default_factory=list)
    correlation: list[list[float | None]] = Field(default_factory=list)
    absent: list[list[float]] = Field(default_factory=list)
    tied: str = ""
    suggestions: list[Suggestion] = Field(default_factory=list)

    @property
    def suggested(self) -> dict[str, int]:
        """Numbers for the Train page, by field."""
        return {one.field: int(one.value) for one in self.suggestions if one.value.isdigit()}


def profile(series: Series) -> Profile:
    """The profile of a series. Never raises for values: what cannot be told is left out."""
    late = series.values[-ROWS:]
    filled = [_filled(late[:, i]) for i in range(late.shape[1])]
    found = [[] if values is None else seasons(values) for values in filled]
    common = _common(found)
    variates = [
        _variate(name, series.values[:, i], filled[i], found[i] or common, i < MOST)
        for i, name in enumerate(series.variates)
    ]
    correlation = _correlation(late)
    ties = np.abs(correlation[~np.eye(len(correlation), dtype=bool)])
    tied = _tied(ties[np.isfinite(ties)])
    return Profile(
        rows=len(series),
        seasons=common,
        variates=variates,
        correlation=[[float(v) if np.isfinite(v) else None for v in row] for row in correlation],
        absent=_absent(series),
        tied=tied,
        suggestions=suggest(len(series), common, tied, len(series.variates)),
    )


def seasons(values_T: np.ndarray) -> list[Season]:
    """Up to three seasons of a gapless series, the strongest first.

    Overtones of a season have peaks in the spectrum too, but no autocorrelation at their own lag.

    >>> [one.period for one in seasons(np.sin(np.arange(600) / 12 * 2 * np.pi))]
    [12]
    """
    from scipy.signal import detrend, find_peaks, periodogram

    rows = len(values_T)
    if rows < 16 or np.ptp(values_T) == 0:
        return []
    whole = values_T.astype(np.float64)
    values_T = detrend(whole)
    if np.ptp(values_T) <= 1e-9 * np.ptp(whole):  # a straight line: what is left is rounding
        return []
    _, power = periodogram(values_T, window="hann", detrend=False)  # pyright: ignore[reportArgumentType]
    power[: 2 if rows < 200 else 3] = 0  # a cycle or two are no season
    peaks, _ = find_peaks(power, height=PEAK * power.sum())
    found: list[Season] = []
    for peak in sorted(peaks, key=lambda k: -power[k]):
        one = _confirmed(values_T, rows / peak)
        if one and one.period not in [other.period for other in found]:
            found.append(one)
    return found[:SEASONS]


def suggest(rows: int, seasons: list[Season], tied: str, variates: int) -> list[Suggestion]:
    """First settings for a training, each with its reason."""
    longest = max(rows // 10, 2)  # that leaves windows to train on
    out = []
    if seasons:
        period = seasons[0].period
        horizon = max(min(period, rows // 20), 1)
        whole = "one season" if horizon == period else "what the series is long enough for"
        out.append(Suggestion(field="horizon", value=str(horizon), reason=f"{horizon:,} steps are {whole}."))
        lookback = period * ceil(max(PATCHES, 4 * period) / period)
        reason = f"{lookback // period} seasons of {period:,} steps."
        if lookback > longest:
            lookback = max(longest // period * period, min(period, longest))
            reason = f"As many seasons of {period:,} steps as a series of {rows:,} rows has room for."
        out.append(Suggestion(field="lookback", value=str(lookback), reason=reason))
        scales = max(1, min(4, 1 + int(log2(max(period / 2, 1)))))
        step = 2 ** (scales - 1)
        reason = f"The coarsest sees one value for {step} steps: {period / step:.3g} in a season of {period:,}."
        out.append(Suggestion(field="scales", value=str(scales), reason=reason))
    else:
        horizon = max(min(24, rows // 20), 1)
        out.append(Suggestion(field="horizon", value=str(horizon), reason="No season was found to take a length from."))
        lookback = max(min(PATCHES, longest), 2)
        out.append(Suggestion(field="lookback", value=str(lookback), reason="No season was found; a usual length."))
    if variates > 1 and tied:
        cross = {
            "weakly": "Models that join the variates have little to join: one that treats each by itself is enough.",
            "somewhat": "Both kinds are worth a try: with and without ties between variates.",
            "strongly": "Models that join the variates have something to join.",
        }
        reason = f"The variates move together {tied} at the same step; a tie at a lag is not seen here. {cross[tied]}"
        out.append(Suggestion(field="kind", value=tied, reason=reason))
    return out


def _filled(values_T: np.ndarray) -> np.ndarray | None:
    """Gaps drawn across, so that a spectrum can be taken; None where more than half is missing or nothing changes."""
    seen = np.isfinite(values_T)
    if len(values_T) < 16 or seen.mean() < 0.5 or np.ptp(values_T[seen]) == 0:
        return None
    at = np.arange(len(values_T))
    return np.interp(at, at[seen], values_T[seen].astype(np.float64))


def _confirmed(values_T: np.ndarray, period: float) -> Season | None:
    """The season near a peak of the spectrum: the lag that, with its multiples, has the highest autocorrelation, for
    multiples say more exactly where a broad hill has its top; None where that is no hill.

    What moves more slowly than the peak is taken away first, by a moving mean: a series that wanders is like itself at
    every lag.
    """
    from scipy.ndimage import uniform_filter1d
    from statsmodels.tsa.stattools import acf

    wide = max(round(period * 0.1), 1)
    low, high = max(round(period) - wide, 1), round(period) + wide
    if 2 * high >= len(values_T):
        return None
    quick_T = values_T - uniform_filter1d(values_T, max(round(period), 2), mode="nearest")
    related = np.asarray(acf(quick_T, nlags=min(4 * high, len(values_T) - 1), fft=True))
    times = np.arange(1, (len(related) - 1) // high + 1)
    lag = low + int(related[np.outer(np.arange(low, high + 1), times)].mean(axis=1).argmax())
    if not low < lag < high or related[lag * times].min() < CONFIRMED:
        return None
    return Season(period=lag, autocorrelation=float(related[lag]))


def _common(found: list[list[Season]]) -> list[Season]:
    """The seasons of the whole series: those that most variates have, then the stronger."""
    by_period: dict[int, list[float]] = {}
    for one in (season for own in found for season in own):
        near = next((p for p in by_period if abs(p - one.period) <= max(0.03 * p, 1) and p > 3), one.period)
        by_period.setdefault(near, []).append(one.autocorrelation)
    order = sorted(by_period, key=lambda p: (-len(by_period[p]), -np.mean(by_period[p])))
    needed = max(1, ceil(0.25 * len(found)))
    return [
        Season(period=p, autocorrelation=float(np.mean(by_period[p]))) for p in order if len(by_period[p]) >= needed
    ][:SEASONS]


@dataclass(frozen=True)
class _Parts:
    trend: np.ndarray
    seasonal: np.ndarray
    rest: np.ndarray


def _variate(name: str, values_T: np.ndarray, filled: np.ndarray | None, own: list[Season], decompose: bool) -> Variate:
    seen = np.isfinite(values_T)
    known = values_T[seen].astype(np.float64)
    about: dict[str, Any] = {"name": name, "missing": float(1 - seen.mean()) if len(seen) else 0.0}
    if len(known):
        about |= {"mean": float(known.mean()), "deviation": float(known.std())}
    if filled is None or not decompose:
        return Variate(**about)
    late = filled[-DECOMPOSED:]
    period = next((one.period for one in own if 2 * one.period <= len(late)), None)
    parts = _decomposed(late, period)
    about["trend"] = _strength(parts.trend, parts.rest)
    if period:
        about |= {"season": period, "seasonal": _strength(parts.seasonal, parts.rest)}
    return Variate(**about, stationary=_stationary(late))


def _decomposed(values_T: np.ndarray, period: int | None) -> _Parts:
    """STL where there is a season, else a moving mean over a tenth of the rows."""
    if period:
        from statsmodels.tsa.seasonal import STL

        found = STL(values_T, period=period).fit()
        return _Parts(np.asarray(found.trend), np.asarray(found.seasonal), np.asarray(found.resid))
    from scipy.ndimage import uniform_filter1d

    trend = uniform_filter1d(values_T, max(len(values_T) // 10, 3), mode="nearest")
    return _Parts(trend, np.zeros_like(values_T), values_T - trend)


def _strength(part: np.ndarray, rest: np.ndarray) -> float:
    """1 - Var(rest) / Var(part + rest), not below 0."""
    whole = float(np.var(part + rest))
    return max(0.0, 1 - float(np.var(rest)) / whole) if whole > 0 else 0.0


def _stationary(values_T: np.ndarray) -> str:
    """ADF asks whether a unit root can be refused, KPSS whether a level can; only together they say something."""
    import warnings

    from statsmodels.tsa.stattools import adfuller, kpss

    lags = int(12 * (len(values_T) / 100) ** 0.25)
    if len(values_T) < 4 * (lags + 2):
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KPSS warns where its p-value lies outside its table
        rooted = adfuller(values_T, maxlag=lags, autolag=None)[1] >= 0.05  # pyright: ignore[reportArgumentType]
        moves = kpss(values_T, nlags=lags)[1] < 0.05
    if rooted == moves:
        return "wanders" if moves else "stationary"
    return "trends" if moves else "unclear"


def _correlation(values_TC: np.ndarray) -> np.ndarray:
    """Of the changes from step to step, pair by pair over the rows that both have; C x C."""
    import pandas as pd

    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(np.diff(values_TC.astype(np.float64), axis=0)).corr(min_periods=16).to_numpy()


def _tied(ties: np.ndarray) -> str:
    if not len(ties):
        return ""
    mean = float(ties.mean())
    return "weakly" if mean < WEAK else "strongly" if mean >= STRONG else "somewhat"


def _absent(series: Series) -> list[list[float]]:
    """The share of values missing in each of up to ``BINS`` parts of the rows, for every variate; C x bins."""
    edges = np.linspace(0, len(series), min(BINS, len(series)) + 1).astype(int)
    parts = (series.part(series.variates, first, last) for first, last in pairwise(edges))
    return np.transpose([(~np.isfinite(part)).mean(axis=0) for part in parts]).tolist()
