"""Compares a model or a block of ours with the outputs of its public code, from a file of input, weights and outputs.

``from_public`` of the architecture or block maps the public options and weight names to one of ours.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.explain.saliency import published
from core.models.contract import Forecaster
from core.models.layers.mamba import Mamba
from core.models.registry import architectures

TOLERANCE = 1e-5
# Where the public output itself is farther than that from what float64 makes of the same weights, as far as it is:
# PatchTST's is 1.48e-5 off on values up to 36, and processors differ in ours by as much (ours)
ROUNDED = {"patchtst": 1.48e-5}
# blocks are compared in float64, with the gradients of the sum of squares of their output
BLOCKS = {"mamba_block": Mamba}
BLOCK_TOLERANCE = 1e-9


def check(path: Path) -> dict[str, Any]:
    """``{"model", "max_abs_error", ..., "tolerance", "passed"}`` for this file.

    Every ``..._max_abs_error`` counts but the trace's, which compares us with ourselves.

    Raises UserError for a file that is none of ours to read or a model without a loader.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path.name} cannot be read as safetensors: {error}.") from None
    name = about.get("model", "")
    known = architectures() | BLOCKS
    needed = {"input", "output", "input_grad"} if name in BLOCKS else {"input", "forecast"}
    if name not in known or "config" not in about:
        raise UserError(f"{path.name} names the model {name!r}; parity can be checked for: {', '.join(known)}.")
    if missing := needed - tensors.keys():
        raise UserError(
            f"{path.name} has no tensor {min(missing)!r}; a file for {name} needs {', '.join(sorted(needed))}."
        )
    try:
        ours = known[name].from_public(json.loads(about["config"]), part(tensors, "weights")).eval()
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"The weights or the config in {path.name} are not those of {name}: {error}.") from None
    report = {"model": name}
    report |= check_model(ours, tensors) if isinstance(ours, Forecaster) else check_block(ours, tensors)
    errors = [value for key, value in report.items() if key.endswith("max_abs_error") and not key.startswith("trace")]
    tolerance = ROUNDED.get(name, TOLERANCE) if isinstance(ours, Forecaster) else BLOCK_TOLERANCE
    # not max(), which passes over NaN
    return report | {"tolerance": tolerance, "passed": all(error <= tolerance for error in errors)}


def check_model(model: Forecaster, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """How far the forecast, the traced forecast and, where the file has one, the published saliency are off."""
    with torch.no_grad():
        forecast = model(tensors["input"])
    trace = model.trace(tensors["input"])
    report = {
        "max_abs_error": difference(forecast, tensors["forecast"]),
        "trace_max_abs_error": difference(torch.from_numpy(trace.forecast), forecast),
    }
    if "saliency" in tensors:
        saliency = torch.from_numpy(published(trace).values_batch)
        report["saliency_max_abs_error"] = difference(saliency, tensors["saliency"])
    return report


def check_block(block: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """How far the output is off, the gradient of the input, and the gradient of the parameter that is worst."""
    x = tensors["input"].requires_grad_()
    output = block(x)
    output.square().sum().backward()
    report = {
        "max_abs_error": difference(output.detach(), tensors["output"]),
        "input_grad_max_abs_error": difference(x.grad, tensors["input_grad"]),
    }
    found = dict(block.named_parameters())
    off = {name: difference(found[name].grad, grad) for name, grad in part(tensors, "grads").items() if name in found}
    if off:
        worst = max(off, key=lambda name: float("inf") if off[name] != off[name] else off[name])
        report |= {"grad_max_abs_error": off[worst], "worst_grad": worst}
    return report


def part(tensors: dict[str, Tensor], folder: str) -> dict[str, Tensor]:
    """The tensors whose name begins with this folder, by the rest of their name."""
    return {key.removeprefix(f"{folder}/"): value for key, value in tensors.items() if key.startswith(f"{folder}/")}


def difference(ours: Tensor | None, public: Tensor) -> float:
    """Largest absolute difference; infinite where there is nothing to compare or the shapes differ."""
    if ours is None or ours.shape != public.shape:
        return float("inf")
    return float((ours - public).abs().max())
