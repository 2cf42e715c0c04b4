"""Forward and backward of the selective scan: the compiled loop and the torch form against the plain loop.

The forms take turns in one process; the peak memory of each is measured in a process of its own.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from core.models.layers.selective_scan import compiled_scan, scan_path, torch_scan
from core.training.device import keep_freed_memory

BATCH, CHANNELS, STATES = 32, 256, 16  # d_model 128, expand 2
ROUNDS = {32: 11, 128: 8, 512: 5, 2048: 3}  # turns of each form by length; the first only warms its memory
COLUMNS = ("median, ms", "plain over it", "CPU median, ms", "plain's CPU over it", "peak, MiB")
PLAIN_MIB_PER_STEP = 4.7  # what the plain loop keeps of one step: it is left out where that does not fit twice

Form = Callable[..., Tensor]


def plain_scan(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, gate: Tensor) -> Tensor:
    """The usual way to write it: decays and inputs of all steps at once, then a loop over their slices."""
    decay = torch.exp(delta[..., None] * A)
    inputs = (delta * x)[..., None] * B[:, :, None]
    h, states = torch.zeros_like(inputs[:, 0]), []
    for decay_t, input_t in zip(decay.unbind(1), inputs.unbind(1), strict=True):
        h = decay_t * h + input_t
        states.append(h)
    y = (torch.stack(states, dim=1) @ C[..., None]).squeeze(-1)
    return (y + D * x) * F.silu(gate)


FORMS: dict[str, Form] = {"plain": plain_scan, "torch": torch_scan, "compiled": compiled_scan}


def measure() -> list[dict[str, object]]:
    """One row per threads, length and form: COLUMNS, time by the clock and of the processor, which
    says more where others work on the same cores."""
    if scan_path().name != "compiled loop":
        raise SystemExit(f"The compiled loop does not run here: {scan_path().reason}")
    keep_freed_memory()
    rows: list[dict[str, object]] = []
    memory = {(length, name): peak(name, length) for length in ROUNDS for name in FORMS if fits(name, length)}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for length in ROUNDS:
            times = take_turns(length, [name for name in FORMS if fits(name, length)])
            for name in FORMS:
                row: dict[str, object] = {"threads": threads, "length": length, "form": name}
                row |= dict.fromkeys(COLUMNS, "-")
                if name in times:
                    wall, cpu = np.median(times[name], axis=0)
                    row |= {COLUMNS[0]: f"{wall * 1e3:.1f}", COLUMNS[2]: f"{cpu * 1e3:.1f}"}
                    row[COLUMNS[4]] = round(memory[length, name])
                    if "plain" in times:
                        plain = np.median(times["plain"], axis=0)
                        row |= {COLUMNS[1]: f"{plain[0] / wall:.1f}", COLUMNS[3]: f"{plain[1] / cpu:.1f}"}
                rows.append(row)
    return rows


def fits(name: str, length: int) -> bool:
    return name != "plain" or 2 * PLAIN_MIB_PER_STEP * length < psutil.virtual_memory().available / 2**20


def example(length: int) -> list[Tensor]:
    """Leaves as a Mamba block hands them to the scan: delta around its start, x and gate of unit size."""
    torch.manual_seed(0)
    wide, narrow = (BATCH, length, CHANNELS), (BATCH, length, STATES)
    rates = -torch.arange(1.0, STATES + 1).repeat(CHANNELS, 1)
    values = (torch.randn(wide), torch.rand(wide) * 0.1, rates, torch.randn(narrow), torch.randn(narrow))
    return [value.requires_grad_() for value in (*values, torch.ones(CHANNELS), torch.randn(wide))]


def step(form: Form, leaves: list[Tensor]) -> None:
    torch.autograd.grad(form(*leaves).sum(), leaves)


def take_turns(length: int, names: list[str]) -> dict[str, list[tuple[float, float]]]:
    """Seconds of single forward and backward passes: by the clock, and of the processor, over all threads."""
    leaves, times = example(length), {name: [] for name in names}
    for turn in range(ROUNDS[length]):
        for name in names:
            begun, cpu = time.perf_counter(), time.process_time()
            step(FORMS[name], leaves)
            if turn:
                times[name].append((time.perf_counter() - begun, time.process_time() - cpu))
    return times


def peak(name: str, length: int) -> float:
    """MiB by which the resident set grows at most, beyond the inputs."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(grown, (name, length))


def grown(name: str, length: int) -> float:
    torch.set_num_threads(2)
    step(FORMS[name], example(1))  # what a first call brings along: libraries, threads
    leaves = example(length)
    before = psutil.Process().memory_info().rss
    step(FORMS[name], leaves)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10 - before) / 2**20
