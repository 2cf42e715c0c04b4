"""From values as read to a series with a regular clock: order, duplicates, gaps, missing values, each with a finding.

Arrays in, arrays and an ``Audit`` out; no files and no SQL. Whatever is changed here is said in the audit's repairs.
"""

from dataclasses import dataclass, field

import numpy as np

from core.data import repair
from core.data.card import Audit, Finding, Offer, Place
from core.data.choice import Choice
from core.data.source import unique_names
from core.data.words import DAY, HOUR, MINUTE, SECOND, listed, many, moment, step_words
from core.errors import UserError

FIRST_STAMP, LAST_STAMP = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND  # the years 1 to 9999
PLACES = 5
KEPT = {"mean": "their mean was kept", "first": "the first was kept", "last": "the last was kept"}
KEEP = ["Keep the mean.", "Keep the first.", "Keep the last."]
LONG = 24  # missing values in a row that are worth a word
STEPS = {  # steps that can be chosen, in microseconds
    "1 minute": MINUTE,
    "5 minutes": 5 * MINUTE,
    "10 minutes": 10 * MINUTE,
    "15 minutes": 15 * MINUTE,
    "30 minutes": 30 * MINUTE,
    "1 hour": HOUR,
    "1 day": DAY,
    "1 week": 7 * DAY,
    "1 month": 28 * DAY,
}


@dataclass
class Raw:
    """Values as read from a file, T rows.

    ``times`` int64: microseconds of the wall clock (of UTC where ``absolute``), or plain numbers where not ``clock``.
    ``origin`` is each row's number in the file, 0 for rows that are not in it. ``series`` is, in a long table, which of
    ``series_names`` a row belongs to. ``most`` is how many places of what could not be read are kept.
    """

    times: np.ndarray
    values: np.ndarray
    origin: np.ndarray
    names: tuple[str, ...]
    clock: bool
    absolute: bool = True
    findings: list[Finding] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    rejected: int = 0
    most: int = PLACES
    series: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    series_names: tuple[str, ...] = ()

    def take(self, rows: np.ndarray) -> None:
        self.times, self.values, self.origin = self.times[rows], self.values[rows], self.origin[rows]
        self.series = self.series[rows] if self.series_names else self.series

    def places(self, rows: np.ndarray, column: str = "") -> list[Place]:
        return [
            Place(row=int(self.origin[r]), column=column, text=moment(self.times[r], self.clock)) for r in rows[:PLACES]
        ]


def settle(raw: Raw, choice: Choice, max_cells: int) -> tuple[np.ndarray, np.ndarray, Audit]:
    """Times (datetime64[us] in UTC, or int64), values (T x C float32) and the audit.

    Raises UserError when fewer than two rows remain or a chosen column holds no number at all.
    """
    _enough(raw)
    _no_infinities(raw)
    found, done, codes = repair.stand_ins(raw.values, raw.names, choice.missing_values)
    _said(raw, found, done)
    stamps = np.unique(raw.times) if raw.series_names else raw.times
    by_day = raw.clock and len(stamps) > 1 and np.median(np.abs(np.diff(stamps))) >= DAY
    if raw.clock and not raw.absolute and not by_day:
        _to_utc(raw, choice.zone)  # before duplicates: the hour that comes twice in autumn is two hours
    if raw.series_names:
        _widen(raw, choice.duplicates, max_cells)
    _sort(raw)
    _one_row_a_stamp(raw, choice.duplicates)
    _enough(raw)
    if choice.step:
        _resample(raw, choice, max_cells)
    step = _regular(raw, choice.gaps, max_cells)
    if raw.clock and not raw.absolute:
        _to_utc(raw, choice.zone)  # after the grid: days stay days across a change of the clocks
    _columns(raw)
    _said(raw, *repair.units(raw.values, raw.names, choice.units))
    _said(raw, *repair.outliers(raw.values, raw.names, choice.outliers, codes))
    _missing(raw, choice.fill)
    times = raw.times.view("datetime64[us]") if raw.clock else raw.times
    audit = Audit(
        rows=len(times),
        step=step,
        start=moment(raw.times[0], raw.clock),
        end=moment(raw.times[-1], raw.clock),
        findings=raw.findings,
        repairs=raw.repairs,
        rejected=raw.rejected,
    )
    return times, np.ascontiguousarray(raw.values), audit


