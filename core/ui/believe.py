"""How far to believe the maps of a window: one sentence each, their agreement, and what the forecast does when steps
are taken away in their order. What is computed comes from ``evidence``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.ui import evidence, export, inspect, widgets
from core.ui.charts import evidence as charts
from core.ui.evidence import Asked
from core.ui.theme import colors

JUDGES = ("occlusion", "occlusion_patch", "gradient", "adds_up")  # what a map is compared with in its sentence
COLUMNS = {
    "map": st.column_config.TextColumn("map", pinned=True),
    "AUPRC": st.column_config.NumberColumn(format="%.3f", help="How well it finds the true steps; 1 is best."),
    "even map": st.column_config.NumberColumn(format="%.3f", help="The AUPRC of a map that says nothing."),
    "agreement": st.column_config.NumberColumn(format="%.2f", help="Rank correlation with what its sentence names."),
    "times random": st.column_config.NumberColumn(
        format="%.1f", help="Change of the forecast without the top 10 %, over that without 10 % at random."
    ),
    "comprehensiveness": st.column_config.NumberColumn(
        format="%.2f", help="Mean change without the top 1, 5, 10, 20, 50 %; high where the map is right."
    ),
    "sufficiency": st.column_config.NumberColumn(
        format="%.2f", help="Mean change with only those kept; low where the map is right."
    ),
    "resolves": st.column_config.NumberColumn("resolves, steps", help="Below so many steps it cannot tell apart."),
}


def show(asked: Asked, strips: Sequence[Any]) -> None:
    """The whole section; ``strips`` are the maps that are drawn."""
    from core.explain.faithfulness import agreement

    shown, control = colors(), evidence.curves(asked, "random")
    curves = {s.title: evidence.curves(asked, s) for s in strips}
    agreed = agreement({s.name: s.values for s in strips})
    st.subheader("How far to believe it", anchor=False)
    rows = []
    for s in strips:
        sentence, row = _said(asked, s, strips)
        rows.append(row)
        widgets.note(f"**{widgets.plain(s.title)}.** {widgets.plain(sentence)}")
    matrix = charts.agreement_picture(agreed, {s.name: s.title for s in strips}, shown)
    panels = [charts.curves_picture(curves, control, panel, shown) for panel in charts.PANELS]
    places = st.columns([1.2, 1, 1], gap="medium")
    with places[0]:
        st.markdown("**Agreement**", help="Spearman's rank correlation of two maps over the steps of this window.")
        inspect.show(matrix, key=f"agreement-{len(strips)}")
    for place, panel, title, help in zip(
        places[1:],
        panels,
        charts.PANELS.values(),
        (
            "Steps become the baseline in a map's order. 100 % is the change when the whole window is taken away. A "
            "map is right where its curve rises early.",
            "Only the first steps of a map's order are left. A map is right where its curve falls early.",
        ),
        strict=True,
    ):
        with place:
            st.markdown(f"**{title}**", help=help)
            inspect.show(panel, key=f"curves-{title}")
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="believed", column_config=COLUMNS)
    _sanity(asked, strips)
    origin = asked.view.provenance(asked.provenance())
    with st.container(horizontal=True, gap="large"):
        for name, picture, table in (
            ("agreement", matrix, matrix.tables["pairs"]),
            ("deletion", panels[0], panels[0].tables["curves"]),
            ("insertion", panels[1], panels[1].tables["curves"]),
        ):
            with st.popover(f"Export {name}", type="tertiary", icon=":material/download:"):
                export.buttons(f"scalescope-{name}", picture, table, origin)


def _sanity(asked: Asked, strips: Sequence[Any]) -> None:
    """One button, one table, one sentence; seconds of work, so only when asked for."""
    names = [s.name for s in strips if s.signed_BLC is not None]
    wanted = (asked.view.row.id, asked.view.column, asked.step, asked.baseline, asked.statistics, *names)
    if st.button(
        "Check sanity",
        icon=":material/rule:",
        key="sanity",
        help="Does a map change when the model knows nothing (fresh weights), when its attention is uniform, or with "
        "another seed? Over 32 test windows; takes seconds.",
    ):
        st.session_state["sanity-asked"] = wanted
    if st.session_state.get("sanity-asked") != wanted:
        return
    with st.spinner("Asking models with fresh weights", show_time=True):
        found = evidence.sanity(asked, names)
    st.markdown(f"**{widgets.plain(found.sentence)}**")
    st.table(found.table(), hide_index=True, border="horizontal")
    changes = [
        f"{name} attention changes the error by {value:+.1%}"
        for name, value in (("uniform", found.uniform), ("permuted", found.permuted))
        if value is not None
    ]
    seeds = f"{found.others} run{'s' * (found.others != 1)} of other seeds"
    about = (
        f"Rank correlation with this model's own map, mean and 95 % interval; {found.draws} draws of weights, {seeds}. "
        "Infidelity is the share of a change that the map does not foretell when values are taken away at random (0 is "
        "right, 1 says nothing); sensitivity is how much of the map changes at most with a small change of the window."
    )
    widgets.note(f"{about} {'; '.join(changes).capitalize()}{'.' * bool(changes)}")


def _said(asked: Asked, s: Any, strips: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """The sentence of one map and its row of the table."""
    from core.explain import faithfulness
    from core.explain.attribution import NO_REACTION, begun
    from core.explain.scores import scores
    from core.explain.truth import true_weights

    view, control, curves = asked.view, evidence.curves(asked, "random"), evidence.curves(asked, s)
    judge = next((o for name in JUDGES for o in strips if o.name == name != s.name), None)
    rank = float("nan")
    if judge is not None:
        rank = faithfulness.agreement({"own": s.values, "judge": judge.values}).between("own", "judge")
    times = faithfulness.times_random(curves, control)
    title = f"the {'' if s.signed_BLC is None else 'map by '}{begun(s.title)}"
    said = NO_REACTION
    if control.whole_B[0] > 0:
        said = faithfulness.sentence(title, rank, times, begun(judge.title) if judge else "")
    row: dict[str, Any] = {"map": s.title}
    if view.known and not asked.together:
        weights = np.abs(true_weights(view.known, view.run.spec.columns, view.lookback, view.step)).sum(axis=1)
        if weights.any() and not (weights > 0).all():
            row |= {"AUPRC": scores(s.values, weights)["auprc"], "even map": float((weights > 0).mean())}
            said += (
                f" It finds the true steps with an AUPRC of {row['AUPRC']:.2f} (an even map: {row['even map']:.2f})."
            )
    return said, row | {
        "agreement": rank,
        "times random": times,
        "comprehensiveness": float(curves.comprehensiveness_B[0]),
        "sufficiency": float(curves.sufficiency_B[0]),
        "resolves": s.resolution,
    }
