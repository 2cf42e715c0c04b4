"""Where the boxes of a data flow stand and how its arrows run: layout only, no drawing.

Scales are rows, fine to coarse, as on every page; what belongs to no scale stands above them, below them, or in a row
of its own between. An architecture without scales is a column. Arrows run at right angles: along the row, through the
gaps between rows, or down a line left and right of all boxes.

Heights are pixels. Widths are not known here, because a page gives a picture its width in the browser; a place across
is an ``Across``, which the drawing turns into pixels there.
"""

import textwrap
from dataclasses import dataclass, replace

from core.models.diagram import Arrow, Box, Diagram

COLUMNS = 4  # boxes side by side at most; more go on in a further line of the same row
LINE, PADDING = 13, 7  # pixels: one line of text; above and below the text of a box
GAP, NAMED = 22, 32  # pixels above a line of boxes; where a row with a name begins
WIDE, NARROW = (560, 6.2, 26, 230), (340, 5.3, 12, 230)  # least width, pixels a letter, gutter, widest box


@dataclass(frozen=True)
class Across:
    """A place across: box ``index`` of ``count`` side by side, its left edge, middle or right edge (``side`` -1, 0, 1),
    moved by ``gutters`` and by ``pixels``."""

    count: int
    index: int
    side: int = 0
    gutters: float = 0.0
    pixels: float = 0.0


@dataclass(frozen=True)
class Placed:
    """A box with its place: ``index`` of ``count`` across, ``top`` and ``height`` in pixels, its text in lines for a
    wide and for a narrow page."""

    box: Box
    line: int
    count: int
    index: int
    top: float = 0.0
    height: float = 0.0
    wide: tuple[str, ...] = ()
    narrow: tuple[str, ...] = ()

    @property
    def middle(self) -> float:
        return self.top + self.height / 2

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def across(self, side: int = 0, pixels: float = 0.0) -> Across:
        return Across(self.count, self.index, side, 0.0, pixels)


@dataclass(frozen=True)
class Route:
    """An arrow as the corners it passes; the last is where its head stands, ``turn`` degrees from pointing up."""

    arrow: Arrow
    corners: tuple[tuple[Across, float], ...]
    turn: int


@dataclass(frozen=True)
class Band:
    """The ground of one scale's row: ``top`` to ``bottom`` in pixels."""

    scale: int
    top: float
    bottom: float


@dataclass(frozen=True)
class Flow:
    """A laid-out diagram: ``columns`` boxes side by side in the rows, ``height`` in pixels."""

    boxes: tuple[Placed, ...]
    routes: tuple[Route, ...]
    bands: tuple[Band, ...]
    columns: int
    height: float


def letters(count: int, narrow: bool) -> int:
    """How many letters fit into one of ``count`` boxes side by side on the least width."""
    least, letter, gutter, widest = NARROW if narrow else WIDE
    room = min((least - 2 * gutter - (count - 1) * gutter) / count, widest)
    return max(int((room - 6) / letter), 6)


def wrapped(text: str, count: int, narrow: bool) -> tuple[str, ...]:
    """Lines of about equal length that fit into one of ``count`` boxes side by side."""
    most = letters(count, narrow)
    hyphens = max(map(len, text.split()), default=0) > most  # a word is divided only where it must be

    def lines_of(width: int) -> list[str]:
        return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=hyphens) or [""]

    lines = lines_of(most)
    for fewer in range(most - 1, 5, -1):
        closer = lines_of(fewer)
        if len(closer) != len(lines) or max(map(len, closer)) > fewer:
            break
        lines = closer
    return tuple(lines)


def lay_out(diagram: Diagram) -> Flow:
    """The layout of a diagram. Between scales arrows may go both ways; within one, or where there is none, ValueError
    is raised where they form a loop."""
    above, rows, below = _regions(diagram)
    lines: list[list[Placed]] = []
    begins: dict[int, int | None] = {}  # line at which a row begins, and its scale
    _stack(lines, above, diagram.arrows)
    first = len(lines)
    columns = _rows(lines, begins, rows, diagram.arrows)
    last = len(lines)
    _stack(lines, below, diagram.arrows)
    y, placed, bands = 0.0, {}, []
    for number, line in enumerate(lines):
        named = begins.get(number) is not None
        said = max(_label_lines(diagram, [p.box.id for p in line], len(line) if number < first else columns), 0)
        y += (NAMED if named else GAP if number else 2) + max(said - 1, 0) * 11
        height = max(len(p.narrow) + bool(p.box.shape) for p in line) * LINE + 2 * PADDING
        if named:
            bands.append(Band(begins[number] or 0, y - NAMED + 8, 0.0))
        for p in line:
            placed[p.box.id] = replace(p, line=number, top=y, height=height)
        y += height
        ends_row = number + 1 in begins or number + 1 == last
        if bands and not bands[-1].bottom and ends_row and first <= number < last:
            bands[-1] = replace(bands[-1], bottom=y + 7)
            y += 7
    routes = _Router(placed, first, last, columns).routes(diagram.arrows)
    return Flow(tuple(placed[box.id] for box in diagram.boxes), routes, tuple(bands), columns, y + 4)


