"""Values that are probably not what was measured: numbers that stand for "no value", outliers, a change of unit.

Each is found with the rule written beside it (all ours), said in a finding with what can be done, and changed only
where the ``Choice`` says so. Values are T x C float32, NaN where missing.
"""

from collections.abc import Collection

import numpy as np

from core.data.card import Finding, Offer, Place
from core.data.season import repeating_lag
from core.data.words import many

PLACES = 5
STAND_INS = {
    *(sign * value for value in (99, 99.9, 999, 999.9, 999.99, 9999, 99999, 1e20, 1e30) for sign in (1, -1)),
    *(-32768, 32767, 65535, -2147483648, 2147483647, 9.969209968386869e36),
}
SAMPLE = 10_000  # rows from which the usual range of a column is read
FENCE, SPIKE, FEW = 3.0, 3.0, 0.01  # interquartile ranges beyond the quartiles, and from the neighbours; share at most
BLOCKS, OF_BLOCK = 64, 100  # of a column, and values looked at in each at first
STEADY, NEAR = 0.35, 0.12  # decades that levels may differ, and that a jump may miss a power of ten
POWERS = (1, 2, 3)
SEASON_ROWS = 20_000


def stand_ins(
    values: np.ndarray, names: tuple[str, ...], chosen: list[float]
) -> tuple[list[Finding], list[str], set[float]]:
    """Numbers that stand for "no value", such as -9999: far beyond all others, and either a usual code or there three
    times. Those in ``chosen`` become missing, in place. Also gives all that were found."""
    found: dict[float, list[tuple[int, int]]] = {}
    for c in range(values.shape[1]):
        for value, count in _codes_in(values[:, c]):
            found.setdefault(_as_written(value), []).append((c, count))
    wanted = {_as_written(np.float32(value)) for value in chosen}
    findings, repairs = [], []
    for value in sorted({*found, *wanted}):
        where = found.get(value) or [(c, n) for c, n in enumerate((values == np.float32(value)).sum(0)) if n]
        count = sum(n for _, n in where)
        if not count:
            continue
        done = value in wanted
        places = []
        for c, _ in where:
            rows = np.flatnonzero(values[:, c] == np.float32(value))
            places += [Place(row=int(row), column=names[c], text=_text(value)) for row in rows[:PLACES]]
            if done:
                values[rows, c] = np.nan
        where_said = f"{many(len(where), 'column')}, first in {names[where[0][0]]}"
        others = sorted(wanted - {value})
        findings.append(
            Finding(
                kind="stand_in",
                count=count,
                places=places[:PLACES],
                sentence=f"{_text(value)} stands {count:,} times in {where_said}, far beyond all others: it looks like "
                f"a code for a missing value. {'It became missing.' if done else 'It was kept as a number.'}",
                key=f"stand_in {_text(value)}",
                offers=[
                    Offer(label="Keep it as a number", change={"missing_values": others}),
                    Offer(label="Treat it as missing", change={"missing_values": [*others, value]}, proposed=True),
                ],
            )
        )
        if done:
            repairs.append(f"{many(count, 'value')} of {_text(value)} became missing.")
    return findings, repairs, set(found)


def _codes_in(column: np.ndarray) -> list[tuple[np.float32, int]]:
    """Values of one column that are codes, and how often; one by one, since each hides the next."""
    with np.errstate(over="ignore"):
        usual = {np.float32(code) for code in STAND_INS}
    low, high = _usual(column)
    found: list[tuple[np.float32, int]] = []
    ends = [np.fmin.reduce(column), np.fmax.reduce(column)]
    while ends:
        value = ends.pop()
        if not np.isfinite(value) or value == 0 or 2 * low - high <= float(value) <= 2 * high - low:
            continue
        same = column == value
        count = int(same.sum())
        if not (value in usual or count >= 3):
            continue
        rest = column[~same & np.isfinite(column) & ~np.isin(column, [each for each, _ in found])]
        if len(rest) < 3:
            continue
        spread = float(rest.max() - rest.min())
        gap = float(min(abs(rest.min() - value), abs(rest.max() - value)))
        if gap > (1 if value in usual else 3) * spread:
            found.append((value, count))
            ends.append(rest.min() if value < rest.min() else rest.max())
    return found


