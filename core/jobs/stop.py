"""How a training is stopped from outside: by the file ``cancel``, by SIGTERM, by Ctrl-C, or by running out of time.

All four end in the same exception in the main thread, in the middle of a batch if need be, so that a stop takes well
under a second however large the model is. While a file is being written the exception waits.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Self

LOOK = 0.1  # seconds between two looks at the file
AGAIN = 0.5  # seconds until somebody who does not stop is asked again


class Stopped(BaseException):
    """Somebody asked for an end. Not an Exception: nothing on the way may take it for a fault and go on."""


class Stop:
    """``with Stop(file):`` raises Stopped inside the block once ``file`` exists, a signal came or ``seconds`` are over.

    Only in the main thread of a process. Leaving the block restores the signals.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, file: Path | None = None, seconds: float | None = None) -> None:
        self._file = file
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._wanted = self._writing = False
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, name="stop", daemon=True)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._signalled) for number in self.SIGNALS}
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, a stop waits until the block is left."""
        self._writing = True
        try:
            yield
        finally:
            self._writing = False
        if self._wanted:
            raise Stopped

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._wanted = True
        if not self._writing and not self._over.is_set():
            raise Stopped

    def _look(self) -> None:
        main = threading.main_thread().ident or 0
        # Asks again until the block is left: an exception raised inside a destructor, say, is lost.
        while not self._over.wait(AGAIN if self._wanted else LOOK):
            late = self._deadline is not None and time.monotonic() > self._deadline
            if self._wanted or late or (self._file is not None and self._file.exists()):
                signal.pthread_kill(main, signal.SIGTERM)  # to that thread, so that it wakes from a wait too