def ranks(ids: list[str], arrows: tuple[Arrow, ...]) -> dict[str, int]:
    """Longest way to each box, counted in arrows among ``ids``."""
    inside = [a for a in arrows if a.start in ids and a.end in ids]
    rank = dict.fromkeys(ids, 0)
    for _ in range(len(ids) + 1):
        moved = False
        for a in inside:
            if rank[a.end] < rank[a.start] + 1:
                rank[a.end] = rank[a.start] + 1
                moved = True
        if not moved:
            return rank
    raise ValueError("the arrows of a diagram form a loop")


def _regions(diagram: Diagram) -> tuple[list[Box], list[list[Box]], list[Box]]:
    """Boxes above the rows, the rows (scales fine to coarse, then what runs beside them), and boxes below."""
    led_to = {arrow.end for arrow in diagram.arrows}
    scales = sorted({box.scale for box in diagram.boxes if box.scale is not None})
    if not scales:
        return list(diagram.boxes), [], []
    scaled = {box.id for box in diagram.boxes if box.scale is not None}
    leads, follows = _reach(scaled, diagram.arrows, back=True), _reach(scaled, diagram.arrows, back=False)
    free = [box for box in diagram.boxes if box.scale is None]
    above = [box for box in free if box.id in leads and box.id not in follows]
    below = [box for box in free if box.id in follows and box.id not in leads]
    beside = [box for box in free if box not in above and box not in below]
    # what neither leads to a scale nor follows from one, but opens or ends the whole, does so here too
    above += [box for box in beside if box.id not in led_to]
    beside = [box for box in beside if box.id in led_to]
    rows = [[box for box in diagram.boxes if box.scale == scale] for scale in scales]
    return above, [*rows, *([beside] if beside else [])], below


def _reach(ids: set[str], arrows: tuple[Arrow, ...], back: bool) -> set[str]:
    found, edge = set(), set(ids)
    while edge:
        edge = {a.start if back else a.end for a in arrows if (a.end if back else a.start) in edge} - found
        found |= edge
    return found


def _stack(lines: list[list[Placed]], boxes: list[Box], arrows: tuple[Arrow, ...]) -> None:
    """Boxes under one another by the longest way to them; those of equal length side by side, near what leads there."""
    inside = ranks([box.id for box in boxes], arrows)
    place: dict[str, float] = {}
    for level in sorted(set(inside.values())):
        same = [box for box in boxes if inside[box.id] == level]
        before = {box.id: [place[a.start] for a in arrows if a.end == box.id and a.start in place] for box in same}
        pull = {id: sum(found) / len(found) if found else 0.5 for id, found in before.items()}
        same.sort(key=lambda box: pull[box.id])
        for first in range(0, len(same), COLUMNS):
            part = same[first : first + COLUMNS]
            lines.append([_placed(box, len(part), i) for i, box in enumerate(part)])
        place |= {box.id: (i + 0.5) / len(same) for i, box in enumerate(same)}


def _rows(
    lines: list[list[Placed]], begins: dict[int, int | None], rows: list[list[Box]], arrows: tuple[Arrow, ...]
) -> int:
    """One row a scale, from left to right by the longest way within it; returns the number of columns."""
    inside = [ranks([box.id for box in row], arrows) for row in rows]
    columns = min(max((max(rank.values()) + 1 for rank in inside), default=1), COLUMNS)
    for row, rank in zip(rows, inside, strict=True):
        begins[len(lines)] = row[0].scale
        for first in range(0, max(rank.values()) + 1, COLUMNS):
            lanes: list[list[Placed]] = []
            taken: dict[int, int] = {}
            for box in row:
                column = rank[box.id] - first
                if 0 <= column < COLUMNS:
                    lane = taken.get(column, 0)
                    taken[column] = lane + 1
                    if lane == len(lanes):
                        lanes.append([])
                    lanes[lane].append(_placed(box, columns, column))
            lines.extend(lanes)
    return columns


def _placed(box: Box, count: int, index: int) -> Placed:
    return Placed(box, 0, count, index, wide=wrapped(box.text, count, False), narrow=wrapped(box.text, count, True))


def labels(diagram: Diagram) -> dict[str, str]:
    """What is written above a box about the arrows into it; a label stands once for one start and for one end."""
    said: set[tuple[str, str]] = set()
    found: dict[str, list[str]] = {}
    for a in diagram.arrows:
        if a.label and not {(a.start, a.label), (a.end, a.label)} & said:
            found.setdefault(a.end, []).append(a.label)
        said |= {(a.start, a.label), (a.end, a.label)}
    return {end: " · ".join(parts) for end, parts in found.items()}


