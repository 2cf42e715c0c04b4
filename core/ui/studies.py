"""A study's files: the table as CSV, table and sentence as Markdown, the figure as SVG, each with its origin."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import join

from core.studies.bench import machine, markdown
from core.studies.grid import Grid
from core.studies.study import Study
from core.ui.charts.study import study_picture
from core.ui.export import csv, svg
from core.ui.theme import COLORS


def write(one: Study, grid: Grid, arguments: Sequence[str]) -> list[Path]:
    """``<path>.csv``, ``.md`` and ``.svg`` from the finished cells; ``arguments`` are those of the call. Nothing where
    no cell is finished."""
    cells, failed = one.finished(grid), [cell for cell in grid.cells().values() if cell.error]
    if not cells:
        return []
    # without where files happen to lie here
    command = join(["python", "-m", "core", *(Path(a).name if Path(a).is_absolute() else a for a in arguments)])
    table, answer, name, light = one.table(cells), one.sentence(cells), grid.path.name, COLORS["light"]
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    lines = [f"# {one.title}", "", one.question, "", f"**{answer}**", "", f"![{one.question}]({name}.svg)", ""]
    lines += [*markdown(table), ""]
    lines += [f"{cell.spec.series_name}, {cell.settings}: {cell.error}" for cell in failed]
    lines += [f"The question comes from {one.source}. Cells: [{grid.lines.name}]({grid.lines.name}).", ""]
    lines += [f"`{command}` on {day}: {machine()}, torch {cells[-1].numbers['torch']}.", ""]
    picture = study_picture(one.figure(cells), light)
    files = {
        ".csv": csv(table),
        ".md": "\n".join(lines).encode(),
        ".svg": svg(picture, light, [one.title, f"{command} · {day} · Scalescope"]).encode(),
    }
    written = []
    for suffix, content in files.items():
        path = grid.path.with_name(name + suffix)
        beside = path.with_name(f".{path.name}.new")
        beside.write_bytes(content)
        written.append(beside.replace(path))
    return written
