"""What the pages say about an architecture: its marks and abilities in words, its size, the names of what it sees.

Plain functions for the Train and the Models page; both draw their own layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import UserError
from core.training.spec import Spec
from core.ui.charts.scales_picture import scale_name

if TYPE_CHECKING:
    from core.models.contract import Family, Forecaster, Grid, Shape

USUAL = str(Spec.model_fields["model"].default)  # the architecture at rest
FAMILIES: dict[Family, str] = {
    "paper": "Architectures of the four papers",
    "baseline": "Baselines",
    "statistical": "Statistical forecasts",
}
READINGS = {
    "published": "the paper's own map",
    "corrected": "that map with its faults mended",
    "rollout": "attention followed down through its layers to the steps",
}


def marks(kind: type[Forecaster]) -> list[str]:
    """What it can show and take, in a few words each."""
    can = kind.capabilities
    found = {
        "time saliency": can.time_saliency,
        "attention over variates": can.attention and not can.time_saliency,
        "parts that add up": can.scales,
        "missing steps": can.missing_values,
        "any length": can.variable_length,
        "fitted at once": can.fitted,
        "pretrains": can.pretrains,
    }
    return [words for words, there in found.items() if there]


def abilities(kind: type[Forecaster]) -> list[tuple[bool, str, str]]:
    """Whether it can, what, and how or why not: one row for each capability."""
    can = kind.capabilities
    readings = "; ".join(READINGS[reading] for reading in can.saliency)
    learning = "Estimated at once, in closed form or by a statistics library; there are no epochs."
    if not can.fitted:
        learning = "Learns by gradient steps" + (", after a stage of pretraining." if can.pretrains else ".")
    return [
        (can.time_saliency, "Time saliency", f"{readings}.".capitalize() if readings else can.reason),
        (
            can.scales,
            "Parts of the forecast",
            "Its forecast is exactly a sum of parts, one for each scale or branch."
            if can.scales
            else "Its forecast is no sum of parts, so the Scales page has none to show.",
        ),
        (
            can.attention,
            "Attention to test",
            "Its learned weights can be made uniform or permuted, to see whether they matter."
            if can.attention
            else "It has no attention whose weights could be replaced.",
        ),
        (
            can.multivariate,
            "Variates together",
            "Variates exchange information." if can.multivariate else "Every variate is forecast from itself alone.",
        ),
        (
            can.missing_values,
            "Missing steps",
            "A window may have missing steps." if can.missing_values else "Missing steps must be filled before.",
        ),
        (
            can.variable_length,
            "Any length",
            "One set of weights reads look-backs of several lengths."
            if can.variable_length
            else "Its weights belong to one look-back.",
        ),
        (not can.fitted, "Learning", learning),
    ]


def names_of(grids: Iterable[Grid]) -> list[str]:
    """What pages call each scale or branch, fine to coarse."""
    all_of_them = list(grids)
    return [grid.name or scale_name(i, len(all_of_them)) for i, grid in enumerate(all_of_them)]


def parameters(kind: type[Forecaster], options: Mapping[str, Any], shape: Shape) -> int | None:
    """How many numbers it learns at this shape; None for one that is fitted. Takes no memory and milliseconds.

    Raises UserError where the configuration cannot work.
    """
    from core.models.registry import configure

    config = configure(kind.name, dict(options))
    kind.check(config, shape)
    if kind.capabilities.fitted:
        return None
    return _parameters(kind.name, config.model_dump_json(), shape)


@st.cache_data(max_entries=1024, show_spinner=False)
def _parameters(name: str, config_json: str, shape: Shape) -> int:
    import torch

    from core.models.registry import architecture

    kind = architecture(name)
    with torch.device("meta"):
        model = kind(kind.Config.model_validate_json(config_json), shape)
    return sum(p.numel() for p in model.parameters())


def standing(kind: type[Forecaster], options: Mapping[str, Any], shape: Shape) -> tuple[str, str]:
    """Its size in words, and why it cannot work at this shape; one of the two is empty."""
    try:
        count = parameters(kind, options, shape)
    except UserError as error:
        return "", str(error)
    return "nothing to learn" if count is None else f"{short(count)} parameters", ""


def short(count: int) -> str:
    """
    >>> [short(n) for n in (480, 101_266, 2_400_000)]
    ['480', '101 k', '2.4 M']
    """
    if count >= 1_000_000:
        return f"{count / 1e6:,.1f} M"
    return f"{count / 1e3:,.0f} k" if count >= 10_000 else f"{count:,}"


def known(wanted: str | None, names: Iterable[str]) -> tuple[str | None, str]:
    """The architecture that a link means, and a sentence where it is not the one it names."""
    there = list(names)
    if not wanted or wanted in there:
        return wanted, ""
    near = get_close_matches(wanted.lower(), there, 1, 0.4)
    chosen = near[0] if near else there[0]
    return chosen, f"There is no architecture called {wanted!r}. The nearest is shown."
