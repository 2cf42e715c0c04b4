"""The attention picture: tables that say what the map says, and rows that share one time axis."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.explain import saliency
from core.models.contract import Shape
from core.models.registry import build
from core.models.trace import Trace
from core.ui.charts import attention as charts
from core.ui.charts.cells import cells
from core.ui.theme import COLORS

LIGHT = COLORS["light"]
NASTY = '"; drop table datasets; -- <img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def trace() -> Trace:
    torch.manual_seed(0)
    model = build("crossscalenet", {"scales": 3, "width": 8}, Shape(96, 24, 2)).eval()
    return model.trace(torch.randn(1, 96, 2).cumsum(1))


def picture(trace: Trace, branch: str = "patch", scale: int = 1, **options: object) -> charts.Picture:
    found = trace.map(branch, scale)
    assert found is not None
    stamps = [str(i) for i in range(120)]
    values = np.linspace(0, 1, 96)
    ahead = trace.forecast[0, :, 0]
    tables = {
        "series": charts.lines(values, ahead, ahead, stamps),
        "points": charts.positions(values, None, ahead, stamps),
        "strips": charts.strips([saliency.published(trace), saliency.corrected(trace)]),
        "cells": cells(found),
        "truth": charts.truth_spans({"lags": [71, 72, 73]}, 96, 12),
        "asked": pd.DataFrame({"at": [108.5], "value": [float(ahead[12])]}),
    }
    names = {"variate": NASTY, "unit": "units", "branch": "Patch attention", "takeaway": "what it shows"}
    return charts.attention_picture(tables, lookback=96, horizon=24, resolution=16, colors=LIGHT, **names, **options)


@given(st.lists(st.integers(1, 120), max_size=20), st.integers(0, 23))
def test_the_truth_lies_at_look_back_plus_step_minus_lag(lags: list[int], step: int) -> None:
    table = charts.truth_spans({"lags": lags}, 96, step)
    drawn = {p for a, b in zip(table["from"], table["to"], strict=True) for p in range(a, b)}
    assert drawn == {96 + step - lag for lag in lags if 0 <= 96 + step - lag < 96}


def test_no_truth_no_band() -> None:
    assert charts.truth_spans(None, 96, 0).empty


def test_strips_are_multiples_of_an_even_share(trace: Trace) -> None:
    table = charts.strips([saliency.published(trace)])
    assert np.isclose(np.average(table["share"], weights=table["to"] - table["from"]), 1)


def test_an_all_zero_map_is_drawn_as_nothing_and_divides_by_nothing() -> None:
    class Silent:
        method, title, values = "published", "Published attention", np.zeros(32)

    assert (charts.strips([Silent()])["share"] == 0).all()


@pytest.mark.parametrize(
    ("at", "steps"), [((20.2, 49.7), (20, 50)), ((-5, 3.0), (0, 3)), ((90, 130), (90, 96)), ((97, 99), None)]
)
def test_a_brushed_interval_becomes_steps_of_the_window(at: tuple[float, float], steps: tuple[int, int] | None) -> None:
    assert charts.steps_of(at, 96) == steps


@pytest.mark.parametrize(
    ("branch", "marked", "cell"), [("patch", None, None), ("local", None, None), ("patch", (3, 40), (1, 2))]
)
def test_the_picture_obeys_the_schema(trace: Trace, branch: str, marked: object, cell: object) -> None:
    picture(trace, branch, marked=marked, cell=cell).chart(LIGHT)


def test_all_rows_share_one_time_axis(trace: Trace) -> None:
    """One step is one pixel column in every row: each x encoding over data has the same domain and range."""
    scales = []

    def walk(part: object) -> None:
        if isinstance(part, dict):
            x = part.get("x")
            if isinstance(x, dict) and "field" in x:
                scales.append(x["scale"])
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(picture(trace).spec)
    assert len(scales) > 10
    assert all(scale == scales[0] for scale in scales)
    assert scales[0]["domain"] == [0, 120]


def test_a_hostile_name_stays_text(trace: Trace) -> None:
    import vl_convert

    svg = vl_convert.vegalite_to_svg(picture(trace).whole(LIGHT, 800))
    assert "<img" not in svg


def test_a_new_window_changes_tables_and_not_the_drawing(trace: Trace) -> None:
    """Else the picture would be built anew, and flicker, with every window."""
    torch.manual_seed(1)
    model = build("crossscalenet", {"scales": 3, "width": 8}, Shape(96, 24, 2)).eval()
    other = model.trace(torch.randn(1, 96, 2))
    assert picture(trace).spec == picture(other).spec
