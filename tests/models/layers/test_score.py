"""Attention by score: the fast form equals the convolutions, gradients too, and its weights sum to one over tokens."""

import pytest
import torch

from core.errors import UserError
from core.models.layers.score import FastScore, ScoreAttention, check_score, convolutions


@pytest.mark.parametrize("tokens, width, kernel", [(7, 16, 3), (1, 8, 3), (3, 24, 5), (20, 32, 13), (2, 8, 13)])
@pytest.mark.parametrize("windows", [1, 4])
def test_the_fast_form_equals_the_convolutions_with_gradients(tokens, width, kernel, windows):
    torch.manual_seed(0)
    score = ScoreAttention(tokens, width, kernel).double()
    parameters = (*score.down, *score.down_bias, *score.up, *score.up_bias)
    z = torch.randn(windows, tokens, width, dtype=torch.float64, requires_grad=True)
    weight, results = torch.randn_like(z), []
    for form in (convolutions, FastScore.apply):
        out = form(z, *parameters)
        results.append((out.detach(), torch.autograd.grad((out * weight).sum(), (z, *parameters))))
    (slow, slow_gradients), (fast, fast_gradients) = results
    torch.testing.assert_close(fast, slow, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(fast_gradients, slow_gradients, atol=1e-11, rtol=1e-11)


def test_weights_sum_to_one_over_the_tokens_and_can_be_replaced():
    torch.manual_seed(0)
    score, z = ScoreAttention(5, 16), torch.randn(2, 5, 16)
    found = {use: score(z, use, whole=True) for use in ("learned", "uniform", "permuted")}
    for out, weights in found.values():
        torch.testing.assert_close(weights.sum(1), torch.ones(2, 16))
        torch.testing.assert_close(out, weights * score.value(z))
    torch.testing.assert_close(found["uniform"].weights, torch.full((2, 5, 16), 0.2))
    learned, permuted = found["learned"].weights, found["permuted"].weights
    torch.testing.assert_close(permuted.sort(1).values, learned.sort(1).values)
    assert not torch.allclose(permuted, learned)
    assert score(z).weights is None


@pytest.mark.parametrize(
    "width, kernel, words", [(100, 3, "width 96"), (3, 3, "width 8"), (64, 4, "kernel 5"), (64, 1, "kernel 3")]
)
def test_what_cannot_work_is_refused_with_what_does(width, kernel, words):
    with pytest.raises(UserError, match=words):
        check_score(width, kernel)
