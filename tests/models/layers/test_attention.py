"""Attention: agrees with torch's own module, its two paths agree, and weights can be replaced and masked."""

import pytest
import torch
from torch import nn

from core.models.layers.attention import MultiHeadAttention, attend, fixed_order
from core.models.layers.dropout import Dropout, keep_mask


def test_agrees_with_torch():
    torch.manual_seed(0)
    theirs, ours = nn.MultiheadAttention(16, 4, batch_first=True), MultiHeadAttention(16, 4)
    names = {"project.weight": theirs.in_proj_weight, "project.bias": theirs.in_proj_bias}
    ours.load_state_dict(names | {f"out.{k}": v for k, v in theirs.out_proj.state_dict().items()})
    x = torch.randn(3, 7, 16)
    want, want_weights = theirs(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(ours(x).out, want, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours(x, whole=True).weights, want_weights, atol=1e-6, rtol=1e-5)


def test_asks_another_sequence_of_another_width_and_length():
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(16, 4, batch_first=True, kdim=6, vdim=6)
    ours = MultiHeadAttention(16, 4, key_width=6)
    q_bias, k_bias, v_bias = theirs.in_proj_bias.chunk(3)
    names = {"project.weight": theirs.q_proj_weight, "project.bias": q_bias}
    names |= {"project_other.weight": torch.cat([theirs.k_proj_weight, theirs.v_proj_weight])}
    names |= {"project_other.bias": torch.cat([k_bias, v_bias])}
    ours.load_state_dict(names | {f"out.{k}": v for k, v in theirs.out_proj.state_dict().items()})
    x, other = torch.randn(3, 7, 16), torch.randn(3, 5, 6)
    want, want_weights = theirs(x, other, other, average_attn_weights=False)
    torch.testing.assert_close(ours(x, other).out, want, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours(x, other, whole=True).weights, want_weights, atol=1e-6, rtol=1e-5)
    with pytest.raises(TypeError, match="key_width"):
        ours(x)


@pytest.mark.parametrize("use", ["learned", "uniform", "permuted"])
def test_traced_and_fast_path_agree_within_a_band(use):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 9, 4) for _ in range(3))
    band = (torch.arange(9)[:, None] - torch.arange(9)).abs() <= 2
    fast, traced = attend(q, k, v, use, mask=band), attend(q, k, v, use, mask=band, whole=True)
    torch.testing.assert_close(fast.out, traced.out, atol=1e-6, rtol=1e-5)
    assert fast.weights is None
    assert (traced.weights[..., ~band] == 0).all()
    torch.testing.assert_close(traced.weights.sum(-1), torch.ones(2, 3, 9))
    if use == "uniform":
        torch.testing.assert_close(traced.weights[0, 0, 4, 2:7], torch.full((5,), 0.2))


def test_permuted_gives_the_learned_weights_to_other_keys():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 9, 4) for _ in range(3))
    learned, permuted = attend(q, k, v, whole=True).weights, attend(q, k, v, "permuted", whole=True).weights
    torch.testing.assert_close(permuted, learned[..., fixed_order(9)])


@pytest.mark.parametrize("tokens", [2, 3, 5, 96])
def test_no_token_keeps_its_place(tokens):
    order = fixed_order(tokens)
    assert sorted(order.tolist()) == list(range(tokens))
    assert (order != torch.arange(tokens)).all()
    assert torch.equal(order, fixed_order(tokens))


def test_weights_are_dropped_in_training_only():
    torch.manual_seed(0)
    attention, x = MultiHeadAttention(16, 4, dropout=0.5), torch.randn(2, 7, 16)
    assert not torch.allclose(attention(x).out, attention(x).out)
    attention.eval()
    torch.testing.assert_close(attention(x).out, attention(x).out)


def test_dropout_keeps_the_mean():
    torch.manual_seed(0)
    mask = keep_mask((2, 100, 500), 0.1, torch.zeros(1))
    assert float(mask.mean()) == pytest.approx(1, abs=0.01)
    assert float((mask == 0).float().mean()) == pytest.approx(26 / 256, abs=0.01)
    layer, x = Dropout(0.1), torch.ones(50, 50)
    assert layer(x).unique().tolist() == [0.0, pytest.approx(256 / 230)]
    assert torch.equal(layer.eval()(x), x)
