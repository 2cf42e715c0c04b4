"""Training as it happens: the jobs at the foot of the side bar. They poll only while something is under way."""

import streamlit as st

from core.ui import resources, state, widgets

POLL = 2.0  # seconds


def side_bar() -> None:
    """The live jobs, name, progress and time left, each a way back to its page."""
    busy = bool(resources.jobs().active())
    with st.sidebar:
        st.fragment(_jobs, run_every=POLL if busy else None)(busy)


def _jobs(busy: bool) -> None:
    active = resources.jobs().active()
    if busy and not active:
        st.rerun()  # the last job has ended: the page shows what came of it, and polling stops
    for job in active:
        with st.container(border=True, gap="xsmall", key=f"side-{job.id}"):
            st.page_link(
                "pages/train.py",
                label=f"**{widgets.plain(job.name)}**",
                query_params=state.params(run=job.id),
                help="Open this training",
            )
            if job.state == "queued":
                st.caption(f"Number {job.position} in the queue")
            else:
                st.progress(progress(job))
                left = widgets.duration(job.eta_seconds)
                st.caption(f"epoch {job.epoch} of {job.epochs}" + (f" · {left} left" if left else ""))


def progress(job) -> float:
    """Share of the work that is done, 0 to 1."""
    if not job.epochs:
        return 0.0
    done = max(job.epoch - 1, 0) + (job.batch / job.batches if job.batches else 0.0)
    return min(max(done / job.epochs, 0.0), 1.0)
