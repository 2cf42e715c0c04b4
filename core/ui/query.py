"""A query box over a dataset: one SELECT, run in the background with its seconds and a way to cancel; the rows as a
table, a chart and a file."""

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from core.errors import UserError
from core.ui import export, resources, theme, widgets

if TYPE_CHECKING:
    import pandas as pd

    from core.data.card import DatasetCard

LINES = 5  # columns drawn at most
MARKS = 4_000
AT_ONCE = 0.5  # seconds a quick query is waited for, so that its answer comes without a blink


@dataclass
class Asked:
    """A query on its way or at its end."""

    sql: str
    cancel: threading.Event = field(default_factory=threading.Event)
    begun: float = field(default_factory=time.monotonic)
    rows: "pd.DataFrame | None" = None
    cut: bool = False
    seconds: float = 0.0
    problem: str = ""
    thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def run(self, id: str) -> None:
        try:
            answer = resources.store().query(id, self.sql, self.cancel)
            self.cut, self.seconds, self.rows = answer.cut, answer.seconds, answer.table.to_pandas()
        except UserError as error:
            self.problem = str(error)


def show(card: "DatasetCard") -> None:
    """The box, and what was asked last."""
    with st.expander("Query (SQL)", icon=":material/database_search:", key=f"query-{card.id}"):
        columns = resources.store().query_columns(card.id)
        widgets.note(
            f"The dataset is the table *data* with the columns {widgets.plain(', '.join(columns[:12]))}"
            f"{', and more' if len(columns) > 12 else ''}. One SELECT; nothing can be changed."
        )
        with st.form(f"ask-{card.id}", border=False):
            sql = st.text_area("Query", _first_rows(columns), height=120, key=f"sql-{card.id}", max_chars=20_000)
            asked = st.form_submit_button("Run", icon=":material/play_arrow:", key=f"run-{card.id}")
        place = f"asked-{card.id}"
        if asked:
            _begin(place, card.id, sql)
        if place in st.session_state:
            now: Asked = st.session_state[place]
            st.fragment(_follow, run_every=0.5 if now.running else None)(card, now)


def _begin(place: str, id: str, sql: str) -> None:
    """Starts a query; one that still runs is cancelled."""
    if place in st.session_state:
        st.session_state[place].cancel.set()
    now = st.session_state[place] = Asked(sql)
    resources.store()  # the server's own, so that the thread need not open it
    now.thread = threading.Thread(target=now.run, args=(id,), daemon=True)
    now.thread.start()
    now.thread.join(AT_ONCE)
    if not now.running:
        now.thread = None


def _follow(card: "DatasetCard", now: Asked) -> None:
    """What the query has come to."""
    if now.running:
        widgets.note(f"Running for {time.monotonic() - now.begun:.0f} seconds")
        if st.button("Cancel", icon=":material/stop_circle:", key=f"cancel-{card.id}"):
            now.cancel.set()
        return
    if now.thread is not None:  # it has just ended: no more polling
        now.thread = None
        st.rerun()
    if now.problem:
        widgets.problem(now.problem)
    elif now.rows is not None:
        _rows(card, now, now.rows)


def _rows(card: "DatasetCard", now: Asked, table: "pd.DataFrame") -> None:
    if table.empty:
        widgets.note("The query gave no rows.")
        return
    cut = ", the first of more; ask for fewer to see all" if now.cut else ""
    widgets.note(f"{len(table):,} row{'s' * (len(table) != 1)}{cut}, in {now.seconds:.2g} seconds")
    _chart(card, table)
    st.dataframe(table, hide_index=True, key=f"answer-{card.id}", alt="The rows of the query")
    st.download_button(
        "CSV",
        lambda: export.csv(table),
        "query.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"answer-csv-{card.id}",
    )


def _chart(card: "DatasetCard", table: "pd.DataFrame") -> None:
    """Lines over a column of times or numbers, where there is one beside at least one column of numbers."""
    import pandas as pd

    kinds = {i: column for i, column in enumerate(table.dtypes)}
    numbers = [i for i, kind in kinds.items() if pd.api.types.is_numeric_dtype(kind)]
    clocks = [i for i, kind in kinds.items() if pd.api.types.is_datetime64_any_dtype(kind)]
    across = [*clocks, *numbers]
    if len(table) < 2 or not numbers or len(across) < 2:
        return
    names = [str(name) for name in table.columns]
    left, right = st.columns(2)
    x = left.selectbox("Across", across, format_func=lambda i: names[i], key=f"across-{card.id}")
    rest = [i for i in numbers if i != x]
    y = right.multiselect(
        "Up", rest, default=rest[:1], format_func=lambda i: names[i], key=f"up-{card.id}-{x}", max_selections=LINES
    )
    if not y:
        return
    import altair as alt

    colors = theme.colors()
    rows = MARKS // len(y)
    drawn = table.iloc[:: max(1, -(-len(table) // rows))]
    parts = [
        pd.DataFrame({"x": drawn.iloc[:, x], "value": drawn.iloc[:, i].astype(float), "column": names[i]}) for i in y
    ]
    scale = alt.Scale(domain=[names[i] for i in y], range=[theme.variate_color(k, colors) for k in range(len(y))])
    timed = x in clocks
    picture = (
        alt.Chart(pd.concat(parts, ignore_index=True), height=220)
        .mark_line()
        .encode(
            x=alt.X(
                "x:T" if timed else "x:Q",
                title=names[x],
                scale=alt.Scale(type="utc") if timed else alt.Scale(zero=False),
            ),
            y=alt.Y("value:Q", title=names[y[0]] if len(y) == 1 else None, scale=alt.Scale(zero=False)),
            color=alt.Color(
                "column:N", title=None, scale=scale, legend=alt.Legend(orient="top") if len(y) > 1 else None
            ),
        )
    )
    st.altair_chart(
        theme.style(picture), key=f"answer-chart-{card.id}", alt=f"{widgets.plain(names[x])} against the result"
    )
    if len(drawn) < len(table):
        widgets.note(f"Every {-(-len(table) // rows)}th row is drawn.")


def _first_rows(columns: list[str]) -> str:
    """A query that works, to begin with."""
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in columns[:3]]
    return f"SELECT {', '.join(quoted)}\nFROM data\nORDER BY {quoted[0]}\nLIMIT 1000"
