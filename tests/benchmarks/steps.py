"""Training steps per second: our CrossScaleNet against the plain form, taking turns in one process."""

import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from core.models.contract import Shape
from core.models.registry import build
from core.training.device import keep_freed_memory
from core.training.loop import TrainingState
from core.training.recipes import preset
from tests.benchmarks.plain_crossscalenet import PlainCrossScaleNet

LOOKBACK, HORIZON, VARIATES = 96, 96, 7
ROUNDS, STEPS = 8, 12  # a contender's turn is a dozen steps, of which the first two only warm its memory

Step = Callable[[], None]


def measure() -> list[dict[str, object]]:
    """One row per threads, form, recipe and batch: minimum and median milliseconds a step, windows a second, ratio."""
    keep_freed_memory()
    torch.manual_seed(0)
    windows = torch.randn(9000, VARIATES).cumsum(0).mul(0.1).unfold(0, LOOKBACK + HORIZON, 1)
    rows: list[dict[str, object]] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        contenders = {
            ("plain", "published", 32): plain_step(windows, 32),
            ("ours", "published", 32): our_step(windows, "published", 32),
            ("ours", "balanced", 32): our_step(windows, "balanced", 32),
            ("ours", "balanced", 128): our_step(windows, "balanced", 128),
            ("ours", "balanced", 256): our_step(windows, "balanced", 256),
        }
        times = take_turns(contenders)
        plain = float(np.median(times["plain", "published", 32]))
        for (form, recipe, batch), seconds in times.items():
            median = float(np.median(seconds))
            rows.append(
                {
                    "threads": threads,
                    "form": form,
                    "recipe": recipe,
                    "batch": batch,
                    "step min, ms": round(min(seconds) * 1e3, 2),
                    "step median, ms": round(median * 1e3, 2),
                    "windows/s": round(batch / median),
                    "step against plain": round(median / plain, 3),
                    "windows/s against plain": round(batch / median * plain / 32, 2),
                }
            )
    return rows


def batch_of(windows: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    both = windows[torch.randint(0, len(windows), (size,))]
    return both[..., :LOOKBACK].transpose(1, 2), both[..., LOOKBACK:].transpose(1, 2)


def plain_step(windows: torch.Tensor, size: int) -> Step:
    model = PlainCrossScaleNet(LOOKBACK, HORIZON, VARIATES).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def step() -> None:
        x, y = batch_of(windows, size)
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()

    return step


def our_step(windows: torch.Tensor, recipe: str, size: int) -> Step:
    """A step as the training loop makes it: clipping and weight averaging included where the recipe has them."""
    model = build("crossscalenet", {}, Shape(LOOKBACK, HORIZON, VARIATES)).train()
    state = TrainingState(model, preset(recipe), len(windows), "cpu")  # type: ignore[arg-type]
    return lambda: (state.step(*batch_of(windows, size), tuple(range(VARIATES))), None)[1]


def take_turns(contenders: dict[tuple[str, str, int], Step]) -> dict[tuple[str, str, int], list[float]]:
    """Seconds of single steps."""
    times: dict[tuple[str, str, int], list[float]] = {key: [] for key in contenders}
    for _ in range(ROUNDS):
        for key, step in contenders.items():
            for turn in range(STEPS):
                begun = time.perf_counter()
                step()
                if turn >= 2:
                    times[key].append(time.perf_counter() - begun)
    return times
