"""Models: every architecture as a picture of its data flow, what it claims, and what its pictures may not claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from core.errors import UserError
from core.models.contract import ModelConfig, Shape
from core.models.registry import architectures, configure
from core.training.recipes import preset_lookback
from core.training.spec import Recipe
from core.ui import boot, cards, export, forms, inspect, resources, state, widgets
from core.ui.charts.diagram import LEGEND, diagram_picture, diagram_table
from core.ui.theme import colors

if TYPE_CHECKING:
    from core.store.store import RunRow

HORIZON, VARIATES = 96, 7  # of the shapes at rest: ETT's

heading = boot.page("Models", follows=("model", "dataset", "run"))
kinds = architectures()


def chosen_run() -> RunRow | None:
    """The run that the address names, where it is stored and its architecture is known."""
    if not (id := state.get("run")):
        return None
    try:
        run = resources.store().run(id)
    except UserError:
        return None
    return run if run.spec.get("model") in kinds else None


run = chosen_run()
wanted, problem = cards.known(state.get("model"), kinds)
name = wanted or (run.spec["model"] if run else cards.USUAL)
if state.get("run") and run is None:
    widgets.problem("The run that this link names is not stored here; the shapes below are the usual ones.")
if problem:
    widgets.problem(problem)
else:
    state.put(model=name)
kind = kinds[name]
of_run = run is not None and run.spec["model"] == name
heading.markdown(widgets.plain(kind.summary))


def start() -> tuple[dict[str, Any], Shape]:
    """Options and window at rest: those of the run, else the paper's own look-back."""
    if run is None:
        return {}, Shape(preset_lookback("published", name), HORIZON, VARIATES)
    spec = run.spec
    columns = [*spec["variates"], *(t for t in spec["targets"] if t not in spec["variates"])]
    shape = Shape(spec["lookback"], spec["horizon"], len(columns))
    return (dict(spec.get("config", {})) if of_run else {}), shape


options, shape = start()
left, right = st.columns([2.4, 1], gap="large")
with right:
    st.session_state["models-model"] = name
    st.selectbox(
        "Architecture",
        list(kinds),
        format_func=lambda n: kinds[n].title,
        key="models-model",
        on_change=lambda: state.put(model=st.session_state["models-model"]),
    )
    key = f"models-{name}-{run.id if run else ''}"
    with st.container(horizontal=True, gap="small"):
        lookback = st.number_input("Look-back, steps", 2, 100_000, shape.lookback, key=f"{key}-lookback")
        horizon = st.number_input("Horizon, steps", 1, 100_000, shape.horizon, key=f"{key}-horizon")
        variates = st.number_input("Variates", 1, 10_000, shape.variates, key=f"{key}-variates")
        options |= forms.fields(kind.Config, key, only=kind.scale_fields, start=options)
    shape = Shape(int(lookback), int(horizon), int(variates))
    if run is not None:
        about = "Shapes and options" if of_run else "The window"
        widgets.note(f"{about} of the run {widgets.plain(run.name or run.id)}.")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.page_link(
            "pages/train.py",
            label="Train it",
            icon=":material/model_training:",
            query_params=state.params(run=None, model=name),
        )
        if run is not None and st.button("Usual shapes", icon=":material/undo:", type="tertiary", key="models-usual"):
            state.put(run=None, model=name)
            st.rerun()


def flow(config: ModelConfig) -> None:
    kind.check(config, shape)
    names = cards.names_of(kind.grids(config, shape.lookback))
    diagram = kind.diagram(config, shape)
    picture = diagram_picture(diagram, names, colors(), kind.title)
    size, _ = cards.standing(kind, options, shape)
    st.markdown(f"**Data flow of {widgets.plain(kind.title)}** · {size}", help=LEGEND)
    inspect.show(picture, key="models-diagram")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        about = f"look-back {shape.lookback:,} · horizon {shape.horizon:,} · {shape.variates:,} variates"
        table = diagram_table(diagram, names)
        export.buttons("scalescope-model", picture, table, [kind.title, f"{about} · {kind.source} · Scalescope"])
    with st.expander("The same in words", icon=":material/table:"):
        st.dataframe(table, hide_index=True, key="models-boxes")