def _enough(raw: Raw) -> None:
    if len(raw.times) < 2:
        raise UserError(
            f"Only {many(len(raw.times), 'row')} with a readable, distinct time found; a series needs at least 2. "
            f"Check the time column, or choose no time column."
        )


def _said(raw: Raw, findings: list[Finding], repairs: list[str]) -> None:
    """Adds findings whose places count rows from 0, as the file counts them."""
    for finding in findings:
        places = [place.model_copy(update={"row": int(raw.origin[place.row])}) for place in finding.places]
        raw.findings.append(finding.model_copy(update={"places": places}))
    raw.repairs += repairs


def _no_infinities(raw: Raw) -> None:
    if np.isfinite(raw.values).all():
        return
    infinite = np.isinf(raw.values)
    count = int(infinite.sum())
    if count:
        rows, columns = np.nonzero(infinite)
        places = [
            Place(row=int(raw.origin[r]), column=raw.names[c], text=str(raw.values[r, c]))
            for r, c in zip(rows[: raw.most], columns[: raw.most], strict=True)
        ]
        raw.findings.append(
            Finding(
                kind="infinite",
                count=count,
                places=places,
                sentence=f"Row {places[0].row:,}, column {places[0].column}: an infinite value, or one too large to "
                f"store. {many(count, 'such cell')}, now missing.",
                remedies=["Fill missing values.", "Correct the file."],
            )
        )
        raw.repairs.append(f"{many(count, 'infinite value')} became missing.")
    raw.values[~np.isfinite(raw.values)] = np.nan  # one bit pattern for missing, so that fingerprints agree


def _to_utc(raw: Raw, zone: str) -> None:
    """Wall-clock times of a zone to UTC; hours that do not exist move forward, hours that come twice are told apart
    by their order where that is possible."""
    raw.absolute = True
    if zone == "UTC":
        return
    import pandas as pd

    stamps = pd.DatetimeIndex(raw.times.view("datetime64[us]"))
    skipped = stamps.tz_localize(zone, ambiguous=np.ones(len(stamps), bool), nonexistent="NaT").isna()
    summer, winter = (
        stamps.tz_localize(zone, ambiguous=np.full(len(stamps), first), nonexistent="shift_forward")
        for first in (True, False)
    )
    if skipped.any():
        _moved(raw, np.flatnonzero(skipped), f"not in {zone}, where clocks go forward; moved to the next hour.")
    twice = np.flatnonzero(np.asarray(summer != winter))
    second, unclear = _second_hours(raw, twice)
    if len(unclear):
        _moved(raw, unclear, f"one of two hours in {zone}, where clocks go back; read as the second.")
    there = np.asarray(summer.tz_convert("UTC").tz_localize(None).as_unit("us")).view(np.int64).copy()
    there[second] = np.asarray(winter[second].tz_convert("UTC").tz_localize(None).as_unit("us")).view(np.int64)
    raw.times = there


