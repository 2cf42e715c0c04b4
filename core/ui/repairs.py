"""Mending a file before it is added: what the audit offers, a step to bring the data to, values before and after.

What is chosen lies in ``held["changes"]``, fields of the ``Choice``; the file is read again under it.
"""

from typing import TYPE_CHECKING, Any, get_args

import streamlit as st

from core.ui import theme, widgets

if TYPE_CHECKING:
    from core.data.card import Audit
    from core.data.choice import Choice
    from core.data.series import Series


def offer(held: dict[str, Any], audit: "Audit", choice: "Choice") -> None:
    """One list for each finding about which something can be done; answering reads the file again."""
    asked = {finding.key: finding for finding in audit.findings if finding.offers}
    if not asked:
        return
    st.markdown("**Repairs** · choose what is to change")
    for key, finding in asked.items():
        labels = [f"{each.label}{' (proposed)' if each.proposed else ''}" for each in finding.offers]
        now = [all(getattr(choice, f) == v for f, v in each.change.items()) for each in finding.offers]
        st.session_state[f"repair-{key}"] = now.index(True) if True in now else 0

        def changed(key: str = key, offers: Any = finding.offers) -> None:
            held.setdefault("changes", {}).update(offers[st.session_state[f"repair-{key}"]].change)

        st.selectbox(
            widgets.plain(_subject(finding.key)),
            range(len(labels)),
            format_func=lambda i, labels=labels: labels[i],
            key=f"repair-{key}",
            on_change=changed,
        )


def _subject(key: str) -> str:
    """What a finding is about, in a word or two: ``stand_in -9999`` is "The value -9999"."""
    if key.startswith("stand_in "):
        return f"The value {key.removeprefix('stand_in ')}"
    return {"outliers": "Outliers", "units": "Rows in another unit", "step": "Uneven steps"}.get(key, key)


def ask_step(held: dict[str, Any]) -> None:
    """The step to bring the data to, and how several values become one."""
    from core.data.choice import Aggregate, Step

    steps, ways = list(get_args(Step)), list(get_args(Aggregate))
    changes = held.setdefault("changes", {})
    st.session_state["new-step"] = changes.get("step", "")
    st.session_state["new-aggregate"] = changes.get("aggregate", "mean")

    def changed() -> None:
        changes.update(step=st.session_state["new-step"], aggregate=st.session_state.get("new-aggregate", "mean"))

    def step_label(step: str) -> str:
        return step or "As they are"

    st.selectbox("Bring to steps of", steps, format_func=step_label, key="new-step", on_change=changed)
    if changes.get("step"):
        st.selectbox(
            "Several values become their", ways, format_func=str.capitalize, key="new-aggregate", on_change=changed
        )


def compare(before: "Series", after: "Series") -> None:
    """The values of one variate as they came and as they will be stored, where the two differ."""
    import numpy as np

    from core.ui.charts import overview

    shared = [name for name in after.variates if name in before.variates]
    same_clock = np.array_equal(before.times, after.times)
    differing = [n for n in shared if not same_clock or not _equal(_column(before, n), _column(after, n))]
    if not differing:
        return
    with st.expander("Before and after", icon=":material/compare:", expanded=True, key="before-after"):
        chosen = differing[0]
        if len(differing) > 1:
            chosen = st.selectbox("Variate", differing, key="mended-variate") or chosen
        rows = st.container(gap=None)
        colors = theme.colors()
        for title, series, color in (("before", before, colors.muted), ("after", after, colors.text)):
            table, clock = _table(series, chosen)
            axis = (f"time, {series.zone}" if clock else "row") if title == "after" else None
            rows.altair_chart(
                overview.row(table, f"{chosen}, {title}", color, clock, axis, colors),
                key=f"mended-{title}",
                alt=f"{widgets.plain(chosen)} {title} the repairs",
            )


def _column(series: "Series", name: str) -> Any:
    return series.values[:, series.variates.index(name)]


def _equal(a: Any, b: Any) -> bool:
    import numpy as np

    return np.array_equal(a, b, equal_nan=True)


def _table(series: "Series", name: str) -> tuple[Any, bool]:
    """What a line of this variate needs, and whether it has a clock."""
    import pandas as pd

    from core.ui.charts import overview, picture

    values = _column(series, name)
    rows = picture.thin(values)
    table = overview.in_zone(pd.DataFrame({"t": series.times[rows], "value": values[rows]}), series.zone)
    return table, pd.api.types.is_datetime64_any_dtype(table["t"])
