"""Conv-like ScaleFusion Transformer (arXiv 2509.17845): like a convolutional network, every level joins two
neighbouring tokens of the finer one and widens them; its tokens attend to each other and to the finer level.

Shape suffixes: B batch, L look-back, H horizon, C variates, N = B * C series, T steps of a series, P tokens of a level,
d width of a level, F features of all tokens. Every variate passes alone, by the same weights.

**Length rule**: a series of T steps passes n = floor(log2(T / patch)) joins, so every T of [patch 2^n, patch 2^(n+1))
ends in one or two tokens of one width: one feature space for all lengths of that interval. The forecasting head reads
all levels, for the look-back it was trained on; it is linear, so the forecast is exactly a sum over the levels.

Choices the paper leaves open, ours: RevIN without affine; no position code (joining neighbours orders the tokens);
residuals and LayerNorm after each part of an encoder layer, GELU, hidden width 2 d; dropout not on attention weights;
InstanceNorm over all tokens and features of a series (by feature over tokens it would wipe out a level of one token);
the residual around cross-scale attention; an odd last token is joined with itself, so that no token is padding
and none needs a mask; features are the mean over the last level's tokens; correlation measured over batch and tokens.
"""

from typing import ClassVar, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from core.errors import UserError
from core.models.contract import (
    Attention,
    Capabilities,
    Family,
    Forecaster,
    Grid,
    ModelConfig,
    Published,
    Shape,
    Stage,
)
from core.models.diagram import Arrow, Box, Diagram, chain, dims
from core.models.layers.attention import MultiHeadAttention
from core.models.layers.dropout import Dropout
from core.models.layers.frozen import part
from core.models.layers.normalisation import RevIN
from core.models.layers.patching import cut
from core.models.trace import AttentionMap, ScaleOutput, Trace, array, time_axis


class Config(ModelConfig):
    """Options of ScaleFusion. Defaults are ours; the paper gives patch 16, doubled widths and the weight 0.1."""

    patch: int = Field(
        default=16, ge=2, le=512, title="Patch length", description="Steps of one token of the finest level."
    )
    levels: int = Field(
        default=0,
        ge=0,
        le=12,
        title="Joins",
        description="How many times neighbouring tokens are joined to a coarser level. 0 is the length rule: until one "
        "or two tokens are left.",
    )
    width: int = Field(
        default=16, ge=2, le=512, title="Width", description="Features of the finest level's tokens; doubled by a join."
    )
    cap: int = Field(default=256, ge=2, le=2048, title="Largest width", description="No level's tokens are wider.")
    head_width: int = Field(
        default=16,
        ge=1,
        le=512,
        title="Head width",
        description="Features of one attention head: a level has its width divided by this many heads.",
    )
    layers: int = Field(default=1, ge=1, le=6, title="Layers", description="Encoder layers of every level.")
    dropout: float = Field(default=0.1, ge=0, lt=1, title="Dropout", description="Share of values dropped in training.")
    head_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        title="Head dropout",
        description="Share of the levels' features dropped in training before the linear layer to the horizon (ours).",
    )
    fusion: Literal["attention", "addition"] = Field(
        default="attention",
        title="Fusion",
        description="How a level takes in the finer one: its tokens ask the finer tokens (published), or their mean is "
        "added (ablation).",
    )
    encoder: Literal["unfrozen", "frozen"] = Field(
        default="unfrozen",
        title="Encoder",
        description="frozen: learns in pretraining only, so pretraining epochs must not be 0; then the head alone "
        "learns to forecast.",
    )
    independence: float = Field(
        default=0.1,
        ge=0,
        le=10,
        title="Independence",
        description="Weight of the features' mean squared correlation beside the reconstruction of the window.",
    )
    auxiliary: float = Field(
        default=0.0,
        ge=0,
        le=10,
        title="Auxiliary loss",
        description="Weight of reconstruction and independence while forecasting is learnt (ours); pretraining has "
        "them always.",
    )


