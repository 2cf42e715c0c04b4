"""The answers that a stop draws, computed once and shared by all sessions: the stored one while nothing else is asked,
so that the first picture waits for no model; else the model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.lesson import pretrained
from core.lesson.models import SHIPPED
from core.training.events import EpochDone
from core.ui import widgets

if TYPE_CHECKING:
    from core.evaluate.run import LoadedRun
    from core.lesson.answer import Answer

COMPARED = (
    *("crossscalenet-syn5", "s2tx-syn5", "casa-syn5", "patchtst-syn5", "crossscalenet-broken"),
    *("crossscalenet-syn1", "crossscalenet-syn7"),
)
Change = Callable[[np.ndarray], np.ndarray]


def of(
    model: str,
    step: int | None = None,
    window: int | None = None,
    change: tuple[str, Change] | None = None,
) -> Answer:
    """About the window and step that the model is shipped with, whose answer is stored, or others, about which the
    model is asked. ``change`` makes another window of it, under a name of its own. Raises Lost where the model cannot
    be read."""
    one = pretrained.shipped(model)
    step, window = one.step if step is None else step, one.window if window is None else window
    if change is None and (step, window) == (one.step, one.window):
        found = _stored(model, changed(model))
        if found is not None:
            return found
    return _live(model, changed(model), step, window, change[0] if change else "", change[1] if change else None)


def changed(model: str) -> int:
    """Changes when the model is trained again."""
    path = pretrained.folder_of(model) / f"{model}.safetensors"
    return path.stat().st_mtime_ns if path.exists() else 0


@st.cache_resource(max_entries=32, show_spinner=False)
def _stored(model: str, version: int) -> Answer | None:
    return pretrained.stored(model)


@st.cache_resource(max_entries=len(SHIPPED), show_spinner="Loading the model")
def run(model: str, version: int) -> LoadedRun:
    import torch

    torch.set_num_threads(1)
    return pretrained.load(model)


@st.cache_resource(max_entries=64, show_spinner="Asking the model")
def _live(model: str, version: int, step: int, window: int, named: str, _change: Change | None) -> Answer:
    from core.lesson.answer import answer

    loaded, series = run(model, version), pretrained.series_of(model)
    lookback = None if _change is None else _change(loaded.window(series, window).lookback)
    return answer(loaded, series, model, window, step, lookback, occlusion=_change is None)


def poked(model: str, step: int, window: int, lookback: np.ndarray) -> Answer:
    """The model's answer to a window that somebody changed; kept nowhere."""
    from core.lesson.answer import answer

    return answer(run(model, changed(model)), pretrained.series_of(model), model, window, step, lookback)


def question(model: str, step: int) -> str:
    """What a vote is about."""
    return f"{model} {step}"


@contextmanager
def or_offered() -> Iterator[None]:
    """Where a model cannot be read, says why, and offers to train it again."""
    try:
        yield
    except pretrained.Lost as lost:
        title = pretrained.shipped(lost.name).title
        widgets.problem(lost)
        if st.button(f"Train {title} here", key=f"again-{lost.name}", type="primary", icon=":material/model_training:"):
            bar = st.progress(0.0, f"Training {title}, about half a minute")
            for event in pretrained.train_again(lost.name):
                if isinstance(event, EpochDone):
                    bar.progress(event.epoch / event.epochs, f"Epoch {event.epoch} of {event.epochs} is done")
            st.rerun()
