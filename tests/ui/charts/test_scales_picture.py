"""What each scale sees is the mean of what the finer one saw, and patches tile the window."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.ui.charts.scales_picture import scale_name, scales_picture, tables
from core.ui.theme import COLORS


@given(st.integers(16, 200), st.integers(1, 4), st.integers(2, 3), st.integers(1, 32))
def test_points_are_means_and_patches_tile_the_window(length, scales, factor, patch):
    values = np.random.default_rng(0).standard_normal(length)
    factors = [factor**m for m in range(scales) if length // factor**m]
    patches = [0] + [max(1, patch // f) for f in factors[1:]]
    points, spans = tables(values, factors, patches)
    for scale, step in enumerate(factors):
        mine = points[points["scale"] == scale]
        count = length // step
        assert len(mine) == count
        np.testing.assert_allclose(mine["value"], values[: count * step].reshape(count, step).mean(axis=1))
        assert mine["step"].between(-length, 0).all()
    for _, group in spans.groupby("scale"):
        assert group["start"].iloc[0] == -length
        assert (group["start"].to_numpy()[1:] == group["stop"].to_numpy()[:-1]).all()
    assert points["level"].between(-1e-9, 1 + 1e-9).all()


def test_a_constant_window_can_be_drawn():
    scales_picture(np.ones(96), [1, 2, 4, 8], [0, 8, 4, 2], "load", COLORS["light"]).to_dict()


def test_scales_have_one_name_each():
    assert [scale_name(m, 4) for m in range(4)] == ["fine", "scale 1", "scale 2", "coarse"]
    assert [scale_name(m, 2) for m in range(2)] == ["fine", "scale 1"]
    assert scale_name(0, 1) == "fine"
