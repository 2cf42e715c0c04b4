"""Does the attention matter, and which part of the forecast does? Computed once per run after training on the test
windows, shown before any heatmap.

Nothing is retrained: the trained model answers with its attention made uniform or permuted, and with scales left out of
the head (saliency.md; Jain & Wallace 2019, Wiegreffe & Pinter 2019). The first needs forecasts only, the second the
trace; a trace that is large, with a map for every variate, head and layer, is looked at in fewer windows.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.series import Series
from core.data.windows import Windows, spaced
from core.evaluate.run import LoadedRun
from core.models.trace import ScaleOutput, Trace

# evenly spaced over the test part: enough for a change of 0.1 %, quick enough to run after every training
WINDOWS = 512
FEWEST = 32  # also of the largest models
VALUES = 2**21  # input values of all windows together: bounds the work for many variates or a long look-back
VALUES_AT_ONCE = 2**17  # of one batch
TRACED, TRACED_AT_ONCE = 2**29, 2**26  # bytes of maps, in all windows and in one batch
NONE = 0.005  # a change under 0.5 % counts as none (ours)


@torch.inference_mode()
def relevance(run: LoadedRun, series: Series, windows: int = WINDOWS) -> dict[str, Any]:
    """Changes in MSE, relative to the whole model's on the same test windows.

    ``{"windows", "mse", "attention", "uniform", "permuted", "traced", "without_scale": [M], "without_scale_mse": [M],
    "without_attended", "shares": [M], "sentence"}``; the changes are fractions (0.01 = 1 % worse), but
    ``without_scale_mse`` is in MSE. ``attention``: whether there is any. None stands where something does not apply:
    ``uniform`` and ``permuted`` without attention, ``without_attended`` without scales or where every scale or none has
    attention. ``traced`` is the number of windows that the scales were left out in. Empty for a model without scales
    or attention.
    """
    can = run.model.capabilities
    if not (can.scales or can.attention):
        return {}
    test, targets = run.test_windows(series), list(run.spec.target_index)
    first = run.model.trace(test.batch(slice(0, 1))[0])
    size = run.spec.lookback * len(run.spec.columns)
    count = min(windows, max(VALUES // size, FEWEST))
    found: dict[str, Any] = {"attention": bool(first.maps)}
    found |= _attention(run, test, targets, count, max(VALUES_AT_ONCE // size, 1), found["attention"])
    found |= _scales(run, test, targets, count, first) if first.scales else NO_SCALES
    return found | {"sentence": sentence(found, [name_of(scale) for scale in first.scales])}


NO_SCALES: dict[str, Any] = {
    "traced": 0,
    "without_scale": [],
    "without_scale_mse": [],
    "without_attended": None,
    "shares": [],
}


def _attention(
    run: LoadedRun, test: Windows, targets: list[int], count: int, batch: int, attention: bool
) -> dict[str, Any]:
    """What the forecasts lose with other weights; nothing is traced."""
    errors = Errors()
    for x_BLC, y_BHK in batches(test, count, min(batch, 128)):
        errors.add("learned", run.model(x_BLC)[..., targets], y_BHK)
        if attention:
            errors.add("uniform", run.model(x_BLC, attention="uniform")[..., targets], y_BHK)
            errors.add("permuted", run.model(x_BLC, attention="permuted")[..., targets], y_BHK)
    about = {"windows": min(count, len(test)), "mse": errors.mse("learned")}
    return about | {use: errors.change(use, "learned") if attention else None for use in ("uniform", "permuted")}


def _scales(run: LoadedRun, test: Windows, targets: list[int], count: int, first: Trace) -> dict[str, Any]:
    """What the forecast loses without a scale, and each scale's share of it."""
    from core.explain.saliency import shares

    bytes_a_window = max(sum(found.weights.nbytes for found in first.maps), 1)
    count = min(count, max(TRACED // bytes_a_window, FEWEST))
    scales = range(len(first.scales))
    attending = {number for found in first.maps for number in (found.scale,) if number is not None}
    attended = [m for m in scales if first.scales[m].scale in attending]
    errors, share, seen = Errors(), np.zeros(len(scales)), 0
    for x_BLC, y_BHK in batches(test, count, min(max(TRACED_AT_ONCE // bytes_a_window, 1), 128)):
        trace = run.model.trace(x_BLC)
        parts_MBHK = torch.from_numpy(np.stack([s.contribution for s in trace.scales])[..., targets])
        whole_BHK = torch.from_numpy(trace.forecast[..., targets])
        errors.add("whole", whole_BHK, y_BHK)
        for m in scales:
            errors.add(f"scale {m}", whole_BHK - parts_MBHK[m], y_BHK)
        errors.add("attended", whole_BHK - parts_MBHK[attended].sum(0), y_BHK)
        share, seen = share + shares(trace).sum(axis=0), seen + len(x_BLC)
    some = 0 < len(attended) < len(scales)
    return {
        "traced": seen,
        "without_scale": [errors.change(f"scale {m}", "whole") for m in scales],
        "without_scale_mse": [errors.mse(f"scale {m}") - errors.mse("whole") for m in scales],
        "without_attended": errors.change("attended", "whole") if some else None,
        "shares": [float(v) for v in share / seen],
    }


class Errors:
    """Mean squared errors of several answers to the same windows, over what is not missing of the truth."""

    def __init__(self) -> None:
        self.total: dict[str, float] = {}
        self.count: dict[str, int] = {}

    def add(self, answer: str, forecast_BHK: Tensor, y_BHK: Tensor) -> None:
        errors = (forecast_BHK - y_BHK).double().square()
        known = y_BHK.isfinite()
        self.total[answer] = self.total.get(answer, 0.0) + float(errors[known].sum())
        self.count[answer] = self.count.get(answer, 0) + int(known.sum())

    def mse(self, answer: str) -> float:
        return self.total[answer] / max(self.count[answer], 1)

    def change(self, answer: str, than: str) -> float:
        whole = self.mse(than)
        return (self.mse(answer) - whole) / max(whole, 1e-12)


def batches(test: Windows, count: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """``count`` test windows, evenly spaced, ``size`` at a time."""
    for part in spaced(len(test), count).split(size):
        yield test.batch(part)


def name_of(scale: ScaleOutput) -> str:
    return scale.name or f"scale {scale.scale}"


def sentence(found: dict[str, Any], names: list[str]) -> str:
    """What a person reads first. ``names`` are those of the scales, fine to coarse; empty for a model without."""
    if not found["attention"]:
        if len(names) == 1:
            return "This model has one scale and no attention. There is no attention map to show."
        return f"This model has no attention. {_needed(found, names)}"
    uniform, permuted, attended = found["uniform"], found["permuted"], found["without_attended"]
    if abs(uniform) < NONE:
        change = f"by {uniform:+.2%}" if abs(uniform) >= 0.00005 else "by less than 0.01%"
        return (
            f"This model does not use its attention on this dataset: made uniform, the error changes {change}. "
            "Its attention maps show weights that do not matter."
        )
    if uniform < 0:
        return (
            f"The attention of this model hurts on this dataset: made uniform, the error falls by {-uniform:.1%}. "
            "Do not read its attention maps as a reason."
        )
    rises = f"This model uses its attention: made uniform, the error rises by {uniform:.1%}"
    if attended is not None:
        return f"{rises}; without the attended scales it changes by {attended:+.1%}."
    if len(names) > 1:
        return f"{rises}. {_needed(found, names)}"
    return f"{rises}; with its weights given to the wrong tokens it changes by {permuted:+.1%}."


def _needed(found: dict[str, Any], names: list[str]) -> str:
    """The scale whose absence costs most, and the one that is missed least."""
    changes = found["without_scale"]
    most, least = int(np.argmax(changes)), int(np.argmin(np.abs(changes)))
    if changes[most] < NONE:
        return "No scale is needed on this dataset: without any one of them the error rises by less than 0.5%."
    text = f"Without {names[most]} the error rises by {_times(changes[most])}"
    if least != most and abs(changes[least]) < NONE:
        return f"{text}; without {names[least]} it changes by less than 0.5%."
    if least != most:
        return f"{text}, without {names[least]} it changes by {changes[least]:+.1%}."
    return f"{text}."


def _times(change: float) -> str:
    return f"{change:.1%}" if change < 1 else f"{change:,.0%}"
