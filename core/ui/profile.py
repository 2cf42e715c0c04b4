"""The profile of a dataset on the Data page: what it is like, and what that suggests for a first training."""

from typing import Any

import pandas as pd
import streamlit as st

from core.data.card import DatasetCard
from core.data.profile import Profile
from core.ui import inspect, resources, state, widgets
from core.ui.charts import profile as charts
from core.ui.theme import colors

STATIONARY = {
    "stationary": "yes",
    "wanders": "no: a unit root",
    "trends": "around a level that moves",
    "unclear": "unclear",
    "": "",
}
FIELDS = {"horizon": "Horizon", "lookback": "Look-back", "scales": "Scales", "kind": "Architecture"}
COLUMNS = {
    "variate": st.column_config.TextColumn("variate", pinned=True),
    "missing": st.column_config.NumberColumn(format="percent"),
    "mean": st.column_config.NumberColumn(format="%.4g", help="In the data's own units, as the deviation."),
    "deviation": st.column_config.NumberColumn(format="%.4g"),
    "season, steps": st.column_config.NumberColumn(help="A peak of the spectrum that the autocorrelation confirms."),
    "seasonal strength": st.column_config.NumberColumn(
        format="%.2f", help="0 to 1: 1 - Var(rest) / Var(season + rest), from an STL decomposition."
    ),
    "trend strength": st.column_config.NumberColumn(format="%.2f", help="The same of the trend."),
    "stationary": st.column_config.TextColumn(
        help="What the ADF and the KPSS test say together, at the 5 % level, on the latest rows."
    ),
}


@st.cache_data(max_entries=16, show_spinner="Looking for seasons")
def profiled(dataset: str, fingerprint: str) -> Profile:
    """Computed once for each content of a dataset."""
    from core.data.profile import profile

    return profile(resources.series(dataset))


def show(card: DatasetCard) -> None:
    """An expander; nothing is computed before it is opened."""
    place = st.expander("Profile", icon=":material/query_stats:", key=f"profile-{card.id}", on_change="rerun")
    if not place.open:
        return
    with place:
        found, shown = profiled(card.id, card.fingerprint), colors()
        st.markdown(f"**{in_words(found)}**")
        _suggested(card, found)
        st.dataframe(table(found, card.units), hide_index=True, column_config=COLUMNS, key=f"profile-table-{card.id}")
        if len(found.variates) > 1 and found.tied:
            st.markdown("**Correlation of changes**", help="Of each variate's change from step to step, pair by pair.")
            inspect.show(charts.ties(found, shown), key=f"profile-ties-{card.id}")
            widgets.note(widgets.plain(closest(found)))
        if any(one.missing for one in found.variates):
            st.markdown("**Missing values**")
            inspect.show(charts.absent(found, shown), key=f"profile-absent-{card.id}")


def in_words(found: Profile) -> str:
    """The seasons of the series, in one sentence."""
    if not found.seasons:
        return "No season was found."
    told = [f"{one.period:,} steps (autocorrelation {one.autocorrelation:.2f})" for one in found.seasons]
    return f"Seasons of {', '.join(told)}." if len(told) > 1 else f"One season, of {told[0]}."


def closest(found: Profile) -> str:
    """The pair of variates that moves together most, and how many of them are drawn."""
    pairs = [(i, j, value) for i, row in enumerate(found.correlation) for j, value in enumerate(row[:i]) if value]
    i, j, value = max(pairs, key=lambda pair: abs(pair[2]))
    drawn = f" Drawn are the first {charts.DRAWN} variates." if len(found.variates) > charts.DRAWN else ""
    one, other = found.variates[j].name, found.variates[i].name
    return f"Closest of all {len(found.variates)}: {one} and {other}, {value:.2f}.{drawn}"


def table(found: Profile, units: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "variate": one.name,
                **({"unit": units.get(one.name, "")} if units else {}),
                "missing": one.missing,
                "mean": one.mean,
                "deviation": one.deviation,
                "season, steps": one.season,
                "seasonal strength": one.seasonal,
                "trend strength": one.trend,
                "stationary": STATIONARY[one.stationary],
            }
            for one in found.variates
        ]
    )


def _suggested(card: DatasetCard, found: Profile) -> None:
    rows = [
        {
            "For a first training": FIELDS[one.field],
            " ": one.value if one.value.isdigit() else "",
            "because": one.reason,
        }
        for one in found.suggestions
    ]
    st.table(rows, hide_index=True, border="horizontal")
    if st.button("Train with these lengths", key="train-suggested", icon=":material/model_training:"):
        session: Any = st.session_state
        for field in ("lookback", "horizon"):
            session[f"{field}-{card.id}"] = found.suggested[field]
        state.go("train", {"dataset": card.id})