with left:
    try:
        flow(configure(name, options))
    except UserError as error:
        st.warning(widgets.plain(error), icon=":material/warning:")

with right:
    st.markdown("**What it claims**")
    st.markdown(widgets.plain(kind.claims))
    st.markdown("**What it may not claim**")
    st.markdown(widgets.plain(kind.limits))
    source = widgets.plain(kind.source)
    st.markdown(f"**Source** · [{source}]({kind.link})" if kind.link else f"**Source** · {source}")
    if note := kind.runs_on():
        widgets.note(widgets.plain(note))


def shows() -> None:
    st.markdown(widgets.plain(kind.shows))
    with st.grid(2, min_column_width=300, gap="small"):
        for able, title, how in cards.abilities(kind):
            icon = ":material/check:" if able else ":gray[:material/remove:]"
            st.markdown(f"{icon} **{title}**  \n{widgets.plain(how)}")


def fields() -> pd.DataFrame:
    """The options of the architecture, with what they hold here."""
    config = configure(name, options)
    rows = []
    for field_name, field in kind.Config.model_fields.items():
        low, high = forms.bounds(field)
        held, usual = getattr(config, field_name), field.default
        rows.append(
            {
                "option": forms.label(field) if field.title else field_name,
                "here": str(held),
                "usual": str(usual),
                "between": "" if low is None and high is None else f"{low:g} and {high:g}" if high else f"{low:g} up",
                "what it is": field.description or "",
            }
        )
    return pd.DataFrame(rows)


def published() -> pd.DataFrame:
    """The paper's own settings, a column for each dataset that it names."""
    table: dict[str, dict[str, str]] = {}
    for dataset, own in kind.published.items():
        held: dict[str, Any] = {"Look-back": own.lookback}
        held |= {forms.label(Recipe.model_fields[f]): v for f, v in own.recipe.items()}
        held |= {forms.label(kind.Config.model_fields[f]): v for f, v in own.config.items()}
        table[dataset or "every other dataset"] = {
            words: f"{value:g}" if isinstance(value, float) else str(value) for words, value in held.items()
        }
    return pd.DataFrame(table).fillna("").rename_axis("setting").reset_index()


def comparison() -> pd.DataFrame:
    rows = []
    for other in kinds.values():
        can = other.capabilities
        size, refused = cards.standing(other, {}, shape)
        rows.append(
            {
                "architecture": other.title,
                "family": {"paper": "of a paper", "baseline": "baseline", "statistical": "statistical"}[other.family],
                "time saliency": can.time_saliency,
                "parts": can.scales,
                "variates together": can.multivariate,
                "missing steps": can.missing_values,
                "any length": can.variable_length,
                "size at this window": refused or size,
                "what can be looked at": other.shows,
                "source": other.link,
            }
        )
    return pd.DataFrame(rows)


part = st.radio(
    "Part",
    ["What it can show", "Options", "Published settings", "All architectures"],
    horizontal=True,
    key="models-part",
    label_visibility="collapsed",
)
if part == "What it can show":
    shows()
elif part == "Options" and not kind.Config.model_fields:
    st.markdown("It has no options: what there is to find is estimated from the series.")
elif part == "Options":
    try:
        st.dataframe(fields(), hide_index=True, key="models-options")
    except UserError as error:
        st.warning(widgets.plain(error), icon=":material/warning:")
elif part == "Published settings" and not kind.published:
    st.markdown("It has no published settings: nothing about it is trained.")
elif part == "Published settings":
    st.dataframe(published(), hide_index=True, key="models-published")
    widgets.note("The preset Published on the Train page uses these.")
else:
    st.dataframe(
        comparison(),
        hide_index=True,
        key="models-comparison",
        column_config={"source": st.column_config.LinkColumn("source", display_text="paper")},
    )
