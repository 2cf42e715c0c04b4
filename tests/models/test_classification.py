"""Classes of series whose lengths differ: told apart on held-out series, by a frozen encoder and by one that learns."""

import pytest
import torch
from torch import Tensor

from core.errors import UserError
from core.models.classification import ScaleFusionClassifier, train
from core.models.contract import Shape
from core.models.registry import build

CLASSES = 3


def waves(count: int, seed: int, first: int = 64, last: int = 127) -> tuple[list[Tensor], Tensor]:
    """Two variates of noisy waves whose class is a fast, middling or slow period; phase and length are random."""
    generator = torch.Generator().manual_seed(seed)
    series, labels = [], torch.arange(count) % CLASSES
    for label in labels.tolist():
        steps = first + 9 * int(torch.randint((last - first) // 9 + 1, (1,), generator=generator))
        period = (6.0, 12.0, 24.0)[label] * (1 + 0.4 * torch.rand(1, generator=generator))
        wave = torch.sin(2 * torch.pi * (torch.arange(steps) / period + torch.rand(1, generator=generator)))
        noise = 0.2 * torch.randn(steps, 2, generator=generator)
        series.append(torch.stack([wave, wave.roll(3)], dim=-1) + noise)
    return series, labels


def classifier(**options) -> ScaleFusionClassifier:
    torch.manual_seed(0)
    return ScaleFusionClassifier(build("scalefusion", options, Shape(96, 1, 2)), CLASSES)  # type: ignore[arg-type]


def accuracy(found: ScaleFusionClassifier, series: list[Tensor], labels: Tensor) -> float:
    return float((found.predict(series) == labels).float().mean())


def test_logistic_regression_on_frozen_features_tells_classes_apart():
    found = classifier()
    before = {k: v.clone() for k, v in found.model.state_dict().items()}
    found.fit(*waves(240, seed=1))
    assert accuracy(found, *waves(120, seed=2)) > 0.7, "chance is a third"
    for name, value in found.model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_encoder_and_head_learn_together():
    found = classifier()
    torch.manual_seed(0)
    losses = train(found, *waves(240, seed=1), epochs=4, learning_rate=2e-3)
    assert losses[-1] < 0.5 * losses[0]
    assert accuracy(found, *waves(120, seed=2)) > 0.9, "chance is a third"


def test_the_fitted_layer_is_the_least_penalised_loss():
    """At the minimum the gradient of the summed loss and of the penalty cancel; on standardised features."""
    found = classifier()
    series, labels = waves(60, seed=1, last=64)
    found.fit(series, labels, strength=0.5)
    with torch.no_grad():
        x_MF = found.features(torch.stack(series))
        mean_F, std_F = x_MF.mean(0), x_MF.std(0, unbiased=False)
        z_MF, weight_KF = (x_MF - mean_F) / std_F, found.linear.weight * std_F
        error_MK = found(torch.stack(series)).softmax(-1) - torch.eye(CLASSES)[labels]
        torch.testing.assert_close(0.5 * error_MK.T @ z_MF, -weight_KF, atol=0.02, rtol=0.02)


def test_a_length_of_another_interval_is_refused_with_the_interval():
    found = classifier()
    for steps, nearest in ((63, 64), (128, 127)):
        with pytest.raises(UserError, match=f"series of 64 to 127 steps; {steps} .* works: {nearest}"):
            found.predict([torch.zeros(steps, 2)])


def test_labels_must_fit():
    series, labels = waves(6, seed=1)
    with pytest.raises(UserError, match="6 series need as many labels; 5"):
        classifier().fit(series, labels[:5])
    with pytest.raises(UserError, match="from 0 to 2; found 1 to 3"):
        classifier().fit(series, labels + 1)
    with pytest.raises(UserError, match="at least 2 classes"):
        ScaleFusionClassifier(classifier().model, 1)
