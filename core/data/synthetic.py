"""SYN1 to SYN8 and own rules: series whose target depends on chosen features at chosen lags, so that a saliency map
can be wrong.

y_t = sum_f b_f x_{f,t} + sum_{f,l} w_{f,l} x_{f,t-l} + sigma * eps. Lags, features and noise of each set are published;
the rest is our choice: five AR(1) features of unit variance, of which x3 and x4 never matter in a set; every weight of
a set is 1 / (features * lags), with alternating sign along the lags on request; each b_f is as large as one weight;
sigma is relative to the signal's deviation. SYN8 is the mean of the signals of SYN5 and SYN6, each with its features.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.data.lags import check_lags, write_lags
from core.data.series import Series
from core.data.words import joined, many, short
from core.errors import UserError

FEATURES = 5
LENGTH = (500, 100_000)  # steps, fewest and most
NOISE = 10.0  # the most
Parts = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


@dataclass(frozen=True)
class Rule:
    """All that decides a series. ``parts`` are (features, lags) whose signals are averaged.

    ``noise`` is sigma; ``number`` is that of the published set, 0 for an own rule. ``autocorrelation`` of the features
    is in [0, 1) (0: white, where the truth is identifiable); without ``current`` the terms of the same step, which no
    window can see, are left out.
    """

    parts: Parts
    noise: float
    number: int = 0
    length: int = 10_000
    autocorrelation: float = 0.0
    alternating: bool = False
    current: bool = False
    seed: int = 0

    @property
    def features(self) -> list[int]:
        return sorted({f for features, _ in self.parts for f in features})

    @property
    def lags(self) -> list[int]:
        return sorted({lag for _, lags in self.parts for lag in lags})

    @property
    def name(self) -> str:
        """The set, or the own rule, and what differs from its usual settings: ``SYN5, noise 0.2``."""
        usual = SETS.get(self.number, OWN)
        lags = f"lag{'s' * (len(self.lags) > 1)} {write_lags(self.lags, most=3)}"
        name = f"SYN{self.number}" if self.number else f"own rule, {lags} of {joined(_names(self.features))}"
        differences = [
            (self.noise != usual.noise, f"noise {self.noise:g}"),
            (self.autocorrelation != usual.autocorrelation, f"autocorrelation {self.autocorrelation:g}"),
            (self.alternating, "alternating signs"),
            (self.current, "same step"),
            (self.length != usual.length, many(self.length, "step")),
            (self.seed != usual.seed, f"seed {self.seed}"),
        ]
        said = [words for differs, words in differences if differs]
        return short(", ".join([name, *said]), 120)

    @property
    def description(self) -> str:
        """What y depends on, for the card of the dataset."""
        same = " and at the same step" if self.current else ""
        sources = [
            f"{joined(_names(features))}, {write_lags(lags, to=' to ', most=30)} step{'s' * (lags != (1,))} back{same}"
            for features, lags in self.parts
        ]
        others = _names(f for f in range(FEATURES) if f not in self.features)
        mislead = f"{joined(others)} {'are' if len(others) > 1 else 'is'} there to mislead. " if others else ""
        return (
            f"Made by a rule: y depends on {', and on '.join(sources)}, and on nothing else. {mislead}"
            "A saliency map of y can be right or wrong here."
        )

    def weights(self) -> np.ndarray:
        """The signed weights, features x lags; zero where a pair carries nothing."""
        features, lags = self.features, self.lags
        found = np.zeros((len(features), len(lags)))
        for part_features, part_lags in self.parts:
            for k, lag in enumerate(part_lags):
                sign = -1.0 if self.alternating and k % 2 else 1.0
                for f in part_features:
                    size = 1 / (len(part_features) * len(part_lags)) / len(self.parts)
                    found[features.index(f), lags.index(lag)] = sign * size
        return found

    def truth(self) -> dict[str, Any]:
        """What the series keeps of its rule: target, features, lags, signed weights, terms of the same step, noise."""
        weight = self.weights()
        return {
            "target": "y",
            "features": _names(self.features),
            "lags": self.lags,
            "weights": weight.tolist(),
            "current": [float(np.abs(row).max()) if self.current else 0.0 for row in weight],
            "noise": self.noise,
            "autocorrelation": self.autocorrelation,
        }

    def check(self) -> None:
        """Raises UserError for the first setting outside its bounds."""
        fewest, most = LENGTH
        if not self.features:
            raise UserError("No feature matters in this rule. Choose at least one of x0 to x4.")
        if not set(self.features) <= set(range(FEATURES)):
            raise UserError(f"Feature x{self.features[-1]} does not exist. Choose from x0 to x{FEATURES - 1}.")
        if not all(lags for _, lags in self.parts):
            raise UserError("No lag is named. Write lags and spans with commas between them, such as 48-57, 71.")
        check_lags(self.lags)
        if not fewest <= self.length <= most:
            raise UserError(f"A length of {self.length:,} steps is outside its bounds. Choose {fewest:,} to {most:,}.")
        if self.lags[-1] > self.length // 2:
            raise UserError(
                f"Lag {self.lags[-1]:,} is longer than half the series of {self.length:,} steps. Choose lags up to "
                f"{self.length // 2:,}, or a longer series."
            )
        if not 0 <= self.noise <= NOISE:
            raise UserError(f"The noise {self.noise:g} is outside its bounds. Choose 0 to {NOISE:g}.")
        if self.seed < 0:
            raise UserError(f"The seed {self.seed} is negative. Choose a whole number from 0 on.")
        _check_autocorrelation(self.autocorrelation)

    def series(self) -> Series:
        """Variates x0 ... x4 and y, T x 6, without a clock, and the truth. Raises UserError as ``check``."""
        self.check()
        return _draw(self)


def _names(features: Iterable[int]) -> list[str]:
    return [f"x{f}" for f in features]


def _lags(*spans: int | tuple[int, int]) -> tuple[int, ...]:
    return tuple(lag for s in spans for lag in (range(s[0], s[1] + 1) if isinstance(s, tuple) else (s,)))


_SYN5 = ((1, 2), _lags((71, 77)))
_SYN6 = ((0, 2), _lags((48, 57)))
SETS: dict[int, Rule] = {
    1: Rule((((0, 1), _lags((1, 15))),), 0.01, 1),
    2: Rule((((0, 2), _lags((1, 5), (9, 10), (15, 16), 18, 20, (25, 26), (35, 36), (50, 52), (91, 95))),), 0.05, 2),
    3: Rule((((1, 2), _lags((9, 10), (15, 16), 18, (20, 25), 31, 34, (60, 65))),), 0.08, 3),
    4: Rule((((1, 2), _lags((9, 10), (15, 16), (18, 21), (41, 42), (45, 46))),), 0.10, 4),
    5: Rule((_SYN5,), 0.06, 5),
    6: Rule((_SYN6,), 0.05, 6),
    7: Rule((((0, 1), _lags(60, (62, 69))),), 0.02, 7),
    8: Rule((_SYN5, _SYN6), 0.11, 8),
}
OWN = Rule((_SYN6,), 0.05)  # where an own rule starts


def own_rule(features: Iterable[int], lags: Iterable[int], **settings: Any) -> Rule:
    """A rule with one part: these features, each at all of these lags. ``settings`` are fields of ``Rule``.

    Raises UserError for a setting outside its bounds.

    >>> own_rule([0], [3, 4], noise=0.2).name
    'own rule, lags 3-4 of x0, noise 0.2'
    """
    rule = replace(OWN, parts=((tuple(sorted(set(features))), tuple(sorted(set(lags)))),), **settings)
    rule.check()
    return rule


def weights(number: int, alternating: bool = False) -> tuple[list[int], list[int], np.ndarray]:
    """Features, lags and the signed weights (features x lags) of one set.

    >>> weights(5)[:2]
    ([1, 2], [71, 72, 73, 74, 75, 76, 77])
    """
    rule = replace(SETS[number], alternating=alternating)
    return rule.features, rule.lags, rule.weights()


def syn(
    number: int,
    length: int = 10_000,
    autocorrelation: float = 0.5,
    noise: float | None = None,
    alternating: bool = False,
    current: bool = True,
    seed: int = 0,
) -> Series:
    """SYN``number`` of any length, with ``noise`` in place of the published sigma; the other settings as in ``Rule``.

    Raises UserError for an unknown number or a coefficient outside its bounds.
    """
    if number not in SETS:
        raise UserError(f"There is no set SYN{number}. Choose 1 to 8.")
    _check_autocorrelation(autocorrelation)
    rule = replace(
        SETS[number],
        noise=SETS[number].noise if noise is None else noise,
        length=length,
        autocorrelation=autocorrelation,
        alternating=alternating,
        current=current,
        seed=seed,
    )
    return replace(_draw(rule), name=f"SYN{number}")


def _check_autocorrelation(coefficient: float) -> None:
    if not 0 <= coefficient < 1:
        raise UserError(f"The autocorrelation {coefficient} is outside its bounds. Choose 0 to 0.99.")


def _draw(rule: Rule) -> Series:
    truth, features, lags = rule.truth(), rule.features, rule.lags
    draw = np.random.default_rng([rule.seed, rule.number])
    before, length = max(lags), rule.length
    x = draw.standard_normal((before + length, FEATURES))
    x[1:] *= np.sqrt(1 - rule.autocorrelation**2)
    for t in range(1, len(x) if rule.autocorrelation else 0):
        x[t] += rule.autocorrelation * x[t - 1]
    signal = np.zeros(length)
    for f, row in zip(features, truth["weights"], strict=True):
        for lag, w in zip(lags, row, strict=True):
            signal += w * x[before - lag : before - lag + length, f]
    for f, b in zip(features, truth["current"], strict=True):
        signal += b * x[before:, f]
    y = signal + rule.noise * signal.std() * draw.standard_normal(length)
    values = np.column_stack([x[before:], y]).astype(np.float32)
    return Series(rule.name, np.arange(length, dtype=np.int64), values, (*_names(range(FEATURES)), "y"), truth=truth)
