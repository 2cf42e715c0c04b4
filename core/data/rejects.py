"""The rows and cells of a file that are not in the series, one by one, as a CSV to take home."""

import csv
import io
from pathlib import Path

from core.data.choice import Choice
from core.data.read import parse
from core.data.words import inert

MOST = 10_000
WHY = {
    "rejected": "does not fit the table",
    "unreadable_time": "the time cannot be read; the row was left out",
    "unnamed_series": "no series is named; the row was left out",
    "not_numeric": "not a number; the cell became missing",
    "infinite": "infinite or too large; the cell became missing",
}


def rejected_csv(path: Path, choice: Choice, name: str, max_mb: int | None = None, max_cells: int | None = None) -> str:
    """Row, column, reason and text of each, the first 10,000 of a kind. Reads the file again; raises as ``parse``."""
    _, audit = parse(path, choice, name, max_mb, max_cells, places=MOST)
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write(("row", "column", "reason", "text"))
    places = [(p, f.kind) for f in audit.findings if f.kind in WHY for p in f.places]
    for place, kind in sorted(places, key=lambda found: found[0].row):
        write((place.row, inert(place.column), place.why or WHY[kind], inert(place.text)))
    return out.getvalue()
