"""Milliseconds of one training step of every learned architecture, taking turns in one process.

Beside ours stand the plain forms that are written out in this folder, in the same run, and what the public code of each
took on two cores of the same kind (2026-11-20, minimum of interleaved repeats). Those are another run's figures:
orders of magnitude; the plain forms are the fair comparison.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from core.models.contract import Shape
from core.models.registry import architecture, architectures, build
from core.training.device import keep_freed_memory
from core.training.loop import TrainingState
from core.training.recipes import preset, preset_lookback
from tests.benchmarks.plain_casa import PlainCASA
from tests.benchmarks.plain_crossscalenet import PlainCrossScaleNet

HORIZON, VARIATES = 96, 7
ROUNDS, STEPS, TURN = 8, 12, 1.0  # a turn: a dozen steps, or as many as a second holds but three; the first two warm up

Step = Callable[[], None]

# milliseconds a step of the public code, with two threads and with one, where they were measured
PUBLIC: dict[str, tuple[float | None, float | None]] = {
    "dlinear": (1.0, None),
    "casa": (6.1, 8.4),
    "crossscalenet": (19.7, 20.9),
    "lmsautotsf": (44.6, 70),
    "itransformer": (28.7, 36),
    "timemixer": (240, 374),
    "patchtst": (424, 777),
}


@dataclass(frozen=True)
class Contender:
    """``config`` is what its public code was measured with; its other options stand at their default."""

    model: str
    form: str = "ours"
    recipe: str = "published"
    batch: int = 32
    config: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def lookback(self) -> int:
        return preset_lookback("published", self.model, "ETTh1")


MEASURED_WITH = {
    "casa": Contender("casa", config={"width": 128, "layers": 1}),
    "lmsautotsf": Contender("lmsautotsf", config={"width": 512}),
    "itransformer": Contender("itransformer", config={"width": 256, "layers": 2}),
    # its hidden units and heads are not on record; these are the public code's defaults at that width
    "patchtst": Contender("patchtst", config={"width": 512, "layers": 1, "hidden": 2048, "heads": 8}),
    "timemixer": Contender("timemixer", batch=128),
}


def contenders() -> list[Contender]:
    learned = [name for name, model in architectures().items() if not model.capabilities.fitted]
    found = [MEASURED_WITH.get(name, Contender(name)) for name in learned]
    found += [Contender(name, "plain") for name in ("casa", "crossscalenet") if name in learned]
    return found + [Contender("crossscalenet", "ours", "balanced", batch) for batch in (32, 128, 256)]


def measure() -> list[dict[str, object]]:
    """One row per threads and contender: milliseconds a step, and what they are against the others."""
    keep_freed_memory()
    rows: list[dict[str, object]] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        steps = {contender: step_of(contender) for contender in contenders()}
        times = take_turns({contender: step for contender, (step, _) in steps.items()})
        for contender, seconds in times.items():
            median, least = float(np.median(seconds)) * 1e3, min(seconds) * 1e3
            plain = times.get(Contender(contender.model, "plain"))
            public = PUBLIC.get(contender.model, (None, None))[2 - threads]
            ours = contender.form == "ours" and contender.recipe == "published"
            rows.append(
                {
                    "threads": threads,
                    "model": contender.model,
                    "form": contender.form,
                    "recipe": contender.recipe,
                    "options": json.dumps(contender.config) if contender.config else "",
                    "look-back": contender.lookback,
                    "batch": contender.batch,
                    "parameters": f"{steps[contender][1]:,}",
                    "step min, ms": round(least, 2),
                    "step median, ms": round(median, 2),
                    "windows/s": round(contender.batch / median * 1e3),
                    "public code, ms": public if public and ours else "",
                    "against it": round(least / public, 2) if public and ours else "",
                    "median against plain": round(median / 1e3 / float(np.median(plain)), 2) if plain and ours else "",
                }
            )
    return rows


def windows_of(lookback: int) -> torch.Tensor:
    return torch.randn(9000, VARIATES).cumsum(0).mul(0.1).unfold(0, lookback + HORIZON, 1)


def step_of(contender: Contender) -> tuple[Step, int]:
    """One step, and the parameters it trains."""
    windows, size, L = windows_of(contender.lookback), contender.batch, contender.lookback

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        both = windows[torch.randint(0, len(windows), (size,))]
        return both[..., :L].transpose(1, 2), both[..., L:].transpose(1, 2)

    if contender.form == "plain":
        form = {"casa": PlainCASA, "crossscalenet": PlainCrossScaleNet}[contender.model]
        plain = form(L, HORIZON, VARIATES).train()
        optimizer = torch.optim.Adam(plain.parameters(), 1e-4)

        def step() -> None:
            x, y = batch()
            optimizer.zero_grad()
            F.mse_loss(plain(x), y).backward()
            optimizer.step()

        return step, sum(p.numel() for p in plain.parameters())

    # as the training loop makes it: clipping and weight averaging included where the recipe has them
    own = architecture(contender.model).published
    options = dict(own["ETTh1"].config if "ETTh1" in own else own[""].config) if own else {}
    model = build(contender.model, options | contender.config, Shape(L, HORIZON, VARIATES)).train()
    recipe = preset(contender.recipe, contender.model, "ETTh1")  # type: ignore[arg-type]
    state = TrainingState(model, recipe, len(windows), "cpu")
    targets = tuple(range(VARIATES))
    return lambda: (state.step(*batch(), targets), None)[1], sum(p.numel() for p in model.parameters())


def take_turns(steps: dict[Contender, Step]) -> dict[Contender, list[float]]:
    """Seconds of single steps."""
    times: dict[Contender, list[float]] = {contender: [] for contender in steps}
    for _ in range(ROUNDS):
        for contender, step in steps.items():
            turn = time.perf_counter()
            for number in range(STEPS):
                begun = time.perf_counter()
                step()
                if number >= 2:
                    times[contender].append(time.perf_counter() - begun)
                    if time.perf_counter() - turn > TURN:
                        break
    return times
