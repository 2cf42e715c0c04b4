"""A map as cells: what each says, padding, merging, spans that overlap, axes that are not time."""

import numpy as np

from core.models.trace import AttentionMap, Axis, numbered, time_axis
from core.ui.charts import cells as charts


def spans(first: int, count: int, wide: int) -> Axis:
    return Axis("time", np.array([(first + i * wide, first + (i + 1) * wide) for i in range(count)]))


def test_a_cell_is_told_in_words() -> None:
    sentence = charts.sentence("Steps 48 to 63", "steps 32 to 47", False, 0.82, 1 / 6)
    assert sentence == "Steps 48 to 63 look at 32 to 47, weight 0.82, even share would be 0.167"


def test_cells_are_the_weights_of_the_map() -> None:
    weights = np.array([[[0.25, 0.75], [0.5, 0.5]]])
    table = charts.cells(AttentionMap("patch", weights, spans(0, 2, 16), spans(0, 2, 16), scale=1))
    assert table["weight"].tolist() == [0.25, 0.75, 0.5, 0.5]
    assert table[["q0", "q1", "from", "to"]].iloc[1].tolist() == [0, 16, 16, 32]
    assert (table["even"] == 0.5).all()


def test_where_no_attention_exists_nothing_is_drawn() -> None:
    """Attention inside patches is a map of blocks; the rest of the map is no weight of zero but no attention."""
    weights = np.kron(np.eye(4), np.full((2, 2), 0.5))[None]
    table = charts.cells(AttentionMap("local", weights, spans(0, 8, 2), spans(0, 8, 2), scale=1))
    assert len(table) == 16
    assert (table["even"] == 0.5).all()


def test_padding_is_no_key() -> None:
    weights = np.array([[[0.5, 0.3, 0.2]]])
    real = np.array([True, True, False])
    found = AttentionMap("patch", weights, spans(0, 1, 16), spans(0, 3, 16), scale=1, real=real)
    assert charts.cells(found)["to"].max() == 32


def test_a_long_map_is_merged_and_its_rows_still_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    weights = rng.random((1, 301, 301))
    weights /= weights.sum(axis=2, keepdims=True)
    table = charts.cells(AttentionMap("patch", weights, spans(0, 301, 4), spans(0, 301, 4), scale=1))
    assert len(table) <= charts.MOST_CELLS
    assert np.allclose(table.groupby("q")["weight"].sum(), 1)
    assert (table["from"].min(), table["to"].max(), table["q1"].max()) == (0, 1204, 1204)


def test_overlapping_spans_are_drawn_border_to_border_and_told_as_they_are() -> None:
    axis = time_axis(0, 16, 8, 5, 40)  # the last one is cut at the end: (32, 40)
    table = charts.cells(AttentionMap("self", np.full((1, 5, 5), 0.2), axis, axis))
    row = table[table["q"] == 0]
    assert row[["from", "to"]].to_numpy().tolist() == [[0, 12], [12, 20], [20, 28], [28, 36], [36, 40]]
    assert row[["step from", "step to"]].to_numpy().tolist() == [[0, 15], [8, 23], [16, 31], [24, 39], [32, 39]]
    assert table["text"][1].startswith("Steps 0 to 15 look at 8 to 23")


def test_keys_of_one_span_are_added_up() -> None:
    """Attention over all variates' patches has one key per variate and span; the picture has one column per span."""
    keys = Axis("time", np.array([[0, 4], [4, 8], [0, 4], [4, 8]]))
    table = charts.cells(AttentionMap("cross", np.array([[[0.1, 0.2, 0.3, 0.4]]]), spans(0, 1, 8), keys))
    assert np.allclose(table["weight"], [0.4, 0.6]) and np.allclose(table["even"], 0.5)


def test_variates_and_features_have_their_names() -> None:
    weights = np.full((1, 3, 2), 0.5)
    score = AttentionMap("score", weights, numbered("feature", 3), numbered("variate", 2))
    table = charts.cells(score, ("load", "<img src=x>"))
    assert table["text"][1] == "Feature 0 looks at <img src=x>, weight 0.5, even share would be 0.5"
    assert table["answers"].tolist()[:2] == ["load", "<img src=x>"] and table["asks"].tolist()[::2] == ["0", "1", "2"]
    among = AttentionMap("self", np.full((1, 2, 2), 0.5), numbered("variate", 2), numbered("variate", 2))
    assert charts.cells(among, ("a", "b"))["text"][2].startswith("b looks at a")


def test_heads_are_averaged() -> None:
    axis = spans(0, 2, 8)
    heads = [AttentionMap("self", np.array([[[1.0, 0.0], [0.5, 0.5]]]), axis, axis, head=0)]
    heads += [AttentionMap("self", np.array([[[0.0, 1.0], [0.5, 0.5]]]), axis, axis, head=1)]
    assert np.allclose(charts.average(heads).weights, 0.5)
