"""The accuracy grid: datasets x architectures x horizons x seeds, and its table beside the published figures.

Built on ``grid.py``; what others report stands in ``published.py``. A table holds every cell of its grid's file, also
those of earlier calls; rows that differ in look-back or settings stay rows of their own.
"""

import csv
import io
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from core.data.series import Series
from core.errors import UserError
from core.models.registry import architecture, architectures, configure
from core.studies import published
from core.studies.grid import Cell, Grid, impossible
from core.training.device import resolve_device
from core.training.recipes import preset as recipe_of
from core.training.recipes import preset_lookback, preset_options
from core.training.spec import Preset, Recipe, Spec, Split

if TYPE_CHECKING:
    import pandas as pd

Options = Mapping[str, Any]


def cells_of(
    tables: Sequence[Series],
    models: Sequence[str],
    horizons: Sequence[int],
    seeds: Sequence[int],
    preset: Preset = "published",
    lookback: int = 0,
    config: Options | None = None,
    recipe: Options | None = None,
    device: str = "auto",
    threads: int = 1,
) -> tuple[Cell, ...]:
    """The cells of a grid: every seed's whole grid before the next seed's, architectures in the order given.

    ``lookback`` 0 is the preset's own for each architecture and dataset. ``config`` and ``recipe`` replace fields of
    the preset; a config whose keys are the architectures asked for has options for each of them. Every variate enters
    and is forecast. Raises UserError for unknown architectures or fields, and where no cell at all can be trained.
    """
    names = [series.name for series in tables]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"Two of the datasets are called {twice[0]!r}. Rename one file, so that a table can name it.")
    own, changes, found = _for_each(models, config or {}), dict(recipe or {}), []
    for seed in seeds:
        for model in models:
            for series in tables:
                split = Split.of(series)
                options = preset_options(preset, model, series.name) | own[model]
                configure(model, options)
                for horizon in horizons:
                    spec = _spec(
                        series_name=series.name,
                        fingerprint=series.fingerprint,
                        model=model,
                        config=options,
                        lookback=lookback or preset_lookback(preset, model, series.name, split.train),
                        horizon=horizon,
                        variates=series.variates,
                        targets=series.variates,
                        split=split,
                        recipe=recipe_of(preset, model, series.name).model_dump() | changes,
                        seed=seed,
                        device=resolve_device(device),
                        threads=threads,
                    )
                    fitted = architecture(model).capabilities.fitted  # no recipe has a part in those
                    name = "fitted" if fitted else spec.recipe.name
                    found.append(Cell(spec, _settings(name, own[model], {} if fitted else changes)))
    by_print = {series.fingerprint: series for series in tables}
    faults = [impossible(cell.spec, by_print[cell.spec.fingerprint]) for cell in found]
    if all(faults):
        raise UserError(faults[0] if faults else "There is nothing to train: name datasets, models and horizons.")
    return tuple(found)


def _spec(**about: Any) -> Spec:
    try:
        return Spec.model_validate(about | {"recipe": Recipe.model_validate(about["recipe"])})
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise UserError(f"{place}: {fault['msg']} (given: {fault['input']!r}).") from None


def _for_each(models: Sequence[str], config: Options) -> dict[str, dict[str, Any]]:
    """Options by architecture: the same for all, unless the keys are architectures."""
    for model in models:
        architecture(model)  # an unknown one is said before anything else
    if config and set(config) <= set(architectures()):
        if strangers := set(config) - set(models):
            raise UserError(f"--config has options for {min(strangers)}, which is not among the models asked for.")
        if wrong := [name for name, options in config.items() if not isinstance(options, dict)]:
            raise UserError(f"--config must give {wrong[0]} a JSON object such as {{}}.")
        return {model: dict(config.get(model, {})) for model in models}
    return {model: dict(config) for model in models}


def _settings(preset: str, *changes: Options) -> str:
    """What a table calls these settings: the preset, and every field that differs from it."""
    differs = [f"{name} {value}" for options in changes for name, value in options.items()]
    return ", ".join([preset, *differs])


# The table


@dataclass(frozen=True)
class Row:
    """Finished cells that differ in their seed alone. Deviations are None for one seed; ``paper`` and ``code`` are what
    others report for the same dataset, architecture, horizon and look-back, else None."""

    cells: tuple[Cell, ...]

    @property
    def spec(self) -> Spec:
        return self.cells[0].spec

    @property
    def settings(self) -> str:
        return self.cells[0].settings

    def mean(self, name: str) -> float:
        return mean(float(cell.numbers[name]) for cell in self.cells)

    def deviation(self, name: str) -> float | None:
        values = [float(cell.numbers[name]) for cell in self.cells]
        return stdev(values) if len(values) > 1 else None

    @property
    def paper(self) -> published.Figure | None:
        return self._reported(published.PAPERS)

    @property
    def code(self) -> published.Figure | None:
        return self._reported(published.PUBLIC_CODE)

    def _reported(self, figures: Mapping[tuple[str, str], dict[int, published.Figure]]) -> published.Figure | None:
        if self.spec.lookback != published.LOOKBACK:
            return None
        return figures.get((self.spec.series_name, self.spec.model), {}).get(self.spec.horizon)

    @property
    def group(self) -> tuple[Any, ...]:
        """What its average over horizons is of: everything but the horizon."""
        spec = self.spec
        return (spec.series_name, spec.fingerprint, spec.model, spec.lookback, self.settings, spec.split.name)


