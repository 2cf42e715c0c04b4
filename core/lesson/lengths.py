"""Series of different lengths whose class is the scale of one event in them, and a ScaleFusion that tells them apart:
what length-aligned features are for (arXiv 2509.17845).

Every series is noise with one bump in it, at a random place and of either sign; a spike of 4 steps, a bump of 16 or a
swell of 64 is the class. Series of some lengths are learned from, series of the lengths between are judged. The true
steps of a series are those of its event, so that a map of a class can be right or wrong. No torch until it is asked.

Shape suffixes: T steps of a series, K classes, M series.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.lesson.answer import Map, auprc
from core.training.spec import Spec, Split

if TYPE_CHECKING:
    from core.models.classification import ScaleFusionClassifier

FOLDER = Path(__file__).parents[2] / "assets" / "lengths"
NAME, TITLE = "scalefusion-lengths", "ScaleFusion on lengths"
CLASSES = {"spike": 4, "bump": 16, "swell": 64}  # steps of the event
LEARNED, JUDGED = (128, 160, 192, 224, 255), (144, 176, 208, 240)  # all of one interval of the length rule
NOISE, SIZE = 0.5, 2.0
# chosen by the accuracy on further series of the learned lengths, and by the size
CONFIG: dict[str, Any] = {"patch": 16, "width": 16, "cap": 16, "dropout": 0.0}
SERIES, EPOCHS, RATE, SEED = 2400, 14, 2e-3, 1


@dataclass(frozen=True)
class Event:
    """One series: ``values`` (T,), its class and the steps [first, last) of its event."""

    values: np.ndarray
    label: int
    first: int
    last: int

    @property
    def weights(self) -> np.ndarray:
        """Which steps carry the class, T x 1."""
        found = np.zeros((len(self.values), 1))
        found[self.first : self.last] = 1.0
        return found


@dataclass(frozen=True)
class Told:
    """``chances`` (K,) by class; ``maps`` are of the likeliest one, over the steps of the series."""

    event: Event
    chances: np.ndarray
    maps: tuple[Map, ...]

    @property
    def label(self) -> int:
        return int(self.chances.argmax())

    def map(self, name: str) -> Map | None:
        return next((one for one in self.maps if one.name == name), None)


def draw(count: int, lengths: Sequence[int], seed: int) -> list[Event]:
    """``count`` series, the classes in turn, of these lengths at random."""
    rng = np.random.default_rng([seed, len(CLASSES)])
    found = []
    for i in range(count):
        steps, label = int(rng.choice(lengths)), i % len(CLASSES)
        width = list(CLASSES.values())[label]
        first = int(rng.integers(0, steps - width + 1))
        values = NOISE * rng.standard_normal(steps)
        values[first : first + width] += rng.choice((-1, 1)) * SIZE * np.hanning(width + 2)[1:-1]
        found.append(Event(values.astype(np.float32), label, first, first + width))
    return found


def train() -> tuple[ScaleFusionClassifier, dict[str, Any]]:
    """Learns from fresh series with a fixed seed, on one thread; the classifier, and its card with what it reaches on
    series of other lengths."""
    import torch

    from core.jobs.worker import versions
    from core.models import classification

    begun, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            found = built()
            events = draw(SERIES, LEARNED, SEED)
            labels = torch.tensor([event.label for event in events])
            classification.train(found, _tensors(events), labels, epochs=EPOCHS, learning_rate=RATE)
        seconds = time.perf_counter() - begun
        card = {
            "name": TITLE,
            "spec": _spec().model_dump(mode="json"),
            "classes": CLASSES,
            "lengths": {"learned": LEARNED, "judged": JUDGED},
            "metrics": metrics(found),
            "seconds": round(seconds, 1),
            "seed": SEED,
            "versions": versions(),
        }
        return found.eval(), card
    finally:
        torch.set_num_threads(threads)


def built() -> ScaleFusionClassifier:
    """One that has learned nothing."""
    from core.models.classification import ScaleFusionClassifier
    from core.models.contract import Shape
    from core.models.scalefusion import Config, ScaleFusion

    spec = _spec()
    model = ScaleFusion(Config.model_validate(spec.config), Shape(spec.lookback, spec.horizon, 1))
    return ScaleFusionClassifier(model, len(CLASSES))


def metrics(found: ScaleFusionClassifier) -> dict[str, Any]:
    """Accuracy over 600 series of lengths that were not learned from, by length too, beside chance; and the mean AUPRC
    of each map over 24 of them that are told right, beside an even map's."""
    events = draw(600, JUDGED, SEED + 1)
    labels = np.array([event.label for event in events])
    right = np.asarray(found.predict(_tensors(events))) == labels
    lengths = np.array([len(event.values) for event in events])
    told = [tell(found, event) for event in np.array(events, object)[right][:24]]
    return {
        "accuracy": float(right.mean()),
        "chance": 1 / len(CLASSES),
        "by_length": {str(steps): float(right[lengths == steps].mean()) for steps in JUDGED},
        "auprc": {
            one.name: float(np.mean([found.maps[i].auprc for found in told])) for i, one in enumerate(told[0].maps)
        },
        "even": float(np.mean([found.event.weights.mean() for found in told])),
    }


