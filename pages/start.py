"""Start: where to begin, the recent runs, and what is training now."""

from core.ui import boot

boot.page("Start")
