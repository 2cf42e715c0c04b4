"""The shipped models on disk: ``make`` trains one with the project's own loop, ``load`` and ``stored`` read it.

Each is three files of ``assets/pretrained``: the weights with their card inside, ``NAME.json`` with the card and what
was measured, ``NAME.answer.json`` with the answer about its first window. A model that is trained again on this machine
lies in a folder of the home and goes before the shipped one.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.series import Series
from core.errors import UserError
from core.lesson.answer import Answer, answer
from core.lesson.models import SHIPPED, Shipped
from core.settings import settings
from core.training.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

    from core.evaluate.run import LoadedRun
    from core.training.events import Event

FOLDER = Path(__file__).parents[2] / "assets" / "pretrained"
AGAIN = "It can be trained here in about half a minute."
SCORED = 64  # test windows that maps are scored on
UNTRAINED = 7  # the seed of the broken model
ASKED = ("adds_up", "gradient", "occlusion")


class Lost(UserError):
    """A shipped model that cannot be read; ``name`` is which, so that it can be trained again."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


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
    """A model, ready to answer. Raises Lost where its file is missing, damaged or not the one of this name."""
    from core.evaluate.run import LoadedRun
    from core.training.checkpoint import load_weights, read_card

    one, folder = shipped(name), folder_of(name)
    path = folder / f"{name}.safetensors"
    if not path.exists():
        raise Lost(name, f"The lesson's model {one.title} is missing. {AGAIN}")
    try:
        card = read_card(path)
        with_numbers = folder / f"{name}.json"
        if with_numbers.exists():
            card |= json.loads(with_numbers.read_text("utf-8"))
        return LoadedRun.of(card, load_weights(path))
    except (UserError, ValueError) as error:
        raise Lost(name, f"The lesson's model {one.title} is damaged ({error}). {AGAIN}") from None


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


def train_again(name: str, folder: Path | None = None) -> "Iterator[Event]":
    """Trains one with the project's own loop, in this thread, and tells what happens; into the folder of this machine
    where none is given. Its files are written at the end, all of them, before the last event, which is Finished: who
    stops listening before has changed nothing. Raises UserError where the training fails.

    The count of threads and torch's random numbers are as before when it ends.
    """
    import torch

    from core.jobs.worker import finite
    from core.training.events import Finished

    one, series, begun = shipped(name), series_of(name), time.perf_counter()
    folder = settings().home / "lesson" if folder is None else folder
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    try:
        about, weights = yield from _trained(one, series) if one.trained else _untrained(one, series)
        about |= {"about": one.about, "seconds": round(time.perf_counter() - begun, 1)}
        about = finite(about | _measured(about, weights, series, one))
        first = answer(_run(about, weights), series, name, one.window, one.step, occlusion=True)
        _write(folder, name, weights, about, first)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)
    numbers = (about.get("epochs_run", 0), about.get("best_epoch", 0), about["seconds"], False)
    yield Finished(time.time(), *numbers, metrics=about["metrics"])


def make(name: str, folder: Path, heard: "Callable[[Event], None]" = lambda event: None) -> dict[str, Any]:
    """The same to its end. Returns the card with what was measured."""
    for event in train_again(name, folder):
        heard(event)
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


Made = tuple[dict[str, Any], "dict[str, Tensor]"]  # card and weights


def _trained(one: Shipped, series: Series) -> "Generator[Event, None, Made]":
    from core.training.events import Checkpointed, EpochDone, Finished, Started
    from core.training.loop import train

    spec, weights = one.spec(series), {}
    about = _card(one, spec, series)
    for event in train(spec, series):
        if isinstance(event, Finished):
            break  # told once it is measured
        if isinstance(event, Started):
            about["parameters"] = event.parameters
        if isinstance(event, EpochDone):
            about["epochs_run"] = event.epoch
            if event.best:
                about |= {"best_epoch": event.epoch, "validation": event.validation_loss}
        if isinstance(event, Checkpointed) and event.weights is not None:
            weights = {k: v.clone() for k, v in event.weights.items()}
        yield event
    return about, weights


def _untrained(one: Shipped, series: Series) -> "Generator[Event, None, Made]":
    import torch

    from core.training.loop import make_model

    spec = one.spec(series)
    torch.manual_seed(UNTRAINED)
    weights = {k: v.detach().clone() for k, v in make_model(spec).state_dict().items()}
    yield from ()
    return _card(one, spec, series) | {"seed": UNTRAINED}, weights


def _card(one: Shipped, spec: Spec, series: Series) -> dict[str, Any]:
    """Everything that makes the result reproducible."""
    from core.data.windows import Scaler
    from core.evaluate.season import season
    from core.jobs.worker import versions

    scaler = Scaler.fit(series, spec.columns, spec.split.train)
    return {
        "name": one.title,
        "spec": spec.model_dump(mode="json"),
        "series": {
            "name": series.name,
            "fingerprint": series.fingerprint,
            "variates": list(series.variates),
            "rows": len(series),
        },
        "scaler": {"mean": scaler.mean.tolist(), "std": scaler.std.tolist()},
        "season": season(series, spec),
        "seed": spec.seed,
        "versions": versions(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _measured(about: dict[str, Any], weights: "dict[str, Tensor]", series: Series, one: Shipped) -> dict[str, Any]:
    """Errors on all test windows beside the baselines, what the attention is worth, and what each map finds."""
    from core.evaluate import baselines
    from core.evaluate.metrics import metrics
    from core.explain.relevance import relevance

    run = _run(about, weights)
    beside = baselines.scores(run, series, baselines.estimate(run, series))
    return {
        "metrics": metrics(run, series) | {"baselines": beside},
        "relevance": relevance(run, series),
        "scores": _scores(run, series, one),
    }


def _run(about: dict[str, Any], weights: "dict[str, Tensor]") -> "LoadedRun":
    from core.evaluate.run import LoadedRun

    return LoadedRun.of(about, weights)


INSIDE = ("spec", "scaler", "name", "series", "season", "seed", "versions")  # of the card, in the file of the weights


def _write(folder: Path, name: str, weights: "dict[str, Tensor]", about: dict[str, Any], first: Answer) -> None:
    """The weights come last: they are what makes the others count."""
    from core.training.checkpoint import write_tensors

    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.answer.json").write_text(first.to_json(), "utf-8")
    (folder / f"{name}.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    inside = {k: v for k, v in about.items() if k in INSIDE}
    write_tensors(folder / f"{name}.safetensors", weights, {"scalescope": json.dumps(inside)})


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
