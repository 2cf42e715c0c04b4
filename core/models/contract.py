"""What every architecture promises: a frozen config, a fast ``forward``, a traced ``trace`` with the same forecast.

An architecture is one file in this folder with a config class, a model class, and ``MODEL = ThatClass``; the registry
finds it, the Train page builds its form from the config, and the capability flags decide what the pages offer.

Shape suffixes: B batch, L look-back, H horizon, C variates.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from core.errors import UserError
from core.models.trace import Trace


class ModelConfig(BaseModel):
    """Options of an architecture, without the window's shape. Every field has title, description and bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Shape:
    """What a model is built for. ``withheld`` are variates that enter as zeros (their history is not to be seen)."""

    lookback: int
    horizon: int
    variates: int
    withheld: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grid:
    """What one scale sees: ``points`` points of ``factor`` original steps each, in ``patches`` patches of ``patch``
    points (0 and 0 where the scale has no attention)."""

    factor: int
    points: int
    patch: int
    patches: int

    @property
    def padded(self) -> int:
        return self.patch * self.patches


@dataclass(frozen=True)
class Capabilities:
    """What the pages may offer. ``reason`` is shown where ``time_saliency`` is False."""

    multivariate: bool = True
    time_saliency: bool = False
    scales: bool = False
    variable_length: bool = False
    missing_values: bool = False
    reason: str = ""


class Forecaster(nn.Module, ABC):
    """Base of all architectures."""

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]  # citation
    summary: ClassVar[str]  # one sentence for the card
    capabilities: ClassVar[Capabilities]
    Config: ClassVar[type[ModelConfig]]
    scale_fields: ClassVar[
        tuple[str, ...]
    ] = ()  # fields of Config that the Train page shows beside the scales' picture

    def __init__(self, config: ModelConfig, shape: Shape) -> None:
        super().__init__()
        self.config, self.shape = config, shape

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        """Raises UserError where this combination cannot work, naming the nearest that does."""

    @classmethod
    def grids(cls, config: ModelConfig, lookback: int) -> list[Grid]:
        """What each scale sees of such a look-back, fine to coarse; empty for models without scales."""
        return []

    @abstractmethod
    def forward(self, x_BLC: Tensor) -> Tensor:
        """The forecast, B x H x C, on the scale of the input."""

    @abstractmethod
    def trace(self, x_BLC: Tensor) -> Trace:
        """The same forecast with the inside. Slower; never used in training."""

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "Forecaster":
        """A model with the weights of the public code, names mapped by rule, never by one configuration's sizes."""
        raise UserError(f"There is no public code to compare {cls.title} with.")

    def scale_weights(self) -> list[float]:
        """One weight per scale, fine to coarse; empty for models without scales."""
        return []
