"""The shipped models on disk: ``make`` trains one with the project's own worker, ``load`` and ``stored`` read it.

Each is three files of ``assets/pretrained``: the weights with their card inside, ``NAME.json`` with the card and what
was measured, ``NAME.answer.json`` with the answer about its first window. A model that is trained again on this machine
lies in a folder of the home and goes before the shipped one.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.series import Series
from core.errors import UserError
from core.lesson.answer import Answer, answer
from core.lesson.models import SHIPPED, Shipped
from core.settings import settings

if TYPE_CHECKING:
    from core.evaluate.run import LoadedRun
    from core.training.events import Event

FOLDER = Path(__file__).parents[2] / "assets" / "pretrained"
SCORED = 64  # test windows that maps are scored on
UNTRAINED = 7  # the seed of the broken model
ASKED = ("adds_up", "gradient", "occlusion")


def shipped(name: str) -> Shipped:
    """Raises UserError for an unknown name."""
    if name not in SHIPPED:
        raise UserError(f"The lesson has no model {name[:40]!r}. It has {', '.join(SHIPPED)}.")
    return SHIPPED[name]


@cache
def series_of(name: str) -> Series:
    """The series of a shipped model, made once."""
    return shipped(name).series()


def folder_of(name: str) -> Path:
    """Where the model lies: trained again here, else as shipped."""
    again = settings().home / "lesson"
    return again if (again / f"{name}.safetensors").exists() else FOLDER


def load(name: str) -> "LoadedRun":
    """A model, ready to answer. Raises UserError where its file is missing, damaged or not the one of this name."""
    from core.evaluate.run import LoadedRun
    from core.training.checkpoint import load_weights, read_card

    one, folder = shipped(name), folder_of(name)
    path = folder / f"{name}.safetensors"
    if not path.exists():
        raise UserError(f"The lesson's model {one.title} is missing. It can be trained here in under half a minute.")
    try:
        card = read_card(path)
        with_numbers = folder / f"{name}.json"
        if with_numbers.exists():
            card |= json.loads(with_numbers.read_text("utf-8"))
        return LoadedRun.of(card, load_weights(path))
    except (UserError, ValueError) as error:
        raise UserError(
            f"The lesson's model {one.title} is damaged ({error}). It can be trained here in under half a minute."
        ) from None


def card(name: str) -> dict[str, Any]:
    """What was measured when it was made; empty where the file is missing or damaged."""
    try:
        return json.loads((folder_of(name) / f"{name}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def stored(name: str) -> Answer | None:
    """The answer about the first window, without torch; None where there is none that can be read."""
    shipped(name)
    try:
        return Answer.from_json((folder_of(name) / f"{name}.answer.json").read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make(name: str, folder: Path, heard: "Callable[[Event], None]" = lambda event: None) -> dict[str, Any]:
    """Trains one, scores it, and writes its three files. Returns what was measured. Raises UserError where the training
    fails."""
    from core.jobs.directory import JobDirectory
    from core.jobs.worker import work
    from core.training.checkpoint import load_weights
    from core.training.events import Finished

    one, series, begun = shipped(name), series_of(name), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="scalescope-lesson-") as place:
        job = JobDirectory.create(Path(place) / name, one.spec(series), series, one.title)
        if one.trained:
            last = work(job.path, heard)
            if not isinstance(last, Finished):
                raise UserError(f"{one.title} could not be trained: {getattr(last, 'sentence', 'it was stopped')}")
            about, weights = job.card(), load_weights(job.path / "checkpoint.safetensors")
        else:
            about, weights = _untrained(one, series)
    seconds = time.perf_counter() - begun
    about = _small(about) | {"about": one.about, "seconds": round(seconds, 1)}
    _write(folder, name, weights, about)
    run = _opened(folder, name)
    about["scores"] = _scores(run, series, one)
    _write(folder, name, weights, about)
    first = answer(_opened(folder, name), series, name, one.window, one.step, occlusion=True)
    (folder / f"{name}.answer.json").write_text(first.to_json(), "utf-8")
    return about


def _opened(folder: Path, name: str) -> "LoadedRun":
    from core.evaluate.run import LoadedRun
    from core.training.checkpoint import load_weights

    about = json.loads((folder / f"{name}.json").read_text("utf-8"))
    return LoadedRun.of(about, load_weights(folder / f"{name}.safetensors"))


def _write(folder: Path, name: str, weights: Any, about: dict[str, Any]) -> None:
    from core.jobs.worker import finite
    from core.training.checkpoint import write_tensors

    folder.mkdir(parents=True, exist_ok=True)
    bare = {k: v for k, v in about.items() if k in ("spec", "scaler", "name", "series", "season", "seed", "versions")}
    write_tensors(folder / f"{name}.safetensors", weights, {"scalescope": json.dumps(finite(bare))})
    (folder / f"{name}.json").write_text(json.dumps(finite(about), indent=1) + "\n", "utf-8")


def _small(about: dict[str, Any]) -> dict[str, Any]:
    """The card without what belongs to one machine or one job."""
    return {k: v for k, v in about.items() if k not in ("id", "device", "threads", "seconds_per_epoch")}


def _untrained(one: Shipped, series: Series) -> tuple[dict[str, Any], Any]:
    import torch

    from core.data.windows import Scaler
    from core.evaluate.metrics import metrics
    from core.evaluate.run import LoadedRun
    from core.explain.relevance import relevance
    from core.models.contract import Shape
    from core.models.registry import build

    spec = one.spec(series)
    torch.manual_seed(UNTRAINED)
    model = build(spec.model, spec.config, Shape(spec.lookback, spec.horizon, len(spec.columns), spec.withheld))
    part = series.part(spec.columns, 0, spec.split.train)
    scaler = Scaler(torch.from_numpy(part.mean(axis=0)), torch.from_numpy(part.std(axis=0)))
    about: dict[str, Any] = {
        "name": one.title,
        "spec": spec.model_dump(mode="json"),
        "scaler": {"mean": scaler.mean.tolist(), "std": scaler.std.tolist()},
        "season": 1,
        "seed": UNTRAINED,
    }
    weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
    run = LoadedRun.of(about, weights)
    about["metrics"], about["relevance"] = metrics(run, series), relevance(run, series)
    return about, weights


def _scores(run: "LoadedRun", series: Series, one: Shipped) -> dict[str, float]:
    """Mean AUPRC of every map over test windows, by title, at the step that is asked about first."""
    from core.explain.attribution import score
    from core.explain.methods.contract import Question

    if not series.truth:
        return {}
    asked = Question(run.spec.columns.index("y"), one.step)
    found = score(run, series, asked, ASKED, SCORED)
    return {each.title: round(float(each.step["auprc"][0]), 4) for each in found}


def main() -> None:
    """``python -m core.lesson.pretrained [NAME ...]``: all of them, or these, into ``assets/pretrained``."""
    for name in sys.argv[1:] or SHIPPED:
        about = make(name, FOLDER)
        told = ", ".join(f"{title} {value:.2f}" for title, value in about["scores"].items() if not math.isnan(value))
        mse = about["metrics"]["mse"]
        sys.stdout.write(f"{name}: {about['seconds']} s, test MSE {mse:.3f}; AUPRC: {told or 'no rule is known'}\n")


if __name__ == "__main__":
    main()
