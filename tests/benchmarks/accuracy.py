"""Accuracy of CrossScaleNet on ETTh1 and ETTh2 over four horizons and two recipes, every test window, by seeds.

A finished cell is never run again: cells stand one a line in ``docs/results/accuracy.jsonl``. Needs the benchmark
series beside the checkout (see ``tests/conftest.py``).
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import torch

from core.data.read import parse, sniff
from core.data.series import Series
from core.data.windows import Scaler
from core.evaluate.metrics import metrics
from core.evaluate.run import LoadedRun
from core.training.device import keep_freed_memory
from core.training.events import Checkpointed, EpochDone
from core.training.loop import train
from core.training.recipes import preset, preset_options
from core.training.spec import Spec, Split

ROOT = Path(__file__).parents[2]
CELLS = ROOT / "docs" / "results" / "accuracy.jsonl"
SHARED = ROOT.parent / "shared" / "data"
# MSE of the public code on two CPU cores, published recipe, seed 2021, one seed; average over the four horizons
PUBLIC = {"ETTh1": (0.3993, 0.4427, 0.4812, 0.4892), "ETTh2": (0.2958, 0.3857, 0.4322, 0.4501)}
HORIZONS = (96, 192, 336, 720)


@dataclass(frozen=True)
class Cell:
    dataset: str
    horizon: int
    recipe: str
    seed: int


def grid(seeds: int, recipes: tuple[str, ...]) -> Iterator[Cell]:
    for seed in range(2021, 2021 + seeds):
        for recipe in recipes:
            for dataset in PUBLIC:
                for horizon in HORIZONS:
                    yield Cell(dataset, horizon, recipe, seed)


def run(
    seeds: int = 1, threads: int = 1, recipes: tuple[str, ...] = ("published", "balanced"), measured: str = ""
) -> None:
    """Runs what is missing and writes the table."""
    keep_freed_memory()
    done = {cell for cell, _ in finished()}
    for cell in grid(seeds, recipes):
        if cell not in done:
            with CELLS.open("a") as lines:
                lines.write(json.dumps(cell.__dict__ | result(cell, threads)) + "\n")
    write_table(measured)


def finished() -> list[tuple[Cell, dict[str, float]]]:
    found = []
    for line in CELLS.read_text().splitlines() if CELLS.exists() else []:
        about = json.loads(line)
        found.append((Cell(*(about.pop(k) for k in ("dataset", "horizon", "recipe", "seed"))), about))
    return found


def load(dataset: str) -> Series:
    path = SHARED / f"{dataset}.csv"
    proposal = sniff(path, path.name)
    return parse(path, proposal.choice)[0]


def result(cell: Cell, threads: int) -> dict[str, object]:
    series = load(cell.dataset)
    spec = Spec(
        variates=series.variates,
        targets=series.variates,
        split=Split.of(series),
        recipe=preset(cell.recipe),
        config=preset_options(cell.recipe),
        lookback=96,
        horizon=cell.horizon,
        seed=cell.seed,
        threads=threads,
    )
    begun, epochs, weights, best = time.time(), [], {}, 0
    for event in train(spec, series):
        if isinstance(event, EpochDone):
            epochs.append(event)
        if isinstance(event, Checkpointed) and event.weights is not None:
            weights, best = event.weights, event.epoch
    scaler = Scaler.fit(torch.from_numpy(series.select(spec.columns).values[: spec.split.train].copy()))
    card = {"spec": spec.model_dump(mode="json"), "season": 24}
    card["scaler"] = {"mean": scaler.mean.tolist(), "std": scaler.std.tolist()}
    scores = metrics(LoadedRun.of(card, weights), series)
    return {
        "mse": round(scores["mse"], 5),
        "mae": round(scores["mae"], 5),
        "windows": scores["windows"],
        "validation": round(min(e.validation_loss for e in epochs), 5),
        "best_epoch": best,
        "epochs": len(epochs),
        "seconds": round(time.time() - begun, 1),
    }


def write_table(measured: str) -> None:
    """``docs/results/accuracy.md`` from the finished cells: MSE, mean and deviation over the seeds there are."""
    cells = finished()
    lines = ["| set | recipe | seeds | 96 | 192 | 336 | 720 | average | public code's average |", "|---" * 9 + "|"]
    for dataset, public in PUBLIC.items():
        for recipe in ("published", "balanced"):
            columns, seeds = [], set()
            for horizon in HORIZONS:
                own = [r["mse"] for c, r in cells if (c.dataset, c.recipe, c.horizon) == (dataset, recipe, horizon)]
                seeds.add(len(own))
                columns.append((mean(own), stdev(own) if len(own) > 1 else None) if own else None)
            if None in columns:
                continue
            shown = [f"{m:.4f}" + (f" ± {s:.4f}" if s is not None else "") for m, s in columns]
            average = mean(m for m, _ in columns)
            cells_of_row = [dataset, recipe, str(min(seeds)), *shown, f"{average:.4f}", f"{mean(public):.4f}"]
            lines.append(f"| {' | '.join(cells_of_row)} |")
    (CELLS.parent / "accuracy.md").write_text("\n".join([HEADER, measured, "", *lines, ""]))


HEADER = """# Accuracy: CrossScaleNet on ETT, look-back 96

Test MSE on the z-scored scale, every test window
(2,785 / 2,689 / 2,545 / 2,161), CPU. `published` is the paper's schedule, `balanced` ours; its settings were chosen on
validation windows only (see [recipe.md](recipe.md)). "± " is the deviation over seeds. Cells:
[accuracy.jsonl](accuracy.jsonl). The public code's figures are one seed on the same kind of machine.
"""
