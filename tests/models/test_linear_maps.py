"""Linear maps along time equal the operations they stand for."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from core.models.layers import linear_maps


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 60), window=st.integers(1, 31))
def test_moving_average_repeats_the_edges(length, window):
    x = torch.randn(3, length)
    left = (window - 1) // 2
    padded = torch.cat([x[:, :1].expand(-1, left), x, x[:, -1:].expand(-1, window - 1 - left)], dim=1)
    expected = F.avg_pool1d(padded[:, None], window, 1)[:, 0]
    torch.testing.assert_close(x @ linear_maps.moving_average(length, window), expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(2, 60), factor=st.integers(2, 4))
def test_pooling_leaves_out_what_fills_no_group(length, factor):
    x = torch.randn(2, length)
    if length < factor:
        assert linear_maps.pooling(length, factor).shape == (length, 0)
        return
    torch.testing.assert_close(
        x @ linear_maps.pooling(length, factor), F.avg_pool1d(x[:, None], factor)[:, 0], atol=1e-5, rtol=1e-5
    )


def test_padding_repeats_the_last_value_or_adds_zeros():
    x = torch.tensor([[1.0, 2.0, 3.0]])
    assert (x @ linear_maps.padding(3, 2, "replicate")).tolist() == [[1, 2, 3, 3]]
    assert (x @ linear_maps.padding(3, 2, "zero")).tolist() == [[1, 2, 3, 0]]
