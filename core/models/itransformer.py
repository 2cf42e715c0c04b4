"""iTransformer (Liu et al. 2024, arXiv 2310.06625): a variate's whole window is one token, so that attention runs over
variates and each linear layer over time.

Shape suffixes: B batch, L look-back, H horizon, C variates (the tokens), d width.

RevIN without affine; Linear(L -> d), dropout; encoder; LayerNorm; Linear(d -> H). Ours: the calendar's marks that the
public code can append as further tokens are left out; attention by score instead of full.
"""

from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from core.models.contract import PLAIN_ADAM, Attention, Capabilities, Forecaster, ModelConfig, Published, Shape
from core.models.diagram import Arrow, Box, Diagram, chain, dims
from core.models.layers.dropout import Dropout
from core.models.layers.normalisation import RevIN
from core.models.layers.token_encoder import (
    Encoder,
    EncoderConfig,
    check_encoder,
    encoder_from_public,
    encoder_maps,
    public_options,
)
from core.models.trace import Trace, array, numbered

RECIPE = {**PLAIN_ADAM, "learning_rate": 1e-4, "epochs": 10}


class Config(EncoderConfig):
    """Options of iTransformer. Defaults are the paper's for ETTh1."""

    width: int = Field(default=256, ge=1, le=4096, title="Width", description="Numbers that describe a variate.")
    hidden: int = Field(
        default=256, ge=1, le=16384, title="Hidden units", description="Between the two linear layers of each layer."
    )
    normalise: bool = Field(
        default=True, title="Normalise windows", description="Each window by its own mean and deviation."
    )


class ITransformer(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "itransformer"
    title: ClassVar[str] = "iTransformer"
    source: ClassVar[str] = "arXiv 2310.06625"
    link: ClassVar[str] = "https://arxiv.org/abs/2310.06625"
    summary: ClassVar[str] = "A variate's window is one token; the variates attend to each other."
    shows: ClassVar[str] = "Which variates each variate looks at, by layer and head."
    claims: ClassVar[str] = (
        "Attention belongs to variates and linear layers to time: forecasts gain from longer windows, and the map over "
        "variates resembles their correlation."
    )
    limits: ClassVar[str] = (
        "Its map ties variates, not steps: it says nothing about time. A variate that is looked at need not be "
        "one that drives another."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        attention=True,
        reason="iTransformer takes each variate's window as one token: its attention runs over variates, not time.",
    )
    published: ClassVar[dict[str, Published]] = {
        "": Published(RECIPE, {"width": 128, "hidden": 128}),
        "ETTh1": Published(RECIPE),
    }
    Config = Config
    config: Config

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        self.revin = RevIN(shape.variates, shape.withheld, affine=False, axis=1)
        self.embed = nn.Linear(shape.lookback, config.width)
        self.dropout = Dropout(config.dropout)
        self.encoder = Encoder(config, shape.variates)
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, shape.horizon)

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        check_encoder(cast(Config, config))

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        config = cast(Config, config)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        tokens = dims("B", C, config.width)
        boxes = [Box("in", "Window", dims("B", L, C), "data")]
        if config.normalise:
            boxes.append(Box("norm", "Normalise each window", dims("B", L, C)))
        boxes.append(Box("embed", "A token per variate", tokens))
        for n in range(config.layers):
            about = f"Attention {n + 1} over variates, {config.heads} heads"
            if config.attention == "score":
                about = f"Score {n + 1}: weights over variates"
            boxes += [
                Box(f"attend{n}", about, tokens, "attention"),
                Box(f"feed{n}", f"Feed-forward, {config.hidden} hidden", tokens),
            ]
        boxes.append(Box("head", "LayerNorm, linear head", dims("B", H, C)))
        steps = [box.id for box in boxes]
        boxes.append(Box("out", "Forecast", dims("B", H, C), "data"))
        undone = "normalisation undone" if config.normalise else ""
        return Diagram(tuple(boxes), (*chain(*steps), Arrow("head", "out", undone)))

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "ITransformer":
        """iTransformer with the public code's weights."""
        config = Config(**public_options(options), normalise=bool(options.get("use_norm", True)))
        shape = Shape(options["seq_len"], options["pred_len"], options["enc_in"])
        cls.check(config, shape)
        model = cls(config, shape)
        head = "projection" if "projection.weight" in public else "projector"
        ours = encoder_from_public(options, public, "encoder")
        for mine, theirs in (("embed", "enc_embedding.value_embedding"), ("norm", "encoder.norm"), ("head", head)):
            ours |= {f"{mine}.{part}": public[f"{theirs}.{part}"] for part in ("weight", "bias")}
        model.load_state_dict(ours)
        return model

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        return self._forecast(x_BLC, attention, whole=False)[0]

    def _forecast(self, x_BLC: Tensor, use: Attention, whole: bool) -> tuple[Tensor, list[Tensor]]:
        """The forecast and, if ``whole``, every layer's weights."""
        x_BCL = x_BLC.transpose(1, 2)
        if not self.config.normalise:
            z_BCd, found = self.encoder(self.dropout(self.embed(x_BCL)), use, whole)
            return self.head(self.norm(z_BCd)).transpose(1, 2), found
        mean_BC1, std_BC1 = self.revin.statistics(x_BCL)
        z_BCd = self.dropout(self.embed(self.revin(x_BCL, mean_BC1, std_BC1)))
        z_BCd, found = self.encoder(z_BCd, use, whole)
        return self.revin.inverse(self.head(self.norm(z_BCd)), mean_BC1, std_BC1).transpose(1, 2), found

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        y_BHC, found = self._forecast(x_BLC, "learned", whole=True)
        maps = encoder_maps(found, numbered("variate", self.shape.variates))
        return Trace(array(y_BHC), array(y_BHC), (), maps)


MODEL = ITransformer
