"""Published and corrected saliency, and parity files."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.errors import UserError
from core.explain.parity import check
from core.explain.saliency import corrected, published, shares
from core.models.contract import Shape
from core.models.registry import build


def trace(batch: int = 2, lookback: int = 96, **options):
    torch.manual_seed(0)
    model = build("crossscalenet", {"width": 8} | options, Shape(lookback, 24, 3)).eval()
    return model.trace(torch.randn(batch, lookback, 3).cumsum(1))


def test_published_map_sums_to_the_number_of_attended_scales():
    found = published(trace(scales=4))
    assert found.values_batch.shape == (2, 96)
    np.testing.assert_allclose(found.values_batch.sum(1), 3, rtol=1e-5)
    assert found.resolution == 16


def test_a_batch_of_one_keeps_its_axis():
    """The public code squeezes it away."""
    assert published(trace(batch=1)).values_batch.shape == (1, 96)


def test_corrected_map_sums_to_the_share_of_the_forecast_it_speaks_for():
    inside = trace()
    found = corrected(inside)
    np.testing.assert_allclose(found.values_batch.sum(1), shares(inside)[:, 1:].sum(1), rtol=1e-4)
    assert found.speaks_for == pytest.approx(float(found.values.sum()))
    assert f"{found.speaks_for:.0%}" in found.sentence


def test_corrected_map_tells_the_points_of_the_finest_attended_scale_apart():
    found = corrected(trace())
    pairs = found.values.reshape(48, 2)
    assert found.resolution == 2
    np.testing.assert_allclose(pairs[:, 0], pairs[:, 1], rtol=1e-5)
    assert np.ptp(pairs[:8, 0]) > 0


def test_corrected_map_is_what_the_queries_take():
    """Both branches of one scale, weight times norm, added up by hand."""
    inside = trace(batch=1, scales=2)
    far, near = inside.map("patch", 1), inside.map("local", 1)
    assert far is not None and far.carried is not None and near is not None and near.carried is not None
    taken = np.zeros(96)
    for j, (first, last) in enumerate(far.key.spans):
        taken[first:last] += 8 * far.weights[0, :, j].sum() * far.carried[0, j] / 16
    for j, (first, last) in enumerate(near.key.spans):
        taken[first:last] += near.weights[0, :, j].sum() * near.carried[0, j] / 2
    np.testing.assert_allclose(corrected(inside).values, taken / taken.sum() * shares(inside)[0, 1], rtol=1e-4)


def test_shares_sum_to_one():
    np.testing.assert_allclose(shares(trace()).sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("lookback", [97, 104, 111])
def test_no_step_is_left_out_where_the_last_patch_is_not_full(lookback):
    found = corrected(trace(lookback=lookback))
    assert found.values.shape == (lookback,) and np.isfinite(found.values).all()
    assert found.values[: lookback // 16 * 16].min() > 0


def test_one_scale_has_no_map_and_says_so():
    inside = trace(scales=1)
    assert not inside.maps
    assert corrected(inside).speaks_for == 0 and not corrected(inside).values.any()


def test_a_changed_weight_fails_the_parity_check(shared, tmp_path):
    from safetensors import safe_open

    with safe_open(shared / "parity" / "crossscalenet_a.safetensors", "pt") as file:
        about, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    tensors["weights/scale_weights"] = tensors["weights/scale_weights"] + 0.01
    save_file(tensors, tmp_path / "changed.safetensors", about)
    assert not check(tmp_path / "changed.safetensors")["passed"]
    save_file(tensors, tmp_path / "other.safetensors", {"model": "nobody", "config": "{}"})
    with pytest.raises(UserError, match="nobody"):
        check(tmp_path / "other.safetensors")
