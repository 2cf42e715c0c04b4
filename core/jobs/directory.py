"""A job's directory: the only thing a worker and the server share. What each file is, who writes it, how it is read.

| file | written by | what |
|---|---|---|
| ``spec.json``, ``series/``, ``job.json`` | server | what to train, on what, under which name |
| ``queued`` | server | its place in the queue (seconds since the epoch); gone once a worker starts |
| ``worker.json`` | server | process of the present attempt, and how many events came before it |
| ``cancel`` | server | asks the worker to stop |
| ``events.jsonl`` | worker | one line an event, appended only; a torn line (power cut, kill -9) is skipped |
| ``progress.json`` | worker | the latest Progress only, so that the log stays at a few lines an epoch |
| ``checkpoint.safetensors``, ``card.json`` | worker | the best model so far, and its card |
| ``resume.safetensors`` | worker | what a resume needs: everything after the last finished epoch |
| ``log.txt`` | worker | what it printed, and tracebacks |

Files that are replaced are written beside and renamed, so that a reader sees the old or the new, never half of one.
No torch here and no database.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil

from core.data.series import Series
from core.training.events import Cancelled, EpochDone, Event, Failed, Finished, Progress, Started, from_json
from core.training.spec import Spec

SERIES = "series"
State = Literal["queued", "running", "finished", "cancelled", "interrupted", "failed"]
ACTIVE: tuple[State, ...] = ("queued", "running")


@dataclass(frozen=True)
class JobDirectory:
    """The directory at ``path`` in the words of a job."""

    path: Path

    @classmethod
    def create(cls, path: Path, spec: Spec, series: Series, name: str) -> "JobDirectory":
        """In a new or empty folder. Only the columns that the spec needs are copied, computed ones too."""
        path.mkdir(parents=True, exist_ok=True)
        job = cls(path)
        spec.seen(series).write(path / SERIES, spec.columns)
        job.write("job.json", {"name": name, "submitted_at": time.time()})
        job.write("spec.json", spec.model_dump(mode="json"))
        return job

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def name(self) -> str:
        return self.read("job.json").get("name", "")

    def spec(self) -> Spec:
        return Spec.model_validate(self.read("spec.json"))

    def series(self) -> Series:
        """Mapped from its folder, or read from the one Arrow file that earlier versions wrote."""
        old = self.path / "series.arrow"
        return _arrow(old) if old.exists() else Series.read(self.path / SERIES)

    def has_series(self) -> bool:
        return self.path.joinpath(SERIES).exists() or self.path.joinpath("series.arrow").exists()

    def card(self) -> dict[str, Any]:
        """The run's card; empty before the first checkpoint."""
        return self.read("card.json")

    # -- small JSON files ---------------------------------------------------------------------------------------------

    def read(self, file: str) -> dict[str, Any]:
        """The JSON object in this file, or an empty one where there is none."""
        try:
            return json.loads((self.path / file).read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            return {}

    def write(self, file: str, about: Mapping[str, Any]) -> None:
        """Replaces this file as a whole."""
        beside = self.path / f".{file}.{os.getpid()}"
        beside.write_text(json.dumps(about, indent=1), "utf-8")
        beside.replace(self.path / file)

    # -- events -------------------------------------------------------------------------------------------------------

    def events(self) -> tuple[Event, ...]:
        """All events of all attempts, in order, without Progress."""
        file = self.path / "events.jsonl"
        try:
            about = file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return _events(file, about.st_size, about.st_mtime_ns)

    def append(self, event: Event) -> None:
        """Adds one event. A torn line before it is closed first, so that it stays alone in being lost."""
        file = self.path / "events.jsonl"
        with file.open("ab+") as lines:
            if lines.tell():
                lines.seek(-1, os.SEEK_END)
                if lines.read(1) != b"\n":
                    lines.write(b"\n")
            lines.write(event.to_json().encode() + b"\n")

    def progress(self) -> Progress | None:
        """The latest Progress of this attempt."""
        try:
            event = from_json((self.path / "progress.json").read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return event if isinstance(event, Progress) else None

    def epochs(self) -> list[EpochDone]:
        """Finished epochs in order; where an attempt repeated some, those of the later attempt."""
        found: dict[int, EpochDone] = {}
        for event in self.events():
            if isinstance(event, Started):
                found = {epoch: e for epoch, e in found.items() if epoch <= event.resumed_from}
            elif isinstance(event, EpochDone):
                found[event.epoch] = event
        return list(found.values())

    def epochs_run(self) -> int:
        """Epochs finished in all attempts together."""
        return len(self.epochs())

    def best_epoch(self) -> int:
        """The epoch whose weights the checkpoint holds; 0 where there is none yet."""
        return self.card().get("best_epoch", 0)

    def scoring(self) -> bool:
        """Whether training is over and the model is being scored."""
        return self.read("progress.json").get("kind") == "scoring"

    # -- the process --------------------------------------------------------------------------------------------------

    def started(self, process: int, before: int) -> None:
        """Notes the process of a new attempt, ``before`` events after the first, and takes the job out of the queue."""
        try:
            created = psutil.Process(process).create_time()
        except psutil.Error:  # it is over already; its events say how
            created = 0.0
        self.write("worker.json", {"process": process, "created": created, "events": before})
        self.path.joinpath("queued").unlink(missing_ok=True)

    def alive(self) -> bool:
        """Whether the worker of the latest attempt still runs."""
        return self.process() is not None

    def process(self) -> psutil.Process | None:
        """The living worker: the process number and its creation time both match, since numbers are used again."""
        about = self.read("worker.json")
        try:
            process = psutil.Process(about["process"])
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            # The creation time moves when the system's clock is set; the directory in the command line does not.
            same = abs(process.create_time() - about["created"]) < 1 or str(self.path) in process.cmdline()
        except (KeyError, psutil.Error):
            return None
        return process if same else None

    def last_word(self) -> Event | None:
        """The event that ended the latest attempt, or None while it has not ended by its own account."""
        before = self.read("worker.json").get("events", 0)
        events = self.events()[before:]
        return events[-1] if events and events[-1].final else None

    def state(self) -> State:
        """Where the job stands, from the files and the process alone."""
        if self.path.joinpath("queued").exists():
            return "queued"
        alive = self.alive()  # before the events, or a worker that ends in between would look dead without a last word
        match self.last_word():
            case Finished():
                return "finished"
            case Cancelled():
                return "cancelled"
            case Failed():
                return "failed"
        if alive:
            return "running"
        return "cancelled" if self.path.joinpath("cancel").exists() else "interrupted"


def _arrow(file: Path) -> Series:
    """Columns t, v0, v1, ...; names, zone and truth in the schema's metadata."""
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        table = pa.ipc.open_file(source).read_all()
        about = json.loads(table.schema.metadata[b"scalescope"])
        values = np.stack([table.column(i + 1).to_numpy() for i in range(len(about["variates"]))], axis=1)
        times = table.column("t").to_numpy().copy()
    values = np.ascontiguousarray(values, np.float32)
    return Series(about["name"], times, values, tuple(about["variates"]), about["zone"], about["truth"])


@lru_cache(maxsize=64)
def _events(file: Path, size: int, changed: int) -> tuple[Event, ...]:
    """Events of the first ``size`` bytes; ``changed`` (modification time, ns) is there for the cache."""
    found = []
    with file.open("rb") as lines:
        for line in lines.read(size).split(b"\n"):
            try:
                found.append(from_json(line.decode("utf-8", "replace")))
            except ValueError:
                continue  # empty, or torn: the writer died inside it, or is still writing
    return tuple(found)
