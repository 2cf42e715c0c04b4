"""What a class marked: one set of steps for each reader, on any number of devices that open the same link of one
server.

Names are not asked. A reader is a browser session; marks counted by hand come in as further readers. Nothing is stored
beyond the life of the server.
"""

import threading
from collections.abc import Iterable

import numpy as np
import streamlit as st

MOST = 2_000  # readers of one question; more are not counted
QUESTIONS = 200  # questions kept; the oldest go


class Votes:
    """Marks by question and reader, shared by all sessions of the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, dict[str, frozenset[int]]] = {}

    def put(self, question: str, reader: str, steps: Iterable[int]) -> bool:
        """This reader's marks, in place of the earlier ones; without any, none is counted. False where it is full."""
        marks = frozenset(steps)
        with self._lock:
            if question not in self._of and len(self._of) >= QUESTIONS:
                del self._of[next(iter(self._of))]
            readers = self._of.setdefault(question, {})
            if not marks:
                readers.pop(reader, None)
            elif reader in readers or len(readers) < MOST:
                readers[reader] = marks
            else:
                return False
        return True

    def share(self, question: str, steps: int) -> tuple[np.ndarray, int]:
        """For steps back 1 to ``steps``, the share of readers who marked each, farthest first; and how many readers."""
        with self._lock:
            all_marks = list(self._of.get(question, {}).values())
        counts = np.zeros(steps)
        for marks in all_marks:
            for back in marks:
                if 1 <= back <= steps:
                    counts[steps - back] += 1
        return counts / max(len(all_marks), 1), len(all_marks)


@st.cache_resource(show_spinner=False)
def votes() -> Votes:
    return Votes()
