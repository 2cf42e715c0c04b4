"""CASA (arXiv 2505.02011): a variate's whole window is one token, and a small convolutional autoencoder over the
tokens' features scores how much each variate counts for each feature; no pair of variates is ever compared.

Shape suffixes: B batch, L look-back, H horizon, C variates, d width.

A window is normalised by its mean and unbiased deviation; Linear(L -> d), ReLU; blocks of attention by score
(``layers/score.py``) and a two-layer perceptron, each with a residual and one LayerNorm that both share, then ReLU;
Linear(d -> H). No dropout. Ours: nothing but the form in which the score is computed.
"""

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from core.models.contract import (
    PLAIN_ADAM,
    Attention,
    Capabilities,
    Family,
    Forecaster,
    ModelConfig,
    Published,
    Shape,
)
from core.models.diagram import Arrow, Box, Diagram, chain, dims
from core.models.layers.normalisation import RevIN
from core.models.layers.score import ScoreAttention, check_score
from core.models.trace import AttentionMap, Trace, array, numbered


class Config(ModelConfig):
    """Options of CASA. Defaults are the paper's for ETTh1."""

    width: int = Field(
        default=128, ge=8, le=4096, title="Width", description="Numbers that describe a variate; divisible by 8."
    )
    kernel: int = Field(
        default=3, ge=3, le=101, title="Kernel", description="Features that one step of the score sees; odd."
    )
    layers: int = Field(default=1, ge=1, le=12, title="Layers", description="Blocks, one after the other.")


def _published(width: int, kernel: int, rate: float, batch: int, layers: int, patience: int = 3) -> Published:
    recipe = {"learning_rate": rate, "batch_size": batch, "schedule": "cosine", "patience": patience}
    return Published({**PLAIN_ADAM, **recipe}, {"width": width, "kernel": kernel, "layers": layers})


class Block(nn.Module):
    """U = LayerNorm(score attention of Z + Z), then ReLU(LayerNorm(perceptron of U + U)) with the same LayerNorm."""

    def __init__(self, variates: int, config: Config) -> None:
        super().__init__()
        d = config.width
        self.attention = ScoreAttention(variates, d, config.kernel)
        self.norm = nn.LayerNorm(d)
        self.widen, self.narrow = nn.Linear(d, d), nn.Linear(d, d)

    def forward(self, z_BCd: Tensor, use: Attention, whole: bool) -> tuple[Tensor, Tensor | None]:
        weighed_BCd, weights_BCd = self.attention(z_BCd, use, whole=whole)
        u_BCd = self.norm(weighed_BCd + z_BCd)
        return F.relu(self.norm(self.narrow(F.relu(self.widen(u_BCd))) + u_BCd)), weights_BCd


