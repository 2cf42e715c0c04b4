"""Occlusion by patch: what the forecast loses when a whole patch of a variate becomes the baseline (Zeiler & Fergus
2014). A single step may be made up for by its neighbours; a patch less so."""

import math

from torch import Tensor

from core.explain.methods.contract import Method, Probe
from core.explain.methods.occlusion import MOST, occluded


def attribute(probe: Probe) -> Tensor:
    """B x L x C, in units of the z-scored forecast; the values of a patch share what it costs."""
    L, C = probe.x_BLC.shape[1:]
    patches = math.ceil(L / probe.patch)
    return occluded(probe, probe.patch, math.ceil(patches * C / MOST))


METHOD = Method(
    "occlusion_patch",
    "Occlusion by patch",
    "Zeiler & Fergus 2014, by captum",
    "What the forecast loses when a whole patch becomes the baseline.",
    attribute,
)
