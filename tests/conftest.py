"""Fixtures that many tests share: small series, a home folder of their own, and where the benchmark series lie."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from core.data.series import Series
from core.training.spec import Recipe, Spec, Split

# two threads of a worker and a test would only fight for the same two cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts ``__main__`` back after every test: AppTest leaves a page there, and a process that is spawned later would
    run that page before anything else."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def shared() -> Path:
    """Folder with benchmark series and parity files beside the checkout; tests that need it skip where it is absent."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the benchmark series and parity files are not beside this checkout")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh SCALESCOPE_HOME."""
    from core.settings import settings

    monkeypatch.setenv("SCALESCOPE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


def sine_series(rows: int = 400, variates: int = 3, seed: int = 0) -> Series:
    """Hourly waves with a little noise: a season of 24 steps, learnable in one epoch."""
    rng = np.random.default_rng(seed)
    step = np.arange(rows)[:, None]
    values = np.sin(2 * np.pi * step / 24 + np.arange(variates)) + 0.1 * rng.standard_normal((rows, variates))
    times = np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(3_600_000_000, "us")
    names = tuple(f"load {chr(97 + i)}" for i in range(variates))
    return Series("waves", times, values.astype(np.float32), names)


@pytest.fixture
def waves() -> Series:
    return sine_series()


@pytest.fixture
def small_spec() -> Callable[..., Spec]:
    """Builds a spec that trains in a second or two: look-back 32, horizon 8, three small scales."""

    def build(series: Series, **changes: object) -> Spec:
        recipe = Recipe(name="test", epochs=2, batch_size=64, learning_rate=3e-3)
        about: dict[str, object] = {
            "variates": series.variates,
            "targets": series.variates,
            "split": Split.of(series),
            "recipe": recipe,
            "lookback": 32,
            "horizon": 8,
            "config": {"scales": 3, "patch": 8, "width": 8},
            "threads": 1,
            "series_name": series.name,
        }
        return Spec.model_validate(about | changes)

    return build
