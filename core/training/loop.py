"""Training as a generator of events: data in, events out, no file touched. Closing it cancels.

Shape suffixes: B batch, H horizon, K targets.
"""

import copy
import math
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data.series import Series
from core.data.windows import Parts, Windows, spaced, split_windows
from core.errors import UserError
from core.models.contract import Forecaster, Shape, Stage
from core.models.registry import build
from core.training.device import resolve_device, resolve_threads
from core.training.events import Checkpointed, EpochDone, Event, Finished, Pretrained, Progress, Started
from core.training.spec import Recipe, Spec

TICK = 0.2  # seconds between two Progress events: what a cancel waits at most, beside one step


def make_model(spec: Spec) -> Forecaster:
    """A fresh model for this spec. Raises UserError where it cannot work."""
    return build(spec.model, spec.config, Shape(spec.lookback, spec.horizon, len(spec.columns), spec.withheld))


def train(spec: Spec, series: Series, resume: dict[str, Tensor] | None = None) -> Iterator[Event]:
    """Trains ``spec`` on ``series`` and tells what happens.

    ``resume`` is what the last Checkpointed event of an earlier attempt carried: training goes on after that epoch with
    the same weights, optimizer state and random numbers. Raises UserError before the first event where it cannot work.
    """
    spec.check(series)
    series = spec.seen(series)
    device = resolve_device(spec.device)
    threads = resolve_threads(spec.threads)
    torch.set_num_threads(threads)
    torch.manual_seed(spec.seed)
    split, recipe = spec.split, spec.recipe
    borders = (split.train, split.validation, split.test)
    parts = split_windows(
        series, spec.columns, spec.target_index, borders, spec.lookback, spec.horizon, device, spec.withheld
    )
    model = make_model(spec).to(device)
    if model.capabilities.fitted:
        yield from fit(spec, model, parts, device, threads)
        return
    pretrains = model.capabilities.pretrains and recipe.pretrain_epochs > 0
    state = TrainingState(model, recipe, len(parts.train), device)
    first_epoch = state.load(resume) if resume else 0
    yield Started(
        time.time(),
        sum(p.numel() for p in model.parameters()),
        recipe.epochs,
        state.batches,
        len(parts.train),
        len(parts.validation),
        device,
        threads,
        first_epoch,
    )

    if pretrains and not resume:
        yield from pretrain(model, recipe, parts.train, device)
        state = TrainingState(model, recipe, len(parts.train), device)
    begun, epoch, stopped_early = time.time(), first_epoch, False
    for epoch in range(first_epoch + 1, recipe.epochs + 1):
        epoch_begun = time.time()
        yield from state.run_epoch(epoch, parts.train, spec.target_index)
        seconds = time.time() - epoch_begun
        rate = state.batches * recipe.batch_size / max(seconds, 1e-9)
        evaluated = state.averaged_model()
        validation_loss = yield from state.validate(epoch, evaluated, parts.validation, spec.target_index)
        if not math.isfinite(validation_loss):
            raise UserError(
                f"The loss became infinite in epoch {epoch}. Lower the learning rate (now {recipe.learning_rate:g}), "
                "or turn gradient clipping on."
            )
        best = validation_loss < state.best_loss
        if best:
            state.best_loss, state.best_epoch = validation_loss, epoch
            state.best_weights = {k: v.detach().clone() for k, v in evaluated.state_dict().items()}
        spent = (time.time() - begun) / (epoch - first_epoch)
        yield EpochDone(
            time.time(),
            epoch,
            recipe.epochs,
            state.train_loss,
            validation_loss,
            best,
            seconds,
            state.optimizer.param_groups[0]["lr"],
            rate,
            spent * (recipe.epochs - epoch),
            evaluated.scale_weights(),
            example(evaluated, parts.validation, spec),
        )
        yield Checkpointed(time.time(), epoch, validation_loss, state.best_weights if best else None, state.save(epoch))
        if epoch - state.best_epoch >= recipe.patience:
            stopped_early = epoch < recipe.epochs
            break
    yield Finished(time.time(), epoch, state.best_epoch, time.time() - begun, stopped_early)


