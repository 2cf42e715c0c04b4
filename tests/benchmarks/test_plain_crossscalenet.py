"""The benchmark compares like with like: the plain form computes what ours computes, gradients too."""

import torch

from core.models.crossscalenet import CrossScaleNet
from tests.benchmarks.plain_crossscalenet import PlainCrossScaleNet, public_names


def test_the_plain_form_computes_the_same():
    torch.manual_seed(0)
    plain = PlainCrossScaleNet(96, 24, 5, width=8).eval()
    options = {"enc_in": 5, "d_model": 8, "seq_len": 96, "pred_len": 24}
    ours = CrossScaleNet.from_public(options, public_names(plain)).eval()
    x = torch.randn(3, 96, 5).cumsum(1)
    one, other = plain(x), ours(x)
    torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5)
    target = torch.randn_like(one)
    (one - target).square().mean().backward()
    (other - target).square().mean().backward()
    torch.testing.assert_close(ours.scale_logits.grad, plain.scale_weights.grad, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(
        ours.encoders[1].mix_in.grad[0], plain.seasonal[1].channel[0].weight.grad, atol=1e-6, rtol=1e-4
    )
    torch.testing.assert_close(ours.revin.weight.grad, plain.weight.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        ours.attention[0].patch_k.weight.grad, plain.attention[0].far[1].weight.grad, atol=1e-6, rtol=1e-4
    )
    torch.testing.assert_close(
        ours.attention[1].local_qv.weight.grad[:5], plain.attention[1].near[0].weight.grad, atol=1e-6, rtol=1e-4
    )
