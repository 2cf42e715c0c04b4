"""Compares a model of ours with the outputs of its public code, from a file of input, weights and expected outputs.

Each architecture registers one loader: public options and weight names -> a model of ours with those weights. Names
are mapped by rule, never by one configuration's sizes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import UserError
from core.models.contract import Forecaster, Shape
from core.models.registry import build

TOLERANCE = 1e-5


def check(path: Path) -> dict[str, Any]:
    """``{"model", "max_abs_error", "saliency_max_abs_error", "tolerance", "passed"}`` for this file.

    Raises UserError for a file that is none of ours to read or a model without a loader.
    """
    from safetensors import SafetensorError, safe_open

    from core.explain.saliency import published

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path.name} cannot be read as safetensors: {error}.") from None
    name = about.get("model", "")
    if name not in LOADERS or "config" not in about or "input" not in tensors:
        raise UserError(f"{path.name} names the model {name!r}; parity can be checked for: {', '.join(LOADERS)}.")
    weights = {key.removeprefix("weights/"): value for key, value in tensors.items() if key.startswith("weights/")}
    model = LOADERS[name](json.loads(about["config"]), weights).eval()
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


def crossscalenet(options: dict[str, Any], public: dict[str, Tensor]) -> Forecaster:
    """CrossScaleNet with the public code's weights: layers stacked, matrices turned to multiply from the right."""
    C, M = options["enc_in"], len(public["scale_weights"])
    config = {
        "scales": M,
        "width": options["d_model"],
        "window": options.get("moving_avg", 25),
        "dropout": options.get("dropout", 0.1),
        "mix_variates": not options.get("channel_independence", 0),
        "padding": "zero",
    }
    model = build("crossscalenet", config, Shape(options["seq_len"], options["pred_len"], C))
    ours: dict[str, Tensor] = {
        "revin.weight": public["normalize_layer.affine_weight"],
        "revin.bias": public["normalize_layer.affine_bias"],
        "scale_logits": public["scale_weights"],
        "head": public["projection.weight"].T.reshape(M, options["pred_len"], options["pred_len"]),
        "head_bias": public["projection.bias"],
    }
    for m in range(M):
        layers = {"gate_in": "temporal.0", "gate_out": "temporal.2", "head": "linear_final"}
        if config["mix_variates"]:
            layers |= {"mix_in": "channel.0", "mix_out": "channel.2"}
        for mine, theirs in layers.items():
            both = [f"encoder_{part}.{m}.{theirs}" for part in ("Seasonal", "Trend")]
            weight = torch.stack([public[f"{name}.weight"] for name in both])
            bias = torch.stack([public[f"{name}.bias"] for name in both])
            along_variates = mine.startswith("mix")
            ours[f"encoders.{m}.{mine}"] = weight if along_variates else weight.transpose(1, 2)
            ours[f"encoders.{m}.{mine}_bias"] = bias[:, :, None] if along_variates else bias[:, None]
    order = ("patch_query", "patch_value", "local_query", "local_value", "patch_key", "local_key")
    for m in range(M - 1):
        ours[f"attention.{m}.weight"] = torch.stack([public[f"attention.{m}.{name}.weight"] for name in order])
        ours[f"attention.{m}.bias"] = torch.stack([public[f"attention.{m}.{name}.bias"] for name in order])[..., None]
    model.load_state_dict(ours)
    return model


LOADERS: dict[str, Callable[[dict[str, Any], dict[str, Tensor]], Forecaster]] = {"crossscalenet": crossscalenet}
