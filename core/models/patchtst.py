"""PatchTST (Nie et al. 2023, arXiv 2211.14730): overlapping patches of each variate by itself are the tokens, and all
variates share the weights.

Shape suffixes: B batch, L look-back, H horizon, C variates, P patches, p steps of a patch, d width, N = B * C.

RevIN without affine; patches, the end lengthened by one stride of its last value; Linear(p -> d) without bias plus the
sinusoidal position code, dropout; encoder; BatchNorm; a linear head over all patches at once. This is the form of the
Time-Series-Library: its layers have a LayerNorm where the authors' own code has a BatchNorm. Ours: no dropout on the
forecast itself (the authors have none by default), attention by score instead of full.
"""

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from core.errors import UserError
from core.models.contract import (
    PLAIN_ADAM,
    Attention,
    Capabilities,
    Forecaster,
    Grid,
    ModelConfig,
    Published,
    Shape,
)
from core.models.diagram import Arrow, Box, Diagram, chain, dims
from core.models.layers.dropout import Dropout
from core.models.layers.normalisation import RevIN
from core.models.layers.patching import count_padded, cut
from core.models.layers.position import position_code
from core.models.layers.token_encoder import (
    NO_TIME_AXIS,
    Encoder,
    EncoderConfig,
    check_encoder,
    encoder_from_public,
    encoder_maps,
    public_options,
)
from core.models.trace import Trace, array, time_axis


class Config(EncoderConfig):
    """Options of PatchTST. Defaults are the paper's for ETTh."""

    patch: int = Field(default=16, ge=1, le=1024, title="Patch length", description="Steps of one patch.")
    stride: int = Field(default=8, ge=1, le=1024, title="Stride", description="Steps from one patch to the next.")
    width: int = Field(default=16, ge=1, le=4096, title="Width", description="Features of a patch.")
    heads: int = Field(
        default=4, ge=1, le=128, title="Heads", description="Of full attention; the width must be divisible by them."
    )
    layers: int = Field(default=3, ge=1, le=24, title="Layers", description="Encoder layers, one after the other.")
    dropout: float = Field(default=0.3, ge=0, lt=1, title="Dropout", description="Share of values dropped in training.")


# the authors' scripts: at most 100 epochs; on the small sets the rate fades, and their patience is 100 (ours: 20)
RECIPE = {**PLAIN_ADAM, "learning_rate": 1e-4, "batch_size": 128, "epochs": 100}
SMALL = Published({**RECIPE, "schedule": "fading", "patience": 20})
LARGE = Published(
    {**RECIPE, "schedule": "cosine", "warmup": 0.4, "patience": 20},
    {"width": 128, "heads": 16, "hidden": 256, "dropout": 0.2},
)