def _second_hours(raw: Raw, twice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of rows whose hour comes twice, those of the second time: from where the clock does not go on, in one night of
    one series. Where it goes on through all of a night nothing tells; those rows are the second result as well, and
    taken as the second hour."""
    if not len(twice):
        return twice, twice
    series = raw.series[twice] if len(raw.series) else np.zeros(len(twice), np.int64)
    night = raw.times[twice] // DAY
    order = np.lexsort((twice, night, series))
    rows, times = twice[order], raw.times[twice[order]]
    starts = np.r_[True, (np.diff(series[order]) != 0) | (np.diff(night[order]) != 0)]
    group = np.cumsum(starts) - 1
    back = np.r_[False, np.diff(times) <= 0] & ~starts
    turns = np.cumsum(back)
    past = turns - turns[np.flatnonzero(starts)][group] > 0
    turned = np.zeros(group[-1] + 1, bool)
    turned[group[back]] = True
    unclear = ~turned[group]
    return rows[past | unclear], np.sort(rows[unclear])


def _moved(raw: Raw, rows: np.ndarray, what: str) -> None:
    sentence = f"{many(len(rows), 'time', 'is/are')} {what}"
    raw.findings.append(Finding(kind="zone", count=len(rows), places=raw.places(rows), sentence=sentence))
    raw.repairs.append(sentence)


def _sort(raw: Raw) -> None:
    back = np.flatnonzero(raw.times[1:] < raw.times[:-1]) + 1
    if not len(back):
        return
    raw.findings.append(
        Finding(
            kind="order",
            count=len(back),
            places=raw.places(back),
            sentence=f"{many(len(back), 'row', 'is/are')} earlier than the row before, the first is row "
            f"{raw.origin[back[0]]:,}. All rows were sorted by time.",
        )
    )
    raw.repairs.append("Rows were sorted by time.")
    raw.take(np.argsort(raw.times, kind="stable"))


def _one_row_a_stamp(raw: Raw, rule: str) -> None:
    again = np.flatnonzero(raw.times[1:] == raw.times[:-1]) + 1
    if not len(again):
        return
    done = KEPT[rule]
    raw.findings.append(
        Finding(
            kind="duplicates",
            count=len(again),
            places=raw.places(again),
            sentence=f"{many(len(again), 'row', 'repeats/repeat')} the time of another, the first at "
            f"{moment(raw.times[again[0]], raw.clock)}; of rows with one time, {done}.",
            remedies=KEEP,
        )
    )
    raw.repairs.append(f"{many(len(again), 'row')} with a repeated time: {done}.")
    _reduce(raw, np.flatnonzero(np.r_[True, np.diff(raw.times) != 0]), rule)


def _reduce(raw: Raw, starts: np.ndarray, rule: str) -> None:
    """One row in the place of those from each start to the next."""
    if rule == "mean":
        known = ~np.isnan(raw.values)
        total = np.add.reduceat(np.where(known, raw.values, 0).astype(np.float64), starts, axis=0)
        count = np.add.reduceat(known.astype(np.int64), starts, axis=0)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
        raw.take(starts)
        raw.values = mean
    else:
        raw.take(starts if rule == "first" else np.r_[starts[1:] - 1, len(raw.times) - 1])


def _widen(raw: Raw, rule: str, max_cells: int) -> None:
    """A long table, rows of series and time, to one row a time with a variate for each series and value column."""
    stamps, at = np.unique(raw.times, return_inverse=True)
    count = len(raw.series_names)
    wide = count * len(raw.names)
    if len(stamps) * wide > max_cells:
        raise UserError(
            f"{count:,} series make {len(stamps):,} times {wide:,} values, more than the {max_cells:,} "
            f"this server accepts. Choose fewer value columns or a part of the file."
        )
    key = at * count + raw.series
    order = np.argsort(key, kind="stable")
    raw.take(order)
    key = key[order]
    again = np.flatnonzero(np.diff(key) == 0) + 1
    if len(again):
        done = KEPT[rule]
        sentence = f"{many(len(again), 'row', 'repeats/repeat')} the time of another row of its series; {done}."
        places = [Place(row=int(raw.origin[r]), column=raw.series_names[raw.series[r]]) for r in again[:PLACES]]
        raw.findings.append(
            Finding(kind="duplicates", count=len(again), places=places, sentence=sentence, remedies=KEEP)
        )
        raw.repairs.append(f"{many(len(again), 'row')} with a repeated time in one series: {done}.")
        starts = np.flatnonzero(np.r_[True, np.diff(key) != 0])
        key = key[starts]
        _reduce(raw, starts, rule)
    values = np.full((len(stamps) * count, len(raw.names)), np.nan, np.float32)
    values[key] = raw.values
    origin = np.zeros(len(stamps), np.int64)
    origin[key[::-1] // count] = raw.origin[::-1]
    one = len(raw.names) == 1
    names, _ = unique_names([each if one else f"{each}: {name}" for each in raw.series_names for name in raw.names])
    raw.times, raw.origin = stamps, origin
    raw.values, raw.names = values.reshape(len(stamps), wide), names
    raw.series, raw.series_names = np.empty(0, np.int64), ()
    empty = np.asarray(np.isnan(raw.values).all(axis=0))
    late = int((np.isnan(raw.values[0]) | np.isnan(raw.values[-1]))[~empty].sum())
    sentence = f"A long table: its {count:,} series became variates"
    if late:
        sentence += f"; {late:,} of {wide:,} start later or end earlier than the whole and are missing there"
    raw.findings.append(Finding(kind="long", count=count, sentence=f"{sentence}."))
    raw.repairs.append(f"{count:,} series of a long table became variates.")
    if empty.any():
        gone = [name for name, nothing in zip(names, empty, strict=True) if nothing]
        raw.values, raw.names = raw.values[:, ~empty], tuple(n for n, e in zip(names, empty, strict=True) if not e)
        sentence = f"{many(len(gone), 'variate')} without any number left out: {listed(gone, PLACES)}."
        raw.findings.append(Finding(kind="empty_series", count=len(gone), sentence=sentence))
        raw.repairs.append(sentence)


def _resample(raw: Raw, choice: Choice, max_cells: int) -> None:
    """One row for every step from the first to the last; a step without a value is missing. Days, weeks and months are
    those of the zone."""
    step, aggregate = choice.step, choice.aggregate
    if not raw.clock:
        raise UserError(
            f"Steps of {step} need times, and the rows are only numbered. Choose a time column, or no step."
        )
    import pandas as pd

    count, unit = step.split()
    rule = f"{count}{ {'minute': 'min', 'hour': 'h', 'day': 'D', 'week': 'W-MON', 'month': 'MS'}[unit.rstrip('s')] }"
    stamps = pd.DatetimeIndex(raw.times.view("datetime64[us]"))
    if STEPS[step] >= DAY and raw.absolute:
        stamps, raw.absolute = stamps.tz_localize("UTC").tz_convert(choice.zone).tz_localize(None), False
    expected = (raw.times[-1] - raw.times[0]) // STEPS[step] + 2
    if expected * len(raw.names) > max_cells:
        raise UserError(
            f"Steps of {step} from {moment(raw.times[0], True)} to {moment(raw.times[-1], True)} make {expected:,} "
            f"rows, more than this server accepts. Choose a longer step."
        )
    frame = pd.DataFrame(raw.values, index=stamps)
    groups = frame.resample(rule, closed="left", label="left")
    found = groups.sum(min_count=1) if aggregate == "sum" else getattr(groups, aggregate)()
    before = len(raw.times)
    raw.times = np.ascontiguousarray(found.index.as_unit("us").to_numpy()).view(np.int64).copy()
    origin = np.zeros(len(raw.times), np.int64)
    at = found.index.searchsorted(stamps, side="right") - 1
    origin[at[::-1]] = raw.origin[::-1]
    raw.values, raw.origin = np.ascontiguousarray(found.to_numpy(np.float32)), origin
    said = f"{many(before, 'row')} became {len(raw.times):,} of {step} each, by their {aggregate}."
    raw.findings.append(Finding(kind="resampled", count=before, sentence=said, key="step", offers=_steps(step)))
    raw.repairs.append(said)


def _regular(raw: Raw, gaps: str, max_cells: int) -> str:
    """Insert rows where steps are missing; the step in words."""
    months = _months(raw.times) if raw.clock else None
    clock = raw.times if months is None else months
    distance = np.diff(clock)
    middle = (len(distance) - 1) // 2
    step = int(np.partition(distance, middle)[middle])  # the lower median: a step that occurs
    words = step_words(step, raw.clock, months is not None)
    if (distance == step).all():
        return words
    steps = np.maximum(np.rint(distance / step).astype(np.int64), 1)
    off = np.abs(distance - steps * step) > 0.01 * step
    irregular = int(off.sum())
    if irregular:
        rows = np.flatnonzero(off) + 1
        raw.findings.append(
            Finding(
                kind="irregular",
                count=irregular,
                places=raw.places(rows),
                sentence=f"{irregular:,} of {len(distance):,} steps are not {words} long, the first before "
                f"{moment(raw.times[rows[0]], raw.clock)}. The times were kept; models see equal steps.",
                key="step",
                offers=_steps(_near(step)) if raw.clock and months is None else [],
            )
        )
    missing = int((steps - 1).sum())
    if not missing:
        return words
    holes = np.flatnonzero(steps > 1)
    longest = holes[np.argmax(steps[holes])]
    found = (
        f"{many(len(holes), 'gap')}, together {many(missing, 'missing step')} of {words}; the longest, "
        f"{many(int(steps[longest]) - 1, 'step')}, after {moment(raw.times[longest], raw.clock)}."
    )
    rows = len(raw.times) + missing
    if gaps == "keep":
        done, insert = "The rows were kept as they are; models see equal steps.", False
    elif irregular > 0.1 * len(distance):
        done, insert = "Nothing was inserted, because the steps are too irregular to say where.", False
    elif missing > 10 * len(raw.times) + 1_000 or rows * len(raw.names) > max_cells:
        done, insert = (
            "Nothing was inserted, because the gaps are far longer than the data; check the times there.",
            False,
        )
    else:
        done, insert = f"{many(missing, 'row')} without values inserted.", True
    raw.findings.append(
        Finding(
            kind="gaps",
            count=missing,
            places=raw.places(holes + 1),
            sentence=f"{found} {done}",
            remedies=["Insert rows without values.", "Keep the rows as they are.", "Fill missing values."],
        )
    )
    if insert:
        raw.repairs.append(f"{many(missing, 'row')} without values inserted, so that every step is {words}.")
        _insert(raw, steps, months)
    return words


def _steps(step: str) -> list[Offer]:
    """To keep the times, or to bring the data to this step in the ways that are asked for most."""
    ways = [
        Offer(label=f"{how.capitalize()} per {step}", change={"step": step, "aggregate": how})
        for how in ("mean", "sum", "median", "last")
    ]
    return [Offer(label="Keep the times", change={"step": ""}, proposed=True), *ways]


def _near(step: int) -> str:
    """The shortest step that can be chosen and is not much shorter than this one, in microseconds."""
    return next((name for name, size in STEPS.items() if size >= 0.9 * step), "1 month")


def _insert(raw: Raw, steps: np.ndarray, months: np.ndarray | None) -> None:
    at = np.r_[0, np.cumsum(steps)]
    before = np.repeat(np.arange(len(steps)), steps)  # the row that each new step, the last apart, follows
    inside = np.arange(at[-1]) - at[before]
    if months is None:
        times = raw.times[before] + inside * np.diff(raw.times)[before] // steps[before]
    else:
        month = months[before] + inside * (np.diff(months)[before] // steps[before])
        times = _stamps(month, raw.times)
    values = np.full((at[-1] + 1, raw.values.shape[1]), np.nan, np.float32)
    values[at] = raw.values
    origin = np.zeros(at[-1] + 1, np.int64)
    origin[at] = raw.origin
    raw.times, raw.values, raw.origin = np.r_[times, raw.times[-1]], values, origin


def _months(times: np.ndarray) -> np.ndarray | None:
    """Months since 1970 where every stamp lies on the same day and time of its month, or on its last day; else None."""
    if not 28 * DAY <= np.median(np.diff(times)) <= 366 * 10 * DAY:
        return None
    stamps = times.view("datetime64[us]")
    for shift in (np.timedelta64(0, "D"), np.timedelta64(1, "D")):
        month = (stamps + shift).astype("datetime64[M]")
        offset = (stamps + shift) - month.astype("datetime64[us]")
        if (offset == offset[0]).all():
            return month.astype(np.int64)
    return None


def _stamps(months: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Stamps of these months, on the day and time that ``like`` has."""
    stamps = like.view("datetime64[us]")
    first = stamps.astype("datetime64[M]")
    offset = stamps - first.astype("datetime64[us]")
    starts = months.astype("datetime64[M]")
    if (offset == offset[0]).all():
        return (starts.astype("datetime64[us]") + offset[0]).view(np.int64)
    day = np.timedelta64(1, "D")
    last = (stamps[:1] + day) - (stamps[:1] + day).astype("datetime64[M]").astype("datetime64[us]") - day
    return (starts.astype("datetime64[us]") + last[0]).view(np.int64)


def _columns(raw: Raw) -> None:
    """Columns that never change, or whose changes are finer than the stored numbers."""
    with np.errstate(all="ignore"):
        low, high = (_by_column(reduce, raw.values) for reduce in (np.fmin, np.fmax))
    empty = [name for name, value in zip(raw.names, low, strict=True) if np.isnan(value)]
    if empty:
        raise UserError(
            f"Column {empty[0]} holds no number in any row. Leave it out, or choose another decimal mark for the file."
        )
    constant = [name for name, a, b in zip(raw.names, low, high, strict=True) if a == b]
    if constant:
        raw.findings.append(
            Finding(
                kind="constant",
                count=len(constant),
                places=[Place(row=0, column=name) for name in constant[:PLACES]],
                sentence=f"{many(len(constant), 'column', 'stays/stay')} the same in every row: "
                f"{listed(constant, PLACES)}. Nothing can be learned from a constant.",
                remedies=["Leave it out."],
            )
        )
    size = np.fmax(np.abs(low), np.abs(high))
    with np.errstate(over="ignore"):
        rounded = (high > low) & (np.spacing(size) > (high - low) / 500)
    coarse = [name for name, is_rounded in zip(raw.names, rounded, strict=True) if is_rounded]
    if coarse:
        raw.findings.append(
            Finding(
                kind="precision",
                count=len(coarse),
                places=[Place(row=0, column=name) for name in coarse[:PLACES]],
                sentence=f"{coarse[0]} varies little around very large numbers; stored with seven digits, its changes "
                f"are rounded.",
                remedies=["Subtract a constant from it before uploading."],
            )
        )


def _by_column(ufunc: np.ufunc, values: np.ndarray) -> np.ndarray:
    """The reduction over rows, many rows at a time: over a few columns one row at a time is slow."""
    rows, columns = values.shape
    together = max(2048 // columns, 1)
    whole = rows // together * together
    if not whole:
        return ufunc.reduce(values, axis=0)
    found = ufunc.reduce(values[:whole].reshape(-1, together * columns), axis=0).reshape(together, columns)
    return ufunc.reduce(np.concatenate([found, values[whole:]]), axis=0)


def _missing(raw: Raw, fill: str) -> None:
    missing = np.isnan(raw.values)
    if not missing.any():
        return
    per_column = missing.sum(axis=0)
    count = int(per_column.sum())
    worst = int(np.argmax(per_column))
    edges = np.flatnonzero(np.diff(np.r_[False, missing[:, worst], False]))
    runs = edges[1::2] - edges[::2]
    begins = int(edges[::2][np.argmax(runs)])
    sentence = (
        f"{many(count, 'value', 'is/are')} missing in {many(int((per_column > 0).sum()), 'column')}; "
        f"most in {raw.names[worst]} ({per_column[worst]:,} of {len(raw.values):,}"
        + (f", {runs.max():,} in a row from {moment(raw.times[begins], raw.clock)}" if runs.max() >= LONG else "")
        + ")."
    )
    done = {
        "keep": "They stay missing.",
        "linear": "They were filled linearly.",
        "forward": "They repeat the last value.",
        "seasonal": "They were filled from the seasons before and after.",
        "drop": "Their rows were left out; models see equal steps.",
    }
    rows = np.flatnonzero(missing[:, worst])
    raw.findings.append(
        Finding(
            kind="missing",
            count=count,
            places=raw.places(rows, raw.names[worst]),
            sentence=f"{sentence} {done[fill]}",
            remedies=["Keep them missing.", "Fill linearly, seasonally or with the last value.", "Drop the rows."],
        )
    )
    if fill == "keep":
        return
    if fill == "drop":
        kept = np.flatnonzero(~missing.any(axis=1))
        if len(kept) < 2:
            raise UserError(
                f"Only {len(kept):,} of {len(raw.values):,} rows have a value in every column. Fill or keep the "
                f"missing values, or choose fewer columns."
            )
        gone = len(raw.values) - len(kept)
        raw.take(kept)
        raw.repairs.append(f"{many(gone, 'row')} with a missing value left out.")
        raw.rejected += gone
        return
    if fill == "seasonal":
        raw.values, seasons = repair.seasonal_fill(raw.values)
        named = ", ".join(f"{n} {s:,}" for n, s in zip(raw.names, seasons, strict=True) if s)
        raw.repairs.append(f"{many(count, 'missing value')} filled from the seasons around (in steps: {named[:200]}).")
        return
    edge = 0
    for c in np.flatnonzero(per_column):
        column, gone = raw.values[:, c], missing[:, c]
        known = np.flatnonzero(~gone)
        edge += int(known[0]) + (len(column) - 1 - int(known[-1]) if fill == "linear" else 0)
        if fill == "linear":
            column[gone] = np.interp(np.flatnonzero(gone), known, column[known])
        else:
            last = np.maximum.accumulate(np.where(gone, known[0], np.arange(len(column))))
            column[gone] = column[last[gone]]
    how = "linear between neighbours" if fill == "linear" else "the last value before"
    ends = f"; {many(edge, 'value')} at an end took the nearest" if edge else ""
    raw.repairs.append(f"{many(count, 'missing value')} filled: {how}{ends}.")