def _label_lines(diagram: Diagram, ids: list[str], count: int) -> int:
    known = labels(diagram)
    return max((len(wrapped(known[id], count, True)) for id in ids if id in known), default=0)


@dataclass
class _Router:
    """Finds the corners of every arrow. Lines ``first`` to ``last`` are rows; those before and after are stacks."""

    placed: dict[str, Placed]
    first: int
    last: int
    columns: int

    def routes(self, arrows: tuple[Arrow, ...]) -> tuple[Route, ...]:
        return tuple(self._route(a) for a in arrows)

    def _route(self, arrow: Arrow) -> Route:
        a, b = self.placed[arrow.start], self.placed[arrow.end]
        a_rows, b_rows = (self.first <= p.line < self.last for p in (a, b))
        if a_rows and b_rows:
            corners = self._between_rows(a, b)
        elif not a_rows and not b_rows and (a.line < self.first) == (b.line < self.first):
            corners = self._in_stack(a, b)
        elif a_rows:
            corners = self._to_below(a, b)
        else:
            corners = self._from_above(a, b)
        corners = [c for i, c in enumerate(corners) if not i or c != corners[i - 1]]
        (x0, y0), (x1, y1) = corners[-2:]
        turn = 90 if y0 == y1 and _order(x0) < _order(x1) else 270 if y0 == y1 else 180 if y1 > y0 else 0
        return Route(arrow, tuple(corners), turn)

    def _in_stack(self, a: Placed, b: Placed) -> list[tuple[Across, float]]:
        if b.line == a.line + 1:
            gap = b.top - 11
            return [(a.across(), a.bottom), (a.across(), gap), (b.across(), gap), (b.across(), b.top)]
        # over what lies between, right of its widest line
        most = max(p.count for p in self.placed.values() if a.line <= p.line <= b.line)
        side = Across(most, most - 1, 1, 0.5)
        return [(a.across(1), a.middle), (side, a.middle), (side, b.middle - 5), (b.across(1), b.middle - 5)]

    def _from_above(self, a: Placed, b: Placed) -> list[tuple[Across, float]]:
        bus = Across(self.columns, 0, -1, -0.5, -2.0)
        if a.line == self.first - 1:
            begin = [(a.across(), a.bottom), (a.across(), a.bottom + 5), (bus, a.bottom + 5)]
        else:
            begin = [(a.across(-1), a.middle), (bus, a.middle)]
        if b.index == 0:
            return [*begin, (bus, b.middle), (b.across(-1), b.middle)]
        gap = b.top - 11
        return [*begin, (bus, gap), (b.across(), gap), (b.across(), b.top)]

    def _to_below(self, a: Placed, b: Placed) -> list[tuple[Across, float]]:
        bus = Across(self.columns, self.columns - 1, 1, 0.5, 2.0)
        end = [(bus, b.middle), (b.across(1), b.middle)]
        if b.index < b.count - 1:
            end = [(bus, b.top - 11), (b.across(), b.top - 11), (b.across(), b.top)]
        if self._last_of_line(a):
            return [(a.across(1), a.middle), (bus, a.middle), *end]
        gap = a.bottom + 5
        return [(a.across(), a.bottom), (a.across(), gap), (bus, gap), *end]

    def _between_rows(self, a: Placed, b: Placed) -> list[tuple[Across, float]]:
        if b.index == a.index + 1 and a.box.scale == b.box.scale:
            if a.line == b.line:
                return [(a.across(1), a.middle), (b.across(-1), b.middle)]
            gutter = Across(self.columns, b.index, -1, -0.5)
            return [(a.across(1), a.middle), (gutter, a.middle), (gutter, b.middle), (b.across(-1), b.middle)]
        if a.line == b.line:
            gap = a.top - 9
            return [(a.across(0, 8), a.top), (a.across(0, 8), gap), (b.across(0, -8), gap), (b.across(0, -8), b.top)]
        if b.line > a.line:
            out, into, shift = a.bottom + 5, b.top - 11, -8.0
            ends = (a.bottom, b.top)
        else:
            out, into, shift = a.top - 6, b.bottom + 10, 8.0
            ends = (a.top, b.bottom)
        begin, end = a.across(0, shift), b.across(0, shift)
        if abs(a.line - b.line) == 1:
            return [(begin, ends[0]), (begin, into), (end, into), (end, ends[1])]
        gutter = Across(self.columns, b.index, -1, -0.5, shift / 2)
        return [(begin, ends[0]), (begin, out), (gutter, out), (gutter, into), (end, into), (end, ends[1])]

    def _last_of_line(self, a: Placed) -> bool:
        return all(p.index <= a.index for p in self.placed.values() if p.line == a.line)


def _order(at: Across) -> tuple[float, ...]:
    """Sorts places of one line from left to right."""
    return ((at.index + 0.5) / at.count + at.side * 0.49 / at.count + 0.01 * at.gutters, at.pixels)
