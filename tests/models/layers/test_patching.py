"""Patches by hand: overlap, a filled end, a fixed number of them."""

import pytest
import torch

from core.models.layers.patching import count_padded, cut


def test_the_last_step_fills_the_end():
    patches = cut(torch.arange(7.0)[None, None], 4, 3, count_padded(7, 4, 3))
    assert patches.tolist() == [[[[0, 1, 2, 3], [3, 4, 5, 6], [6, 6, 6, 6]]]]


def test_what_lies_behind_the_last_patch_is_left_out():
    assert cut(torch.arange(9.0), 2, 4, 2).tolist() == [[0, 1], [4, 5]]


@pytest.mark.parametrize("steps, patch, stride", [(96, 48, 16), (101, 16, 8), (5, 5, 3), (7, 2, 2)])
def test_every_step_lies_in_a_patch(steps, patch, stride):
    seen = cut(torch.arange(float(steps)), patch, stride, count_padded(steps, patch, stride))
    assert set(seen.flatten().tolist()) == set(range(steps))
