"""What stands beside a learned model without learning: naive, drift, AutoETS and AutoTheta on the same windows.

They are estimated once, on the run's own training part, after the training, and kept in the run's folder; a page only
reads them. What they compute stands in ``core.models``. The seasonal naive needs no file: its season is in the card
(``LoadedRun.seasonal_naive``).

Shape suffixes: T steps, B batch, L look-back, H horizon, K targets.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from core.data.series import Series
from core.data.windows import Table, spaced
from core.errors import UserError
from core.evaluate.run import MOST as WINDOWS
from core.evaluate.run import LoadedRun, Mean
from core.models.contract import Forecaster, Shape
from core.models.registry import build
from core.training.checkpoint import load_weights, write_tensors
from core.training.spec import Spec

FILE = "baselines.safetensors"
SIMPLE, ESTIMATED = ("naive", "drift"), ("autoets", "autotheta")
NAMES = {"naive": "naive", "drift": "drift", "autoets": "AutoETS", "autotheta": "AutoTheta"}  # as pages write them
MOST = 100  # targets for which the library is asked: up to a second each

Baselines = Mapping[str, Forecaster]


def estimate(run: LoadedRun, series: Series, most: int = MOST) -> dict[str, Forecaster]:
    """By name, over the targets only. Those of the library are left out above ``most`` targets and where they cannot
    be estimated; the run's own model is no baseline of itself."""
    values_TK = targets_of(run, series).known(run.spec.split.train)
    found = {}
    for name in SIMPLE + ESTIMATED:
        if name == run.spec.model or (name in ESTIMATED and values_TK.shape[1] > most):
            continue
        with suppress(UserError):
            model = build(name, {}, shape_of(run.spec)).eval()
            model.fit(values_TK, tuple(range(values_TK.shape[1])))
            found[name] = model
    return found


def save(directory: Path, baselines: Baselines) -> None:
    tensors = {f"{name}.{key}": value for name, model in baselines.items() for key, value in model.state_dict().items()}
    if tensors:
        write_tensors(directory / FILE, tensors)


def load(directory: Path, spec: Spec) -> dict[str, Forecaster]:
    """Those of ``save``. A file that is missing or does not fit leaves the ones that need none."""
    found = {name: build(name, {}, shape_of(spec)).eval() for name in SIMPLE if name != spec.model}
    with suppress(UserError, RuntimeError):
        tensors = load_weights(directory / FILE)
        for name in ESTIMATED:
            own = {key.removeprefix(f"{name}."): v for key, v in tensors.items() if key.startswith(f"{name}.")}
            if own:
                model = build(name, {}, shape_of(spec)).eval()
                model.load_state_dict(own)
                found[name] = model
    return found


@torch.inference_mode()
def forecast(run: LoadedRun, baselines: Baselines, lookback: np.ndarray) -> dict[str, np.ndarray]:
    """H x C in the data's units by name, from L x C; NaN for variates that are no targets."""
    targets = list(run.spec.target_index)
    x_BLK = run.scaler.scale(torch.from_numpy(np.array(lookback, dtype=np.float32)))[None][..., targets]
    found = {}
    for name, model in baselines.items():
        y_HC = torch.full((run.spec.horizon, len(run.spec.columns)), torch.nan)
        y_HC[:, targets] = model(x_BLK)[0]
        found[name] = run.scaler.unscale(y_HC).numpy()
    return found


@torch.inference_mode()
def scores(run: LoadedRun, series: Series, baselines: Baselines, batch_size: int = 512) -> dict[str, dict[str, float]]:
    """MSE and MAE of each over the same test windows and all targets, z-scored: beside the model's own."""
    spec = run.spec
    first, stop = run.first(series), min(spec.split.test, len(series))
    every = tuple(range(len(spec.targets)))
    windows = targets_of(run, series).windows(spec.lookback, spec.horizon, first, stop, every)
    found = {name: Mean() for name in baselines}
    for part in spaced(len(windows), WINDOWS).split(batch_size):
        x_BLK, y_BHK = windows.batch(part)
        for name, model in baselines.items():
            error_BHK = model(x_BLK).double() - y_BHK
            found[name].add(torch.stack([error_BHK.square(), error_BHK.abs()], dim=-1), (0, 1, 2))
    return {name: dict(zip(("mse", "mae"), mean.value.tolist(), strict=True)) for name, mean in found.items()}


def targets_of(run: LoadedRun, series: Series) -> Table:
    """The targets' z-scored values, T x K, history and all: a yardstick may see what is withheld from the model."""
    run.check(series)
    return Table.of(series, run.spec.targets, run.scaler.pick(run.spec.target_index))


def shape_of(spec: Spec) -> Shape:
    return Shape(spec.lookback, spec.horizon, len(spec.targets))
