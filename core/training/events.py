"""What training says while it runs: small frozen records, one JSON line each in a job's ``events.jsonl``.

The generator in ``loop.py`` yields them, the worker writes them, pages read them back. No torch here.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Event:
    """Base of all events. ``time`` is seconds since the epoch."""

    kind: ClassVar[str] = "event"
    final: ClassVar[bool] = False  # no further event follows
    time: float

    def to_json(self) -> str:
        return json.dumps({"kind": self.kind} | asdict(self), allow_nan=True)


@dataclass(frozen=True)
class Started(Event):
    """Training is set up. Counts are per epoch; ``resumed_from`` is the last finished epoch of an earlier attempt.
    ``batches`` is 0 for a model that is fitted, not trained step by step."""

    kind: ClassVar[str] = "started"
    parameters: int
    epochs: int
    batches: int
    train_windows: int
    validation_windows: int
    device: str
    threads: int
    resumed_from: int = 0


@dataclass(frozen=True)
class Progress(Event):
    """Inside an epoch, a few times a second. ``loss`` is the mean training loss so far in this epoch; ``stage`` is
    "pretraining" where forecasting is not learnt yet."""

    kind: ClassVar[str] = "progress"
    epoch: int
    batch: int
    batches: int
    loss: float
    windows_per_second: float
    stage: str = "forecasting"


@dataclass(frozen=True)
class Pretrained(Event):
    """One epoch of pretraining is over; ``loss`` is what it minimised, not to be compared with an MSE."""

    kind: ClassVar[str] = "pretrained"
    epoch: int
    epochs: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class EpochDone(Event):
    """One epoch is over. Losses are MSE on z-scored targets. ``scale_weights`` are sigmoid(w_m), fine to coarse
    (empty for models without scales). ``example`` is the forecast of one fixed validation window for the first
    target on the z-scored scale: ``{"lookback": [L], "truth": [H], "forecast": [H], "target": name}``."""

    kind: ClassVar[str] = "epoch"
    epoch: int
    epochs: int
    train_loss: float
    validation_loss: float
    best: bool
    seconds: float
    learning_rate: float
    windows_per_second: float
    eta_seconds: float
    scale_weights: list[float] = field(default_factory=list)
    example: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpointed(Event):
    """The best weights so far were handed over (``weights``), with what a resume needs (``resume``).

    Both are flat name -> tensor mappings that the worker writes as safetensors; they stay out of the JSON.
    ``weights`` is None where this epoch was not the best.
    """

    kind: ClassVar[str] = "checkpoint"
    epoch: int
    validation_loss: float
    weights: dict[str, Any] | None = field(default=None, repr=False, compare=False)
    resume: dict[str, Any] | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> str:
        about = {"kind": self.kind, "time": self.time, "epoch": self.epoch, "validation_loss": self.validation_loss}
        return json.dumps(about)


@dataclass(frozen=True)
class Finished(Event):
    """Training ended by itself. ``metrics`` as in a run's card (see ``core.evaluate.metrics``)."""

    kind: ClassVar[str] = "finished"
    final: ClassVar[bool] = True
    epochs_run: int
    best_epoch: int
    seconds: float
    stopped_early: bool
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cancelled(Event):
    """A person stopped it; the best checkpoint so far stays (``best_epoch`` 0: there was none yet)."""

    kind: ClassVar[str] = "cancelled"
    final: ClassVar[bool] = True
    epochs_run: int
    best_epoch: int


@dataclass(frozen=True)
class Failed(Event):
    """It could not go on. ``sentence`` is for the person; ``log`` is the traceback for us."""

    kind: ClassVar[str] = "failed"
    final: ClassVar[bool] = True
    sentence: str
    log: str = ""


KINDS = {c.kind: c for c in (Started, Progress, Pretrained, EpochDone, Checkpointed, Finished, Cancelled, Failed)}


def from_json(line: str) -> Event:
    """The event of one line. Raises ValueError for a line that is none (a torn last line, say)."""
    try:
        about = json.loads(line)
        return KINDS[about.pop("kind")](**about)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {line[:80]!r}") from error