def rows(cells: Sequence[Cell]) -> list[Row]:
    """Finished cells by everything but the seed, sorted by dataset, architecture, look-back, settings, horizon."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        if not cell.error:
            spec = cell.spec.model_copy(update={"seed": 0})
            groups.setdefault((Cell(spec).key, cell.settings), []).append(cell)
    found = [Row(tuple(sorted(own, key=lambda cell: cell.spec.seed))) for own in groups.values()]
    order = {name: i for i, name in enumerate(architectures())}
    return sorted(
        found, key=lambda r: (r.group[:2], order.get(r.spec.model, 99), r.spec.lookback, r.settings, r.spec.horizon)
    )


def against(own: float, other: float | None) -> float | None:
    """Deviation in percent: positive is worse."""
    return None if other is None else (own / other - 1) * 100


def write(grid: Grid, command: str) -> list[Path]:
    """``<path>.csv`` and ``<path>.md`` from the cells there are; ``command`` is the call, for the heading."""
    cells = list(grid.cells().values())
    table = rows(cells)
    files = {".csv": as_csv(table), ".md": as_markdown(table, [c for c in cells if c.error], grid, command)}
    written = []
    for suffix, text in files.items():
        path = grid.path.with_name(grid.path.name + suffix)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(text, "utf-8")
        written.append(beside.replace(path))
    return written


COLUMNS = ["dataset", "model", "settings", "lookback", "horizon", "seeds"]
COLUMNS += ["mse", "mse_deviation", "mae", "mae_deviation"]
COLUMNS += ["paper_mse", "paper_mae", "against_paper_percent", "code_mse", "code_mae", "against_code_percent"]
COLUMNS += ["windows", "parameters", "epochs", "seconds", "measured", "fingerprint", "command"]


def as_csv(table: Sequence[Row]) -> str:
    """One line a row, numbers as measured, with the command that repeats its first cell."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(COLUMNS)
    for row in table:
        spec, mse = row.spec, row.mean("mse")
        paper, code = row.paper, row.code
        lines.writerow(
            [
                spec.series_name,
                spec.model,
                row.settings,
                spec.lookback,
                spec.horizon,
                len(row.cells),
                mse,
                row.deviation("mse"),
                row.mean("mae"),
                row.deviation("mae"),
                paper and paper.mse,
                paper and paper.mae,
                against(mse, paper and paper.mse),
                code and code.mse,
                code and code.mae,
                against(mse, code and code.mse),
                row.cells[0].numbers["windows"],
                row.cells[0].numbers["parameters"],
                row.mean("epochs"),
                row.mean("seconds"),
                max(cell.measured for cell in row.cells),
                spec.fingerprint[:16],
                command_of(spec),
            ]
        )
    return out.getvalue()


def command_of(spec: Spec) -> str:
    """The call of ``train`` that repeats a cell, run where the dataset's file is."""
    recipe = spec.recipe.model_dump(exclude={"name"})
    arguments = ["python", "-m", "core", "train", "--dataset", f"{spec.series_name}.csv", "--model", spec.model]
    arguments += ["--lookback", str(spec.lookback), "--horizon", str(spec.horizon), "--seed", str(spec.seed)]
    arguments += ["--threads", str(spec.threads), "--config", json.dumps(spec.config)]
    arguments += ["--recipe", json.dumps(recipe), "--out", "DIR"]
    return shlex.join(arguments)


def as_markdown(table: Sequence[Row], failed: Sequence[Cell], grid: Grid, command: str) -> str:
    lookbacks = sorted({row.spec.lookback for row in table})
    lines = [
        "# Accuracy",
        "",
        "MSE and MAE on the z-scored scale over every test window; mean ± deviation over the seeds. Nothing was chosen "
        "on the test part. `paper` is what the paper reports, `public code` what its code gave when it was run with "
        "one seed (both at look-back 96); the percentages are the deviation of the mean MSE from them, above zero is "
        "worse. Seconds are of training alone, and compare only within one quiet run. "
        f"Cells: [{grid.lines.name}]({grid.lines.name}).",
        "",
        f"`{command}` on {datetime.now(UTC):%Y-%m-%d}: {machine()}.",
    ]
    if len(lookbacks) > 1:
        lines += [
            "",
            f"**Look-backs differ** ({', '.join(map(str, lookbacks))}): a model that sees more of the past is not "
            "better for it. Compare rows of one look-back.",
        ]
    lines += ["", "## Averages over the horizons", "", *_averages(table), "", "## Every horizon", "", *_each(table)]
    if failed:
        lines += ["", "## Cells that failed", ""]
        lines += _table(
            ["set", "model", "look-back", "H", "seed", "why"],
            [
                [c.spec.series_name, c.spec.model, c.spec.lookback, c.spec.horizon, c.spec.seed, _plain(c.error)]
                for c in failed
            ],
        )
    return "\n".join([*lines, ""])


