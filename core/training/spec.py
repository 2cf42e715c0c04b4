"""What to train, validated before anything starts: a Spec is everything a worker needs beside the series itself.

No torch here but in ``check``: pages, the store and the command line build and read specs.
"""

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.data.covariates import FEATURES, Covariates
from core.data.series import Series
from core.errors import UserError

if TYPE_CHECKING:
    from core.models.contract import Capabilities

Preset = Literal["quick", "balanced", "published"]
PRESETS: tuple[Preset, ...] = ("quick", "balanced", "published")


class Frozen(BaseModel):
    """Immutable, and an unknown field is an error: a misspelt option must not pass silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Split(Frozen):
    """Row borders: train is [0, train), validation [train, validation), test [validation, test).

    Validation and test windows may look back across their border, never forward (models.md, evaluation protocol).
    """

    train: int = Field(gt=0)
    validation: int = Field(gt=0)
    test: int = Field(gt=0)
    name: str = "70/10/20"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.train < self.validation <= self.test:
            raise ValueError("split borders must rise: train < validation <= test")
        return self

    @classmethod
    def of(cls, series: Series, rows: int | None = None) -> "Split":
        """The usual split for this series, or its first ``rows``: 12/4/4 months for the ETT sets, as every paper does,
        else 70/10/20."""
        rows, hour = len(series) if rows is None else rows, 3600.0
        ett = {"HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"} <= set(series.variates)
        for step, per_hour in ((hour, 1), (hour / 4, 4)):
            if ett and abs(series.step - step) < 1 and rows >= 14400 * per_hour:
                train, validation, test = (n * per_hour for n in (8640, 11520, 14400))
                return cls(train=train, validation=validation, test=test, name="ETT, 12/4/4 months")
        train, test = int(rows * 0.7), int(rows * 0.2)
        return cls(train=max(train, 1), validation=max(rows - test, 2), test=max(rows, 2))


class Recipe(Frozen):
    """How to train. ``published`` repeats a paper's own schedule; the others are ours, built on the same fields."""

    name: str = "balanced"
    optimizer: Literal["adam", "adamw"] = Field(default="adamw", title="Optimizer")
    learning_rate: float = Field(
        default=1e-3, gt=0, le=1, title="Learning rate", description="The peak, after warm-up."
    )
    schedule: Literal["halving", "fading", "cosine", "constant"] = Field(
        default="cosine",
        title="Schedule",
        description="halving: times 0.5 every epoch from the second; fading: times 0.9 every epoch from the fourth.",
    )
    warmup: float = Field(default=0.1, ge=0, le=0.9, title="Warm-up", description="Share of all steps before the peak.")
    weight_decay: float = Field(default=1e-2, ge=0, le=10, title="Weight decay", description="AdamW only.")
    batch_size: int = Field(default=128, ge=1, le=65536, title="Batch size", description="Windows per step.")
    windows: int = Field(
        default=100_000,
        ge=1,
        le=10**9,
        title="Windows an epoch",
        description="At most, drawn evenly over the training part; as many validate.",
    )
    epochs: int = Field(
        default=10, ge=1, le=10_000, title="Epochs", description="Upper bound; early stopping may end sooner."
    )
    patience: int = Field(
        default=3, ge=1, le=1000, title="Patience", description="Epochs without a better validation loss."
    )
    ema: float = Field(
        default=0.99,
        ge=0,
        lt=1,
        title="Weight averaging",
        description="Decay of the averaged weights per step; 0 is off.",
    )
    clip: float = Field(default=1.0, ge=0, title="Gradient clipping", description="Largest gradient norm; 0 is off.")
    loss: Literal["mse", "mae", "decayed mae", "huber"] = Field(default="mse", title="Loss")
    pretrain_epochs: int = Field(
        default=0,
        ge=0,
        le=10_000,
        title="Pretraining epochs",
        description="Before forecasting is learnt; only for architectures that pretrain (ScaleFusion).",
    )


