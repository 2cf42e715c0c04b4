"""One cell of CrossScaleNet's patch attention with its arithmetic: query and key as the model made them in this window.

Shape suffixes: C variates, P patches.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError

if TYPE_CHECKING:
    from core.evaluate.run import LoadedRun


@dataclass(frozen=True)
class Cell:
    """Patch ``i`` asks patch ``j``: ``query`` and ``key`` (C,), the ``logits`` of all keys for this query (P,), and the
    weights that softmax makes of them (P,)."""

    query: np.ndarray
    key: np.ndarray
    logits: np.ndarray
    weights: np.ndarray
    j: int

    @property
    def product(self) -> float:
        return float(self.query @ self.key)

    @property
    def logit(self) -> float:
        return float(self.logits[self.j])

    @property
    def weight(self) -> float:
        return float(self.weights[self.j])


def cell(run: "LoadedRun", lookback: np.ndarray, scale: int, i: int, j: int) -> Cell:
    """Of one scale from 1 on. Raises UserError for a model, scale or patch that has none."""
    import torch

    from core.models.crossscalenet import CrossScaleAttention

    modules = [m for m in run.model.modules() if isinstance(m, CrossScaleAttention)]
    if not 1 <= scale <= len(modules):
        raise UserError(f"Scale {scale} has no attention between patches. Choose 1 to {len(modules)}.")
    attention, found = modules[scale - 1], {}
    hooks = [
        getattr(attention, name).register_forward_hook(lambda _m, _in, out, n=name: found.update({n: out[0, :, :, 0]}))
        for name in ("patch_qv", "patch_k")
    ]
    try:
        with torch.inference_mode():
            run.model.trace(run.normalised(lookback))
    finally:
        for hook in hooks:
            hook.remove()
    query_CP, key_CP = (found[name].double().numpy() for name in ("patch_qv", "patch_k"))
    C, P = query_CP.shape
    if not (0 <= i < P and 0 <= j < P):
        raise UserError(f"There are {P} patches; choose 1 to {P}.")
    logits = query_CP[:, i] @ key_CP / math.sqrt(C)
    size = np.exp(logits - logits.max())
    return Cell(query_CP[:, i], key_CP[:, j], logits, size / size.sum(), j)
