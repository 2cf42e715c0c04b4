"""Attention by score: its fast forms equal the convolutions, gradients too, and its weights sum to one over tokens."""

import pytest
import torch

from core.errors import UserError
from core.models.layers import score_forms
from core.models.layers.score import ScoreAttention, check_score
from core.models.layers.score_forms import CompiledScore, MatrixScore, convolutions, score_logits


@pytest.mark.parametrize("form", [MatrixScore, CompiledScore])
@pytest.mark.parametrize(
    "tokens, width, kernel", [(7, 16, 3), (1, 8, 3), (3, 24, 5), (20, 32, 13), (2, 8, 13), (17, 72, 7)]
)
@pytest.mark.parametrize("windows, threads", [(1, 1), (4, 2), (40, 3)])
def test_the_fast_forms_equal_the_convolutions_with_gradients(form, tokens, width, kernel, windows, threads):
    if form is CompiledScore and score_forms.library() is None:
        pytest.skip("no C++ compiler here")
    torch.manual_seed(0)
    score = ScoreAttention(tokens, width, kernel).double()
    parameters = (*score.weights, *score.biases)
    z = torch.randn(windows, tokens, width, dtype=torch.float64, requires_grad=True)
    weight, results, before = torch.randn_like(z), [], torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for logits in (convolutions, form.apply):
            out = logits(z, *parameters)
            results.append((out.detach(), torch.autograd.grad((out * weight).sum(), (z, *parameters))))
        with torch.no_grad():
            torch.testing.assert_close(form.apply(z, *parameters), results[0][0], atol=1e-12, rtol=1e-12)
    finally:
        torch.set_num_threads(before)
    (slow, slow_gradients), (fast, fast_gradients) = results
    torch.testing.assert_close(fast, slow, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(fast_gradients, slow_gradients, atol=1e-10, rtol=1e-10)


def test_without_a_compiler_it_is_the_same(monkeypatch):
    torch.manual_seed(0)
    score, z = ScoreAttention(7, 16), torch.randn(2, 7, 16)
    usual = score(z).out
    monkeypatch.setattr(score_forms, "library", lambda: None)
    torch.testing.assert_close(score(z).out, usual, atol=1e-6, rtol=1e-5)


def test_not_a_number_stays_one():
    torch.manual_seed(0)
    score, z = ScoreAttention(3, 16), torch.randn(2, 3, 16)
    z[1, 1, 5] = torch.nan
    out = score_logits(z, (*score.weights, *score.biases))
    assert out[0].isfinite().all() and out[1].isnan().any()


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
