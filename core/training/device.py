"""Which device and how many threads a model gets, and the process settings that make CPU training fast."""

import ctypes
import os

import torch


def resolve_device(wanted: str) -> str:
    """``cuda`` where it is asked for (or ``auto``) and present, else ``cpu``."""
    return "cuda" if wanted in ("auto", "cuda") and torch.cuda.is_available() else "cpu"


def resolve_threads(wanted: int) -> int:
    """All cores but one where 0 is given, so that the pages stay quick; never fewer than one."""
    return wanted or max(
        1, len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 2) - 1
    )


def keep_freed_memory() -> None:
    """Tells glibc to reuse large blocks instead of returning them after every step (each return costs page faults).

    For worker processes only. Does nothing where there is no glibc.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 1 << 25)  # M_MMAP_THRESHOLD, at its largest
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
    except OSError:
        pass
