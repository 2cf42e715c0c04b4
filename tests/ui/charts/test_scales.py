"""Pictures of the scales: tables that add up and patches that cover the window."""

import json

import numpy as np
import pytest
import torch

from core.models.contract import Shape
from core.models.registry import build
from core.models.trace import Trace
from core.ui.charts import scales as charts
from core.ui.theme import COLORS, palette

LIGHT = COLORS["light"]


@pytest.fixture(scope="module")
def trace() -> Trace:
    torch.manual_seed(0)
    model = build("crossscalenet", {"scales": 3, "width": 8}, Shape(96, 24, 2)).eval()
    return model.trace(torch.randn(1, 96, 2).cumsum(1))


def pictures(trace: Trace, **options: object) -> list[charts.Picture]:
    limits, colors = charts.limits_of(trace, 0), palette(3, LIGHT)
    return [
        charts.scale_picture(s, name, 0, 96, 24, limits, color, LIGHT, head=i == 0, **options)
        for i, (s, name, color) in enumerate(zip(trace.scales, charts.scale_names(3), colors, strict=True))
    ]


def test_what_the_rows_draw_sums_to_the_forecast(trace: Trace) -> None:
    drawn = sum(p.tables["adds"].query("kind == 'adds'")["value"].to_numpy() for p in pictures(trace))
    assert np.allclose(drawn + trace.rest[0, :, 0], trace.forecast[0, :, 0], atol=1e-5)


def test_seasonal_and_trend_parts_sum_to_the_contribution(trace: Trace) -> None:
    for picture in pictures(trace, parts=True):
        table = picture.tables["adds"].pivot(index="at", columns="kind", values="value")
        assert np.allclose(table["seasonal part"] + table["trend part"], table["adds"], atol=1e-5)


def test_patches_cover_the_window_and_the_finest_scale_has_none(trace: Trace) -> None:
    fine, *coarse = (charts.patches_table(s, 96) for s in trace.scales)
    assert fine.empty
    for table in coarse:
        assert (table["from"].iloc[0], table["to"].iloc[-1]) == (0, 96)
        assert (table["to"] - table["from"] == 16).all()


def test_a_pooled_point_stands_in_the_middle_of_its_steps(trace: Trace) -> None:
    table = charts.seen_table(trace.scales[2], 0)
    assert table["at"].tolist()[:2] == [2.0, 6.0]
    assert table["where"].iloc[0] == "steps 0 to 3"


def test_all_contributions_share_one_range(trace: Trace) -> None:
    low, high = charts.limits_of(trace, 0)
    assert low <= 0 <= high
    assert all((p.tables["limits"]["value"] == [low, high]).all() for p in pictures(trace))


def test_a_weight_by_hand_scales_the_contribution(trace: Trace) -> None:
    for picture in pictures(trace, factor_by_hand=0.5):
        table = picture.tables["adds"].pivot(index="at", columns="kind", values="value")
        assert np.allclose(table["what if"], table["adds"] / 2, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"parts": True}, {"factor_by_hand": 1.4}])
def test_every_picture_obeys_the_schema(trace: Trace, options: dict[str, object]) -> None:
    for picture in pictures(trace, **options):
        picture.chart(LIGHT)
    y = trace.forecast[0, :, 0]
    charts.sum_picture(np.zeros(96), None, y, y, LIGHT, patch=16, what_if=y).chart(LIGHT)
    charts.weights_picture([0.7], "#083A47", LIGHT).chart(LIGHT)


def test_rows_under_one_another_keep_their_own_tables(trace: Trace) -> None:
    whole = charts.stacked_picture(pictures(trace))
    named = {part["name"] for part in _data(whole.spec)}
    assert named <= set(whole.tables)
    assert json.dumps(whole.whole(LIGHT, 800)).count('"limits"') == 0
    whole.chart(LIGHT)


def _data(part: object) -> list[dict[str, str]]:
    if isinstance(part, list):
        return [found for each in part for found in _data(each)]
    if not isinstance(part, dict):
        return []
    own = [part["data"]] if "name" in part.get("data", {}) else []
    return own + [found for value in part.values() for found in _data(value)]
