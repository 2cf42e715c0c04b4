"""The flow of data through an architecture as plain data: boxes with the shapes of a configuration, and arrows."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

# ``data``: series in and out. ``layer``: computes. ``attention``: weighs tokens. ``sum``: joins what flows together.
Kind = Literal["data", "layer", "attention", "sum"]


@dataclass(frozen=True)
class Box:
    """``text`` is a short name; ``shape`` what leaves it, for example ``dims("B", 6, 6)``; ``scale`` numbers the scale
    it belongs to (fine to coarse), None where it belongs to none."""

    id: str
    text: str
    shape: str = ""
    kind: Kind = "layer"
    scale: int | None = None


@dataclass(frozen=True)
class Arrow:
    """From one box to another; ``label`` says what flows where that is not plain."""

    start: str
    end: str
    label: str = ""


@dataclass(frozen=True)
class Diagram:
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    def __post_init__(self) -> None:
        known = {box.id for box in self.boxes}
        strangers = {end for arrow in self.arrows for end in (arrow.start, arrow.end)} - known
        if strangers or len(known) != len(self.boxes):
            raise ValueError(f"arrows name unknown boxes {sorted(strangers)}, or two boxes share an id")


def dims(*sizes: int | str) -> str:
    """``dims("B", 7, 96)`` is "B × 7 × 96"."""
    return " × ".join(f"{size:,}" if isinstance(size, int) else size for size in sizes)


def chain(*ids: str) -> tuple[Arrow, ...]:
    """Arrows from each box to the next."""
    return tuple(Arrow(start, end) for start, end in pairwise(ids))
