"""Start: where to begin, the recent runs, and what is training now."""

import streamlit as st

from core.ui import boot, live, resources, state, widgets

RECENT = 6

boot.page("Start", follows=())
st.markdown(
    "Bring a series, train a forecaster that reads it at several scales, and see what it looked at, "
    "with a number on how far to believe it. Nothing leaves this machine."
)

st.page_link(
    "pages/lesson.py",
    label="New here? Take the lesson in six stops",
    help="What attention maps show and what they do not, in twelve minutes; nothing has to be trained.",
    icon=":material/school:",
    query_params={"lesson": "1"},
)

store = resources.store()
runs = store.runs(limit=RECENT)
datasets = {card.id: card for card in store.datasets()}
active = resources.jobs().active()

doors = st.columns(3, gap="medium")
with doors[0].container(border=True, height="stretch", key="door-sample"):
    st.header("Try a sample", anchor=False, icon=":material/science:")
    st.markdown("A real series, or a synthetic one whose secret lags are known, so that you can check the picture.")
    st.space("stretch")
    if st.button("Choose a sample", type="primary", icon=":material/arrow_forward:", icon_position="right"):
        st.session_state["data-door"] = "sample"
        state.go("data", {})
with doors[1].container(border=True, height="stretch", key="door-upload"):
    st.header("Upload your own", anchor=False, icon=":material/upload_file:")
    st.markdown(
        "CSV, Parquet, Excel and more, wide or long. Problems are named with row and column before anything trains."
    )
    st.space("stretch")
    if st.button("Bring a file", icon=":material/arrow_forward:", icon_position="right"):
        st.session_state["data-door"] = "upload"
        state.go("data", {})
with doors[2].container(border=True, height="stretch", key="door-model"):
    st.header("Open a model", anchor=False, icon=":material/folder_open:")
    st.markdown("Go on with a run that is stored here, or load a model that somebody saved as .safetensors.")
    st.space("stretch")
    ready = next((run for run in runs if run.state in ("finished", "cancelled")), None)
    with st.container(horizontal=True, gap="small"):
        if ready and st.button("Latest run", icon=":material/arrow_forward:", icon_position="right"):
            state.go("forecast", {"dataset": ready.dataset, "run": ready.id})
        if st.button("Load a file", type="tertiary" if ready else "secondary", icon=":material/file_open:"):
            st.session_state["train-door"] = "load"
            state.go("train", {})

if active:
    st.header("Training now", anchor=False)
    live.cards()

st.header("Recent runs", anchor=False)
if not runs:
    st.markdown(
        "No run yet. Choose a sample or bring a file; a quick training takes less than a minute on most machines."
    )
for run in runs:
    usable = bool(run.card) and run.state in ("finished", "cancelled")
    mse = ((run.card or {}).get("metrics") or {}).get("mse")
    about = [datasets[run.dataset].name if run.dataset in datasets else "dataset deleted", widgets.ago(run.created_at)]
    about += [f"test MSE {widgets.figures(mse)}"] if mse is not None else []
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="medium", key=f"run-{run.id}"):
        st.markdown(f"**{widgets.plain(run.name or run.id)}**", width="content")
        widgets.state_badge(run.state)
        widgets.note(widgets.plain(" · ".join(about)), width="content")
        st.space("stretch")
        st.page_link(
            "pages/forecast.py" if usable else "pages/train.py",
            label="Open" if usable else "See the training",
            icon=":material/arrow_forward:",
            query_params={"dataset": run.dataset, "run": run.id},
        )
