"""Training as it happens: the jobs at the foot of the side bar, and the view of one training on the Train page.

Fragments poll only while something is under way, and stop at a terminal state. Buttons that act on a job (Cancel)
are drawn by the page itself: a widget inside a fragment would wait for a full run that is under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from core.training.events import EpochDone, Finished, Pretrained
from core.ui import resources, state, theme, widgets

if TYPE_CHECKING:
    from core.jobs.queue import JobStatus

POLL_LIST, POLL_JOB = 2.0, 1.0  # seconds


def side_bar() -> None:
    """The live jobs: name, progress, time left, each a way back to its page."""
    if busy := tuple(job.id for job in resources.jobs().active()):
        with st.sidebar:
            st.fragment(_jobs, run_every=POLL_LIST)(busy, "side")


def cards() -> None:
    """The same jobs as cards in the page."""
    if busy := tuple(job.id for job in resources.jobs().active()):
        st.fragment(_jobs, run_every=POLL_LIST)(busy, "card")


def _jobs(known: tuple[str, ...], where: str) -> None:
    active = resources.jobs().active()
    if not {job.id for job in active} >= set(known):
        st.rerun()  # one has ended: the page shows what came of it, and polling stops with the last
    for job in active:
        with st.container(border=True, gap="xsmall", key=f"{where}-{job.id}"):
            st.markdown(f"**{widgets.plain(job.name)}**")
            st.progress(progress(job))
            query = state.params(dataset=None, run=job.id)
            st.page_link("pages/train.py", label=_standing(job), query_params=query, help="Open this training")


def progress(job: JobStatus) -> float:
    """Share of the work that is done, 0 to 1."""
    if not job.epochs:
        return 0.0
    done = max(job.epoch - 1, 0) + (job.batch / job.batches if job.batches and job.batch else 0.0)
    return min(max(done / job.epochs, 0.0), 1.0)


def _now(job: JobStatus) -> tuple[float, float] | None:
    """Where the running epoch stands: epochs done with its part of one, and its mean training loss so far."""
    if not job.active or job.loss is None or not job.batch or job.stage == "pretraining":
        return None
    return progress(job) * job.epochs, job.loss


def _standing(job: JobStatus) -> str:
    if job.state == "queued":
        return f"number {job.position} in the queue"
    if not job.epoch:
        return "starting"
    if job.fitted:
        return "fitting"
    if job.stage == "pretraining":
        return f"pretraining, epoch {job.epoch} of {job.epochs}"
    left = widgets.duration(job.eta_seconds)
    return f"epoch {job.epoch} of {job.epochs}" + (f" · {left} left" if left else "")


def view(run_id: str, status: JobStatus) -> None:
    """Loss curves, a forecast of one validation window, scale weights and the numbers beside them, as they come."""
    st.fragment(_view, run_every=POLL_JOB if status.active else None)(run_id, status.state)


def _view(run_id: str, known: str) -> None:
    from core.ui.charts import training

    job = resources.jobs().status(run_id)
    if job.state != known:
        st.rerun()  # the buttons of the page depend on the state
    events = resources.jobs().events(run_id)
    epochs = list({e.epoch: e for e in events if isinstance(e, EpochDone)}.values())  # a resume may repeat one
    c = theme.colors()
    charts, numbers = st.columns([3, 1], gap="large")
    with charts:
        if not epochs:
            first = "" if job.stage == "forecasting" else ", after pretraining"
            widgets.note(f"The curves begin with the first epoch{first}." if job.active else "No epoch was finished.")
            if job.active:
                st.skeleton(height=230)
        else:
            if not job.fitted:
                best = min(epochs, key=lambda e: e.validation_loss)
                st.markdown(f"**Loss per epoch** · best {widgets.figures(best.validation_loss)} in epoch {best.epoch}")
                st.altair_chart(
                    training.loss_chart(epochs, job.epochs, c, _now(job)),
                    key="loss",
                    alt=f"Training and validation loss over {len(epochs)} epochs; best validation loss "
                    f"{best.validation_loss:.3f} in epoch {best.epoch}",
                )
            window, weights = st.columns(2, gap="medium")
            with window:
                example = epochs[-1].example
                about = widgets.plain(example.get("target", ""))
                about += "" if job.fitted else f", epoch {epochs[-1].epoch}"
                about += "" if any(example.get("lookback", [])) else ", its history withheld"
                st.markdown(f"**One validation window** · {about}")
                st.altair_chart(
                    training.example_chart(example, c),
                    key="example",
                    alt="Forecast of one validation window beside what was observed, after the latest epoch",
                )
            if epochs[-1].scale_weights:
                with weights:
                    st.markdown("**Weight of each scale**", help="sigmoid(w) per scale, learned with everything else.")
                    st.altair_chart(
                        training.weight_chart(epochs, job.epochs, c),
                        key="weights",
                        alt="Weight of each scale over the epochs, now "
                        + ", ".join(f"{w:.2f}" for w in epochs[-1].scale_weights),
                    )
    with numbers:
        if job.active:
            st.progress(progress(job), text=_standing(job))
        with st.grid("auto", min_column_width=130):
            st.metric("Validation loss, best", widgets.figures(job.validation_loss), help="MSE on z-scored targets.")
            st.metric("Training loss, now" if job.active else "Training loss, last", widgets.figures(job.loss))
            if job.windows_per_second:
                st.metric("Windows per second", widgets.figures(job.windows_per_second))
            if before := [e for e in events if isinstance(e, Pretrained)]:
                st.metric(
                    "Pretraining loss, last",
                    widgets.figures(before[-1].loss),
                    help=f"After {before[-1].epoch} epochs. Not an MSE of forecasts: what the encoder alone minimised.",
                )
            finished = next((e for e in reversed(events) if isinstance(e, Finished)), None)
            if finished:
                st.metric("Time", widgets.duration(finished.seconds))
        widgets.note(f"Device: {job.device or 'not known yet'}")