def pretrain(model: Forecaster, recipe: Recipe, windows: Windows, device: str) -> Iterator[Event]:
    """The stage before forecasting: ``pretraining_loss`` over the training windows, with an optimizer of its own.

    Not part of a resume: a training that was interrupted here begins anew.
    """
    stage = recipe.model_copy(update={"epochs": recipe.pretrain_epochs, "ema": 0})
    state = TrainingState(model, stage, len(windows), device, "pretraining")
    for epoch in range(1, stage.epochs + 1):
        begun = time.time()
        yield from state.run_epoch(epoch, windows, ())
        if not math.isfinite(state.train_loss):
            raise UserError(
                f"The loss became infinite in pretraining epoch {epoch}. Lower the learning rate (now "
                f"{recipe.learning_rate:g}), or turn gradient clipping on."
            )
        yield Pretrained(time.time(), epoch, stage.epochs, state.train_loss, time.time() - begun)


def fit(spec: Spec, model: Forecaster, parts: Parts, device: str, threads: int) -> Iterator[Event]:
    """Estimates a model that does not learn by gradient steps: one epoch, told like any other."""
    size = sum(v.numel() for v in model.state_dict().values())
    yield Started(time.time(), size, 1, 0, len(parts.train), len(parts.validation), device, threads)
    begun = time.time()
    model.eval().fit(parts.table.known(spec.split.train), spec.target_index)
    parameters = {k: v.detach().clone() for k, v in model.state_dict().items()}
    losses = []
    for window in (parts.train, parts.validation):
        judge = Judge(model, window, spec.target_index)
        # the training windows are many and say little here: as many as there are to validate
        yield from judge.run(Progress(time.time(), 1, 1, 1, math.nan, 0.0), most=max(len(parts.validation), 1))
        losses.append(judge.mse)
    seconds = time.time() - begun
    rate = len(parts.train) / max(seconds, 1e-9)
    shown = example(model, parts.validation, spec)
    yield EpochDone(time.time(), 1, 1, losses[0], losses[1], True, seconds, 0.0, rate, 0.0, [], shown)
    yield Checkpointed(time.time(), 1, losses[1], parameters, None)
    yield Finished(time.time(), 1, 1, seconds, False)


class Judge:
    """MSE of a model over windows, steps and targets that are not missing; ``mse`` once ``run`` has ended."""

    def __init__(self, model: Forecaster, windows: Windows, targets: tuple[int, ...]) -> None:
        self.model, self.windows, self.targets, self.mse = model, windows, list(targets), math.nan

    def run(self, tick: Progress, batch_size: int = 512, most: int | None = None) -> Iterator[Progress]:
        """Ticks, so that a cancel need not wait for its end. ``most``: evenly spaced windows at most."""
        total, seen, ticked, count = 0.0, 0, time.time(), len(self.windows)
        index = torch.arange(count) if most is None or most >= count else spaced(count, most)
        for part in index.to(self.windows.table.device).split(batch_size):
            with torch.no_grad():
                x_BLC, y_BHK = self.windows.batch(part)
                errors = (self.model(x_BLC)[..., self.targets].float() - y_BHK).square()
                if self.windows.gaps:
                    known = y_BHK.isfinite()
                    errors, seen = torch.where(known, errors, 0.0), seen + int(known.sum())
                else:
                    seen += errors.numel()
            total += float(errors.double().sum())
            if time.time() - ticked >= TICK:
                ticked = time.time()
                yield replace(tick, time=ticked)
        self.mse = total / max(seen, 1)


