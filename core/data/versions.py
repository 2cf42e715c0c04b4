"""What is different when a file comes again: rows, variates and values of the new series against the one stored."""

import numpy as np

from core.data.series import Series
from core.data.words import listed, many, moment


def changes(before: Series, after: Series) -> list[str]:
    """Sentences, the weightiest first; none where both are equal. Values are compared at the times both have."""
    found = []
    gone = [name for name in before.variates if name not in after.variates]
    new = [name for name in after.variates if name not in before.variates]
    if gone:
        found.append(f"{many(len(gone), 'variate', 'is/are')} no longer there: {listed(gone, 5)}.")
    if new:
        found.append(f"{many(len(new), 'variate', 'is/are')} new: {listed(new, 5)}.")
    clock = np.issubdtype(after.times.dtype, np.datetime64)
    if before.times.dtype != after.times.dtype:
        return [*found, f"The times are now {'stamps' if clock else 'row numbers'}, so that values cannot be compared."]
    old, now = (np.ascontiguousarray(each.times).view(np.int64) for each in (before, after))
    both, at_old, at_new = np.intersect1d(old, now, assume_unique=False, return_indices=True)
    added = np.setdiff1d(now, old)
    for rows, what in ((added, "new"), (np.setdiff1d(old, now), "no longer there")):
        if len(rows):
            first, last = moment(rows[0], clock), moment(rows[-1], clock)
            found.append(f"{many(len(rows), 'row', 'is/are')} {what}, from {first} to {last}.")
    different, count, where = [], 0, None
    for name in (name for name in after.variates if name in before.variates):
        a = before.values[at_old, before.variates.index(name)]
        b = after.values[at_new, after.variates.index(name)]
        rows = np.flatnonzero(~((a == b) | (np.isnan(a) & np.isnan(b))))
        if len(rows):
            different.append(name)
            count += len(rows)
            where = where or f"{name} at {moment(both[rows[0]], clock)}, {a[rows[0]]:.6g}, now {b[rows[0]]:.6g}"
    if count:
        found.append(f"{many(count, 'value', 'is/are')} different in {listed(different, 5)}; the first is {where}.")
    return found
