"""The roll-out against stacks small enough to multiply by hand."""

import numpy as np
import pytest

from core.explain.rollout import rollout
from core.models.trace import AttentionMap, Axis, ScaleOutput, Trace, time_axis

EYE, SWAP = np.eye(2, dtype=np.float32), np.array([[0, 1], [1, 0]], np.float32)
TWO = time_axis(0, 2, 2, 2, 4)  # two tokens of two steps


def attention(weights, query=TWO, key=TWO, branch="self", **about) -> AttentionMap:
    return AttentionMap(branch, np.asarray(weights, np.float32)[None], query, key, **about)


def trace(*maps: AttentionMap, scales: tuple[ScaleOutput, ...] = ()) -> Trace:
    zero = np.zeros((1, 3, 1), np.float32)
    return Trace(zero, zero, scales, maps)


def test_one_layer_keeps_half_of_every_token():
    first_only = [[1, 0], [1, 0]]
    found = rollout(trace(attention(first_only)), 4, 0)
    # token 0: itself; token 1: half itself, half token 0. Mean: 3/4 and 1/4, spread over two steps each
    np.testing.assert_allclose(found.values, [0.375, 0.375, 0.125, 0.125])
    assert found.speaks_for == pytest.approx(1) and found.resolution == 2


def test_layers_multiply_and_heads_are_averaged():
    heads = [attention([[1, 0], [1, 0]], head=0, layer=1), attention([[0, 1], [0, 1]], head=1, layer=1)]
    found = rollout(trace(attention([[1, 0], [1, 0]]), *heads), 4, 0)
    # after layer 1: rows (1, 0), (1/2, 1/2); layer 2 is even: half of the own row, half of their mean (3/4, 1/4)
    np.testing.assert_allclose(found.values, np.repeat([0.75, 0.25], 2) / 2)


def test_cross_attention_brings_in_another_stream():
    key = Axis("time", np.array([[0, 1], [3, 4]]))
    cross = attention([[1, 0], [1, 0]], key=key, branch="cross")
    found = rollout(trace(attention(EYE), cross), 4, 0)
    # half of the own spans (even), half of step 0
    np.testing.assert_allclose(found.values, [0.125 + 0.5, 0.125, 0.125, 0.125])


def test_a_coarse_token_begins_as_the_fine_tokens_it_was_joined_from():
    whole = time_axis(0, 4, 4, 1, 4)
    fine, coarse = attention([[1, 0], [1, 0]], scale=0), attention([[1]], query=whole, key=whole, scale=1)
    part = np.ones((1, 3, 1), np.float32)
    scales = tuple(ScaleOutput(m, 2**m, 1, 1.0, np.zeros((1, 4, 1)), part * (1 - m)) for m in (0, 1))
    found = rollout(trace(fine, coarse, scales=scales), 4, 0)
    np.testing.assert_allclose(found.values, [0.375, 0.375, 0.125, 0.125])  # all of the forecast is scale 0's
    scales = tuple(ScaleOutput(m, 2**m, 1, 1.0, np.zeros((1, 4, 1)), part * m) for m in (0, 1))
    found = rollout(trace(fine, coarse, scales=scales), 4, 0)
    np.testing.assert_allclose(found.values, [0.375, 0.375, 0.125, 0.125])  # its mean of both, which is the same here


def test_padding_and_other_variates_do_not_take_part():
    real = np.array([True, False])
    padded = attention([[0.5, 0.5], [0.5, 0.5]], real=real, variate=1)
    other = attention(SWAP, variate=0)
    found = rollout(trace(other, padded), 4, 1)
    np.testing.assert_allclose(found.values, [0.375, 0.375, 0.125, 0.125])
