"""The benchmark compares like with like: the plain form computes what ours computes, gradients too."""

import pytest
import torch

from core.models.casa import CASA
from tests.benchmarks.plain_casa import PlainCASA


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_plain_form_computes_the_same(kernel):
    torch.manual_seed(0)
    plain = PlainCASA(48, 24, 5, width=16, kernel=kernel, layers=2)
    options = {"enc_in": 5, "d_model": 16, "seq_len": 48, "pred_len": 24, "e_layers": 2, "kernel": kernel}
    ours = CASA.from_public(options, plain.state_dict())
    x = torch.randn(3, 48, 5).cumsum(1)
    one, other = plain(x), ours(x)
    torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5)
    target = torch.randn_like(one)
    (one - target).square().mean().backward()
    (other - target).square().mean().backward()
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    want = CASA.from_public(options, gradients).state_dict()
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, want[name], atol=1e-6, rtol=1e-4)
