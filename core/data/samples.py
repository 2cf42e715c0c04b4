"""Series that come with the product and need no network: one real, and those that a known rule makes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.data.audit import Raw, settle
from core.data.card import Audit, DatasetCard
from core.data.choice import Choice
from core.data.series import Series
from core.data.synthetic import SETS, Rule


@dataclass(frozen=True)
class Sample:
    """A bundled series; ``open`` also returns the card it is stored under."""

    title: str
    description: str
    read: Callable[[], tuple[Series, Audit]]

    def load(self) -> Series:
        return self.read()[0]

    def open(self) -> tuple[Series, DatasetCard]:
        series, audit = self.read()
        return series, DatasetCard.of(series, audit, kind="sample", description=self.description, source=self.title)


def _co2() -> tuple[Series, Audit]:
    """Missing weeks are filled as an uploaded file's would be: openly, in the audit and the card."""
    from statsmodels.datasets import co2

    table: Any = co2.load_pandas().data
    raw = Raw(
        times=table.index.as_unit("us").to_numpy().view(np.int64).copy(),
        values=table[["co2"]].to_numpy(np.float32).copy(),
        origin=np.arange(1, len(table) + 1),
        names=("CO2 (ppm)",),
        clock=True,
    )
    times, values, audit = settle(raw, Choice(fill="linear"), max_cells=1_000_000)
    return Series("Mauna Loa CO2", times, values, raw.names), audit


def known(rule: Rule) -> Sample:
    """The series that a rule makes, to be stored with its signed truth."""

    def read() -> tuple[Series, Audit]:
        series = rule.series()
        raw = Raw(series.times, series.values.copy(), np.arange(1, len(series) + 1), series.variates, clock=False)
        return series, settle(raw, Choice(), max_cells=1_000_000)[2]

    return Sample(f"{rule.name}, known lags" if rule.number else rule.name, rule.description, read)


SAMPLES: dict[str, Sample] = {
    "co2": Sample(
        "Mauna Loa CO2",
        "Carbon dioxide in the air over Mauna Loa, weekly from 1958 to 2001, in parts per million: a clear year and a "
        "rising trend. Shipped with statsmodels; 59 weeks without a measurement are filled linearly.",
        _co2,
    ),
    **{f"syn{number}": known(rule) for number, rule in SETS.items()},
}
