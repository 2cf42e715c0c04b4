"""The picture of a map without a time axis: schema, orientation, hostile names, many variates."""

import numpy as np
import pytest
import vl_convert

from core.models.trace import AttentionMap, numbered
from core.ui.charts.attention_map import MOST, map_picture
from core.ui.charts.cells import MOST_CELLS, cells
from core.ui.theme import COLORS

LIGHT = COLORS["light"]


def picture(found: AttentionMap, names: tuple[str, ...], **options):
    about = {"branch": "Score attention", "turned": False, "column_title": "columns", "takeaway": "what it shows"}
    return map_picture(cells(found, names), colors=LIGHT, **(about | options))


def even(queries: int, keys: int, kinds=("variate", "variate")) -> AttentionMap:
    axes = numbered(kinds[0], queries), numbered(kinds[1], keys)
    return AttentionMap("score", np.full((1, queries, keys), 1 / keys), *axes)


@pytest.mark.parametrize("cell", [None, (1, 0)])
def test_the_picture_obeys_the_schema(cell):
    picture(even(3, 3), ("a", "b", "c"), cell=cell).chart(LIGHT)


def test_where_features_ask_the_variates_are_the_rows():
    drawn = picture(even(16, 3, ("feature", "variate")), ("a", "b", "c"), turned=True)
    assert drawn.tables["rows"]["label"].tolist() == ["a", "b", "c"]
    assert drawn.tables["columns"]["label"].tolist()[:2] == ["0", "1"]
    assert "each column sums to 1" in str(drawn.spec)


def test_many_variates_are_merged_into_few_cells():
    drawn = picture(even(321, 321), tuple(f"v{i}" for i in range(321)))
    assert len(drawn.tables["cells"]) <= MOST_CELLS
    assert drawn.spec["height"] <= MOST + 100
    assert "…" in drawn.tables["rows"]["label"].iloc[0]


def test_one_variate_is_one_cell():
    assert len(picture(even(1, 1), ("only",)).tables["cells"]) == 1


def test_a_hostile_name_stays_text():
    drawn = picture(even(2, 2), ("<img src=x onerror=alert(1)>", "b"))
    assert "<img" not in vl_convert.vegalite_to_svg(drawn.whole(LIGHT, 700))
