"""Compares a model of ours with the outputs of its public code, from a file of input, weights and expected outputs.

The architecture's own ``from_public`` maps the public options and weight names to a model of ours.
"""

import json
from pathlib import Path
from typing import Any

import torch

from core.errors import UserError
from core.explain.saliency import published
from core.models.registry import architectures

TOLERANCE = 1e-5


def check(path: Path) -> dict[str, Any]:
    """``{"model", "max_abs_error", "saliency_max_abs_error", "tolerance", "passed"}`` for this file.

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
    if name not in architectures() or "config" not in about or not {"input", "forecast"} <= tensors.keys():
        raise UserError(
            f"{path.name} names the model {name!r}; parity can be checked for: {', '.join(architectures())}."
        )
    weights = {key.removeprefix("weights/"): value for key, value in tensors.items() if key.startswith("weights/")}
    try:
        model = architectures()[name].from_public(json.loads(about["config"]), weights).eval()
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"The weights or the config in {path.name} are not those of {name}: {error}.") from None
    with torch.no_grad():
        forecast = model(tensors["input"])
    trace = model.trace(tensors["input"])
    errors = [(forecast - tensors["forecast"]).abs().max(), (torch.from_numpy(trace.forecast) - forecast).abs().max()]
    report: dict[str, Any] = {"model": name, "max_abs_error": float(errors[0]), "trace_max_abs_error": float(errors[1])}
    worst = report["max_abs_error"]
    if "saliency" in tensors:
        ours = torch.from_numpy(published(trace).values_batch)
        report["saliency_max_abs_error"] = float((ours - tensors["saliency"]).abs().max())
        worst = max(worst, report["saliency_max_abs_error"])
    return report | {"tolerance": TOLERANCE, "passed": worst <= TOLERANCE}
