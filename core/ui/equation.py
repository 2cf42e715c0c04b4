"""The rule of a synthetic series as an equation in LaTeX, and what its letters mean. Read from a truth; no widgets."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from core.data.lags import spans, write_lags
from core.data.words import joined

WRITTEN_OUT = 3  # features; more are summed over


class Part(NamedTuple):
    """Features that share their lags and the size of their weights. ``letter`` names lags that are no single span."""

    features: list[str]
    lags: list[int]
    size: float
    alternating: bool
    letter: str


def parts(truth: Mapping[str, Any]) -> list[Part]:
    """The weights of a truth by their size, the largest first."""
    weights = np.array(truth["weights"], float)
    found = []
    for size in sorted({float(f"{w:.9g}") for w in np.abs(weights).flat if w}, reverse=True):
        inside = np.isclose(np.abs(weights), size, rtol=1e-6)
        features = [name for name, row in zip(truth["features"], inside, strict=True) if row.any()]
        lags = [lag for lag, column in zip(truth["lags"], inside.T, strict=True) if column.any()]
        found.append(Part(features, lags, size, bool((weights[inside] < 0).any()), ""))
    scattered = [i for i, part in enumerate(found) if len(spans(part.lags)) > 1]
    for n, i in enumerate(scattered, 1):
        found[i] = found[i]._replace(letter="L" if len(scattered) == 1 else f"L_{n}")
    return found


def equation(truth: Mapping[str, Any]) -> str:
    """What the target is made of, in LaTeX: for each part a sum over its lags, then the same step, then the noise.

    One line, or a line for each of them where that would be long.
    """
    terms = []
    for part in parts(truth):
        first, last = part.lags[0], part.lags[-1]
        bounds = rf"l \in {part.letter}" if part.letter else rf"l={first}}}^{{{last}"
        over = rf"\sum_{{{bounds}}} " if last > first else ""
        sign = r"(-1)^{k}\," if part.alternating else ""
        terms.append(_factor(part.size) + over + sign + _sum(part.features, "t-l" if over else f"t-{first}"))
    current = dict(zip(truth["features"], truth.get("current") or [], strict=False))
    for size in sorted({b for b in current.values() if b}, reverse=True):
        terms.append(_factor(size) + _sum([name for name, b in current.items() if b == size], "t"))
    if truth.get("noise"):
        terms.append(rf"{truth['noise']:g}\,s\,\varepsilon_t")
    target = _symbol(truth["target"], "t")
    if len(terms) <= 2 and not any(part.alternating for part in parts(truth)):
        return f"{target} = {' + '.join(terms)}"
    return r"\begin{aligned}" + target + " &= " + r" \\ &+ ".join(terms) + r"\end{aligned}"


def meaning(truth: Mapping[str, Any], variates: Sequence[str]) -> str:
    """What each part of ``equation`` is, in plain sentences. ``variates`` are all that the series has."""
    found, current = parts(truth), any(truth.get("current") or [])
    said = [f"{truth['target']} is the series to forecast, l counts steps back."]
    for part in found:
        weight = f"1/{whole}" if (whole := _inverse(part.size)) else f"{part.size:.3g}"
        lags = (f"{part.letter.replace('_', '')} = " if part.letter else "") + write_lags(part.lags, to=" to ")
        enter = f"{joined(part.features)} enter{'s' * (len(part.features) == 1)} at"
        if len(part.lags) > 1:
            said.append(f"{enter} the {len(part.lags):,} lags {lags}, each with weight {weight}.")
        else:
            said.append(f"{enter} lag {lags} with weight {weight}.")
    if any(part.alternating for part in found):
        said.append("k counts these lags from 0: their signs alternate.")
    if current:
        said.append("The terms at t are of the same step, which no window holds.")
    others = [name for name in variates if name not in (*truth["features"], truth["target"])]
    if others:
        said.append(f"{joined(others)} do{'es' * (len(others) == 1)} not matter.")
    if truth.get("noise"):
        said.append("ε is noise of deviation 1, s the deviation of the terms before it.")
    return " ".join(said)


def _sum(features: list[str], at: str) -> str:
    if len(features) == 1:
        return _symbol(features[0], at)
    numbers = [name[1:] for name in features if re.fullmatch("x[0-9]+", name)]
    if len(features) > WRITTEN_OUT and len(numbers) == len(features):
        return rf"\sum_{{f \in \{{{','.join(numbers)}\}}}} x_{{f,{at}}}"
    return rf"\left({' + '.join(_symbol(name, at) for name in features)}\right)"


def _symbol(name: str, at: str) -> str:
    """``x1`` at t-l as x with two subscripts. Any other name keeps its letters and digits only."""
    match = re.fullmatch(r"([a-z])([0-9]*)", name)
    if match:
        return f"{match[1]}_{{{match[2]}{',' if match[2] else ''}{at}}}"
    return rf"\text{{{re.sub(r'[^0-9A-Za-z ]', '', name)}}}_{{{at}}}"


def _factor(size: float) -> str:
    """1/14 as a fraction, another number as it is; 1 is left out."""
    if size == 1:
        return ""
    return rf"\tfrac{{1}}{{{_inverse(size)}}}" if _inverse(size) else rf"{size:.3g}\,"


def _inverse(size: float) -> int | None:
    """14 for 1/14; None where ``size`` is no such fraction."""
    whole = round(1 / size)
    return whole if whole > 1 and abs(1 / whole - size) < 1e-7 * size else None
