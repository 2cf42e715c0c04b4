"""Training on more data than the memory it is given, by a real worker process whose peak the kernel tells."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import core
from core.data.series import Series, SeriesWriter, spans
from core.jobs.directory import JobDirectory
from core.training.events import Finished
from core.training.spec import Recipe, Spec, Split

LIMIT = 640  # MB; an interpreter with torch and statsmodels takes half of that
ROWS, VARIATES = 42_000_000, 8  # 1,282 MB of values alone
PEAK = """
import sys
from pathlib import Path
from core.jobs.worker import work
print(work(Path(sys.argv[1])).kind)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_a_dataset_of_twice_the_limit_trains_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f"v{i}" for i in range(VARIATES))
    folder = tmp_path / "large"
    folder.mkdir()
    wave = np.sin(np.arange(VARIATES) + 2 * np.pi * np.arange(24)[:, None] / 24).astype(np.float32)
    draw = np.random.default_rng(0)
    about = {"name": "large", "variates": names, "zone": "UTC", "truth": None, "fingerprint": "made here"}
    with SeriesWriter(folder, about, ROWS, np.dtype(np.int64)) as target:
        for first, last in spans(ROWS, VARIATES):
            rows = np.arange(first, last)
            target.add(rows, wave[rows % 24] + 0.1 * draw.standard_normal((len(rows), 1), np.float32))
    series = Series.read(folder)
    assert series.values.nbytes >= 2 * LIMIT * 2**20
    spec = Spec(
        model="casa",
        fingerprint=series.fingerprint,
        lookback=48,
        horizon=12,
        variates=names,
        targets=names,
        split=Split.of(series),
        recipe=Recipe(epochs=2, windows=4000),
        threads=1,
    )
    job = JobDirectory.create(tmp_path / "run", spec, series, "large")
    monkeypatch.setenv("SCALESCOPE_TRAINING_MEMORY_MB", str(LIMIT))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(job.path)],
        cwd=Path(core.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    kind, peak = done.stdout.split()
    last = job.events()[-1]
    assert kind == "finished" and isinstance(last, Finished), job.events()[-1]
    assert int(peak) < LIMIT * 1024
    assert last.metrics["mse"] < 0.2  # the wave was learnt; a forecast of the mean has 1
    assert last.metrics["windows"] < last.metrics["windows_total"]
