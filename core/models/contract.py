"""What every architecture promises: a frozen config, a fast ``forward``, a traced ``trace`` with the same forecast.

An architecture is one file in this folder with a config class, a model class, and ``MODEL = ThatClass``; the registry
finds it, the Train page builds its form from the config, the Models page draws its diagram, and the capability flags
decide what the pages offer.

Shape suffixes: B batch, L look-back, H horizon, C variates, T steps of a series.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from core.errors import UserError
from core.models.diagram import Diagram
from core.models.trace import Trace

# ``uniform``: every key counts alike. ``permuted``: the learned weights given to the wrong keys, by a fixed order.
Attention = Literal["learned", "uniform", "permuted"]
# ``paper``: one of the four architectures this project is about. ``baseline``: what they are compared with.
# ``statistical``: fitted in closed form or by a statistics library, not by gradient steps.
Family = Literal["paper", "baseline", "statistical"]
FAMILIES: tuple[Family, ...] = ("paper", "baseline", "statistical")
Stage = Literal["pretraining", "forecasting"]


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
    """What one scale or branch sees: ``points`` points of ``factor`` original steps each, in ``patches`` patches of
    ``patch`` points (0 and 0 where it has no attention).

    ``first`` is the step of the window where it begins; ``stride`` the points from one patch to the next (0: as long as
    the patch, so that patches touch); ``name`` is what the picture calls it (empty: "scale 0", "scale 1", ...).
    """

    factor: int
    points: int
    patch: int
    patches: int
    first: int = 0
    stride: int = 0
    name: str = ""

    @property
    def padded(self) -> int:
        return self.patch * self.patches


@dataclass(frozen=True)
class Capabilities:
    """What the pages may offer.

    ``multivariate``: variates exchange information. ``scales``: the trace splits the forecast exactly into parts.
    ``attention``: ``forward(x, attention=...)`` can replace the learned weights. ``saliency``: which readings of its
    attention lead to steps of the window ("published", "corrected": CrossScaleNet's; "rollout": any stack of attention
    maps over time); empty where none does, and then ``reason`` says why. ``missing_values``: NaN may enter and means a
    missing step. ``variable_length``: one set of weights reads look-backs of several lengths. ``fitted``: estimated by
    ``fit``, not by gradient steps. ``pretrains``: has a ``pretraining_loss``.
    """

    multivariate: bool = True
    scales: bool = False
    attention: bool = False
    saliency: tuple[Literal["published", "corrected", "rollout"], ...] = ()
    missing_values: bool = False
    variable_length: bool = False
    fitted: bool = False
    pretrains: bool = False
    reason: str = ""

    @property
    def time_saliency(self) -> bool:
        return bool(self.saliency)


@dataclass(frozen=True)
class Published:
    """A paper's own settings on one dataset: fields of the recipe (``core.training.spec.Recipe``), fields of the
    config, and its look-back."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    lookback: int = 96


# what the papers' recipes have in common where models.md says nothing else: fields of the recipe
PLAIN_ADAM: Mapping[str, Any] = {
    "optimizer": "adam",
    "schedule": "halving",
    "warmup": 0,
    "weight_decay": 0,
    "batch_size": 32,
    "epochs": 20,
    "patience": 3,
    "ema": 0,
    "clip": 0,
    "loss": "mse",
}


class Forecaster(nn.Module, ABC):
    """Base of all architectures."""

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[Family] = "baseline"
    source: ClassVar[str]  # citation
    link: ClassVar[str] = ""  # where the source can be read
    summary: ClassVar[str]  # one sentence for the card: what it is
    shows: ClassVar[str]  # a few words for the card: what can be looked at inside
    claims: ClassVar[str]  # what its authors claim, in our words
    limits: ClassVar[str]  # what its pictures may not be taken for
    capabilities: ClassVar[Capabilities]
    Config: ClassVar[type[ModelConfig]]
    scale_fields: ClassVar[tuple[str, ...]] = ()  # fields that the Train page shows beside the picture
    # the paper's settings by dataset name; "" is for every other dataset
    published: ClassVar[Mapping[str, Published]] = {}
    ours: ClassVar[Mapping[str, Any]] = {}  # what our own recipes change in the config
    ours_recipe: ClassVar[Mapping[str, Any]] = {}  # and in the recipe
    ours_lookback: ClassVar[int] = 96  # what our own recipes propose where the series has the rows for it

    def __init__(self, config: ModelConfig, shape: Shape) -> None:
        super().__init__()
        self.config, self.shape = config, shape
        # a built model answers for its own options: model.capabilities; a class for its defaults
        vars(self)["capabilities"] = self.capabilities_of(config)

    @classmethod
    def capabilities_of(cls, config: ModelConfig) -> Capabilities:
        """What this configuration can do: what the class declares, less what an option takes away."""
        return cls.capabilities

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        """Raises UserError where this combination cannot work, naming the nearest that does."""

    @classmethod
    def grids(cls, config: ModelConfig, lookback: int) -> list[Grid]:
        """What each scale or branch sees of such a look-back, fine to coarse; never empty for a model that can be
        built. A model that takes the window whole has one."""
        return [Grid(1, lookback, 0, 0, name="whole window")]

    @classmethod
    @abstractmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        """The flow of data with the shapes of this configuration."""

    @abstractmethod
    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        """The forecast, B x H x C, on the scale of the input. ``attention`` is ignored by models that have none."""

    @abstractmethod
    def trace(self, x_BLC: Tensor) -> Trace:
        """The same forecast with the inside. Slower; never used in training."""

    def training_forward(self, x_BLC: Tensor) -> tuple[Tensor, Tensor | None]:
        """The forecast and what else the loss holds (a scalar to add), or None."""
        return self(x_BLC), None

    @classmethod
    def needs_pretraining(cls, config: ModelConfig) -> bool:
        """Whether this configuration learns to forecast only after pretraining; a recipe without is then refused."""
        return False

    def begin(self, stage: Stage) -> None:
        """Called before each stage of training; sets ``requires_grad`` of what learns in it. All does, as it comes."""

    def pretraining_loss(self, x_BLC: Tensor) -> Tensor:
        """What is minimised before forecasting is learnt; only for models that declare ``pretrains``."""
        raise TypeError(f"{self.title} has nothing to pretrain")

    def fit(self, values_TC: Tensor, targets: tuple[int, ...]) -> None:
        """Estimates the model from the z-scored training part; only for models that declare ``fitted``.

        Raises UserError where the series is too short or cannot be estimated, in words.
        """
        raise TypeError(f"{self.title} learns by gradient steps")

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "Forecaster":
        """A model with the weights of the public code, names mapped by rule, never by one configuration's sizes."""
        raise UserError(f"There is no public code to compare {cls.title} with.")

    @classmethod
    def runs_on(cls) -> str:
        """Which form of its arithmetic runs on this machine and why, in a sentence; empty where there is one only."""
        return ""

    def scale_weights(self) -> list[float]:
        """One weight per scale, fine to coarse; empty for models without weights of their scales."""
        return []