def outliers(
    values: np.ndarray, names: tuple[str, ...], rule: str, codes: Collection[float] = ()
) -> tuple[list[Finding], list[str]]:
    """Single values beyond three interquartile ranges from the quartiles and as far from both neighbours. A column
    where more than one in a hundred lie so has long tails and no outliers. ``codes`` are no values and left
    alone. ``rule``: keep, missing or clip, in place.
    """
    count, places, columns, limits = 0, [], 0, []
    coded = np.array([*codes], np.float32)
    for c in range(values.shape[1]):
        column = values[:, c]
        known = column[:: max(1, len(column) // SAMPLE)]
        known = known[np.isfinite(known)]
        if len(known) < 20:
            continue
        first, third = np.percentile(known, (25, 75))
        span = third - first
        if not span > 0:
            continue  # half of the column is one value: nothing says what is far
        low, high = first - FENCE * span, third + FENCE * span
        rows = np.flatnonzero(((column < low) | (column > high)) & ~np.isin(column, coded))
        if not 0 < len(rows) <= FEW * len(column) + 2:
            continue
        around = np.stack([column[np.maximum(rows - 1, 0)], column[np.minimum(rows + 1, len(column) - 1)]])
        around[0][rows == 0], around[1][rows == len(column) - 1] = np.nan, np.nan
        with np.errstate(invalid="ignore"):
            rows = rows[np.all(~(np.abs(around - column[rows]) <= SPIKE * span), axis=0)]
        if not len(rows):
            continue
        count, columns = count + len(rows), columns + 1
        places += [Place(row=int(r), column=names[c], text=f"{column[r]:.6g}") for r in rows[:PLACES]]
        limits.append((c, rows, low, high))
    if not count:
        return [], []
    for c, rows, low, high in limits:
        if rule == "missing":
            values[rows, c] = np.nan
        elif rule == "clip":
            values[rows, c] = np.clip(values[rows, c], low, high)
    said = {"keep": "Kept.", "missing": "Now missing.", "clip": "Brought to the fence."}
    finding = Finding(
        kind="outliers",
        count=count,
        places=places[:PLACES],
        sentence=f"{many(count, 'single value', 'lies/lie')} far from all others and from both neighbours, in "
        f"{many(columns, 'column')}; the first is {places[0].text} in {places[0].column}. {said[rule]}",
        key="outliers",
        offers=[
            Offer(label="Keep them", change={"outliers": "keep"}, proposed=True),
            Offer(label="Treat them as missing", change={"outliers": "missing"}),
            Offer(label="Bring them to the fence", change={"outliers": "clip"}),
        ],
    )
    done = {"missing": "made missing", "clip": "brought to three interquartile ranges beyond the quartiles"}
    return [finding], [] if rule == "keep" else [f"{many(count, 'outlier')} {done[rule]}."]


def units(values: np.ndarray, names: tuple[str, ...], rule: str) -> tuple[list[Finding], list[str]]:
    """A part of a column that is 10, 100 or 1,000 times the rest, each steady in itself: probably another unit. With
    ``rule`` scale the shorter part is brought to the unit of the longer, in place."""
    findings, repairs = [], []
    for c, name in enumerate(names):
        part = _other_unit(values[:, c])
        if part is None:
            continue
        start, stop, power = part
        places = [Place(row=start, column=name, text=f"{values[start, c]:.6g}")]
        if rule == "scale":
            values[start:stop, c] /= np.float32(10.0**power)
        times = f"{10 ** abs(power):,} times {'larger' if power > 0 else 'smaller'}"
        what = f"{many(stop - start, 'row', 'is/are')} about {times} than the rest: probably another unit."
        findings.append(
            Finding(
                kind="unit_jump",
                count=stop - start,
                places=places,
                sentence=f"Column {name}: {what} {'Scaled.' if rule == 'scale' else 'Kept.'}",
                key="units",
                offers=[
                    Offer(label="Keep them", change={"units": "keep"}, proposed=True),
                    Offer(label="Scale them to the rest", change={"units": "scale"}),
                ],
            )
        )
        if rule == "scale":
            factor = f"{'divided' if power > 0 else 'multiplied'} by {10 ** abs(power):,}"
            repairs.append(f"{many(stop - start, 'row')} of {name} {factor}.")
    return findings, repairs


def _other_unit(column: np.ndarray) -> tuple[int, int, int] | None:
    """First and last row (excluded) of the shorter unit, and by which power of ten it is larger; None without one."""
    if len(column) < 4 * BLOCKS or not np.isfinite(column).any():
        return None
    size = len(column) // BLOCKS
    blocks = _decades(column[: size * BLOCKS].reshape(BLOCKS, size)[:, :: max(1, size // OF_BLOCK)])
    kept = np.isfinite(blocks).any(axis=1)
    if kept.sum() < BLOCKS / 2:
        return None
    level = np.full(BLOCKS, np.nan)
    level[kept] = np.nanmedian(blocks[kept], axis=1)
    usual = float(np.nanmedian(level))
    away = np.abs(level - usual) > 0.5
    if not 0 < away.sum() < BLOCKS / 2:
        return None
    shift = float(np.nanmedian(level[away]) - np.nanmedian(level[~away & kept]))
    power = round(shift)
    inside = np.flatnonzero(away)
    steady = (
        np.nanmax(np.abs(level[~away] - usual)) < STEADY and np.nanmax(np.abs(level[away] - usual - shift)) < STEADY
    )
    whole = inside[-1] - inside[0] + 1 == len(inside)
    if abs(power) not in POWERS or abs(shift - power) > NEAR or not (steady and whole):
        return None
    logs = _decades(column)
    start, stop = int(inside[0]) * size, min((int(inside[-1]) + 1) * size, len(column))
    stop = len(column) if inside[-1] == BLOCKS - 1 else stop
    nearer = np.where(np.isfinite(logs), np.abs(logs - usual) - np.abs(logs - usual - shift), 0.0)  # > 0: other unit
    first = 0 if inside[0] == 0 else _edge(nearer, max(start - size, 0), min(start + size, len(column)))
    last = len(column) if stop == len(column) else _edge(-nearer, max(stop - size, 0), min(stop + size, len(column)))
    return (first, last, power) if last > first else None


def _decades(values: np.ndarray) -> np.ndarray:
    """Logarithms of the sizes, NaN for zero and missing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(np.abs(values))
    logs[~np.isfinite(logs)] = np.nan
    return logs


def _edge(nearer: np.ndarray, low: int, high: int) -> int:
    """The row in [low, high] that best parts rows below zero from rows above it."""
    return low + int(np.argmin(np.r_[0.0, np.cumsum(nearer[low:high])]))


def seasonal_fill(values: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The values with missing ones as the mean of those a season before and after, and each column's season in steps.
    Where neither is known within three seasons the line between the neighbours stands."""
    filled, seasons = values.copy(), []
    for c in range(values.shape[1]):
        column = values[:, c]
        gone = np.flatnonzero(np.isnan(column))
        if not len(gone):
            seasons.append(0)
            continue
        known = np.flatnonzero(~np.isnan(column))
        season = repeating_lag(column[-SEASON_ROWS:, None], max(len(column) // 3, 1), 1)
        seasons.append(season)
        out = np.interp(gone, known, column[known])
        total, seen = np.zeros(len(gone)), np.zeros(len(gone))
        for sign in (-1, 1):
            open_ = np.ones(len(gone), bool)
            for k in (1, 2, 3):
                at = gone + sign * k * season
                there = open_ & (at >= 0) & (at < len(column))
                there[there] = ~np.isnan(column[at[there]])
                total[there] += column[at[there]]
                seen[there] += 1
                open_ &= ~there
        filled[gone, c] = np.where(seen > 0, total / np.maximum(seen, 1), out)
    return filled, seasons


def _usual(column: np.ndarray) -> tuple[float, float]:
    """The range of a column without its lowest and highest twentieth, from a sample."""
    known = column[:: max(1, len(column) // SAMPLE)]
    known = known[np.isfinite(known)]
    if not len(known):
        return -np.inf, np.inf
    low, high = np.percentile(known, (5, 95))
    return float(low), float(high)


def _as_written(value: np.float32) -> float:
    """The shortest decimal that is stored as this number: -999.9 and not -999.9000244."""
    return float(value) if value == np.rint(value) else float(str(value))


def _text(value: float) -> str:
    return f"{value:.10g}"
