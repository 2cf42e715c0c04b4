"""Covariates: what is known of every step before it comes. Calendar features, holidays, columns known in advance.

A model reads a window of past steps, so that what is known of the steps ahead enters as further columns: the value
``k`` steps ahead, under the stamp at which the window ends. With look-back L and horizon H the leads are H, H - L,
H - 2L, ... while above 0: together they show every step of the horizon once, and none behind it. Architectures whose
variates exchange information read them as variates that are not forecast; they need not be changed for it. Ours.

Circular features come as sine and cosine, so that midnight lies beside 23:59. No torch here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from core.data.series import Series
from core.errors import UserError

Feature = Literal["hour", "weekday", "month", "holiday"]
FEATURES: dict[Feature, str] = {
    "hour": "Hour of the day",
    "weekday": "Day of the week",
    "month": "Time of the year",
    "holiday": "Holidays",
}
DAY = 86_400.0
# the longest step in seconds at which a feature still changes from row to row
LONGEST: dict[Feature, float] = {"hour": DAY / 2, "weekday": DAY * 6, "month": DAY * 300, "holiday": DAY}
CYCLES: dict[Feature, str] = {"hour": "hour of day", "weekday": "day of week", "month": "time of year"}
MOST_LEADS = 64
BLOCK = 65_536  # rows that are looked at together

Rule = Callable[[Series, int, int], np.ndarray]


class Covariates(BaseModel):
    """What is asked for. ``country`` is the ISO code whose holidays count; ``known`` names columns of the dataset that
    are known in advance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calendar: tuple[Feature, ...] = ()
    country: str = ""
    known: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.calendar or self.known)

    def rules(self, lookback: int, horizon: int) -> dict[str, Rule]:
        """How each column is computed, by its name and in its order; columns in ``known`` themselves are not in it."""
        found: dict[str, Rule] = {}
        for feature in self.calendar:
            if feature == "holiday":
                found[self._holiday] = _holidays(self.country, 0)
            else:
                found[f"{CYCLES[feature]}, sine"] = _cycle(feature, np.sin)
                found[f"{CYCLES[feature]}, cosine"] = _cycle(feature, np.cos)
        for lead in leads(lookback, horizon):
            if "holiday" in self.calendar:
                found[f"{self._holiday}, {lead:,} ahead"] = _holidays(self.country, lead)
            for name in self.known:
                found[f"{name}, {lead:,} ahead"] = _ahead(name, lead)
        return found

    def columns(self, lookback: int, horizon: int) -> tuple[str, ...]:
        """All columns that are added beside the variates that enter anyway."""
        return self.known + tuple(self.rules(lookback, horizon)) if self else ()

    def seen(self, series: Series, lookback: int, horizon: int) -> Series:
        """The series with these columns, computed when they are read; itself where it holds them already."""
        if not self or all(name in series.variates for name in self.rules(lookback, horizon)):
            return series
        return Covaried(
            series.name,
            series.times,
            series.values,
            series.variates,
            series.zone,
            series.truth,
            series.fingerprint,
            rules=self.rules(lookback, horizon),
        )

    def observed(self, series: Series, targets: tuple[str, ...]) -> int:
        """Rows until the last in which a target was observed: behind it may stand what is known of the steps to come.
        All rows where nothing is known in advance."""
        if not self.known or not set(targets) <= set(series.variates):
            return len(series)
        stop = len(series)
        while stop:
            start = max(stop - BLOCK, 0)
            rows = np.flatnonzero(np.isfinite(Series.part(series, targets, start, stop)).any(axis=1))
            if len(rows):
                return start + int(rows[-1]) + 1
            stop = start
        return len(series)

    def check(self, series: Series, targets: tuple[str, ...], lookback: int, horizon: int) -> None:
        """Raises UserError where these cannot be had for this series."""
        if not self:
            return
        for name in self.known:
            if name not in series.variates:
                raise UserError(f"{series.name} has no column {name!r}. Choose another as known in advance.")
            if name in targets:
                raise UserError(f"{name!r} is to be forecast; it cannot be known in advance too. Choose one of both.")
        if len(set(self.known)) < len(self.known) or len(set(self.calendar)) < len(self.calendar):
            raise UserError("A covariate is named twice. Name each once.")
        if len(leads(lookback, horizon)) > MOST_LEADS:
            raise UserError(
                f"A horizon of {horizon:,} is more than {MOST_LEADS} times the look-back of {lookback:,}: too many "
                f"columns would be needed to show what is known ahead. Lengthen the look-back."
            )
        unfit: list[Feature] = [feature for feature in self.calendar if feature not in offered(series)]
        if unfit and not _has_clock(series):
            raise UserError(f"{series.name} has no clock: its rows are only numbered. Leave the calendar features out.")
        if unfit:
            raise UserError(
                f"{FEATURES[unfit[0]]} says nothing in {series.name}: its steps are too long. Leave that feature out."
            )
        if "holiday" in self.calendar:
            _check_country(self.country)

    @property
    def _holiday(self) -> str:
        return f"holiday in {self.country}"


