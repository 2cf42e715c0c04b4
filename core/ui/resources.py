"""What the server holds once and every tab shares: the store, the jobs, loaded models, series in memory.

Everything heavy is imported inside the functions, so that the first page of a fresh server comes quickly. Models and
series are bounded and released on eviction. What an upload leaves before it becomes a dataset is kept per session
(``scope="session"``), where the Data page makes it.
"""

from __future__ import annotations

import atexit
import gc
import secrets
import shutil
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import streamlit as st

from core.errors import UserError
from core.settings import Settings, settings

if TYPE_CHECKING:
    from pathlib import Path

    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from core.data.series import Series
    from core.evaluate.run import LoadedRun
    from core.jobs.queue import Jobs
    from core.models.contract import Forecaster
    from core.store.store import Store
    from core.training.estimate import Estimate
    from core.training.spec import Spec

_KEPT = Settings().cached_models  # the bound must be known when the cache is declared
_SERIES = 4


@st.cache_resource(show_spinner=False, on_release=lambda opened: opened.close())
def store() -> Store:
    """The one owner of the database file in this process."""
    from core.store.store import Store

    chosen = settings()
    opened = Store(chosen.database, chosen.uploads, chosen.database_memory)
    atexit.register(opened.close)
    return opened


@st.cache_resource(show_spinner=False, on_release=lambda queue: queue.close())
def jobs() -> Jobs:
    """The queue of training jobs; its own supervisor starts what waits and notices what died."""
    from core.jobs.queue import Jobs

    opened = Jobs(settings(), store())
    atexit.register(opened.close)  # after the store's, so it ends first
    return opened


def series(dataset_id: str) -> Series:
    """A stored dataset in memory, shared between tabs. Raises UserError for an unknown id."""
    card = store().dataset(dataset_id)
    return _series(dataset_id, card.fingerprint)


def loaded_run(run_id: str) -> LoadedRun:
    """A run's model, ready to forecast, shared between tabs and reloaded when its checkpoint has moved on.

    Raises UserError where the run is unknown or has no usable checkpoint yet.
    """
    if not run_id.replace("-", "").replace("_", "").isalnum():
        raise UserError("That link names no run. Choose one from the list.")
    folder = settings().runs / run_id
    checkpoint = folder / "checkpoint.safetensors"
    if not checkpoint.exists():
        raise UserError(
            "This run has no checkpoint yet. Wait for its first epoch on the Train page, or choose another run."
        )
    return _loaded(run_id, checkpoint.stat().st_mtime_ns)


def baselines(run_id: str, run: LoadedRun) -> dict[str, Forecaster]:
    """What was estimated beside this run's model, by name, shared between tabs."""
    from core.evaluate.baselines import FILE

    path = settings().runs / run_id / FILE
    return _baselines(run_id, path.stat().st_mtime_ns if path.exists() else 0, run)


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def _baselines(run_id: str, changed: int, _run: LoadedRun) -> dict[str, Forecaster]:
    from core.evaluate.baselines import load

    return load(settings().runs / run_id, _run.spec)


def model_file(run_id: str) -> Path | None:
    """The saved model of a run, or None before its first epoch."""
    path = settings().runs / run_id / "checkpoint.safetensors"
    return path if path.exists() else None


def cost(spec: Spec, rows: int, first: bool = True) -> Estimate | None:
    """What this training takes here, measured in the background and once for each spec; None while that goes on.

    ``first``: it goes before all that waits, and is waited for a moment. Raises UserError where the spec cannot work.
    """
    bare = spec.model_copy(update={"dataset": "", "fingerprint": "", "series_name": ""})
    return _measuring().result(bare.model_dump_json(), rows, first)


class Measuring:
    """One thread that measures trainings one after another, so that no page waits for it and none disturbs another.

    What goes first puts off all that waits; a page that still wants the others asks for them again.
    """

    KEPT, MOMENT = 256, 0.3  # measured specs; seconds

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "measure")
        self._asked: dict[tuple[str, int], Future[Estimate]] = {}
        self._lock = threading.Lock()

    def result(self, spec_json: str, rows: int, first: bool) -> Estimate | None:
        with self._lock:
            future = self._asked.get((spec_json, rows))
            if future is None or future.cancelled():
                if first:
                    for other in self._asked.values():
                        other.cancel()  # does nothing to one that runs or is done
                future = self._asked[spec_json, rows] = self._pool.submit(self._measure, spec_json, rows)
                while len(self._asked) > self.KEPT:
                    self._asked.pop(next(iter(self._asked))).cancel()
        try:
            return future.result(self.MOMENT if first else 0)
        except (TimeoutError, CancelledError):
            return None

    @staticmethod
    def _measure(spec_json: str, rows: int) -> Estimate:
        from core.training.estimate import estimate
        from core.training.spec import Spec

        return estimate(Spec.model_validate_json(spec_json), rows)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


@st.cache_resource(show_spinner=False, on_release=lambda measuring: measuring.close())
def _measuring() -> Measuring:
    return Measuring()


def keep_upload(files: list[UploadedFile], ending: str) -> Path:
    """Write an uploaded file, or several as one archive, to the upload folder under a name of our own; its path.

    The name is random, so nothing of the uploaded one reaches the file system. Raises UserError over the size limit.
    """
    from core.data.unpack import together

    limit, size = settings().max_upload_mb, sum(file.size for file in files)
    if size > limit * 2**20:
        named = files[0].name if len(files) == 1 else f"These {len(files):,} files"
        raise UserError(
            f"{named} {'has' if len(files) == 1 else 'have'} {size / 2**20:,.0f} MB, and {limit:,} MB is the limit "
            "here. Upload a part of it, or raise SCALESCOPE_MAX_UPLOAD_MB."
        )
    path = settings().uploads / f"{secrets.token_hex(8)}.{ending}"
    for file in files:
        file.seek(0)
    try:
        if len(files) > 1:
            together([(file, file.name) for file in files], path, limit)
        else:
            with path.open("wb") as out:
                shutil.copyfileobj(files[0], out, 1 << 20)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


@st.cache_resource(max_entries=_SERIES, show_spinner=False)
def _series(dataset_id: str, fingerprint: str) -> Series:
    return store().series(dataset_id)


def _release(run: LoadedRun) -> None:
    """Give the memory of an evicted model back, on the device too."""
    del run
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@st.cache_resource(max_entries=_KEPT, on_release=_release, show_spinner="Loading the model")
def _loaded(run_id: str, changed: int) -> LoadedRun:
    import torch

    from core.evaluate.run import LoadedRun

    # one window is too little work to share: beside a training worker, a second thread makes it ten times slower
    torch.set_num_threads(1)
    return LoadedRun.open(settings().runs / run_id)
