"""What a training will cost on this machine, measured with a few real steps before anybody presses Train."""

import math
import time
from dataclasses import dataclass

import torch

from core.data.season import ROWS
from core.data.windows import fits
from core.models.contract import Forecaster
from core.training.device import resolve_device, resolve_threads
from core.training.loop import make_model
from core.training.spec import Spec

STEPS, SLOW = 3, 1.0  # a step that takes more seconds than that is measured once


@dataclass(frozen=True)
class Estimate:
    """``memory_mb`` is that of weights, optimizer, data and one step's activations; ``seconds`` of all epochs, early
    stopping aside. Both are rough: the machine does other things too. Times are NaN for a model that is fitted."""

    parameters: int
    memory_mb: float
    seconds: float
    seconds_per_step: float
    steps: int


def estimate(spec: Spec, rows: int) -> Estimate:
    """Builds the model and times a few steps on random windows of the right shape.

    ``rows`` is the length of the series. Raises UserError where the spec cannot work.
    """
    model, device = make_model(spec), resolve_device(spec.device)
    parameters = sum(p.numel() for p in model.parameters())
    if model.capabilities.fitted:
        size = sum(v.numel() for v in model.state_dict().values())
        held = rows if fits(rows, len(spec.columns)) else ROWS
        return Estimate(size, 4 * (size + held * len(spec.columns) * 2) / 2**20, math.nan, math.nan, 0)
    windows = max(min(spec.split.train, rows) - spec.lookback - spec.horizon + 1, 1)
    steps = math.ceil(min(windows, spec.recipe.windows) / spec.recipe.batch_size)
    batch = min(spec.recipe.batch_size, windows)
    before = torch.get_num_threads()
    torch.set_num_threads(resolve_threads(spec.threads))
    try:
        seconds, saved = time_steps(model.to(device).train(), batch, spec)
    finally:
        torch.set_num_threads(before)
    # one evaluation of a window costs about a third of its training step
    validation = min(spec.split.validation - spec.split.train, spec.recipe.windows) / 3
    pretraining = spec.recipe.pretrain_epochs if model.capabilities.pretrains else 0
    total = seconds * steps * ((1 + validation / min(windows, spec.recipe.windows)) * spec.recipe.epochs + pretraining)
    held = 2 * rows * len(spec.columns) if fits(rows, len(spec.columns)) else 0
    fixed = 4 * (parameters * 6 + held)
    return Estimate(parameters, (fixed + saved) / 2**20, total, seconds, steps)


def time_steps(model: Forecaster, batch: int, spec: Spec) -> tuple[float, int]:
    """The fastest of a few steps in seconds, and the bytes that autograd keeps for one."""
    x_BLC = torch.randn(batch, spec.lookback, len(spec.columns), device=next(model.parameters()).device)
    kept = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    fastest = math.inf
    for step in range(STEPS):
        begun = time.perf_counter()
        if step == 0:
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                loss = loss_of(model, x_BLC)
        else:
            loss = loss_of(model, x_BLC)
        loss.backward()
        fastest = min(fastest, time.perf_counter() - begun)
        if fastest > SLOW:
            break
    return fastest, kept


def loss_of(model: Forecaster, x_BLC: torch.Tensor) -> torch.Tensor:
    forecast, extra = model.training_forward(x_BLC)
    return forecast.square().mean() if extra is None else forecast.square().mean() + extra