def tell(found: ScaleFusionClassifier, event: Event) -> Told:
    """The classes of one series, and what of it spoke for the likeliest. Raises UserError for a length outside the
    interval, or values that are not finite."""
    import torch
    from torch import nn

    from core.explain.attribution import step_maps_of
    from core.explain.methods.contract import Probe, Question
    from core.models.contract import Shape

    class Logits(nn.Module):
        """The classifier in the place of a forecaster: its steps ahead are the classes."""

        def __init__(self) -> None:
            super().__init__()
            self.found, self.shape = found, Shape(len(event.values), len(CLASSES), 1)

        def forward(self, x_MTC: torch.Tensor) -> torch.Tensor:
            return self.found(x_MTC)[..., None]

    if not np.isfinite(event.values).all():
        raise UserError("The series holds an empty or infinite value. Write a number in its place, or undo the change.")
    x_1T1 = _tensors([event])[0][None]
    with torch.no_grad():
        chances = found.eval()(x_1T1).softmax(-1)[0].numpy()
    probe = Probe(Logits(), x_1T1, Question(0, int(chances.argmax())))  # type: ignore[arg-type]
    maps = step_maps_of(probe, ["gradient", "occlusion", "occlusion_patch"])
    return Told(event, chances, tuple(Map(m.title, m.values, auprc(m.values, event.weights)) for m in maps))


def save(found: ScaleFusionClassifier, card: dict[str, Any], folder: Path = FOLDER) -> None:
    """The weights with the card inside, and the card."""
    from core.training.checkpoint import write_tensors

    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / f"{NAME}.safetensors", found.state_dict(), {"scalescope": json.dumps(card)})
    (folder / f"{NAME}.json").write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def load(folder: Path = FOLDER) -> ScaleFusionClassifier:
    """Raises UserError where the file is missing, damaged or not this one."""
    from core.training.checkpoint import load_weights, read_card

    path = folder / f"{NAME}.safetensors"
    again = "It can be trained here in under half a minute."
    if not path.exists():
        raise UserError(f"The lesson's model {TITLE} is missing. {again}")
    found = built()
    try:
        read_card(path)
        found.load_state_dict(load_weights(path))
    except (UserError, RuntimeError) as error:
        raise UserError(f"The lesson's model {TITLE} is damaged ({str(error).splitlines()[0]}). {again}") from None
    return found.eval().requires_grad_(False)


def _spec() -> Spec:
    """What the encoder is; its head for forecasts is not learned."""
    split = Split(train=1, validation=2, test=2)
    about: dict[str, Any] = {"series_name": "events of three scales", "model": "scalefusion", "config": CONFIG}
    size: dict[str, Any] = {"lookback": LEARNED[-1], "horizon": 1, "split": split}
    return Spec(**about, **size, variates=("x",), targets=("x",), seed=SEED, device="cpu", threads=1)


def _tensors(events: Sequence[Event]) -> list[Any]:
    import torch

    return [torch.from_numpy(event.values)[:, None] for event in events]


def main() -> None:
    """``python -m core.lesson.lengths``: trains it into ``assets/lengths``."""
    found, card = train()
    save(found, card, FOLDER)
    measured = card["metrics"]
    told = ", ".join(f"{title} {value:.2f}" for title, value in measured["auprc"].items())
    sys.stdout.write(
        f"{NAME}: {card['seconds']} s, accuracy {measured['accuracy']:.3f} on lengths that were not learned from; "
        f"AUPRC: {told}, an even map {measured['even']:.2f}\n"
    )


if __name__ == "__main__":
    main()