class TrainingState:
    """Model, optimizer, schedule, averaged weights and random numbers: everything a resume needs.

    All parameters that learn are views of one flat tensor, their gradients of another, so that clipping, the optimizer
    and the averaging are a few operations a step instead of a few for each of dozens of small tensors. On CUDA the
    forward pass is autocast to bfloat16, unless ``bfloat16`` is False; weights and optimizer stay in float32.
    """

    def __init__(
        self,
        model: Forecaster,
        recipe: Recipe,
        windows: int,
        device: str,
        stage: Stage = "forecasting",
        bfloat16: bool = True,
    ) -> None:
        self.model, self.recipe, self.device, self.stage = model, recipe, device, stage
        self.bfloat16 = bfloat16 and device == "cuda"
        model.begin(stage)
        self.batches = math.ceil(min(windows, recipe.windows) / recipe.batch_size)
        fused: Any = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
        decay = {"weight_decay": recipe.weight_decay} if recipe.optimizer == "adamw" else {}
        self.flat = flatten(model)
        self.optimizer = fused([self.flat], lr=recipe.learning_rate, fused=True, **decay)
        self.average = self.flat.detach().clone() if recipe.ema else None
        self.steps = 0
        self.best_loss, self.best_epoch, self.train_loss = math.inf, 0, math.nan
        self.best_weights: dict[str, Tensor] = {}
        self._evaluated: Forecaster | None = None

    def learning_rate(self) -> float:
        """At the next step. ``halving`` and ``fading`` are by epoch, the others by step."""
        peak, done, total = self.recipe.learning_rate, self.steps, self.batches * self.recipe.epochs
        if self.recipe.schedule == "halving":
            return peak * 0.5 ** (done // self.batches)
        if self.recipe.schedule == "fading":
            return peak * 0.9 ** max(done // self.batches - 2, 0)
        rising = self.recipe.warmup * total
        if done < rising:
            return peak * (done + 1) / (rising + 1)
        if self.recipe.schedule == "constant":
            return peak
        return peak * 0.5 * (1 + math.cos(math.pi * (done - rising) / max(total - rising, 1)))

    def run_epoch(self, epoch: int, windows: Windows, targets: tuple[int, ...]) -> Iterator[Progress]:
        """One pass over all windows in a fresh random order; the last, smaller batch counts. Of more windows than the
        recipe's, another one of each of as many equal stretches every time."""
        self.model.train()
        most = min(len(windows), self.recipe.windows)
        order = torch.randperm(most)
        if most < len(windows):
            order = ((order + torch.rand(most, dtype=torch.float64)) * (len(windows) / most)).long()
        order = order.to(self.device)
        losses = torch.zeros((), device=self.device)
        begun = ticked = time.time()
        for batch in range(self.batches):
            index = order[batch * self.recipe.batch_size : (batch + 1) * self.recipe.batch_size]
            losses += self.step(*windows.batch(index), targets, windows.gaps) * len(index)
            now = time.time()
            if now - ticked >= TICK:
                ticked, seen = now, min((batch + 1) * self.recipe.batch_size, most)
                rate = seen / (now - begun)
                yield Progress(now, epoch, batch + 1, self.batches, float(losses) / seen, rate, self.stage)
        self.train_loss = float(losses) / max(most, 1)

    def step(self, x_BLC: Tensor, y_BHK: Tensor, targets: tuple[int, ...], gaps: bool = False) -> Tensor:
        """One step of the optimizer; the MSE of this batch before it, whatever the loss that is minimised (in
        pretraining that loss itself). With ``gaps`` the truth may hold NaN, which counts nowhere."""
        forecast = extra = None
        with torch.autocast("cuda", torch.bfloat16, enabled=self.bfloat16):
            if self.stage == "pretraining":
                loss = self.model.pretraining_loss(x_BLC)
            else:
                forecast, extra = self.model.training_forward(x_BLC)
        if forecast is not None:
            if len(targets) != forecast.shape[-1]:
                forecast = forecast[..., list(targets)]
            forecast, share = forecast.float(), 1.0
            if gaps:
                seen = y_BHK.isfinite()
                forecast, y_BHK = torch.where(seen, forecast, 0.0), torch.where(seen, y_BHK, 0.0)
                share = seen.float().mean().clamp_min(1e-9)
            loss = plain = LOSSES[self.recipe.loss](forecast, y_BHK) / share
            if extra is not None:
                loss = loss + extra
        self.flat.grad.zero_()  # type: ignore[union-attr] - set by flatten, never taken away
        loss.backward()
        if self.recipe.clip:
            nn.utils.clip_grad_norm_([self.flat], self.recipe.clip)
        self.optimizer.param_groups[0]["lr"] = self.learning_rate()
        self.optimizer.step()
        self.steps += 1
        if self.average is not None:
            # a short memory at first, so that the average is not held back by the random start
            decay = min(self.recipe.ema, (1 + self.steps) / (10 + self.steps))
            self.average.lerp_(self.flat.detach(), 1 - decay)
        if forecast is None:
            return loss.detach()
        if self.recipe.loss == "mse":
            return plain.detach()
        with torch.no_grad():
            return F.mse_loss(forecast, y_BHK) / share

    def validate(
        self, epoch: int, model: Forecaster, windows: Windows, targets: tuple[int, ...], batch_size: int = 512
    ) -> Generator[Progress, None, float]:
        """MSE over all windows, or the recipe's number of them, and their steps and targets."""
        judge = Judge(model, windows, targets)
        tick = Progress(0.0, epoch, self.batches, self.batches, self.train_loss, 0.0)
        yield from judge.run(tick, batch_size, self.recipe.windows)
        return judge.mse

    def averaged_model(self) -> Forecaster:
        """The model that is judged and kept: the averaged weights where the recipe averages."""
        if self.average is None:
            return self.model.eval()
        if self._evaluated is None:
            self._evaluated = copy.deepcopy(self.model).eval()  # a new model would draw random numbers
        self._evaluated.load_state_dict(self.model.state_dict())
        mine = [p for p in self._evaluated.parameters() if p.requires_grad]
        with torch.no_grad():
            for parameter, averaged in zip(mine, self.average.split([p.numel() for p in mine]), strict=True):
                parameter.copy_(averaged.view_as(parameter))
        return self._evaluated

    def save(self, epoch: int) -> dict[str, Tensor]:
        """Flat tensors from which ``load`` goes on."""
        flat = {f"model.{k}": v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        flat |= {} if self.average is None else {"average": self.average.cpu().clone()}
        flat |= {f"best.{k}": v.detach().cpu().clone() for k, v in self.best_weights.items()}
        moments = self.optimizer.state_dict()["state"].get(0, {})
        flat |= {f"optimizer.{k}": v.detach().cpu().clone() for k, v in moments.items()}
        flat["random"] = torch.get_rng_state()
        numbers = [epoch, self.steps, self.best_epoch, self.best_loss]
        return flat | {"numbers": torch.tensor(numbers, dtype=torch.float64)}

    def load(self, flat: dict[str, Tensor]) -> int:
        """Continues from ``save``; gives the last finished epoch. Raises UserError where it does not fit the spec."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in flat.items() if k.startswith(prefix)}

        try:
            self.model.load_state_dict(part("model."))
            self.best_weights = part("best.")
            self.average = None if self.average is None else flat["average"].to(self.device)
            self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": {0: part("optimizer.")}})
            torch.set_rng_state(flat["random"])
            epoch, self.steps, self.best_epoch = (int(v) for v in flat["numbers"][:3].tolist())
            self.best_loss = float(flat["numbers"][3])
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(
                f"This run cannot be resumed, its saved state does not fit: {error}. Train it anew."
            ) from None
        return epoch


def flatten(model: nn.Module) -> nn.Parameter:
    """Makes the parameters that learn views of one flat tensor, and their gradients views of its gradient."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    sizes = [p.numel() for p in parameters]
    for parameter, values, gradient in zip(parameters, flat.data.split(sizes), flat.grad.split(sizes), strict=True):
        parameter.data = values.view(parameter.shape)
        parameter.grad = gradient.view(parameter.shape)
    return flat


def decayed(forecast: Tensor, truth: Tensor) -> Tensor:
    """MAE with step h weighted by h^-1/2: far steps are noisier and teach less (CARD, Wang et al. 2024)."""
    weight_H1 = torch.arange(1, truth.shape[1] + 1, device=truth.device).float().rsqrt()[:, None]
    return ((forecast - truth).abs() * weight_H1).mean()


LOSSES = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.smooth_l1_loss, "decayed mae": decayed}


@torch.no_grad()
def example(model: Forecaster, windows: Windows, spec: Spec) -> dict[str, Any]:
    """Forecast of the validation window in the middle, first target, on the z-scored scale."""
    middle = len(windows) // 2
    x_BLC, y_BHK = windows.batch(slice(middle, middle + 1))
    position = spec.target_index[0]
    return {
        "target": spec.targets[0],
        "lookback": x_BLC[0, :, position].tolist(),
        "truth": y_BHK[0, :, 0].tolist(),
        "forecast": model(x_BLC)[0, :, position].float().tolist(),
    }
