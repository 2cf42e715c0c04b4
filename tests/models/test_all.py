"""What the contract promises, for every architecture that the registry finds: a new one is covered by being there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.models.contract import FAMILIES, Shape
from core.models.diagram import Diagram
from core.models.registry import architecture, architectures, build, configure

NAMES = list(architectures())
# windows that a person can ask for: the usual one, one variate, one step ahead, a look-back that no patch divides
SHAPES = {
    "usual": Shape(96, 24, 3),
    "one variate": Shape(96, 24, 1),
    "one step ahead": Shape(96, 1, 3),
    "odd look-back": Shape(101, 7, 2),
    "withheld target": Shape(96, 12, 3, (2,)),
}


def make(name: str, shape: Shape):
    """A model of small random weights, evaluated; fitted ones are fitted to waves."""
    torch.manual_seed(0)
    model = build(name, {}, shape)
    if model.capabilities.fitted:
        model.fit(waves(1, 600, shape.variates)[0], tuple(range(shape.variates)))
    return model.eval()


def waves(batch: int, steps: int, variates: int) -> torch.Tensor:
    time = torch.arange(steps)[None, :, None] + 7 * torch.arange(batch)[:, None, None]
    noise = torch.randn(batch, steps, variates, generator=torch.Generator().manual_seed(3))
    return torch.sin(2 * torch.pi * time / 24 + torch.arange(variates)) + 0.3 * noise


def window(shape: Shape, batch: int = 2) -> torch.Tensor:
    x = waves(batch, shape.lookback, shape.variates)
    x[..., list(shape.withheld)] = 0.0
    return x


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", SHAPES)
def test_traced_and_fast_path_give_the_same_forecast_and_the_parts_add_up(name, kind):
    shape = SHAPES[kind]
    model, x = make(name, shape), window(shape)
    with torch.no_grad():
        forecast = model(x).numpy()
    trace = model.trace(x)
    assert forecast.shape == (2, shape.horizon, shape.variates)
    assert np.isfinite(forecast).all()
    np.testing.assert_allclose(trace.forecast, forecast, atol=1e-5)
    np.testing.assert_allclose(trace.rest + sum(s.contribution for s in trace.scales), forecast, atol=1e-4)
    assert bool(trace.scales) == model.capabilities.scales
    for part in trace.scales:
        assert part.seen.shape[0] == 2 and part.seen.shape[2] == shape.variates
        if part.seasonal is not None and part.trend is not None:
            np.testing.assert_allclose(part.seasonal + part.trend, part.contribution, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["usual", "odd look-back"])
def test_maps_are_weights_over_their_declared_axes(name, kind):
    shape = SHAPES[kind]
    trace = make(name, shape).trace(window(shape))
    keys = [(m.branch, m.scale, m.layer, m.head, m.variate) for m in trace.maps]
    assert len(keys) == len(set(keys)), "two maps cannot be told apart"
    for found in trace.maps:
        assert found.weights.shape == (2, len(found.query), len(found.key))
        np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-4)
        assert (found.weights >= 0).all()
        assert found.carried is None or found.carried.shape == (2, len(found.key))
        limit = {"time": shape.lookback, "variate": shape.variates, "horizon": shape.horizon}
        for axis in (found.query, found.key):
            assert (axis.spans[:, 0] < axis.spans[:, 1]).all()
            assert axis.spans.min() >= 0 and axis.spans.max() <= limit.get(axis.kind, 10**9)
    can = architecture(name).capabilities
    assert can.time_saliency == bool(any(m.over_time for m in trace.maps))
    assert can.attention == bool(trace.maps)
    if not can.time_saliency:
        assert can.reason, "a page without a map over time says why"


@pytest.mark.parametrize("name", [n for n in NAMES if architecture(n).capabilities.attention])
@pytest.mark.parametrize("use", ["uniform", "permuted"])
def test_attention_can_be_replaced(name, use):
    shape = SHAPES["usual"]
    model, x = make(name, shape), window(shape)
    with torch.no_grad():
        other, again = model(x, attention=use), model(x, attention=use)
    assert torch.isfinite(other).all()
    torch.testing.assert_close(other, again)
    assert not torch.allclose(other, model(x), atol=1e-7), "the attention takes part in the forecast"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["one window", "constant variate", "constant window", "large level"])
def test_awkward_windows_give_finite_forecasts_and_gradients(name, case):
    shape = SHAPES["usual"]
    model, x = make(name, shape), window(shape)
    if case == "one window":
        x = x[:1]
    elif case == "constant variate":
        x[..., 1] = 5.0
    elif case == "constant window":
        x[:] = 1.0
    else:
        x += 1e4
    forecast, extra = model.train().training_forward(x)
    assert torch.isfinite(forecast).all()
    if not model.capabilities.fitted:
        (forecast.square().mean() + (0 if extra is None else extra)).backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
    trace = model.eval().trace(x)
    assert np.isfinite(trace.forecast).all()
    assert all(np.isfinite(m.weights).all() for m in trace.maps)


@pytest.mark.parametrize("name", NAMES)
def test_every_learned_weight_is_used(name):
    """A weight without a gradient is dead: a mistake of ours, or a file that stores what nothing reads."""
    shape = SHAPES["usual"]
    model = make(name, shape)
    if model.capabilities.fitted:
        return
    forecast, extra = model.train().training_forward(window(shape, 8))
    (forecast.square().mean() + (0 if extra is None else extra)).backward()
    dead = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not dead


@pytest.mark.parametrize("name", NAMES)
def test_missing_steps_are_taken_or_not_declared(name):
    shape = SHAPES["usual"]
    model, x = make(name, shape), window(shape)
    if not model.capabilities.missing_values:
        return
    x[:, 20:40, 1] = torch.nan
    x[0, :, 2] = torch.nan  # all missing
    with torch.no_grad():
        forecast = model(x)
    assert torch.isfinite(forecast).all()
    np.testing.assert_allclose(model.trace(x).forecast, forecast.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_weights_alone_rebuild_the_model(name):
    shape = SHAPES["usual"]
    first = make(name, shape)
    with torch.device("meta"):  # how a foreign file is compared before memory is taken
        expected = {k: tuple(v.shape) for k, v in build(name, {}, shape).state_dict().items()}
    assert expected == {k: tuple(v.shape) for k, v in first.state_dict().items()}
    second = build(name, {}, shape)
    second.load_state_dict(first.state_dict())
    x = window(shape)
    with torch.no_grad():
        torch.testing.assert_close(second.eval()(x), first(x))


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name):
    kind = architecture(name)
    shape, config = SHAPES["usual"], kind.Config()
    for words in (kind.title, kind.source, kind.link, kind.summary, kind.shows, kind.claims, kind.limits):
        assert words.strip()
    assert kind.family in FAMILIES
    assert kind.grids(config, shape.lookback)
    assert set(kind.scale_fields) <= set(kind.Config.model_fields)
    for field in kind.Config.model_fields.values():
        assert not field.title or field.description
    drawn = kind.diagram(config, shape)
    assert isinstance(drawn, Diagram) and len(drawn.boxes) >= 3
    assert any("24" in box.shape for box in drawn.boxes), "the current horizon stands in the diagram"
    assert kind.diagram(config, Shape(96, 25, 3)) != drawn


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [Shape(2, 1, 1), Shape(3, 2, 2), Shape(17, 5, 1)])
def test_a_tiny_look_back_works_or_is_refused_with_the_nearest_that_works(name, shape):
    try:
        model = make(name, shape)
    except UserError as error:
        assert any(character.isdigit() for character in str(error)), error
        return
    x = window(shape)
    with torch.no_grad():
        assert torch.isfinite(model(x)).all()
    assert np.isfinite(model.trace(x).forecast).all()


IMPOSSIBLE = [
    ("crossscalenet", {"scales": 6, "factor": 8}),
    ("crossscalenet", {"patch": 200}),
    ("casa", {"width": 20}),
    ("casa", {"kernel": 4}),
    ("s2tx", {"width": 18}),
    ("s2tx", {"local": 97}),
    ("s2tx", {"local_patch": 60}),
    ("s2tx", {"global_patch": 100}),
    ("s2tx", {"global_patches": 97}),
    ("scalefusion", {"levels": 5}),
    ("scalefusion", {"patch": 96}),
    ("scalefusion", {"width": 24}),
    ("scalefusion", {"cap": 8}),
    ("itransformer", {"width": 30}),
    ("patchtst", {"patch": 100}),
    ("patchtst", {"attention": "score", "width": 20}),
    ("timemixer", {"scales": 6, "factor": 8}),
    ("lmsautotsf", {"scales": 6, "factor": 8}),
    ("sst", {"heads": 5}),
]


@pytest.mark.parametrize(("name", "bad"), IMPOSSIBLE, ids=lambda value: str(value))
def test_what_is_offered_instead_of_the_impossible_works(name, bad):
    """Options are mended one after the other, as by pressing the button on the page."""
    kind, shape, options = architecture(name), Shape(96, 24, 3), dict(bad)

    def problem() -> UserError | None:
        try:
            return kind.check(configure(name, options), shape)
        except UserError as error:
            return error

    error, presses = problem(), 0
    assert error is not None
    while error is not None:
        assert error.nearest and presses < 3, error
        for field, value in error.nearest.items():
            assert f"{value:,}" in str(error) if isinstance(value, int) else value in str(error)
            if field in kind.Config.model_fields:
                options[field] = value
            else:
                shape = replace(shape, **{field: value})
        error, presses = problem(), presses + 1


@pytest.mark.parametrize("name", NAMES)
def test_variates_exchange_information_exactly_where_that_is_declared(name):
    """Covariates are offered by that flag: the last column must reach the first, and the first the last."""
    fields = architecture(name).Config.model_fields
    mixing = [{field: not fields[field].default} for field in ("mix_variates", "cross_variate") if field in fields]
    for options in ({}, *mixing):
        torch.manual_seed(0)
        shape = Shape(48, 12, 3)
        model = build(name, options, shape)
        if model.capabilities.fitted:
            model.fit(waves(1, 600, 3)[0], (0, 1, 2))
        model.eval()
        x = window(shape).requires_grad_()
        for target, source in ((0, 2), (2, 0)):
            (moved,) = torch.autograd.grad(model(x)[..., target].square().sum(), x, allow_unused=True)
            reached = moved is not None and bool(moved[..., source].abs().max() > 0)
            assert reached == model.capabilities.multivariate, (options, target, source)