def _averages(table: Sequence[Row]) -> list[str]:
    """Averages over the horizons that a dataset has been measured at by this architecture; reported averages only where
    each of them is reported."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in table:
        groups.setdefault(row.group, []).append(row)
    lines = []
    for own in groups.values():
        mse, first = mean(row.mean("mse") for row in own), own[0]
        reported = [_together([row.paper for row in own]), _together([row.code for row in own])]
        seeds = sorted({len(row.cells) for row in own})
        lines.append(
            [
                _name(first, table),
                first.spec.model,
                first.spec.lookback,
                first.settings,
                " ".join(str(row.spec.horizon) for row in own),
                "-".join(str(count) for count in dict.fromkeys((seeds[0], seeds[-1]))),
                f"{mse:.4f}",
                f"{mean(row.mean('mae') for row in own):.4f}",
                *(
                    text
                    for other in reported
                    for text in ("" if other is None else f"{other:.4f}", _percent(against(mse, other)))
                ),
            ]
        )
    head = ["set", "model", "look-back", "settings", "horizons", "seeds", "MSE", "MAE"]
    return _table([*head, "paper", "against paper", "public code", "against code"], lines)


def _each(table: Sequence[Row]) -> list[str]:
    lines = []
    for row in table:
        spec, mse = row.spec, row.mean("mse")
        lines.append(
            [
                _name(row, table),
                spec.model,
                spec.lookback,
                row.settings,
                spec.horizon,
                len(row.cells),
                _with_deviation(mse, row.deviation("mse")),
                _with_deviation(row.mean("mae"), row.deviation("mae")),
                _figure(row.paper, 3),
                _percent(against(mse, row.paper and row.paper.mse)),
                _figure(row.code, 4),
                _percent(against(mse, row.code and row.code.mse)),
                f"{row.cells[0].numbers['windows']:,}",
                f"{row.cells[0].numbers['parameters']:,}",
                f"{row.mean('epochs'):.0f}",
                f"{row.mean('seconds'):,.0f}",
            ]
        )
    head = ["set", "model", "look-back", "settings", "H", "seeds", "MSE", "MAE", "paper", "against paper"]
    head += ["public code", "against code", "windows", "parameters", "epochs", "seconds"]
    return _table(head, lines)


def _together(figures: Sequence[published.Figure | None]) -> float | None:
    known = [figure.mse for figure in figures if figure is not None]
    return mean(known) if known and len(known) == len(figures) else None


def _name(row: Row, table: Sequence[Row]) -> str:
    """The dataset's name; with its fingerprint where two datasets of this table share it."""
    name, fingerprint = row.spec.series_name, row.spec.fingerprint
    shared = any(r.spec.series_name == name and r.spec.fingerprint != fingerprint for r in table)
    return _plain(f"{name} ({fingerprint[:6]})" if shared else name)


def _plain(text: str) -> str:
    """Text that ends no cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _with_deviation(value: float, deviation: float | None) -> str:
    return f"{value:.4f}" if deviation is None else f"{value:.4f} ± {deviation:.4f}"


def _figure(figure: published.Figure | None, digits: int) -> str:
    """MSE / MAE, or the MSE alone, with the digits it was reported with."""
    known = [] if figure is None else [value for value in (figure.mse, figure.mae) if value is not None]
    return " / ".join(f"{value:.{digits}f}" for value in known)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f} %"


def markdown(table: "pd.DataFrame") -> list[str]:
    """A table's lines; numbers with three decimals, nothing where there is none."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return "" if value != value else f"{value:.3f}"
        return "" if value is None else _plain(str(value))

    return _table([str(name) for name in table], [[cell(v) for v in row] for row in table.itertuples(index=False)])


def _table(head: Sequence[str], lines: Sequence[Sequence[object]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *(f"| {' | '.join(map(str, line))} |" for line in lines),
    ]


def machine() -> str:
    """What this machine is, without its name: cores, memory, processor, and the card that training takes."""
    import psutil
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    about = Path("/proc/cpuinfo")
    text = about.read_text() if about.exists() else ""
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    found = f"{cores} cores, {memory:.0f} GB of memory, {names[0] if names else 'processor unknown'}"
    return f"{found}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else found
