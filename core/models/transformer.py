"""The plain Transformer as a baseline (Vaswani et al. 2017, arXiv 1706.03762): a step of the window, all variates
together, is one token; encoder only, no decoder.

Shape suffixes: B batch, L look-back (the tokens), H horizon, C variates, d width.

Ours throughout, for there is no one published form: RevIN without affine; Linear(C -> d) plus the sinusoidal position
code, dropout; encoder; LayerNorm; the flattened tokens to the whole forecast by one linear layer, or by two factors,
Linear(d -> C) at every step and Linear(L -> H) along time, where one layer would be too large; attention by score.
"""

from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from core.errors import UserError
from core.models.contract import Attention, Capabilities, Forecaster, Grid, ModelConfig, Shape
from core.models.diagram import Arrow, Box, Diagram, chain, dims
from core.models.layers.dropout import Dropout
from core.models.layers.normalisation import RevIN
from core.models.layers.position import position_code
from core.models.layers.token_encoder import NO_TIME_AXIS, Encoder, EncoderConfig, check_encoder, encoder_maps
from core.models.trace import Trace, array, time_axis

LARGEST_HEAD = 50_000_000  # weights of the flattened head: with optimizer and averages about 1 GB


class Config(EncoderConfig):
    """Options of the Transformer. Defaults are ours."""

    head: Literal["flatten", "factored"] = Field(
        default="flatten",
        title="Head",
        description="flatten: every feature of every step to every step and variate ahead. factored: first to "
        "variates, then along time; small whatever the window.",
    )


class FlattenedHead(nn.Module):
    """B x L x d to B x C x H by one linear layer."""

    def __init__(self, lookback: int, width: int, horizon: int, variates: int) -> None:
        super().__init__()
        self.variates, self.linear = variates, nn.Linear(lookback * width, variates * horizon)

    def forward(self, z_BLd: Tensor) -> Tensor:
        return self.linear(z_BLd.flatten(1)).unflatten(1, (self.variates, -1))


class FactoredHead(nn.Module):
    """B x L x d to B x C x H: at every step to the variates, then along time, the same for all variates."""

    def __init__(self, lookback: int, width: int, horizon: int, variates: int) -> None:
        super().__init__()
        self.to_variates, self.along_time = nn.Linear(width, variates), nn.Linear(lookback, horizon)

    def forward(self, z_BLd: Tensor) -> Tensor:
        return self.along_time(self.to_variates(z_BLd).transpose(1, 2))


class Transformer(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "transformer"
    title: ClassVar[str] = "Transformer"
    source: ClassVar[str] = "arXiv 1706.03762"
    link: ClassVar[str] = "https://arxiv.org/abs/1706.03762"
    summary: ClassVar[str] = "Every step of the window is a token; the steps attend to each other."
    shows: ClassVar[str] = "Which steps each step looks at, by layer and head."
    claims: ClassVar[str] = (
        "Attention reaches any step from any other in one layer. On these series it is the baseline that patches and "
        "variate tokens were invented to beat."
    )
    limits: ClassVar[str] = (
        "One step carries little meaning, so a map over steps is noisy; one map serves all variates, and cost grows "
        "with the square of the look-back."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(attention=True, saliency=("rollout",))
    Config = Config
    config: Config
    position: Tensor

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        L, H, C, d = shape.lookback, shape.horizon, shape.variates, config.width
        self.revin = RevIN(C, shape.withheld, affine=False, axis=1)
        self.embed = nn.Linear(C, d)
        self.register_buffer("position", position_code(L, d), persistent=False)
        self.dropout = Dropout(config.dropout)
        self.encoder = Encoder(config, L)
        self.norm = nn.LayerNorm(d)
        self.head = FlattenedHead(L, d, H, C) if config.head == "flatten" else FactoredHead(L, d, H, C)

    @classmethod
    def capabilities_of(cls, config: ModelConfig) -> Capabilities:
        if cast(Config, config).attention == "full":
            return cls.capabilities
        return Capabilities(attention=True, reason=NO_TIME_AXIS)

    @classmethod
    def grids(cls, config: ModelConfig, lookback: int) -> list[Grid]:
        return [Grid(1, lookback, 1, lookback, name="steps")]

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        config = cast(Config, config)
        check_encoder(config)
        per_step = shape.lookback * config.width * shape.variates
        if config.head == "flatten" and per_step * shape.horizon > LARGEST_HEAD:
            shorter = LARGEST_HEAD // per_step
            also = f", or a horizon of {shorter:,}" if shorter else ""
            raise UserError(
                f"A flattened head would have {per_step * shape.horizon:,} weights; at most {LARGEST_HEAD:,} are "
                f"taken. The nearest that works: the factored head{also}.",
                {"head": "factored"},
            )

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        config = cast(Config, config)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        tokens = dims("B", L, config.width)
        boxes = [
            Box("in", "Window", dims("B", L, C), "data"),
            Box("norm", "Normalise each window", dims("B", L, C)),
            Box("embed", "A token per step, position code", tokens),
        ]
        for n in range(config.layers):
            about = f"Attention {n + 1} over steps, {config.heads} heads"
            if config.attention == "score":
                about = f"Score {n + 1}: weights over steps"
            boxes += [
                Box(f"attend{n}", about, tokens, "attention"),
                Box(f"feed{n}", f"Feed-forward, {config.hidden} hidden", tokens),
            ]
        if config.head == "factored":
            boxes.append(Box("variates", "LayerNorm, linear to variates", dims("B", L, C)))
            boxes.append(Box("head", "Linear along time", dims("B", H, C)))
        else:
            boxes.append(Box("head", "LayerNorm, linear head over all steps", dims("B", H, C)))
        arrows = chain(*(box.id for box in boxes))
        boxes.append(Box("out", "Forecast", dims("B", H, C), "data"))
        return Diagram(tuple(boxes), (*arrows, Arrow("head", "out", "normalisation undone")))

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        return self._forecast(x_BLC, attention, whole=False)[0]

    def _forecast(self, x_BLC: Tensor, use: Attention, whole: bool) -> tuple[Tensor, list[Tensor]]:
        """The forecast and, if ``whole``, every layer's weights."""
        x_BCL = x_BLC.transpose(1, 2)
        mean_BC1, std_BC1 = self.revin.statistics(x_BCL)
        z_BLd = self.embed(self.revin(x_BCL, mean_BC1, std_BC1).transpose(1, 2)) + self.position
        z_BLd, found = self.encoder(self.dropout(z_BLd), use, whole)
        y_BCH = self.head(self.norm(z_BLd))
        return self.revin.inverse(y_BCH, mean_BC1, std_BC1).transpose(1, 2), found

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        y_BHC, found = self._forecast(x_BLC, "learned", whole=True)
        L = self.shape.lookback
        return Trace(array(y_BHC), array(y_BHC), (), encoder_maps(found, time_axis(0, 1, 1, L, L)))


MODEL = Transformer
