"""The one exception people at the screen see: a sentence that says what was found, where, and what to do.

Everything else that is raised is a fault of ours and is logged with its traceback.
"""

from collections.abc import Mapping


class UserError(Exception):
    """A problem a person can solve. ``str(error)`` is the whole sentence shown on the page or the command line.

    The text may quote names from an upload; pages show it as plain text, never as Markdown or HTML. ``nearest`` holds
    the nearest values that work, by field (``lookback``, ``horizon``, options of an architecture), where a page can
    offer them at one press.
    """

    def __init__(self, text: str, nearest: Mapping[str, int | str] | None = None) -> None:
        super().__init__(text)
        self.nearest: dict[str, int | str] = dict(nearest or {})
