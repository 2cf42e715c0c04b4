"""A run on disk: ``checkpoint.safetensors`` with its card inside (one file is a whole model), ``card.json`` beside it.

Only safetensors is read: other formats can run code when opened, and are refused by name.
"""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from core.errors import UserError

WEIGHTS, CARD, RESUME = "checkpoint.safetensors", "card.json", "resume.safetensors"


def save(directory: Path, weights: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Writes weights with the card in their metadata, and the card. A reader never sees a half-written file."""
    write_tensors(directory / WEIGHTS, weights, {"scalescope": json.dumps(card)})
    write_card(directory, card)


def write_card(directory: Path, card: dict[str, Any]) -> None:
    unfinished = directory / f"{CARD}.part"
    unfinished.write_text(json.dumps(card, indent=1))
    unfinished.replace(directory / CARD)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Safetensors through a temporary file and a rename."""
    from safetensors.torch import save_file

    unfinished = path.with_suffix(".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, unfinished, metadata or {})
    unfinished.replace(path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU. Raises UserError for anything else."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    refuse_others(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"The model file {path.name} is damaged or cut short ({error}). Save it again, or retrain."
        ) from None


def save_resume(directory: Path, state: dict[str, Tensor]) -> None:
    """What a resume needs; see ``core.training.loop``."""
    write_tensors(directory / RESUME, state)


def load_resume(directory: Path) -> dict[str, Tensor] | None:
    """The saved state, or None where there is none. Raises UserError where it is damaged."""
    path = directory / RESUME
    return load_weights(path) if path.exists() else None


def read_card(path: Path) -> dict[str, Any]:
    """The card inside a model file. Raises UserError where there is none."""
    from safetensors import SafetensorError, safe_open

    refuse_others(path)
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"The model file {path.name} is damaged or cut short ({error}). Save it again, or retrain."
        ) from None
    try:
        card = json.loads(about["scalescope"])
    except (KeyError, json.JSONDecodeError):
        raise UserError(
            f"{path.name} holds weights but no card of ours, so its architecture is unknown. "
            "Load a file that Scalescope saved."
        ) from None
    if not isinstance(card, dict) or not isinstance(card.get("spec"), dict):
        raise UserError(f"The card inside {path.name} names no spec. Load a file that Scalescope saved.")
    return card


def refuse_others(path: Path) -> None:
    """Raises UserError where the content is a pickle or an archive of pickles, whatever the file is called."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror}. Choose another file.") from None
    pickled = head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05"
    if (
        pickled
        or head[:2] == b"PK"
        or path.suffix.lower() in {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib"}
    ):
        raise UserError(
            f"{path.name} is a pickle (.pt, .pth, .pkl): such a file can run code when it is opened, so it is never "
            "read. Load a .safetensors file that Scalescope saved."
        )
    if len(head) < 9:
        raise UserError(f"{path.name} is empty or cut short. Save the model again, or retrain.")