class CASA(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "casa"
    title: ClassVar[str] = "CASA"
    family: ClassVar[Family] = "paper"
    source: ClassVar[str] = "arXiv 2505.02011"
    link: ClassVar[str] = "https://arxiv.org/abs/2505.02011"
    summary: ClassVar[str] = "A variate's window is one token; a convolutional score weighs the variates per feature."
    shows: ClassVar[str] = "How much each variate counts for each hidden feature, layer by layer."
    claims: ClassVar[str] = (
        "A score without pairs of tokens takes the place of self-attention: cost linear in variates and look-back, "
        "less memory, and better forecasts in 40 of 42 replacements."
    )
    limits: ClassVar[str] = (
        "Its score has no time axis, so it cannot say which steps of the window mattered. Features are hidden units "
        "and mean nothing by themselves; with few variates it is slower than full attention."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        attention=True,
        reason="CASA scores variates by hidden features: there is no time axis in its scores. Which steps of the "
        "window mattered can be asked of attribution methods (gradients, occlusion).",
    )
    # models.md: width, kernel, learning rate, batch, layers; cosine to zero, Adam, 20 epochs, patience 3 (ETTh2: 5)
    published: ClassVar[dict[str, Published]] = {
        "": _published(128, 3, 2.4e-4, 32, 1),
        "ETTh1": _published(128, 3, 2.4e-4, 32, 1),
        "ETTh2": _published(256, 3, 1e-4, 64, 1, patience=5),
        "ETTm1": _published(512, 13, 2.5e-4, 64, 2),
        "ETTm2": _published(512, 3, 1e-4, 32, 2),
        "weather": _published(512, 3, 3e-4, 32, 4),
        "electricity": _published(512, 3, 2e-4, 8, 3),
        "traffic": _published(512, 3, 1e-3, 16, 4),
        "solar": _published(512, 3, 1.5e-4, 32, 4),
    }
    Config = Config
    config: Config

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        self.revin = RevIN(shape.variates, shape.withheld, affine=False, unbiased=True, axis=1)
        self.embed = nn.Linear(shape.lookback, config.width)
        self.blocks = nn.ModuleList(Block(shape.variates, config) for _ in range(config.layers))
        self.head = nn.Linear(config.width, shape.horizon)

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        config = cast(Config, config)
        check_score(config.width, config.kernel)

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        config = cast(Config, config)
        L, H, C, d = shape.lookback, shape.horizon, shape.variates, config.width
        tokens = dims("B", C, d)
        boxes = [
            Box("in", "Window", dims("B", L, C), "data"),
            Box("norm", "Normalise each window", dims("B", L, C)),
            Box("embed", "A token per variate", tokens),
        ]
        arrows, before = list(chain("in", "norm", "embed")), "embed"
        for n in range(config.layers):
            boxes += [
                Box(f"score{n}", f"Score {n + 1}: convolutions, softmax over variates", tokens, "attention"),
                Box(f"weigh{n}", "Weighted values and residual", tokens, "sum"),
                Box(f"feed{n}", "Perceptron and residual", tokens),
            ]
            arrows += [
                Arrow(before, f"score{n}"),
                Arrow(before, f"weigh{n}", "values"),
                *chain(f"score{n}", f"weigh{n}", f"feed{n}"),
            ]
            before = f"feed{n}"
        boxes += [Box("head", "Linear head", dims("B", H, C)), Box("out", "Forecast", dims("B", H, C), "data")]
        return Diagram(tuple(boxes), (*arrows, Arrow(before, "head"), Arrow("head", "out", "normalisation undone")))

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "CASA":
        """CASA with the public code's weights, which lie in one sequence: Linear, ReLU, the blocks, Linear."""
        layers = options["e_layers"]
        config = Config(width=options["d_model"], kernel=options["kernel"], layers=layers)
        shape = Shape(options["seq_len"], options["pred_len"], options["enc_in"])
        cls.check(config, shape)
        model = cls(config, shape)
        names = {"embed": "model.0", "head": f"model.{layers + 2}"}
        ours: dict[str, Tensor] = {}
        for n in range(layers):
            block = f"model.{n + 2}.0"
            names |= {
                f"blocks.{n}.norm": f"{block}.norm",
                f"blocks.{n}.widen": f"{block}.mlp.0",
                f"blocks.{n}.narrow": f"{block}.mlp.2",
            }
            attention = ScoreAttention.from_public(public, block)
            ours |= {f"blocks.{n}.attention.{name}": weight for name, weight in attention.items()}
        for mine, theirs in names.items():
            ours |= {f"{mine}.{part}": public[f"{theirs}.{part}"] for part in ("weight", "bias")}
        model.load_state_dict(ours)
        return model

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        return self._forecast(x_BLC, attention, whole=False)[0]

    def _forecast(self, x_BLC: Tensor, use: Attention, whole: bool) -> tuple[Tensor, list[Tensor]]:
        """The forecast and, if ``whole``, the weights of every layer, B x C x d."""
        x_BCL = x_BLC.transpose(1, 2)
        mean_BC1, std_BC1 = self.revin.statistics(x_BCL)
        z_BCd = F.relu(self.embed(self.revin(x_BCL, mean_BC1, std_BC1)))
        found = []
        for block in self.blocks:
            z_BCd, weights_BCd = block(z_BCd, use, whole)
            found.append(weights_BCd)
        return self.revin.inverse(self.head(z_BCd), mean_BC1, std_BC1).transpose(1, 2), found

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        y_BHC, found = self._forecast(x_BLC, "learned", whole=True)
        features, variates = numbered("feature", self.config.width), numbered("variate", self.shape.variates)
        maps = tuple(
            AttentionMap("score", array(weights_BCd.transpose(1, 2)), features, variates, layer=n)
            for n, weights_BCd in enumerate(found)
        )
        return Trace(array(y_BHC), array(y_BHC), (), maps)


MODEL = CASA