class PatchTST(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "patchtst"
    title: ClassVar[str] = "PatchTST"
    source: ClassVar[str] = "arXiv 2211.14730"
    link: ClassVar[str] = "https://arxiv.org/abs/2211.14730"
    summary: ClassVar[str] = "Overlapping patches of each variate attend to each other; all variates share the weights."
    shows: ClassVar[str] = "Which patches of its own past each patch looks at, by variate, layer and head."
    claims: ClassVar[str] = (
        "Patches keep local meaning and make attention cheap enough for long windows; each variate alone forecasts "
        "better than all mixed."
    )
    limits: ClassVar[str] = (
        "Attention says which patches were mixed, not what the forecast took from them: the head reads every patch by "
        "itself. Variates never see each other."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(multivariate=False, attention=True, saliency=("rollout",))
    published: ClassVar[dict[str, Published]] = {"": LARGE, "ETTh1": SMALL, "ETTh2": SMALL, "exchange_rate": SMALL}
    scale_fields: ClassVar[tuple[str, ...]] = ("patch", "stride")
    Config = Config
    config: Config
    position: Tensor

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        d, (grid,) = config.width, self.grids(config, shape.lookback)
        self.grid = grid
        self.revin = RevIN(shape.variates, shape.withheld, affine=False, axis=1)
        self.embed = nn.Linear(config.patch, d, bias=False)
        self.register_buffer("position", position_code(grid.patches, d), persistent=False)
        self.dropout = Dropout(config.dropout)
        self.encoder = Encoder(config, grid.patches)
        self.norm = nn.BatchNorm1d(d)
        self.head = nn.Linear(grid.patches * d, shape.horizon)

    @classmethod
    def capabilities_of(cls, config: ModelConfig) -> Capabilities:
        if cast(Config, config).attention == "full":
            return cls.capabilities
        return Capabilities(multivariate=False, attention=True, reason=NO_TIME_AXIS)

    @classmethod
    def grids(cls, config: ModelConfig, lookback: int) -> list[Grid]:
        config = cast(Config, config)
        patches = count_padded(lookback, config.patch, config.stride)
        return [Grid(1, lookback, config.patch, patches, stride=config.stride, name="patches")]

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        config = cast(Config, config)
        if config.patch > shape.lookback:
            raise UserError(
                f"A patch of {config.patch} steps is longer than the look-back of {shape.lookback}. The nearest that "
                f"works: patch {shape.lookback}, or a look-back of {config.patch}.",
                {"patch": shape.lookback},
            )
        check_encoder(config)

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        config = cast(Config, config)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        (grid,) = cls.grids(config, L)
        tokens = dims(f"B·{C:,}", grid.patches, config.width)
        boxes = [
            Box("in", "Window", dims("B", L, C), "data"),
            Box("norm", "Normalise each window", dims("B", L, C)),
            Box(
                "cut", f"Patches of {config.patch} every {config.stride}", dims(f"B·{C:,}", grid.patches, config.patch)
            ),
            Box("embed", "Linear, position code", tokens),
        ]
        for n in range(config.layers):
            about = f"Attention {n + 1} over patches, {config.heads} heads"
            if config.attention == "score":
                about = f"Score {n + 1}: weights over patches"
            boxes += [
                Box(f"attend{n}", about, tokens, "attention"),
                Box(f"feed{n}", f"Feed-forward, {config.hidden} hidden", tokens),
            ]
        boxes.append(Box("head", "BatchNorm, linear head over all patches", dims("B", H, C)))
        arrows = chain(*(box.id for box in boxes))
        boxes.append(Box("out", "Forecast", dims("B", H, C), "data"))
        return Diagram(tuple(boxes), (*arrows, Arrow("head", "out", "normalisation undone")))

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "PatchTST":
        """PatchTST with the Time-Series-Library's weights."""
        patch = public["patch_embedding.value_embedding.weight"].shape[1]
        config = Config(**public_options(options), patch=patch, stride=options.get("stride", 8))
        shape = Shape(options["seq_len"], options["pred_len"], options["enc_in"])
        cls.check(config, shape)
        model = cls(config, shape)
        ours = encoder_from_public(options, public, "encoder")
        ours["embed.weight"] = public["patch_embedding.value_embedding.weight"]
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            ours[f"norm.{part}"] = public[f"encoder.norm.1.{part}"]
        ours |= {f"head.{part}": public[f"head.linear.{part}"] for part in ("weight", "bias")}
        model.load_state_dict(ours)
        return model

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        return self._forecast(x_BLC, attention, whole=False)[0]

    def _forecast(self, x_BLC: Tensor, use: Attention, whole: bool) -> tuple[Tensor, list[Tensor]]:
        """The forecast and, if ``whole``, every layer's weights."""
        x_BCL = x_BLC.transpose(1, 2)
        mean_BC1, std_BC1 = self.revin.statistics(x_BCL)
        x_NL = self.revin(x_BCL, mean_BC1, std_BC1).flatten(0, 1)
        z_NPd = F.linear(cut(x_NL, self.config.patch, self.config.stride, self.grid.patches), self.embed.weight)
        z_NPd, found = self.encoder(self.dropout(z_NPd + self.position), use, whole)
        z_NPd = self.norm(z_NPd.flatten(0, 1)).view_as(z_NPd)
        # features before patches, and the statistics above along the window as it came: the public code's order of sums
        y_BCH = self.head(z_NPd.transpose(1, 2).flatten(1)).view(*x_BCL.shape[:2], -1)
        return self.revin.inverse(y_BCH, mean_BC1, std_BC1).transpose(1, 2), found

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        y_BHC, found = self._forecast(x_BLC, "learned", whole=True)
        L, grid = self.shape.lookback, self.grid
        patches = time_axis(0, grid.patch, grid.stride, grid.patches, L)
        return Trace(array(y_BHC), array(y_BHC), (), encoder_maps(found, patches, self.shape.variates))


MODEL = PatchTST