@dataclass(frozen=True)
class Covaried(Series):
    """A series with columns that are computed when they are read. ``variates`` are those that are stored."""

    rules: Mapping[str, Rule] = field(default_factory=dict, compare=False)

    def part(self, variates: tuple[str, ...], start: int = 0, stop: int | None = None) -> np.ndarray:
        first, last, _ = slice(start, stop).indices(len(self))
        stored = tuple(name for name in variates if name not in self.rules)
        if len(stored) == len(variates):
            return super().part(variates, first, last)
        found = np.empty((max(last - first, 0), len(variates)), np.float32)
        found[:, [i for i, name in enumerate(variates) if name not in self.rules]] = super().part(stored, first, last)
        for i, name in enumerate(variates):
            if rule := self.rules.get(name):
                found[:, i] = rule(self, first, last)
        return found

    def stretches(self, first_B: np.ndarray, size: int, variates: tuple[str, ...]) -> np.ndarray:
        return np.stack([self.part(variates, first, first + size) for first in first_B.tolist()])


def leads(lookback: int, horizon: int) -> list[int]:
    """How many steps ahead the columns look, least first.

    >>> leads(96, 24), leads(96, 200)
    ([24], [8, 104, 200])
    """
    return list(range(horizon, 0, -lookback))[::-1]


def offered(series: Series) -> list[Feature]:
    """The features that change from row to row in this series; none without a clock."""
    if not _has_clock(series):
        return []
    return [feature for feature in FEATURES if series.step <= LONGEST[feature]]


def countries() -> dict[str, str]:
    """Countries whose holidays are known, by ISO code, sorted by name."""
    import holidays
    from holidays.registry import COUNTRIES

    codes = set(holidays.list_supported_countries(include_aliases=False))
    named = {entry[1]: module.replace("_", " ").title() for module, entry in COUNTRIES.items() if entry[1] in codes}
    return dict(sorted(({code: code for code in codes} | named).items(), key=lambda each: each[1]))


def _has_clock(series: Series) -> bool:
    return np.issubdtype(series.times.dtype, np.datetime64)


def _check_country(code: str) -> None:
    import holidays

    if not code:
        raise UserError("Holidays need a country. Choose one, or leave them out.")
    if code not in holidays.list_supported_countries(include_aliases=False):
        raise UserError(f"The holidays of {code!r} are not known. Use an ISO code of two letters, such as DE or US.")


def _local(series: Series, start: int, stop: int) -> Any:
    """Wall-clock times of rows [start, stop); those beyond the end follow at its usual step."""
    import pandas as pd

    stamps = series.clock(min(start, len(series)), min(stop, len(series)))
    beyond = np.arange(max(start, len(series)), stop) - (len(series) - 1)
    if len(beyond):
        step = np.timedelta64(round(series.step * 1e6), "us")
        stamps = np.concatenate([stamps, series.clock(-1)[0] + beyond * step])
    return pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(series.zone).tz_localize(None)


def _cycle(feature: Feature, wave: Callable[[np.ndarray], np.ndarray]) -> Rule:
    def compute(series: Series, start: int, stop: int) -> np.ndarray:
        local = _local(series, start, stop)
        day = np.asarray((local - local.normalize()).total_seconds()) / DAY
        if feature == "hour":
            share = day
        elif feature == "weekday":
            share = (np.asarray(local.dayofweek) + day) / 7
        else:
            share = (np.asarray(local.dayofyear) - 1 + day) / np.where(local.is_leap_year, 366, 365)
        return wave(2 * np.pi * share)

    return compute


def _holidays(country: str, lead: int) -> Rule:
    def compute(series: Series, start: int, stop: int) -> np.ndarray:
        days = np.asarray(_local(series, start + lead, stop + lead).normalize()).astype("datetime64[D]")
        if not len(days):
            return np.empty(0)
        years = days.astype("datetime64[Y]").astype(int) + 1970
        return np.isin(days, _days_off(country, int(years.min()), int(years.max())))

    return compute


def _ahead(name: str, lead: int) -> Rule:
    def compute(series: Series, start: int, stop: int) -> np.ndarray:
        found = np.full(stop - start, np.nan, np.float32)
        inside = Series.part(series, (name,), min(start + lead, len(series)), stop + lead)[:, 0]
        found[: len(inside)] = inside
        return found

    return compute


@lru_cache(maxsize=64)
def _days_off(country: str, first: int, last: int) -> np.ndarray:
    import holidays

    return np.array(sorted(holidays.country_holidays(country, years=range(first, last + 1))), "datetime64[D]")
