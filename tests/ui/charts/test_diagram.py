"""A data flow is drawn so that every box and every arrow can be seen, wide and narrow, for every architecture."""

from itertools import pairwise

import pytest

from core.models.contract import Shape
from core.models.diagram import Arrow, Box, Diagram, chain
from core.models.registry import architectures
from core.ui import cards
from core.ui.charts.diagram import diagram_picture, diagram_table, takeaway
from core.ui.charts.flow import COLUMNS, Across, Flow, labels, lay_out, letters, wrapped
from core.ui.theme import COLORS

WIDTHS = (340, 690)


def drawn(name: str) -> tuple[Diagram, list[str]]:
    kind = architectures()[name]
    lookback = max((own.lookback for own in kind.published.values()), default=96)
    config = kind.Config()
    return kind.diagram(config, Shape(lookback, 96, 7)), cards.names_of(kind.grids(config, lookback))


def pixels(at: Across, width: float) -> float:
    """As the drawing computes it in the browser."""
    gutter = 12 if width < 560 else 26
    box = min((width - gutter * (2 + at.count - 1)) / at.count, 230)
    middle = width / 2 + (at.index - (at.count - 1) / 2) * (box + gutter)
    return middle + at.side * box / 2 + at.gutters * gutter + at.pixels


def edges(flow: Flow, width: float) -> dict[str, tuple[float, float, float, float]]:
    """left, top, right, bottom of every box."""
    return {p.box.id: (pixels(p.across(-1), width), p.top, pixels(p.across(1), width), p.bottom) for p in flow.boxes}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", list(architectures()))
def test_boxes_stand_inside_the_picture_and_none_covers_another(name, width):
    flow = lay_out(drawn(name)[0])
    found = edges(flow, width)
    for left, top, right, bottom in found.values():
        assert 0 <= left < right <= width and 0 <= top < bottom <= flow.height
    boxes = list(found.values())
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", list(architectures()))
def test_arrows_run_at_right_angles_from_box_to_box_and_through_none(name, width):
    flow = lay_out(drawn(name)[0])
    found = edges(flow, width)
    for route in flow.routes:
        corners = [(pixels(at, width), y) for at, y in route.corners]
        for (x0, y0), (x1, y1) in pairwise(corners):
            assert x0 == pytest.approx(x1) or y0 == y1
            for id, (left, top, right, bottom) in found.items():
                inside = max(min(x0, x1), left + 1) < min(max(x0, x1), right - 1) or left + 1 < x0 == x1 < right - 1
                within = max(min(y0, y1), top + 1) < min(max(y0, y1), bottom - 1) or top + 1 < y0 == y1 < bottom - 1
                assert not (inside and within), f"{route.arrow} runs through {id}"
        for (x, y), id in ((corners[0], route.arrow.start), (corners[-1], route.arrow.end)):
            left, top, right, bottom = found[id]
            assert left - 1 <= x <= right + 1 and top - 1 <= y <= bottom + 1


@pytest.mark.parametrize("name", list(architectures()))
@pytest.mark.parametrize("scheme", list(COLORS))
def test_the_picture_is_valid_and_shows_every_box_with_its_shape(name, scheme):
    diagram, names = drawn(name)
    picture = diagram_picture(diagram, names, COLORS[scheme], name)
    picture.chart(COLORS[scheme])
    table = diagram_table(diagram, names)
    assert list(table["box"]) == [box.text for box in diagram.boxes]
    for narrow in (True, False):
        words = picture.tables["words"]
        said = " ".join(words[words["narrow"] == narrow]["text"])
        for box in diagram.boxes:
            assert all(part in said for part in box.text.replace("-", " ").split()), box.text
            assert box.shape in said


def test_scales_are_rows_fine_to_coarse():
    flow = lay_out(drawn("crossscalenet")[0])
    place = {p.box.id: p for p in flow.boxes}
    assert place["in"].bottom < place["encode0"].top < place["pool1"].top < place["pool2"].top < place["head"].top
    assert place["pool1"].top == place["attend1"].top == place["encode1"].top
    assert [place[id].index for id in ("pool1", "attend1", "encode1")] == [0, 1, 2]
    assert [band.scale for band in flow.bands] == [0, 1, 2, 3]


def test_without_scales_what_is_equally_far_stands_side_by_side():
    boxes = tuple(Box(id, id) for id in ("in", "left", "right", "out"))
    arrows = (*chain("in", "left", "out"), *chain("in", "right", "out"))
    place = {p.box.id: p for p in lay_out(Diagram(boxes, arrows)).boxes}
    assert place["left"].top == place["right"].top and place["left"].index != place["right"].index
    assert place["in"].bottom < place["left"].top < place["out"].top


def test_a_long_row_goes_on_in_a_further_line():
    ids = [f"b{i}" for i in range(6)]
    boxes = (Box("in", "in"), *(Box(id, id, scale=0) for id in ids), Box("out", "out"))
    flow = lay_out(Diagram(boxes, chain("in", *ids, "out")))
    assert max(p.index for p in flow.boxes) < COLUMNS
    assert len({p.top for p in flow.boxes if p.box.scale == 0}) == 2


def test_a_loop_is_refused():
    with pytest.raises(ValueError, match="loop"):
        lay_out(Diagram((Box("a", "a"), Box("b", "b")), (Arrow("a", "b"), Arrow("b", "a"))))


def test_a_label_stands_once_for_one_start_and_one_end():
    boxes = tuple(Box(id, id) for id in "abcd")
    arrows = (Arrow("a", "b", "keys"), Arrow("a", "c", "keys"), Arrow("b", "d", "weight"), Arrow("c", "d", "weight"))
    assert labels(Diagram(boxes, arrows)) == {"b": "keys", "d": "weight"}


def test_text_breaks_into_lines_of_about_equal_length():
    assert wrapped("Attention, 6 patches of 8", 4, False) == ("Attention, 6", "patches of 8")
    assert all(len(line) <= letters(4, True) for line in wrapped("Seasonal and trend encoder", 4, True))


def test_the_text_alternative_says_what_goes_in_and_what_comes_out():
    said = takeaway(drawn("crossscalenet")[0], "CrossScaleNet")
    assert said.startswith("Data flow of CrossScaleNet: from window (B × 96 × 7) to forecast (B × 96 × 7)")
    assert "3 of them attention" in said
