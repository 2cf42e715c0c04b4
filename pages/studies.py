"""Studies: questions of the papers as buttons. Each runs as a resumable grid of trainings in a process of its own, and
ends in one figure with one sentence.
"""

from typing import Any

import streamlit as st

from core.errors import UserError
from core.settings import settings
from core.studies.runner import Runner, Standing
from core.studies.study import Study, studies
from core.ui import boot, export, inspect, state, widgets
from core.ui.charts.study import facet_picture, facets, study_picture
from core.ui.theme import colors

POLL = 2.0  # seconds between two looks at one that runs

heading = boot.page("Studies", follows=("study",))
runner, known = Runner(settings().studies), studies()
session: Any = st.session_state


def choose() -> Study:
    """By a list with what each takes and where it stands; the choice is in the URL."""
    wanted = state.get("study")
    chosen = wanted if wanted in known else next(iter(known))
    state.put(study=chosen)
    session["studies-chosen"] = chosen
    st.radio(
        "Study",
        list(known),
        format_func=lambda name: f"{known[name].title} :gray[{where_it_stands(known[name], runner.standing(name))}]",
        key="studies-chosen",
        on_change=lambda: state.put(study=session["studies-chosen"]),
    )
    return known[chosen]


def where_it_stands(one: Study, now: Standing) -> str:
    if now.running:
        return f"running, {now.finished + now.failed} of {now.cells}"
    if now.complete:
        return "answered"
    if now.finished:
        return f"stopped at {now.finished} of {now.cells}"
    return f"{now.cells} trainings, about {one.minutes:g} minutes on two cores"


def start(one: Study, retry: bool = False) -> None:
    try:
        runner.start(one.name, retry)
    except UserError as error:
        session["studies-problem"] = str(error)


def controls(one: Study, now: Standing) -> None:
    if now.running:
        st.button("Stop", key="stop", icon=":material/stop:", on_click=runner.stop, args=(one.name,), width="stretch")
        return
    label = "Run it" if not now.finished else "Go on"
    if not now.complete:
        st.button(
            label,
            type="primary",
            key="start",
            icon=":material/play_arrow:",
            on_click=start,
            args=(one,),
            width="stretch",
            help="Finished trainings are kept: stop it, close the page or the server, and go on later.",
        )
    if now.failed:
        st.button(
            "Try what failed once more",
            key="retry",
            icon=":material/refresh:",
            on_click=start,
            args=(one, True),
            width="stretch",
        )
    if now.finished or now.failed:
        with st.popover("Delete the result", icon=":material/delete:", type="tertiary"):
            st.markdown(f"{now.finished + now.failed} trainings would have to run again.")
            st.button("Delete", key="forget", on_click=runner.forget, args=(one.name,))


def watch(name: str, before: tuple[int, bool]) -> None:
    """Progress while it runs; a finished training draws the page anew."""
    now = runner.standing(name)
    done = now.finished + now.failed
    if (done, now.running) != before:
        st.rerun()
    st.progress(done / now.cells, text=f"{done} of {now.cells} trainings · {now.left}")


def answer(one: Study, now: Standing) -> None:
    """The sentence, the figure and the table, of what is finished so far."""
    cells = runner.finished(one.name)
    if not cells:
        if not now.running:
            widgets.note(f"Not run yet. It trains {now.cells} small models on generated series; no data is needed.")
        return
    if not now.complete:
        widgets.note(f"From {now.finished} of {now.cells} trainings:")
    st.markdown(f"**{widgets.plain(one.sentence(cells))}**")
    figure, table, shown = one.figure(cells), one.table(cells), colors()
    for n, part in enumerate(facets(figure)):
        inspect.show(facet_picture(part, shown), key=f"study-{one.name}-{n}")
    with st.expander("Numbers", icon=":material/table:"):
        st.dataframe(table, hide_index=True, key=f"table-{one.name}")
    command = f"python -m core study {one.name} --out {one.name}"
    lines = [one.title, f"{command} · {cells[-1].measured} · {len(cells)} of {now.cells} trainings · Scalescope"]
    export.buttons(f"scalescope-study-{one.name}", study_picture(figure, shown), table, lines)
    st.code(command, language="bash")
    for cell in (cell for cell in runner.grid(one.name).cells().values() if cell.error):
        widgets.problem(f"{cell.spec.series_name}, {cell.settings}: {cell.error}")


main, side = st.columns([3.2, 1], gap="large")
with side:
    one = choose()
    now = runner.standing(one.name)
    controls(one, now)
with main:
    st.subheader(one.title, anchor=False)
    st.markdown(widgets.plain(one.question))
    widgets.note(f"Source: {widgets.plain(one.source)}.")
    if problem := session.pop("studies-problem", ""):
        widgets.problem(problem)
    if now.trouble:
        widgets.problem(f"It ended before its time: {now.trouble}")
    if now.running:
        st.fragment(watch, run_every=POLL)(one.name, (now.finished + now.failed, now.running))
    answer(one, now)
