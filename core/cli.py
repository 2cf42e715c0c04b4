"""The command line: thin commands over the core, for scripts and for measuring. Results on stdout, the rest on stderr.

Heavy libraries are imported inside the commands, so that ``--help`` answers at once. What people did wrong leaves as a
UserError; ``__main__`` turns it into a sentence and exit code 2.
"""

import csv
import importlib
import json
import os
import shlex
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from pydantic import ValidationError

    from core.data.card import Audit
    from core.data.choice import Choice
    from core.data.series import Series
    from core.evaluate.run import LoadedRun
    from core.explain.methods.contract import Question
    from core.training.events import Event

app = typer.Typer(
    name="python -m core",
    help="Scalescope without the browser: read a series, train a forecaster, forecast, explain.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Preset(StrEnum):
    quick = "quick"
    balanced = "balanced"
    published = "published"


class Fill(StrEnum):
    keep = "keep"
    linear = "linear"
    forward = "forward"
    seasonal = "seasonal"
    drop = "drop"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


File = Annotated[
    Path, typer.Argument(help="CSV, TSV, Parquet, Excel, Arrow or JSON records; packed or not.", show_default=False)
]
Directory = Annotated[Path, typer.Argument(help="A run: what train wrote to --out.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
TimeColumn = Annotated[str | None, typer.Option("--time", help="The time column, where the guess is wrong.")]
DayFirst = Annotated[
    bool | None, typer.Option("--day-first/--month-first", help="How to read 01/02/2020.", show_default=False)
]
Filling = Annotated[Fill, typer.Option(help="What to put in the place of missing values.")]


@app.command()
def ingest(
    file: File,
    json_: Json = False,
    store: Annotated[bool, typer.Option("--store", help="Add it to the database as a dataset.")] = False,
    name: Annotated[str, typer.Option(help="Its name; the file's name where not given.", show_default=False)] = "",
    time_column: TimeColumn = None,
    day_first: DayFirst = None,
    fill: Filling = Fill.keep,
    repairs: Annotated[
        Path | None,
        typer.Option(help="JSON: how to read and mend it, as the Data page saves it.", show_default=False),
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="CSV to write: every row and cell that could not be read.", show_default=False)
    ] = None,
) -> None:
    """Read a file and say what was found in it."""
    from core.data.card import DatasetCard

    changes = {} if repairs is None else _choices(repairs)
    series, audit, choice = _read(file, time_column, day_first, fill, changes, rejected)
    about = {"source": file.name, "time_column": choice.time_column, "choice": choice.model_dump()}
    card = DatasetCard.of(series, audit, **about)
    if name:
        card = card.model_copy(update={"name": name})
    if store:
        from core.settings import settings
        from core.store.store import Store

        place = settings()
        database = Store(place.database, place.uploads, place.database_memory)
        card = database.dataset(database.add_dataset(series, card))
        database.close()
    if json_:
        _print(card.model_dump(mode="json") | {"stored": store})
        return
    typer.echo(
        f"{card.name}: {card.rows:,} rows, {len(card.variates)} variates, {card.step}, {card.start} to {card.end}"
    )
    for finding in card.audit.findings:
        typer.echo(f"- {finding.sentence}")
        for offer in finding.offers:
            typer.echo(f"    {'*' if offer.proposed else ' '} {offer.label}: {json.dumps(offer.change)}")
    if store:
        typer.echo(f"Stored as dataset {card.id}.")


@app.command()
def train(
    dataset: Annotated[Path, typer.Option(help="A wide CSV, TSV or Parquet file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the run; made here, must not hold one yet.", show_default=False)],
    model: Annotated[str, typer.Option(help="Architecture.")] = "crossscalenet",
    lookback: Annotated[int, typer.Option(min=0, help="Steps the model sees; 0 for the preset's own.")] = 0,
    horizon: Annotated[int, typer.Option(help="Steps it forecasts.")] = 96,
    preset: Annotated[Preset, typer.Option(help="Recipe.")] = Preset.balanced,
    seed: Annotated[int, typer.Option(help="Of every random number.")] = 2021,
    variates: Annotated[str, typer.Option(help="Inputs, comma-separated; all where not given.")] = "",
    targets: Annotated[
        str, typer.Option(help="Columns to forecast, comma-separated; the inputs where not given.")
    ] = "",
    calendar: Annotated[
        str, typer.Option(help="Covariates, comma-separated: hour, weekday, month, holiday.", show_default=False)
    ] = "",
    country: Annotated[str, typer.Option(help="Whose holidays, such as DE.", show_default=False)] = "",
    known: Annotated[str, typer.Option(help="Columns known in advance, comma-separated.", show_default=False)] = "",
    config: Annotated[str, typer.Option(help="JSON: options of the architecture.")] = "{}",
    recipe: Annotated[str, typer.Option(help="JSON: fields that replace the preset's.")] = "{}",
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.auto,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 for all cores but one.")] = 0,
    json_: Json = False,
    time_column: TimeColumn = None,
    day_first: DayFirst = None,
    fill: Filling = Fill.keep,
) -> None:
    """Train on a file and leave a run's folder. Ctrl-C keeps the best model so far."""
    from pydantic import ValidationError

    from core.data.covariates import Covariates
    from core.jobs.directory import JobDirectory
    from core.jobs.worker import work
    from core.models.registry import configure
    from core.training.events import Cancelled, Failed
    from core.training.recipes import preset as recipe_of
    from core.training.recipes import preset_lookback, preset_options
    from core.training.spec import Recipe, Spec, Split

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty. Choose a new folder for --out, or delete that one.")
    changes, own = _object("--recipe", recipe), _object("--config", config)
    configure(model, own)  # a wrong option is said before a long file is read
    series, _, _ = _read(dataset, time_column, day_first, fill)
    options = preset_options(preset.value, model, series.name) | own
    ahead = _names(known, series.variates)
    inputs = _names(variates, series.variates) or tuple(name for name in series.variates if name not in ahead)
    try:
        covariates = Covariates.model_validate(
            {"calendar": calendar.replace(",", " ").split(), "country": country.upper(), "known": ahead}
        )
        wanted = _names(targets, series.variates) or inputs
        split = Split.of(series, covariates.observed(series, wanted))
        spec = Spec(
            dataset="",
            series_name=series.name,
            fingerprint=series.fingerprint,
            model=model,
            config=options,
            lookback=lookback or preset_lookback(preset.value, model, series.name, split.train),
            horizon=horizon,
            variates=inputs,
            targets=wanted,
            covariates=covariates,
            split=split,
            recipe=Recipe(**recipe_of(preset.value, model, series.name).model_dump() | changes),
            seed=seed,
            device=device.value,
            threads=threads,
        )
    except ValidationError as error:
        raise UserError(_first(error)) from None
    spec, ignored = spec.usable()
    if ignored:
        typer.echo(ignored, err=True)
    spec.check(series)
    job = JobDirectory.create(out.resolve(), spec, series, name=f"{series.name} {model} {preset.value}")
    last = work(job.path, _tell)
    if isinstance(last, Failed):
        raise UserError(last.sentence)
    card = job.card()
    result = {
        "state": job.state(),
        "model": model,
        "dataset": series.name,
        "lookback": spec.lookback,
        "horizon": horizon,
        "preset": preset.value,
        "seed": seed,
        "mse": card.get("metrics", {}).get("mse"),
        "mae": card.get("metrics", {}).get("mae"),
        "epochs": card.get("epochs_run", 0),
        "best_epoch": card.get("best_epoch", 0),
        "seconds_per_epoch": card.get("seconds_per_epoch"),
        "parameters": card.get("parameters"),
        "covariates": list(spec.columns[len(spec.variates) + len(spec.withheld) :]),
        "ignored": ignored,
        "device": card.get("device"),
        "threads": card.get("threads"),
        "metrics": card.get("metrics", {}),
        "out": str(out),
    }
    if json_:
        _print(result, lines=False)
    else:
        typer.echo("\n".join(f"{key}: {value}" for key, value in result.items() if key != "metrics"))
    if isinstance(last, Cancelled):
        raise typer.Exit(130)


@app.command()
def forecast(
    directory: Directory,
    file: File,
    window: Annotated[int | None, typer.Option(help="A test window, from 0; without it, beyond the end.")] = None,
    json_: Json = False,
    time_column: TimeColumn = None,
    day_first: DayFirst = None,
    fill: Filling = Fill.keep,
) -> None:
    """Forecast beyond the end of a file, as CSV on stdout."""
    run, series = _open(directory, file, time_column, day_first, fill)
    number = run.count(series) if window is None else _window(run, series, window)
    chosen = run.window(series, number)
    values_HC = run.forecast(chosen.lookback)
    columns, times = run.spec.columns, _stamps(chosen.times_horizon)
    shown = [columns.index(name) for name in run.spec.targets]
    if json_:
        about: dict[str, Any] = {"window": window, "times": times}
        about["forecast"] = {columns[c]: values_HC[:, c].tolist() for c in shown}
        if chosen.truth is not None:
            about["truth"] = {columns[c]: chosen.truth[:, c].tolist() for c in shown}
        _print(about)
        return
    rows = csv.writer(sys.stdout, lineterminator="\n")
    truth = [f"{columns[c]} (truth)" for c in shown] if chosen.truth is not None else []
    rows.writerow(["time", *(columns[c] for c in shown), *truth])
    for h, stamp in enumerate(times):
        seen = [] if chosen.truth is None else [f"{chosen.truth[h, c]:.7g}" for c in shown]
        rows.writerow([stamp, *(f"{values_HC[h, c]:.7g}" for c in shown), *seen])


@app.command()
def explain(
    directory: Directory,
    file: File,
    window: Annotated[int, typer.Option(help="A test window, from 0.")] = 0,
    variate: Annotated[
        str, typer.Option(help="Whose map, where an architecture has one for each; the first target.")
    ] = "",
    method: Annotated[
        str, typer.Option(help="Attribution methods, comma-separated; all; without: the model's own attention alone.")
    ] = "",
    step: Annotated[int, typer.Option(help="The step ahead that is explained, from 1; 0: all steps together.")] = 0,
    baseline: Annotated[
        str, typer.Option(help="What a value that is taken away becomes: mean, zero, last or sample.")
    ] = "mean",
    score: Annotated[
        int,
        typer.Option(
            min=0, help="Score every map over so many test windows: by what the forecast does, and by a known truth."
        ),
    ] = 0,
    truth: Annotated[
        str, typer.Option(help="syn1 to syn8, or a JSON file with target, features, lags and weights.")
    ] = "",
    json_: Json = False,
    time_column: TimeColumn = None,
    day_first: DayFirst = None,
    fill: Filling = Fill.keep,
) -> None:
    """Which part of one window the model used: by every reading of its attention that the architecture has, and by
    methods that work for any model. How far the forecast follows each of them, and with a known truth, how well each
    finds it."""
    import numpy as np

    from core.explain.saliency import readings

    run, series = _open(directory, file, time_column, day_first, fill)
    chosen = run.window(series, _window(run, series, window))
    asked = _names(variate, run.spec.columns) or run.spec.targets
    column, about_model = run.spec.columns.index(asked[0]), run.model.capabilities

    def look() -> tuple[Any, ...]:
        trace = run.trace(chosen.lookback)
        return trace, *readings(trace, about_model.saliency, run.spec.lookback, column)

    took = []
    for _ in range(6):
        begun = time.perf_counter()
        trace, *maps = look()
        took.append((time.perf_counter() - begun) * 1000)
    size = [float(np.abs(scale.contribution).mean()) for scale in trace.scales]
    relevance = run.card.get("relevance") or {}
    unscored = "This run was not scored, so that nothing says which part it needs."
    if not (about_model.attention or about_model.scales):
        unscored = "It has neither attention nor scales whose worth could be measured."
    about = {
        "window": window,
        "times": _stamps(chosen.times_lookback),
        "variate": asked[0],
        "no_saliency": "" if maps else about_model.reason or "This configuration has no attention over time.",
        "maps": [
            {"branch": m.branch, "scale": m.scale, "layer": m.layer, "head": m.head, "queries": m.query.kind}
            | {"keys": m.key.kind, "shape": list(m.weights.shape[1:])}
            for m in trace.maps
            if m.variate in (None, column)
        ],
        "saliency": {
            found.method: {
                "values": found.values.tolist(),
                "resolution": found.resolution,
                "speaks_for": found.speaks_for,
                "sentence": found.sentence,
            }
            for found in maps
        },
        "scales": [
            {
                "scale": s.scale,
                "name": s.name,
                "factor": s.factor,
                "patch": s.patch,
                "weight": s.weight,
                "share": part / (sum(size) or 1.0),
            }
            for s, part in zip(trace.scales, size, strict=True)
        ],
        "relevance": relevance.get("sentence", unscored),
        "milliseconds": {"first": took[0], "median": float(np.median(took[1:]))},
    }
    from core.explain.methods.contract import Question

    question, names = Question(column, step - 1 if step else None, baseline), _methods(method, run)  # type: ignore[arg-type]
    about |= _attributions(run, series, chosen.lookback, question, names)
    about |= _scores(run, series, question, names, score, truth)
    if json_:
        _print(about)
        return
    for found in maps:
        typer.echo(f"{found.method}: {found.sentence}")
    if not maps:
        typer.echo(f"No saliency of the window: {about['no_saliency']}")
    for scale in about["scales"]:
        typer.echo(f"scale {scale['scale']} (factor {scale['factor']}): {scale['share']:.1%} of the forecast")
    for name, found in about["methods"].items():
        typer.echo(f"{name}: {found['sentence']}")
    for found in about["scores"]:
        mean, low, high = found["step"]["auprc"]
        typer.echo(f"{found['title']}: AUPRC {mean:.3f} ({low:.3f} to {high:.3f})")
    if about["no_truth"]:
        typer.echo(about["no_truth"])
    for found in about["faithful"]:
        (mean, low, high), times = found["scores"]["comprehensiveness"], found["times_random"]
        if times is None:
            typer.echo(f"{found['title']}: the forecast does not react to these windows.")
        else:
            said = f"comprehensiveness {mean:.3f} ({low:.3f} to {high:.3f})"
            typer.echo(f"{found['title']}: {said}; deleting its top 10 % changes {times:.1f} times as much as random")
    typer.echo(about["relevance"])


def _attributions(
    run: "LoadedRun", series: "Series", lookback: "np.ndarray", question: "Question", names: tuple[str, ...]
) -> dict[str, Any]:
    """What each method says about one window."""
    if not names:
        return {"methods": {}}
    from core.explain.attribution import attribute, others_of

    return {
        "methods": {
            one.method.name: {
                "title": one.method.title,
                "values": one.values_BLC[0].tolist(),
                "per_step": one.per_step_BL[0].tolist(),
                "signed": one.method.signed and question.step is not None,
                "seconds": one.seconds,
                "sentence": one.sentence(run.spec.columns),
            }
            for one in attribute(run, run.normalised(lookback), question, names, others_of(run, series))
        }
    }


def _scores(
    run: "LoadedRun", series: "Series", question: "Question", names: tuple[str, ...], windows: int, truth: str
) -> dict[str, Any]:
    """How far the forecast follows each map, and how well each finds the truth: ``no_truth`` says why nothing is known.
    Raises UserError where a truth was named that says nothing about this forecast."""
    if not windows:
        return {"scores": [], "no_truth": "", "faithful": []}
    from core.explain.attribution import faithful, score

    found, no_truth = [], ""
    try:
        found = score(run, series, question, names, windows, _truth(truth))
    except UserError as error:
        if truth:
            raise
        no_truth = str(error)
    follows = faithful(run, series, question, names, windows)
    return {
        "scores": [{"name": one.name, **one.report()} for one in found],
        "no_truth": no_truth,
        "faithful": [{"name": one.name, **one.report()} for one in follows],
    }


def _methods(asked: str, run: "LoadedRun") -> tuple[str, ...]:
    """All: those that this model can answer. Raises UserError for a method that is not there."""
    if not asked:
        return ()
    from core.explain.methods.registry import method, methods_for

    if asked == "all":
        return tuple(methods_for(run.model))
    return tuple(method(name.strip()).name for name in asked.split(",") if name.strip())


def _truth(asked: str) -> dict[str, Any] | None:
    """A rule by the name of its set or from a file. Raises UserError where it is none."""
    from core.explain.truth import read_truth

    return read_truth(asked) if asked else None


@app.command()
def parity(file: Annotated[Path, typer.Argument(help="Input, weights and outputs of the public code.")]) -> None:
    """Compare a model with its public code; exit code 0 within the tolerance, else 1."""
    from core.explain.parity import check

    report = check(file)
    _print(report, lines=False)
    raise typer.Exit(0 if report["passed"] else 1)


@app.command()
def bench(
    datasets: Annotated[str, typer.Option(help="Files, comma-separated.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            help="FILE.jsonl gets one line a finished cell, FILE.csv and FILE.md the table of all of them.",
            show_default=False,
        ),
    ],
    models: Annotated[str, typer.Option(help="Architectures, comma-separated, or all.")] = "all",
    horizons: Annotated[str, typer.Option(help="Steps to forecast, comma-separated.")] = "96,192,336,720",
    seeds: Annotated[int, typer.Option(min=1, help="How many, from --first-seed on.")] = 1,
    first_seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 2021,
    preset: Annotated[Preset, typer.Option(help="Recipe.")] = Preset.published,
    lookback: Annotated[int, typer.Option(min=0, help="Steps the model sees; 0 for the preset's own.")] = 0,
    config: Annotated[
        str, typer.Option(help='JSON: options for every architecture, or {"casa": {...}} for each of them.')
    ] = "{}",
    recipe: Annotated[str, typer.Option(help="JSON: fields that replace the preset's.")] = "{}",
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the cells.")] = 1,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of each; 0: the cores, shared out.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.auto,
    retry: Annotated[bool, typer.Option("--retry", help="Try cells that failed once more.")] = False,
    json_: Json = False,
    day_first: DayFirst = None,
    fill: Filling = Fill.keep,
) -> None:
    """Train a grid of datasets, architectures, horizons and seeds, beside the published numbers.

    A finished cell is never run again: call it again after Ctrl-C, or with more models or seeds, and only what is
    missing runs. Several calls may share one FILE. Exit code 1 where a cell failed; its sentence stands in FILE.md.
    """
    from core.jobs.stop import Stopped
    from core.models.registry import architecture, architectures
    from core.studies.bench import cells_of, write
    from core.studies.grid import Grid, Plan, on_stderr
    from core.training.device import resolve_threads

    chosen = list(architectures()) if models == "all" else _list("--models", models)
    for name in chosen:
        architecture(name)  # a wrong name or option is said before long files are read
    steps, changes = (
        [_number("--horizons", text) for text in _list("--horizons", horizons)],
        _object("--recipe", recipe),
    )
    own = _object("--config", config)
    path = _result(out)
    paths = [Path(file) for file in _list("--datasets", datasets)]
    series = [_read(path, None, day_first, fill)[0] for path in paths]
    cells = cells_of(
        series,
        chosen,
        steps,
        range(first_seed, first_seed + seeds),
        preset.value,
        lookback,
        own,
        changes,
        device.value,
        threads or max(1, (resolve_threads(0) + 1) // workers),
    )
    grid = Grid(path)
    plan = Plan(grid, cells, {each.fingerprint: each for each in series}, workers, retry)
    stopped = False
    try:
        plan.run(on_stderr)
    except Stopped:
        stopped = True
    # the table's heading repeats the call, without where the files happen to lie here
    told = {datasets: ",".join(path.name for path in paths)}
    for argument in (a for a in sys.argv if Path(a).is_absolute()):
        told[argument] = ",".join(Path(part).name for part in argument.split(","))
    files = write(grid, shlex.join(["python", "-m", "core", *(told.get(each, each) for each in sys.argv[1:])]))
    found = [cell for cell in map(grid.cells().get, (cell.key for cell in cells)) if cell is not None]
    failed = [cell for cell in found if cell.error]
    written = [str(file) for file in (grid.lines, *files)]
    if json_:
        about = {"cells": len(cells), "finished": len(found) - len(failed), "failed": len(failed)}
        _print(about | {"missing": len(cells) - len(found), "files": written})
    else:
        done = f"{len(found) - len(failed)} of {len(cells)} cells finished, {len(failed)} failed"
        typer.echo(f"{done}: {', '.join(written)}")
    if stopped:
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="Which; list says what there is.")],
    out: Annotated[
        Path | None,
        typer.Option(help="FILE.jsonl gets one line a finished cell; FILE.csv, FILE.md and FILE.svg the result."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the cells.")] = 1,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of each; 0: the cores, shared out.")] = 0,
    retry: Annotated[bool, typer.Option("--retry", help="Try cells that failed once more.")] = False,
    datasets: Annotated[str, typer.Option(help="Files in place of the study's own series, comma-separated.")] = "",
    json_: Json = False,
) -> None:
    """Answer one question of the papers by a resumable grid of trainings, with one figure and one sentence.

    A finished cell is never run again: call it again after Ctrl-C, and only what is missing runs. Exit code 1 where a
    cell failed.
    """
    from core.jobs.stop import Stopped
    from core.studies.grid import on_stderr
    from core.studies.study import studies
    from core.studies.study import study as study_of
    from core.training.device import resolve_threads

    if name == "list":
        for one in studies().values():
            typer.echo(f"{one.name}: {one.question} (about {one.minutes:g} minutes on two cores)")
        return
    one = study_of(name)
    path = _result(out if out is not None else Path(name))
    given = [_read(Path(file), None, None, Fill.keep)[0] for file in _list("--datasets", datasets)] if datasets else []
    plan = one.plan(path, workers, threads or max(1, (resolve_threads(0) + 1) // workers), retry, given)
    stopped = False
    try:
        plan.run(on_stderr)
    except Stopped:
        stopped = True
    from core.ui.studies import write  # only now: drawing imports what training need not wait for

    files = write(one, plan.grid, sys.argv[1:])
    cells = one.finished(plan.grid)
    failed = [cell for cell in plan.grid.cells().values() if cell.error]
    sentence = one.sentence(cells) if cells else ""
    if json_:
        about = {"study": name, "cells": len(plan.cells), "finished": len(cells), "failed": len(failed)}
        _print(about | {"sentence": sentence, "files": [str(file) for file in (plan.grid.lines, *files)]})
    else:
        typer.echo(sentence or "No cell is finished yet.")
        typer.echo(
            f"{len(cells)} of {len(plan.cells)} cells finished, {len(failed)} failed: {', '.join(map(str, files))}"
        )
    if stopped:
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def _result(out: Path) -> Path:
    """Where results go, without an ending. Raises UserError for a place that cannot be."""
    out = out.with_suffix("") if out.suffix in (".csv", ".md", ".jsonl", ".svg") else out
    if out.is_dir():
        raise UserError(f"{out} is a folder. Give --out a file's name, for example {out / 'accuracy'}.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out.parent} cannot be a folder ({error.strerror}). Choose another --out.") from None
    return out.resolve()


@app.command()
def doctor(json_: Json = False) -> None:
    """What runs here: versions, device, threads, folders, memory, optional parts."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import psutil

    import core
    from core.settings import settings

    chosen = settings()
    about: dict[str, Any] = {"scalescope": core.__version__, "python": platform.python_version()}
    for name in ("torch", "streamlit", "altair", "duckdb", "pandas", "pyarrow", "numpy", "safetensors"):
        try:
            about[name] = version(name)
        except PackageNotFoundError:
            about[name] = "missing; run make venv"
    about |= _device(chosen.device, chosen.threads)
    about |= _scans()
    about |= {"home": str(chosen.home)}
    about["free memory"] = f"{psutil.virtual_memory().available / 2**30:.1f} GiB"
    for name, module, why in (
        ("pictures (PNG, SVG)", "vl_convert", "charts can be looked at, not saved as pictures"),
        ("bundled real series", "statsmodels", "only the synthetic sample is there"),
        ("mamba-ssm", "mamba_ssm", "optional, CUDA only; see README"),
    ):
        about[name] = _part(module, why)
    if json_:
        _print(about)
        return
    for key, value in about.items():
        typer.echo(f"{key:20} {value}")


# What the commands share


def _object(option: str, text: str) -> dict[str, Any]:
    """The JSON object given to this option. Raises UserError for anything else."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{option} is not JSON: {error.msg} at character {error.pos + 1}. Write for example {{}}."
        ) from None
    if not isinstance(found, dict):
        raise UserError(f"{option} must be a JSON object such as {{}}, not {text[:40]}.")
    return found


def _list(option: str, text: str) -> list[str]:
    """What stands between the commas, each once."""
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise UserError(f"{option} names nothing. Give at least one, several with commas between them.")
    return found


def _number(option: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{option}: {text!r} is not a number of steps. Write for example 96,192.")
    return int(text)


def _names(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Comma-separated column names, read as one CSV line so that a name may hold a comma in quotes."""
    names = tuple(next(csv.reader([text], skipinitialspace=True), ()))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"There is no column {unknown[0]!r}. Choose among {', '.join(known[:20])}.")
    return names


def _first(error: "ValidationError") -> str:
    """The first fault of a rejected option as a sentence."""
    fault = error.errors()[0]
    field = ".".join(str(part) for part in fault["loc"]) or "the options"
    return f"{field}: {fault['msg']} (given: {fault['input']!r})."


def _tell(event: "Event") -> None:
    """One line an epoch, on stderr."""
    from core.training.events import Cancelled, EpochDone, Started

    match event:
        case Started():
            line = (
                f"{event.parameters:,} parameters, {event.train_windows:,} windows, {event.batches} batches an epoch, "
                f"{event.device} with {event.threads} threads"
            )
        case EpochDone():
            line = (
                f"epoch {event.epoch}/{event.epochs} train {event.train_loss:.4f} validation "
                f"{event.validation_loss:.4f}{' *' if event.best else ''} {event.seconds:.1f} s"
            )
        case Cancelled():
            line = f"cancelled after {event.epochs_run} epochs; kept: epoch {event.best_epoch or 'none'}"
        case _:
            return
    typer.echo(line, err=True)


def _print(about: dict[str, Any], lines: bool = True) -> None:
    """JSON on stdout, null for what is no number; on one line where ``lines`` is False."""
    from core.jobs.worker import finite

    typer.echo(json.dumps(finite(about), indent=2 if lines else None, ensure_ascii=False, allow_nan=False))


def _choices(file: Path) -> dict[str, Any]:
    """The fields of a ``Choice`` that a file of repairs sets. Raises UserError for one that sets none, or wrongly."""
    from pydantic import ValidationError

    from core.data.choice import Choice

    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file.name} cannot be read as repairs: {str(error).splitlines()[0]}.") from None
    if isinstance(found, dict) and isinstance(found.get("choice"), dict):
        found = found["choice"]  # a whole card
    if not isinstance(found, dict) or not found:
        raise UserError(f'{file.name} holds no repairs. It must be a JSON object such as {{"fill": "linear"}}.')
    if strange := sorted(set(found) - set(Choice.model_fields)):
        raise UserError(f"{file.name} has no meaning for {strange[0]!r}. Known are {', '.join(Choice.model_fields)}.")
    try:
        chosen = Choice.model_validate(found)
    except ValidationError as error:
        raise UserError(f"{file.name}: {_first(error)}") from None
    return {name: getattr(chosen, name) for name in found}


def _read(
    file: Path,
    time_column: str | None,
    day_first: bool | None,
    fill: Fill,
    changes: dict[str, Any] | None = None,
    rejected: Path | None = None,
) -> "tuple[Series, Audit, Choice]":
    """A file read as it proposes itself, but for ``changes`` and what was said on the command line. What could not be
    read goes to ``rejected``."""
    from tempfile import TemporaryDirectory

    from core.data.read import parse, sniff
    from core.data.unpack import unpack
    from core.settings import settings

    if not file.is_file():
        raise UserError(f"There is no file {file}. Check the path.")
    with TemporaryDirectory(prefix="scalescope-") as folder:
        table = unpack(file, file.name, settings().max_upload_mb, Path(folder))
        choice = sniff(table.path, table.name).choice
        if time_column is not None:
            values = [name for name in choice.value_columns if name != time_column]
            choice = choice.model_copy(update={"time_column": time_column, "value_columns": values})
        said: dict[str, Any] = {} if day_first is None else {"day_first": day_first}
        said |= {} if fill == Fill.keep else {"fill": fill.value}
        choice = choice.model_copy(update={**(changes or {}), **said})
        series, audit = parse(table.path, choice, table.name)
        if rejected is not None:
            from core.data.rejects import rejected_csv

            rejected.write_text(rejected_csv(table.path, choice, table.name), encoding="utf-8")
    return series, audit.after(table.findings), choice


def _open(
    directory: Path, file: Path, time_column: str | None, day_first: bool | None, fill: Fill
) -> "tuple[LoadedRun, Series]":
    """A run and the series to use it on. Raises UserError where they do not belong together."""
    import torch

    from core.evaluate.run import LoadedRun
    from core.settings import Settings
    from core.training.device import resolve_threads

    torch.set_num_threads(resolve_threads(Settings().threads))

    run = LoadedRun.open(directory)
    series, _, _ = _read(file, time_column, day_first, fill)
    missing = [name for name in run.spec.needed if name not in series.variates]
    if missing:
        raise UserError(f"{file.name} has no column {missing[0]!r}, which the model in {directory} was trained with.")
    return run, series


def _window(run: "LoadedRun", series: "Series", window: int) -> int:
    count = run.count(series)
    if not 0 <= window < count:
        raise UserError(f"There is no test window {window}; this file has {count:,}, from 0 to {count - 1:,}.")
    return window


def _stamps(times: "np.ndarray") -> list[str | int]:
    """Times as ISO text in UTC, or as row numbers where the series has no clock."""
    import numpy as np

    if not np.issubdtype(times.dtype, np.datetime64):
        return times.tolist()
    return [text.replace("T", " ") for text in np.datetime_as_string(times.astype("datetime64[us]"), unit="s").tolist()]


def _device(wanted: str, threads: int) -> dict[str, str]:
    try:
        import torch
    except Exception as error:  # a broken installation is what a doctor is for
        return {"device": f"torch cannot be imported: {error}"}
    from core.training.device import resolve_device, resolve_threads

    device = resolve_device(wanted)
    name = f" ({torch.cuda.get_device_name()})" if device == "cuda" else ""
    return {"device": device + name, "cores": str(os.cpu_count()), "threads of a worker": str(resolve_threads(threads))}


def _scans() -> dict[str, str]:
    """Which form of the selective scan runs, on each device there is."""
    try:
        import torch

        from core.models.layers.selective_scan import scan_path
    except Exception:  # said already, for the device
        return {}
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    return {f"selective scan, {device}": "{0.name}: {0.reason}".format(scan_path(device)) for device in devices}


def _part(module: str, otherwise: str) -> str:
    try:
        importlib.import_module(module)
    except Exception as error:  # GPU packages fail with more than ImportError
        return f"missing: {otherwise} ({type(error).__name__})"
    return "runs"
