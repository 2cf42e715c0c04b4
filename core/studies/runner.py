"""Studies in the background: each is a process of its own that outlives the page and the server, and that any server
finds again. The grid's file is the truth; nothing here is lost with a process.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

import core
from core.errors import UserError
from core.studies.grid import Cell, Grid, time_left
from core.studies.study import studies, study

PATIENCE = 10.0  # seconds a stopped study may take for what it is writing


@dataclass(frozen=True)
class Standing:
    """``finished`` of ``cells`` have a result, ``failed`` a sentence; ``left`` says how long, in words; ``trouble`` is
    the last line of a process that ended before its time."""

    running: bool
    cells: int
    finished: int
    failed: int
    left: str = ""
    trouble: str = ""

    @property
    def complete(self) -> bool:
        return self.finished + self.failed >= self.cells


@dataclass(frozen=True)
class Runner:
    """Studies whose files lie in ``folder``."""

    folder: Path

    def grid(self, name: str) -> Grid:
        """Raises UserError for an unknown study."""
        return Grid(self.folder / study(name).name)

    def start(self, name: str, retry: bool = False) -> None:
        """Runs what is missing. Raises UserError while another study runs: they would take each other's cores."""
        if busy := self.running():
            raise UserError(f"{study(busy).title} is running. Wait for it, or stop it first.")
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "core", "study", study(name).name, "--out", str(self.grid(name).path)]
        with self._log(name).open("w") as log:
            process = subprocess.Popen(
                [*command, *(["--retry"] if retry else [])],
                cwd=Path(core.__file__).parent.parent,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a server that ends, or a Ctrl-C in its terminal, leaves it alone
                env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
            )
        with suppress(psutil.Error):
            psutil.Process(process.pid).nice(10)
            began = psutil.Process(process.pid).create_time()
            self._process(name).write_text(json.dumps({"pid": process.pid, "began": began}))
        _reap(process)

    def stop(self, name: str) -> None:
        """Ends it; finished cells stay, the one under way goes on at the next start."""
        process = self._alive(name)
        if process is None:
            return
        for ask in (process.terminate, process.kill):
            with suppress(psutil.Error):
                ask()
                process.wait(PATIENCE)
                return

    def forget(self, name: str) -> None:
        """Deletes the results of a study. Raises UserError while it runs."""
        if self._alive(name):
            raise UserError("This study is running. Stop it before its results are deleted.")
        grid = self.grid(name)
        for suffix in (".jsonl", ".csv", ".md", ".svg"):
            grid.path.with_name(grid.path.name + suffix).unlink(missing_ok=True)
        shutil.rmtree(grid.running, ignore_errors=True)

    def running(self) -> str:
        """The study that runs, or an empty text."""
        return next((name for name in studies() if self._alive(name)), "")

    def standing(self, name: str) -> Standing:
        alive = self._alive(name) is not None
        known = self.grid(name).cells()
        plan = planned(name)
        done = [known[cell.key] for cell in plan if cell.key in known]
        failed = sum(bool(cell.error) for cell in done)
        left = time_left([cell for cell in plan if cell.key not in known], done, 1) if alive else ""
        trouble = ""
        if not alive and len(done) < len(plan) and self._process(name).exists():
            lines = [line for line in self._read(self._log(name)).splitlines() if line.strip()]
            trouble = lines[-1] if lines and "Error" in lines[-1] else ""
        return Standing(alive, len(plan), len(done) - failed, failed, left, trouble)

    def finished(self, name: str) -> list[Cell]:
        """The study's own cells that have a result; cells of an older form of it, or of other series, do not count."""
        known = self.grid(name).cells()
        found = [known[cell.key] for cell in planned(name) if cell.key in known]
        return [cell for cell in found if "study" in cell.numbers]

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _process(self, name: str) -> Path:
        return self.folder / f"{name}.process"

    def _alive(self, name: str) -> psutil.Process | None:
        """Its process; a number that another process has been given since is not it."""
        with suppress(psutil.Error, ValueError, KeyError, OSError):
            about = json.loads(self._process(name).read_text())
            process = psutil.Process(int(about["pid"]))
            if abs(process.create_time() - float(about["began"])) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    @staticmethod
    def _read(file: Path) -> str:
        with suppress(OSError):
            return file.read_text("utf-8", "replace")
        return ""


@cache
def planned(name: str) -> tuple[Cell, ...]:
    """The cells of a study."""
    return study(name).plan(Path(name)).cells


def _reap(process: subprocess.Popen) -> None:
    """Somebody must wait for a child, or it stays as a zombie after its end."""
    threading.Thread(target=process.wait, name="study", daemon=True).start()
