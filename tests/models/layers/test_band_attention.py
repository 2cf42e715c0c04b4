"""Attention within a band: by its diagonals it is what the whole matrix gives, gradients too."""

import pytest
import torch

from core.models.layers.band_attention import BandAttention


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("tokens, band", [(23, 0), (23, 3), (23, 5), (7, 1), (2, 0)])
def test_by_diagonals_and_as_a_matrix_are_the_same(tokens, band, residual):
    torch.manual_seed(0)
    attention = BandAttention(12, 3, tokens, band, residual=residual).double()
    assert attention.narrow
    x = torch.randn(4, tokens, 12, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, tokens, 12, dtype=torch.float64)
    results = []
    for narrow in (True, False):
        attention.narrow = narrow
        y, logits, _ = attention(x)
        assert (logits is not None) == residual
        y, _, _ = attention(y + x, below=logits)
        results.append((y.detach(), *torch.autograd.grad((y * weight).sum(), [x, *attention.parameters()])))
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("use", ["learned", "uniform", "permuted"])
def test_weights_keep_to_the_band(use, residual):
    torch.manual_seed(0)
    attention = BandAttention(8, 2, 12, 2, residual=residual)
    _, _, found = attention(torch.randn(3, 12, 8), use, whole=True)
    position = torch.arange(12)
    near = (position[:, None] - position).abs() <= 2
    assert ((found["weights"] > 0) == near).all()
    torch.testing.assert_close(found["weights"].sum(-1), torch.ones(3, 2, 12))
    if use == "uniform":
        torch.testing.assert_close(found["weights"][0, 0, 0], torch.tensor([1 / 3] * 3 + [0.0] * 9))
