"""What a scale sees is the mean of what the finer one saw; patches tile the window, or overlap and stand in lanes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.models.contract import Grid
from core.models.registry import architectures
from core.ui import cards
from core.ui.charts.scales_picture import MOST, scale_name, scales_picture, tables, told
from core.ui.theme import COLORS


def pooled(length: int, scales: int, factor: int, patch: int) -> list[Grid]:
    found = []
    for m in range(scales):
        points = length // factor**m
        if points:
            p = max(1, patch // factor**m) if m else 0
            found.append(Grid(factor**m, points, p, -(-points // p) if p else 0))
    return found


@given(st.integers(16, 200), st.integers(1, 4), st.integers(2, 3), st.integers(1, 32))
def test_points_are_means_and_patches_tile_the_window(length, scales, factor, patch):
    values = np.random.default_rng(0).standard_normal(length)
    grids = pooled(length, scales, factor, patch)
    points, spans = tables(values, grids)
    for scale, grid in enumerate(grids):
        mine = points.query(f"scale == {scale}")
        step, count = grid.factor, grid.points
        assert len(mine) == count
        np.testing.assert_allclose(mine["value"], values[: count * step].reshape(count, step).mean(axis=1))
        assert -length <= mine["step"].min() and mine["step"].max() <= 0
    for scale, grid in enumerate(grids):
        group = spans[spans["scale"] == scale]
        if 0 < grid.patches <= MOST and len(group):
            start, stop = group["start"].tolist(), group["stop"].tolist()
            assert start[0] == -length and start[1:] == stop[:-1]
    assert points["level"].min() >= -1e-9 and points["level"].max() <= 1 + 1e-9


def test_a_branch_that_sees_the_end_begins_there_and_its_overlapping_patches_stand_in_lanes():
    values = np.arange(96.0)
    points, spans = tables(values, [Grid(1, 48, 16, 5, first=48, stride=8, name="local")])
    assert points["step"].min() == -47.5
    assert list(points["value"]) == list(values[48:])
    assert list(spans["start"]) == [-48, -40, -32, -24, -16]
    assert list(spans["stop"]) == [-32, -24, -16, -8, 0]
    assert list(spans["lane"]) == [0, 1, 0, 1, 0]
    for _, lane in spans.groupby("lane"):
        start, stop = lane["start"].tolist(), lane["stop"].tolist()
        assert all(after >= before for after, before in zip(start[1:], stop, strict=False))


def test_where_not_every_patch_is_drawn_the_row_says_so():
    grid = Grid(1, 960, 4, 240)
    _, spans = tables(np.zeros(960), [grid])
    assert len(spans) <= MOST
    assert told(grid, "fine", True)[-1] == "1 in 10 drawn"
    assert told(Grid(1, 336, 16, 42, 336, 8), "local", True) == ["local", "last 336 steps", "16 every 8"]
    assert told(Grid(2, 48, 8, 6), "scale 1", True) == ["scale 1", "every 2 steps", "8 points a patch"]
    assert told(Grid(1, 96, 0, 0), "whole window", False)[-1] == "no patches"


@pytest.mark.parametrize("name", list(architectures()))
@pytest.mark.parametrize("length", [96, 512])
def test_what_every_architecture_sees_can_be_drawn(name, length):
    kind = architectures()[name]
    grids = kind.grids(kind.Config(), length)
    scales_picture(np.arange(float(length)), grids, cards.names_of(grids), "load", COLORS["dark"]).to_dict()


def test_a_constant_window_can_be_drawn():
    grids = pooled(96, 4, 2, 16)
    scales_picture(np.ones(96), grids, cards.names_of(grids), "load", COLORS["light"]).to_dict()


def test_scales_have_one_name_each():
    assert [scale_name(m, 4) for m in range(4)] == ["fine", "scale 1", "scale 2", "coarse"]
    assert [scale_name(m, 2) for m in range(2)] == ["fine", "scale 1"]
    assert scale_name(0, 1) == "fine"