class Spec(Frozen):
    """One training, whole. ``variates`` enter the model, ``targets`` are forecast, scored and count in the loss.

    A target that is not among ``variates`` is forecast with its history withheld (it enters as zeros).
    """

    dataset: str = Field(default="", description="Id of the stored dataset; empty on the command line.")
    series_name: str = ""
    fingerprint: str = Field(default="", description="SHA-256 of the series, so that a result can be checked.")
    model: str = "crossscalenet"
    config: dict[str, Any] = Field(default_factory=dict, description="Fields of the architecture's config class.")
    lookback: int = Field(default=96, ge=2, le=100_000)
    horizon: int = Field(default=96, ge=1, le=100_000)
    variates: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    covariates: Covariates = Covariates()
    split: Split
    recipe: Recipe = Recipe()
    seed: int = Field(default=2021, ge=0, le=2**31 - 1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=0, ge=0, le=256, description="0: all cores but one.")

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns the model sees, in order: the inputs, targets whose history is withheld, covariates."""
        own = self.variates + tuple(t for t in self.targets if t not in self.variates)
        return own + tuple(c for c in self.covariates.columns(self.lookback, self.horizon) if c not in own)

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns among these that a dataset must have; the others are computed."""
        computed = self.covariates.rules(self.lookback, self.horizon) if self.covariates else {}
        return tuple(name for name in self.columns if name not in computed)

    def seen(self, series: Series) -> Series:
        """The series with every column the model sees."""
        return self.covariates.seen(series, self.lookback, self.horizon)

    def usable(self) -> tuple[Self, str]:
        """This spec without covariates where its architecture cannot use them, and then a sentence that names them.
        Imports torch."""
        from core.models.registry import architecture, configure

        kind = architecture(self.model)
        if not self.covariates or kind.capabilities_of(configure(self.model, self.config)).multivariate:
            return self, ""
        named = [FEATURES[f].lower() for f in self.covariates.calendar] + list(self.covariates.known)
        return self.model_copy(update={"covariates": Covariates()}), (
            f"{kind.title} forecasts each variate from itself alone; covariates cannot reach it and are ignored: "
            f"{', '.join(named)}."
        )

    @property
    def withheld(self) -> tuple[int, ...]:
        """Positions in ``columns`` that enter as zeros."""
        last = len(self.variates) + sum(t not in self.variates for t in self.targets)
        return tuple(range(len(self.variates), last))

    @property
    def target_index(self) -> tuple[int, ...]:
        """Positions of the targets in ``columns``."""
        return tuple(self.columns.index(t) for t in self.targets)

    def check(self, series: Series) -> None:
        """Raises UserError where this spec cannot be trained on this series, with the nearest that works: for want of
        rows or values, or since the architecture cannot be built or trained so. Imports torch."""
        self.covariates.check(series, self.targets, self.lookback, self.horizon)
        missing = [v for v in self.needed if v not in series.variates]
        if missing:
            raise UserError(
                f"Column {missing[0]!r} is not in {series.name}. Choose among {', '.join(series.variates)}."
            )
        need = self.lookback + self.horizon
        for part, first, last in (
            ("training part", 0, self.split.train),
            ("validation part", max(self.split.train - self.lookback, 0), self.split.validation),
        ):
            if last - first < need:
                nearest = _nearest(last - first, self.lookback, self.horizon)
                told = ", ".join(f"{'look-back' if name == 'lookback' else name} {n}" for name, n in nearest.items())
                raise UserError(
                    f"The {part} of {series.name} has {last - first:,} rows that windows can use, but one window needs "
                    f"look-back {self.lookback} + horizon {self.horizon} = {need:,}. "
                    + (f"The nearest that works: {told}." if told else "Upload a longer series."),
                    nearest,
                )
        if len(series) < self.split.validation:
            raise UserError(f"The split ends at row {self.split.validation:,}, but {series.name} has {len(series):,}.")
        count, infinite, first, seen = np.zeros(len(self.needed), int), False, (0, 0), 0
        for block in series.blocks(self.needed, self.split.test):
            bad = ~np.isfinite(block)
            if not count.any() and bad.any():
                row, column = (int(i) for i in np.argwhere(bad)[0])
                first = (seen + row, column)
            count, infinite, seen = count + bad.sum(0), infinite or bool(np.isinf(block).any()), seen + len(block)
        able = self._check_model()
        if self.usable()[1]:
            raise UserError(f"{self.usable()[1]} Leave them out, or choose an architecture that can.")
        takes = able.missing_values and not infinite
        if count.any() and not takes:
            row, column = first
            raise UserError(
                f"{self.needed[column]!r} has {int(count[column]):,} missing or infinite values, the first in "
                f"row {row + 1:,}. Fill them on the Data page, leave that variate out, or choose an architecture that "
                "takes missing steps."
            )

    def _check_model(self) -> "Capabilities":
        """What the architecture can do with these options."""
        from core.models.contract import Shape
        from core.models.registry import architecture, configure

        kind, config = architecture(self.model), configure(self.model, self.config)
        kind.check(config, Shape(self.lookback, self.horizon, len(self.columns), self.withheld))
        if not self.recipe.pretrain_epochs and kind.needs_pretraining(config):
            raise UserError(
                f"{kind.title} has a frozen encoder, which learns in pretraining only, and the recipe has none. The "
                "nearest that works: 1 pretraining epoch, or an encoder that is not frozen.",
                {"encoder": "unfrozen"},
            )
        return kind.capabilities_of(config)


def _nearest(rows: int, lookback: int, horizon: int) -> dict[str, int]:
    if rows < 4:
        return {}
    if rows - horizon >= 2:
        return {"lookback": min(lookback, rows - horizon)}
    half = rows // 2
    return {"lookback": rows - half, "horizon": half}
