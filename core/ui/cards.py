"""Architectures as cards: what each is, what it can show, what it costs here; and the same in words for other places.

``choose`` draws the choice of the Train page: a card for each architecture of the papers, short lists for the others.
The choice itself stands in the URL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import UserError
from core.training.spec import Spec
from core.ui import resources, state, widgets
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


# -- the choice ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """How the cards learn what a training costs: at this ``shape``, with these ``options`` by architecture; ``spec``
    is what would be trained (None where it cannot), of a series of ``rows``. Without it only sizes are told."""

    shape: Shape
    options: Mapping[str, Mapping[str, Any]]
    rows: int
    spec: Callable[[str], Spec | None] | None


def choose(
    kinds: Mapping[str, type[Forecaster]],
    model: str,
    shape: Shape,
    options: Mapping[str, Mapping[str, Any]],
    spec: Callable[[str], Spec | None],
    rows: int,
) -> None:
    """The choice, with ``model`` chosen. Time and memory of all are measured when asked for, in the background."""
    of = {family: [name for name, kind in kinds.items() if kind.family == family] for family in FAMILIES}
    asked = st.session_state.setdefault("measured", set())
    this = (shape, rows)
    costs = Costs(shape, options, rows, spec if this in asked else None)
    waiting = False
    with st.grid(4, min_column_width=165, gap="small", key="cards-paper"):
        for name in of["paper"]:
            with st.container(border=True, height="stretch", gap="xsmall", key=f"card-{name}"):
                st.button(
                    kinds[name].title,
                    key=f"choose-{name}",
                    type="primary" if name == model else "secondary",
                    width="stretch",
                    on_click=_put,
                    args=(name,),
                )
                waiting |= _about(kinds[name], costs)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="cards-others"):
        for family in ("baseline", "statistical"):
            if of[family]:
                _short_list(family, of[family], kinds, model)
        if costs.spec is None and st.button(
            "Measure all here",
            type="tertiary",
            icon=":material/timer:",
            key="measure-all",
            help="Time and memory of every architecture at this window, one after another in the background.",
        ):
            asked.add(this)
            st.rerun()
    if kinds[model].family != "paper":
        with st.container(border=True, gap="xsmall", key=f"card-{model}"):
            st.markdown(f"**{widgets.plain(kinds[model].title)}**")
            waiting |= _about(kinds[model], costs)
    if waiting:
        first = [True]
        st.fragment(_again, run_every=1.0)(first)


def _put(name: str) -> None:
    state.put(model=name)


def _again(first: list[bool]) -> None:
    """Draws the page again, a second after it was drawn, for what has been measured since."""
    if not first[0]:
        st.rerun()
    first[0] = False


def _short_list(family: Family, names: list[str], kinds: Mapping[str, type[Forecaster]], model: str) -> None:
    key = f"choose-{family}"
    st.session_state[key] = model if model in names else None
    st.radio(
        FAMILIES[family],
        names,
        format_func=lambda name: kinds[name].title,
        horizontal=True,
        key=key,
        on_change=lambda: _put(st.session_state[key]),
    )


def _about(kind: type[Forecaster], costs: Costs) -> bool:
    """What it is, what it can show, what it costs here. Returns whether its cost is still being measured."""
    widgets.note(widgets.plain(kind.summary))
    shown = "".join(f"**{words}** · " for words in marks(kind))
    size, refused = standing(kind, costs.options[kind.name], costs.shape)
    if refused:
        widgets.note(f"{shown}:material/block: Not at this window. {widgets.plain(refused)}")
        return False
    spec = costs.spec(kind.name) if costs.spec and not kind.capabilities.fitted else None
    if spec is None:
        widgets.note(shown + size)
        return False
    try:
        cost = resources.cost(spec, costs.rows, first=False)
    except UserError as error:
        widgets.note(f"{shown}{size} · {widgets.plain(error)}")
        return False
    if cost is None:
        widgets.note(f"{shown}{size} · being measured")
        return True
    time = widgets.duration(cost.seconds)
    widgets.note(f"{shown}{size} · {widgets.size(cost.memory_mb)} · at most {time}, measured here")
    return False
