"""Classes of series of different length, by ScaleFusion's length-aligned features (arXiv 2509.17845): a linear layer on
them, fitted while the encoder stays as it is (logistic regression), or learnt together with it.

Shape suffixes: T steps of a series, C variates, F features of all variates, K classes, M series.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError
from core.models.scalefusion import ScaleFusion, joins, widths


class ScaleFusionClassifier(nn.Module):
    """``steps`` is any length of the interval whose series are told apart (default: the model's look-back)."""

    def __init__(self, model: ScaleFusion, classes: int, steps: int = 0) -> None:
        super().__init__()
        if classes < 2:
            raise UserError(f"A classifier tells at least 2 classes apart; {classes} was given.")
        self.model, self.classes = model, classes
        self.joins = joins(model.config, steps or model.shape.lookback)
        width = widths(model.config, self.joins)[-1]
        self.linear = nn.Linear(model.shape.variates * width, classes)

    @property
    def lengths(self) -> range:
        """Every T of the interval."""
        readable, patch = self.model.encoder.lengths, self.model.config.patch
        if self.model.config.levels:
            return readable
        return range(patch * 2**self.joins, patch * 2 ** (self.joins + 1))

    def features(self, x_MTC: Tensor) -> Tensor:
        """M x F, of series of one length. Raises UserError where that is not of the interval, with the interval."""
        if x_MTC.shape[1] not in self.lengths:
            first, last = self.lengths[0], self.lengths[-1]
            raise UserError(
                f"These classes are told apart in series of {first:,} to {last:,} steps; {x_MTC.shape[1]:,} were "
                f"given. The nearest that works: {min(max(x_MTC.shape[1], first), last):,} steps."
            )
        return self.model.features(x_MTC).flatten(1)

    def forward(self, x_MTC: Tensor) -> Tensor:
        """Logits M x K of series of one length."""
        return self.linear(self.features(x_MTC))

    @torch.no_grad()
    def predict(self, series: Sequence[Tensor]) -> Tensor:
        """The most likely class of each series T x C; lengths may differ."""
        self.eval()
        found = torch.zeros(len(series), dtype=torch.long)
        for index, x_MTC in by_length(series):
            found[index] = self(x_MTC).argmax(-1).cpu()
        return found

    def fit(self, series: Sequence[Tensor], labels: Tensor, strength: float = 1.0) -> None:
        """Logistic regression on the features of the encoder as it is; its weights do not change.

        ``labels`` are M class numbers. The penalty is |w|^2 / 2 against ``strength`` times the summed loss, on
        features of mean 0 and deviation 1, which are then folded into the linear layer.
        """
        self._check(series, labels)
        self.eval()
        with torch.no_grad():
            features = {}
            for index, x_MTC in by_length(series):
                features |= dict(zip(index.tolist(), self.features(x_MTC), strict=True))
            x_MF = torch.stack([features[i] for i in range(len(series))])
            mean_F, std_F = x_MF.mean(0), x_MF.std(0, unbiased=False).clamp_min(1e-6)
            x_MF, labels = (x_MF - mean_F) / std_F, labels.to(x_MF.device)
        weight_KF = torch.zeros_like(self.linear.weight, requires_grad=True)
        bias_K = torch.zeros_like(self.linear.bias, requires_grad=True)
        solver = torch.optim.LBFGS([weight_KF, bias_K], max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            solver.zero_grad()
            value = F.cross_entropy(F.linear(x_MF, weight_KF, bias_K), labels)
            value = value + weight_KF.square().sum() / (2 * strength * len(x_MF))
            value.backward()
            return value

        solver.step(loss)  # type: ignore[arg-type]
        with torch.no_grad():
            self.linear.weight.copy_(weight_KF / std_F)
            self.linear.bias.copy_(bias_K - self.linear.weight @ mean_F)

    def _check(self, series: Sequence[Tensor], labels: Tensor) -> None:
        if len(series) != len(labels) or not len(series):
            raise UserError(f"{len(series)} series need as many labels; {len(labels)} were given.")
        if int(labels.min()) < 0 or int(labels.max()) >= self.classes:
            raise UserError(
                f"Labels run from 0 to {self.classes - 1}; found {int(labels.min())} to {int(labels.max())}."
            )


def train(
    classifier: ScaleFusionClassifier,
    series: Sequence[Tensor],
    labels: Tensor,
    *,
    epochs: int = 20,
    learning_rate: float = 5e-4,
    batch_size: int = 32,
) -> list[float]:
    """Encoder and linear layer together, AdamW on cross-entropy; the mean loss of every epoch. A batch holds series of
    one length, so that nothing is padded. Draws from torch's global random numbers: seed them for a repeatable result.
    """
    classifier._check(series, labels)
    classifier.model.encoder.requires_grad_(True)
    classifier.train()
    learned = [*classifier.model.encoder.parameters(), *classifier.linear.parameters()]
    optimizer = torch.optim.AdamW(learned, lr=learning_rate)
    losses = []
    for _ in range(epochs):
        batches = [
            (index[part], x_MTC[part])
            for index, x_MTC in by_length(series)
            for part in torch.randperm(len(index)).split(batch_size)
        ]
        total = 0.0
        for i in torch.randperm(len(batches)).tolist():
            index, x_MTC = batches[i]
            optimizer.zero_grad()
            loss = F.cross_entropy(classifier(x_MTC), labels[index].to(x_MTC.device))
            loss.backward()
            nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            total += float(loss.detach()) * len(index)
        losses.append(total / len(series))
    return losses


def by_length(series: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Positions and M x T x C of the series of each length, short to long."""
    for steps in sorted({len(x_TC) for x_TC in series}):
        index = torch.tensor([i for i, x_TC in enumerate(series) if len(x_TC) == steps])
        yield index, torch.stack([series[i] for i in index.tolist()])
