"""Every attribution method on every architecture, and on linear models where the answer is known."""

from typing import cast

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.explain.methods.contract import BASELINES, Probe, Question
from core.explain.methods.leave_scale_out import by_scale
from core.explain.methods.registry import method, methods, methods_for
from core.models.contract import Shape
from core.models.dlinear import DLinear
from core.models.layers.normalisation import RevIN
from core.models.registry import architectures, build

NAMES = list(architectures())
SHAPE = Shape(96, 6, 3)


def windows(shape: Shape = SHAPE, count: int = 2) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(count, shape.lookback, shape.variates, generator=draw).cumsum(1) / 3


def model_of(name: str, shape: Shape = SHAPE, **options):
    torch.manual_seed(0)
    model = build(name, options, shape).eval()
    if model.capabilities.fitted:
        model.fit(windows(Shape(300, 1, shape.variates), 1)[0], tuple(range(shape.variates)))
    return model


def linear(normalise: bool = False) -> DLinear:
    return cast(DLinear, model_of("dlinear", normalise=normalise))


def asked(probe: Probe, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return probe.value(x, torch.arange(len(x)))


def test_the_registry_finds_every_file_with_the_control_last():
    assert list(methods()) == [
        "adds_up",
        "gradient",
        "gradient_input",
        "integrated_gradients",
        "smoothgrad",
        "occlusion",
        "occlusion_patch",
        "ablation",
        "leave_scale_out",
        "random",
    ]
    for one in methods().values():
        assert one.title and one.source and one.summary.endswith(".")
    with pytest.raises(UserError, match="gradient"):
        method("shap")


@pytest.mark.parametrize("step", [2, None])
@pytest.mark.parametrize("name", NAMES)
def test_every_method_answers_for_every_architecture(name, step):
    model = model_of(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x = windows()
    for one in methods_for(model).values():
        probe = Probe(model, x, Question(1, step))
        found = one.attribute(probe)
        assert found.shape == x.shape and torch.isfinite(found).all(), one.name
        assert not found.requires_grad
        torch.testing.assert_close(one.attribute(Probe(model, x, Question(1, step))), found)
        if step is None:
            assert (found >= 0).all(), one.name
    for layer in model.modules():
        assert not isinstance(layer, RevIN) or "statistics" not in vars(layer), "the caller's model was changed"
    torch.testing.assert_close(dict(model.state_dict()), before)


@pytest.mark.parametrize("name", ["gradient_input", "integrated_gradients", "occlusion"])
@pytest.mark.parametrize("baseline", ["mean", "zero", "last"])
def test_on_a_linear_model_they_say_what_each_value_adds(name, baseline):
    probe = Probe(linear(), windows(), Question(2, 4, baseline))
    gained = asked(probe, probe.x_BLC) - asked(probe, probe.baseline_BLC)
    found = method(name).attribute(probe)
    torch.testing.assert_close(found.sum((1, 2)), gained, atol=1e-4, rtol=1e-4)
    assert not found[..., :2].any(), "every variate is forecast from itself alone"
    torch.testing.assert_close(found, method("gradient_input").attribute(probe), atol=1e-5, rtol=1e-3)


def test_smoothgrad_of_a_linear_model_is_its_gradient():
    probe = Probe(linear(), windows(), Question(0, 1))
    torch.testing.assert_close(method("smoothgrad").attribute(probe), method("gradient").attribute(probe))


def test_integrated_gradients_add_up_through_attention():
    probe = Probe(model_of("patchtst"), windows(), Question(0, 3))
    gained = asked(probe, probe.x_BLC) - asked(probe, probe.baseline_BLC)
    found = method("integrated_gradients").attribute(probe).sum((1, 2))
    torch.testing.assert_close(found, gained, atol=2e-3, rtol=1e-2)


def test_occlusion_is_the_change_when_a_value_is_replaced():
    probe = Probe(model_of("crossscalenet", width=8), windows(), Question(1, 2))
    found = method("occlusion").attribute(probe)
    for window, step, variate in ((0, 0, 0), (1, 95, 1), (0, 50, 1)):
        changed = probe.x_BLC.clone()
        changed[window, step, variate] = probe.baseline_BLC[window, step, variate]
        loss = asked(probe, probe.x_BLC) - asked(probe, changed)
        torch.testing.assert_close(found[window, step, variate], loss[window], atol=1e-5, rtol=1e-4)


def test_occlusion_over_all_steps_is_the_sum_of_absolute_changes():
    model, x = linear(), windows()
    whole = method("occlusion").attribute(Probe(model, x, Question(1)))
    steps = [method("occlusion").attribute(Probe(model, x, Question(1, step))).abs() for step in range(6)]
    torch.testing.assert_close(whole, torch.stack(steps).sum(0), atol=1e-5, rtol=1e-3)


def test_a_patch_shares_what_its_loss_costs():
    probe = Probe(model_of("crossscalenet", width=8), windows(), Question(1, 2), patch=32)
    found = method("occlusion_patch").attribute(probe)
    changed = probe.x_BLC.clone()
    changed[:, 32:64, 1] = probe.baseline_BLC[:, 32:64, 1]
    loss = asked(probe, probe.x_BLC) - asked(probe, changed)
    torch.testing.assert_close(found[:, 32:64, 1].sum(1), loss, atol=1e-5, rtol=1e-4)
    assert (found[:, 32:64, 1] == found[:, 32:33, 1]).all()


def test_ablation_tells_variates_apart():
    probe = Probe(linear(), windows(), Question(1, 2))
    found = method("ablation").attribute(probe)
    assert found[..., 1].abs().sum() > 0 and not found[..., [0, 2]].any()
    assert (found == found[:, :1]).all(), "no step is told from another"


def test_a_scale_left_out_costs_what_it_adds():
    model = model_of("crossscalenet", width=8)
    probe = Probe(model, windows(), Question(1, 2))
    trace = model.trace(probe.x_BLC)
    for (name, lost_B), scale in zip(by_scale(probe), trace.scales, strict=True):
        assert name == f"scale {scale.scale}"
        np.testing.assert_allclose(lost_B, scale.contribution[:, 2, 1])
    found = method("leave_scale_out").attribute(probe)
    np.testing.assert_allclose(found.sum((1, 2)), sum(s.contribution[:, 2, 1] for s in trace.scales), rtol=1e-4)
    with pytest.raises(UserError, match="no scales"):
        by_scale(Probe(model_of("patchtst"), windows(), Question(1, 2)))


def test_a_scale_shares_among_the_steps_that_it_sees():
    model = model_of("sst", local=32)
    probe = Probe(model, windows(), Question(0, 2))
    found = method("leave_scale_out").attribute(probe)
    (_, local_B), (_, whole_B) = by_scale(probe)
    torch.testing.assert_close(found[:, :64].sum((1, 2)), whole_B * 64 / 96, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[:, 64:].sum((1, 2)), whole_B * 32 / 96 + local_B, atol=1e-5, rtol=1e-4)


def test_frozen_statistics_belong_to_each_clean_window():
    """With the statistics of the clean window a normalised linear model is linear; with its own it is not."""
    model, x = linear(normalise=True), windows()
    frozen, free = (Probe(model, x, Question(0, 3, "zero", statistics)) for statistics in ("frozen", "free"))
    torch.testing.assert_close(asked(frozen, x), asked(free, x))
    exact, off = (method("occlusion").attribute(probe) for probe in (frozen, free))
    torch.testing.assert_close(exact, method("gradient_input").attribute(frozen), atol=1e-5, rtol=1e-3)
    assert not torch.allclose(exact, off, atol=1e-3)
    for row in (0, 1):
        alone = Probe(model, x[row : row + 1], Question(0, 3, "zero"))
        torch.testing.assert_close(method("occlusion").attribute(alone)[0], exact[row], atol=1e-5, rtol=1e-3)


def test_what_does_not_fit_at_once_is_the_same(monkeypatch):
    model, x, question = model_of("patchtst"), windows(), Question(1)
    names = ("gradient", "integrated_gradients", "occlusion")
    whole = [method(name).attribute(Probe(model, x, question)) for name in names]
    monkeypatch.setattr("core.explain.methods.contract.VALUES_AT_ONCE", 96 * 3 * 5)
    for name, expected in zip(names, whole, strict=True):
        torch.testing.assert_close(method(name).attribute(Probe(model, x, question)), expected, atol=1e-5, rtol=1e-3)


def test_what_is_withheld_has_no_share():
    shape = Shape(96, 6, 3, withheld=(2,))
    x = windows(shape)
    x[..., 2] = 0
    model = model_of("crossscalenet", shape, width=8)
    for one in methods().values():
        assert not one.attribute(Probe(model, x, Question(2, 0)))[..., 2].any(), one.name


def test_many_variates_are_taken_away_together(monkeypatch):
    monkeypatch.setattr("core.explain.methods.occlusion.MOST", 96)
    probe = Probe(linear(), windows(), Question(1, 2))
    found = method("occlusion").attribute(probe)
    assert (found == found[..., :1]).all()


def test_the_random_control_keeps_to_its_seed():
    draw = [method("random").attribute(Probe(linear(), windows(), Question(0, seed=seed))) for seed in (0, 0, 1)]
    assert torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])


@pytest.mark.parametrize("baseline", list(BASELINES))
def test_baselines(baseline):
    x = windows()
    found = Probe(linear(), x, Question(0, 0, baseline), others=torch.full((1, 96, 3), 7.0)).baseline_BLC
    expected = {"mean": x.mean(1, keepdim=True), "zero": torch.zeros(1), "last": x[:, -1:], "sample": torch.tensor(7.0)}
    torch.testing.assert_close(found, expected[baseline].expand_as(x))


def test_questions_without_an_answer_are_refused():
    model, x = linear(), windows()
    with pytest.raises(UserError, match="1 to 6"):
        Probe(model, x, Question(0, 6))
    with pytest.raises(UserError, match="3 variates"):
        Probe(model, x, Question(3))
    with pytest.raises(UserError, match="Choose another baseline"):
        Probe(model, x, Question(0, baseline="sample"))
    with pytest.raises(UserError, match="missing steps"):
        Probe(model, torch.full_like(x, np.nan), Question(0))
    with pytest.raises(UserError, match="mean, zero"):
        Probe(model, x, Question(0, baseline="median"))  # type: ignore[arg-type]
