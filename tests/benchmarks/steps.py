"""Training steps per second: our CrossScaleNet against the plain form, interleaved in one process."""

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from core.models.contract import Shape
from core.models.registry import build
from core.training.device import keep_freed_memory
from core.training.recipes import preset
from tests.benchmarks.plain_crossscalenet import PlainCrossScaleNet

LOOKBACK, HORIZON, VARIATES, REPEATS = 96, 96, 7, 40


def measure() -> list[dict[str, object]]:
    """One row per threads, model and batch: minimum and median milliseconds a step, windows a second, ratio."""
    keep_freed_memory()
    torch.manual_seed(0)
    windows = torch.randn(9000, VARIATES).cumsum(0).mul(0.1).unfold(0, LOOKBACK + HORIZON, 1)
    modern = preset("balanced").batch_size
    rows: list[dict[str, object]] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        contenders = {
            ("plain", 32): PlainCrossScaleNet(LOOKBACK, HORIZON, VARIATES),
            ("ours", 32): build("crossscalenet", {}, Shape(LOOKBACK, HORIZON, VARIATES)),
            ("ours", modern): build("crossscalenet", {}, Shape(LOOKBACK, HORIZON, VARIATES)),
            ("ours", 256): build("crossscalenet", {}, Shape(LOOKBACK, HORIZON, VARIATES)),
        }
        times = step_times(contenders, windows)
        plain = np.median(times["plain", 32])
        for (name, batch), seconds in times.items():
            median = float(np.median(seconds))
            rows.append(
                {
                    "threads": threads,
                    "form": name,
                    "batch": batch,
                    "step min, ms": round(min(seconds) * 1e3, 2),
                    "step median, ms": round(median * 1e3, 2),
                    "windows/s": round(batch / median),
                    "step against plain at 32": round(median / plain, 3),
                    "windows/s against plain at 32": round(batch / median * plain / 32, 2),
                }
            )
    return rows


def step_times(
    contenders: dict[tuple[str, int], nn.Module], windows: torch.Tensor
) -> dict[tuple[str, int], list[float]]:
    """Seconds of single steps (batch, forward, backward, Adam), the contenders taking turns."""
    optimizers = {key: torch.optim.Adam(model.parameters(), 1e-4, fused=True) for key, model in contenders.items()}
    times: dict[tuple[str, int], list[float]] = {key: [] for key in contenders}
    for repeat in range(REPEATS + 5):
        for key, model in contenders.items():
            begun = time.perf_counter()
            both = windows[torch.randint(0, len(windows), (key[1],))]
            x, y = both[..., :LOOKBACK].transpose(1, 2), both[..., LOOKBACK:].transpose(1, 2)
            optimizers[key].zero_grad(set_to_none=True)
            F.mse_loss(model.train()(x), y).backward()
            optimizers[key].step()
            if repeat >= 5:
                times[key].append(time.perf_counter() - begun)
    return times