def joins(config: Config, steps: int) -> int:
    """How often a series of so many steps is joined; the length rule where the config says nothing else."""
    rule = (steps // config.patch).bit_length() - 1  # floor(log2(steps / patch)) in whole numbers
    return min(config.levels, rule) if config.levels else rule


def widths(config: Config, levels: int) -> list[int]:
    """Width of level 0 to ``levels``."""
    return [min(config.width * 2**level, config.cap) for level in range(levels + 1)]


def grids_of(config: Config, steps: int) -> list[Grid]:
    """Every level sees the steps themselves, in tokens twice as long as the finer level's."""
    spans = [config.patch * 2**level for level in range(joins(config, steps) + 1)]
    return [Grid(1, steps, span, -(-steps // span), name=f"level {level}") for level, span in enumerate(spans)]


class Found(NamedTuple):
    """Weights N x heads x queries x keys of one attention of a level."""

    branch: Literal["self", "cross"]
    layer: int
    weights_NhPK: Tensor


class EncoderLayer(nn.Module):
    """Self-attention and two linear layers, each with residual and LayerNorm after it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.ff_in, self.ff_out = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.attention_norm, self.ff_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x_NPd: Tensor, use: Attention, whole: bool) -> tuple[Tensor, Tensor | None]:
        y_NPd, weights = self.attention(x_NPd, use=use, whole=whole)
        x_NPd = self.attention_norm(x_NPd + self.dropout(y_NPd))
        y_NPd = self.ff_out(self.dropout(F.gelu(self.ff_in(x_NPd))))
        return self.ff_norm(x_NPd + self.dropout(y_NPd)), weights


class Level(nn.Module):
    """One level: the tokens it begins with, its encoder layers, and what it takes from the finer level, if any."""

    def __init__(self, width: int, finer: int | None, config: Config) -> None:
        super().__init__()
        heads, self.finest = width // config.head_width, finer is None
        self.enter = nn.Linear(config.patch if finer is None else 2 * finer, width)
        # published: on the finest level between this linear layer and the encoder; else (ours) after the fusion
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, config.dropout) for _ in range(config.layers))
        self.cross = self.add = None
        if finer is not None and config.fusion == "attention":
            self.cross = MultiHeadAttention(width, heads, key_width=finer)
        elif finer is not None:
            self.add = nn.Linear(finer, width)
        self.dropout = Dropout(config.dropout)

    def forward(self, below: Tensor, use: Attention, whole: bool) -> tuple[Tensor, list[Found]]:
        """``below`` is the patches, N x P x patch, on the finest level, else the finer level's tokens. N x P x d."""
        if self.finest:
            x_NPd = self.norm(self.enter(below))
        else:
            pairs = join(below)
            x_NPd = self.enter(F.layer_norm(pairs, pairs.shape[1:]))
        found = []
        for layer, encode in enumerate(self.layers):
            x_NPd, weights = encode(x_NPd, use, whole)
            found += [Found("self", layer, weights)] if whole else []
        if self.cross is not None:
            y_NPd, weights = self.cross(x_NPd, below, use, whole=whole)
            found += [Found("cross", 0, weights)] if whole else []
            x_NPd = self.norm(x_NPd + self.dropout(y_NPd))
        elif self.add is not None:
            N, P, _ = x_NPd.shape
            x_NPd = self.norm(x_NPd + self.add(join(below).view(N, P, 2, -1).mean(2)))
        return x_NPd, found


def join(x_NPd: Tensor) -> Tensor:
    """Each two neighbours side by side, N x ceil(P / 2) x 2 d; an odd last token is joined with itself."""
    N, P, d = x_NPd.shape
    if P % 2:
        x_NPd = torch.cat([x_NPd, x_NPd[:, -1:]], dim=1)
    return x_NPd.reshape(N, -1, 2 * d)


class Encoder(nn.Module):
    """Reads series of any length of its range: at least one join, at most as many as it was built for."""

    def __init__(self, config: Config, lookback: int) -> None:
        super().__init__()
        self.config, self.lookback = config, lookback
        sizes = widths(config, joins(config, lookback))
        self.levels = nn.ModuleList(
            Level(width, finer, config) for width, finer in zip(sizes, [None, *sizes[:-1]], strict=True)
        )

    @property
    def lengths(self) -> range:
        """Every T it can read. The longest ends the interval of the length it was built for."""
        patch = self.config.patch
        return range(2 * patch, patch * 2 ** (self.lookback // patch).bit_length())

    def forward(
        self, z_NT: Tensor, use: Attention = "learned", whole: bool = False
    ) -> tuple[list[Tensor], list[list[Found]]]:
        """The tokens of every level, fine to coarse, and its weights if ``whole``.

        Raises UserError for a length outside its range.
        """
        T, patch = z_NT.shape[-1], self.config.patch
        if T not in self.lengths:
            first, last = self.lengths[0], self.lengths[-1]
            raise UserError(
                f"ScaleFusion, trained on {self.lookback:,} steps, reads {first:,} to {last:,} steps; {T:,} were "
                f"given. The nearest that works: {min(max(T, first), last):,} steps."
            )
        tokens, levels, found = cut(z_NT, patch, patch, -(-T // patch)), [], []
        for level in self.levels[: joins(self.config, T) + 1]:
            tokens, weights = level(tokens, use, whole)
            levels.append(tokens)
            found.append(weights)
        return levels, found


def dependence(x_NPd: Tensor) -> Tensor:
    """Mean squared correlation between two different features over batch and tokens: 0 where all are independent."""
    d = x_NPd.shape[-1]
    x_Md = x_NPd.flatten(0, 1).float()
    x_Md = x_Md - x_Md.mean(0)
    x_Md = x_Md * x_Md.square().mean(0).add(1e-5).rsqrt()
    correlation_dd = x_Md.T @ x_Md / len(x_Md)
    return (correlation_dd.square().sum() - correlation_dd.diagonal().square().sum()) / (d * (d - 1))


class ScaleFusion(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "scalefusion"
    title: ClassVar[str] = "ScaleFusion"
    family: ClassVar[Family] = "paper"
    source: ClassVar[str] = "arXiv 2509.17845"
    link: ClassVar[str] = "https://arxiv.org/abs/2509.17845"
    summary: ClassVar[str] = "Tokens join pairwise from level to level, and each level asks the finer one what it saw."
    shows: ClassVar[str] = "What each level adds to the forecast, attention within a level and to the finer one."
    claims: ClassVar[str] = (
        "A pyramid as in convolutional networks, with attention across its levels, gives features that repeat each "
        "other less and that series of different length share, good for forecasting and classification alike."
    )
    limits: ClassVar[str] = (
        "Every variate is read alone. Its maps are spans against spans, never steps: followed down to the steps they "
        "are an approximation that is one patch wide at best, and a token of the coarsest level sees the whole window."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        multivariate=False, scales=True, attention=True, saliency=("rollout",), variable_length=True, pretrains=True
    )
    scale_fields: ClassVar[tuple[str, ...]] = ("patch", "levels", "width")
    # the paper does not tell its recipe: AdamW 5e-4 on 512 steps from models.md, the rest by ETTh1's validation windows
    published: ClassVar[dict[str, Published]] = {
        "": Published(
            {
                "optimizer": "adamw",
                "learning_rate": 5e-4,
                "schedule": "cosine",
                "batch_size": 128,
                "epochs": 5,
                "patience": 3,
                "loss": "mse",
            },
            {"dropout": 0.2, "head_dropout": 0.3},
            512,
        )
    }
    Config = Config
    config: Config

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        self.geometry = grids_of(config, shape.lookback)
        sizes = widths(config, len(self.geometry) - 1)
        self.revin = RevIN(shape.variates, shape.withheld, affine=False, axis=1)
        self.encoder = Encoder(config, shape.lookback)
        self.decoders = nn.ModuleList(
            nn.Linear(width, grid.patch) for width, grid in zip(sizes, self.geometry, strict=True)
        )
        self.head_dropout = Dropout(config.head_dropout)
        self.features_of = [width * grid.patches for width, grid in zip(sizes, self.geometry, strict=True)]
        self.head = nn.Linear(sum(self.features_of), shape.horizon)
        self.stage: Stage = "forecasting"
        self.begin("forecasting")

    @classmethod
    def grids(cls, config: ModelConfig, lookback: int) -> list[Grid]:
        return grids_of(cast(Config, config), lookback)

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        config, L = cast(Config, config), shape.lookback
        shortest = 2 * config.patch
        if shortest > L:
            shorter = f", or a patch of {L // 2}" if L >= 4 else ""
            raise UserError(
                f"ScaleFusion joins at least two patches of {config.patch} steps, more than the look-back of {L}. "
                f"The nearest that works: a look-back of {shortest}{shorter}.",
                {"lookback": shortest},
            )
        rule = joins(config.model_copy(update={"levels": 0}), L)
        if config.levels > rule:
            raise UserError(
                f"A look-back of {L} in patches of {config.patch} can be joined {rule} times, not {config.levels}. The "
                f"nearest that works: {rule} joins, or a look-back of {config.patch * 2**config.levels:,}.",
                {"levels": rule},
            )
        if config.cap < config.width:
            raise UserError(
                f"The largest width of {config.cap} is below the finest level's width of {config.width}. The nearest "
                f"that works: a largest width of {config.width}.",
                {"cap": config.width},
            )
        for field, words, width in (("width", "width", config.width), ("cap", "largest width", config.cap)):
            if width % config.head_width:
                near = max(round(width / config.head_width), 1) * config.head_width
                raise UserError(
                    f"A {words} of {width} cannot be divided into heads of {config.head_width} features. The nearest "
                    f"that works: a {words} of {near}.",
                    {field: near},
                )

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        config = cast(Config, config)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        boxes = [
            Box("in", "Window", dims("B", L, C), "data"),
            Box("revin", "RevIN, each variate alone", dims("B", C, L)),
        ]
        arrows, before = [Arrow("in", "revin")], "revin"
        geometry = grids_of(config, L)
        for m, (grid, width) in enumerate(zip(geometry, widths(config, len(geometry) - 1), strict=True)):
            shown, heads = dims("B", C, grid.patches, width), width // config.head_width
            begins = f"Patches of {grid.patch}" if m == 0 else "Join neighbours, InstanceNorm"
            asks = f"Self-attention, {heads} head{'s' * (heads != 1)}"
            boxes += [Box(f"enter{m}", begins, shown, scale=m), Box(f"self{m}", asks, shown, "attention", m)]
            arrows += chain(before, f"enter{m}", f"self{m}")
            before = f"self{m}"
            if m:
                attends = config.fusion == "attention"
                words = "Asks the finer level" if attends else "Adds the finer level"
                boxes.append(Box(f"fuse{m}", words, shown, "attention" if attends else "sum", m))
                finer = arrows[-2].start
                arrows += [Arrow(before, f"fuse{m}"), Arrow(finer, f"fuse{m}", "keys, values" if attends else "mean")]
                before = f"fuse{m}"
            arrows.append(Arrow(before, "head"))
        boxes += [Box("head", "Linear head: a sum over levels", dims("B", H, C), "sum")]
        boxes += [Box("out", "Forecast", dims("B", H, C), "data")]
        return Diagram(tuple(boxes), (*arrows, Arrow("head", "out", "RevIN undone")))

    @classmethod
    def needs_pretraining(cls, config: ModelConfig) -> bool:
        return cast(Config, config).encoder == "frozen"

    def begin(self, stage: Stage) -> None:
        """Pretraining: encoder and decoders. Forecasting: the head, an unfrozen encoder, and the decoders where their
        loss counts."""
        self.stage = stage
        pretraining = stage == "pretraining"
        self.encoder.requires_grad_(pretraining or self.config.encoder == "unfrozen")
        self.decoders.requires_grad_(pretraining or self._auxiliary)
        self.head.requires_grad_(not pretraining)

    @property
    def _auxiliary(self) -> bool:
        return self.config.auxiliary > 0 and self.config.encoder == "unfrozen"

    @property
    def _frozen(self) -> bool:
        return self.stage == "forecasting" and self.config.encoder == "frozen"

    def train(self, mode: bool = True) -> "ScaleFusion":
        super().train(mode)
        if self._frozen:
            self.encoder.eval()  # what does not learn gives the same features every time
        return self

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        self._check_length(x_BLC)
        z_NL, mean_BC1, std_BC1 = self._enter(x_BLC)
        levels, _ = self.encoder(z_NL, attention)
        return self._forecast(levels, mean_BC1, std_BC1)

    def training_forward(self, x_BLC: Tensor) -> tuple[Tensor, Tensor | None]:
        self._check_length(x_BLC)
        z_NL, mean_BC1, std_BC1 = self._enter(x_BLC)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._frozen):
            levels, _ = self.encoder(z_NL)
        extra = self.config.auxiliary * self._losses(z_NL, levels) if self._auxiliary else None
        return self._forecast(levels, mean_BC1, std_BC1), extra

    def pretraining_loss(self, x_BLC: Tensor) -> Tensor:
        """Reconstruction of the normalised window from every level, plus ``independence`` times how much the levels'
        features repeat each other; both as means over the levels. Reads any length of its range."""
        z_NT, _, _ = self._enter(x_BLC)
        return self._losses(z_NT, self.encoder(z_NT)[0])

    def features(self, x_BTC: Tensor, attention: Attention = "learned") -> Tensor:
        """Length-aligned features B x C x d_n of windows of T steps: T of one interval share d_n and its space.

        Raises UserError where T lies outside the range, with the range.
        """
        z_NT, _, _ = self._enter(x_BTC)
        levels, _ = self.encoder(z_NT, attention)
        return levels[-1].mean(1).view(len(x_BTC), x_BTC.shape[-1], -1)

    def _enter(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The series N x T, normalised, and what undoes it."""
        x_BCT = x_BTC.transpose(1, 2).contiguous()
        mean_BC1, std_BC1 = self.revin.statistics(x_BCT)
        return self.revin(x_BCT, mean_BC1, std_BC1).flatten(0, 1), mean_BC1, std_BC1

    def _check_length(self, x_BLC: Tensor) -> None:
        L = self.shape.lookback
        if x_BLC.shape[1] != L:
            raise UserError(
                f"The head of this ScaleFusion forecasts from {L:,} steps; {x_BLC.shape[1]:,} were given. Its encoder "
                "reads other lengths too, for features; a forecast needs a model trained on that look-back."
            )

    def _forecast(self, levels: list[Tensor], mean_BC1: Tensor, std_BC1: Tensor) -> Tensor:
        features_NF = torch.cat([part(level_NPd, scale=m).flatten(1) for m, level_NPd in enumerate(levels)], dim=1)
        y_NH = self.head(self.head_dropout(features_NF))
        return self.revin.inverse(y_NH.view(*mean_BC1.shape[:2], -1), mean_BC1, std_BC1).transpose(1, 2)

    def _losses(self, z_NT: Tensor, levels: list[Tensor]) -> Tensor:
        loss = z_NT.new_zeros(())
        for decode, level_NPd in zip(self.decoders, levels, strict=False):  # a short series has fewer levels
            again_NT = decode(level_NPd).flatten(1)[:, : z_NT.shape[1]]
            loss = loss + F.mse_loss(again_NT, z_NT)
            if self.config.independence:
                loss = loss + self.config.independence * dependence(level_NPd)
        return loss / len(levels)

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        self._check_length(x_BLC)
        z_NL, mean_BC1, std_BC1 = self._enter(x_BLC)
        B, C, L = *mean_BC1.shape[:2], self.shape.lookback
        levels, found = self.encoder(z_NL, whole=True)
        gain_BC1, seen = self.revin.gain(std_BC1), array(x_BLC)
        scales, maps = [], []
        axes = [time_axis(0, grid.patch, grid.patch, grid.patches, L) for grid in self.geometry]
        heads = self.head.weight.split(self.features_of, dim=1)
        for m, (grid, head_HF, level_NPd) in enumerate(zip(self.geometry, heads, levels, strict=True)):
            part_BCH = F.linear(level_NPd.flatten(1), head_HF).view(B, C, -1) * gain_BC1
            contribution = array(part_BCH.transpose(1, 2))
            scales.append(ScaleOutput(m, grid.factor, grid.patch, 1.0, seen, contribution, name=grid.name))
            for branch, layer, weights_NhPK in found[m]:
                weights = array(weights_NhPK).reshape(B, C, *weights_NhPK.shape[1:])
                finer = m - 1 if branch == "cross" else None
                keys = axes[m if finer is None else finer]
                maps += [
                    AttentionMap(branch, weights[:, c, head], axes[m], keys, m, layer, head, c, finer)
                    for c in range(C)
                    for head in range(weights.shape[2])
                ]
        rest_BCH = self.revin.inverse(self.head.bias.expand(B, C, -1), mean_BC1, std_BC1)
        rest = array(rest_BCH.transpose(1, 2))
        forecast = rest + sum(part.contribution for part in scales)
        return Trace(forecast, rest, tuple(scales), tuple(maps))


MODEL = ScaleFusion
