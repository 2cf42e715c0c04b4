"""SOFTS (Han et al. 2024, arXiv 2404.14197): a variate's whole window is one token; instead of attending to each other,
all variates pour into one core and read from it (star aggregate-redistribute, STAR), which is linear in their number.

Shape suffixes: B batch, L look-back, H horizon, C variates, d width, k channels of the core, N = B * C.

The core's channel k is a mean over the variates, weighted by a softmax over them; in training one variate is drawn by
those weights instead. Ours: the marks of the calendar that the public code can append as further tokens are left out;
the draw inverts the cumulated weights with one uniform number a channel.
"""

from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from core.models.contract import PLAIN_ADAM, Attention, Capabilities, Forecaster, ModelConfig, Published, Shape
from core.models.diagram import Arrow, Box, Diagram, dims
from core.models.layers.attention import fixed_order
from core.models.layers.dropout import Dropout
from core.models.layers.frozen import part
from core.models.layers.normalisation import RevIN
from core.models.trace import AttentionMap, Trace, array, numbered


class Config(ModelConfig):
    """Options of SOFTS. Defaults are the paper's for ETTh1."""

    width: int = Field(default=256, ge=1, le=2048, title="Width", description="Numbers that describe a variate.")
    core: int = Field(default=256, ge=1, le=2048, title="Core", description="Channels of the shared core.")
    hidden: int = Field(
        default=256, ge=1, le=8192, title="Hidden units", description="Of each layer's feed-forward part."
    )
    layers: int = Field(default=1, ge=1, le=12, title="Layers", description="How often the variates exchange.")
    dropout: float = Field(default=0.0, ge=0, lt=1, title="Dropout", description="Share of values dropped in training.")
    activation: Literal["gelu", "relu"] = Field(
        default="gelu", title="Activation", description="Of the feed-forward part; inside the star it is always GELU."
    )
    normalise: bool = Field(
        default=True, title="Normalise windows", description="Each window by its own mean and deviation."
    )


class Star(nn.Module):
    """STAR: every variate proposes a core, the core is drawn or averaged over the variates, every variate reads it."""

    def __init__(self, width: int, core: int) -> None:
        super().__init__()
        self.lift, self.propose = nn.Linear(width, width), nn.Linear(width, core)
        # a linear layer over [variate, core] as two, so that the core's share is computed once a window
        self.read, self.read_core = nn.Linear(width, width), nn.Linear(core, width, bias=False)
        bound = (width + core) ** -0.5
        for weight in (self.read.weight, self.read.bias, self.read_core.weight):
            nn.init.uniform_(weight, -bound, bound)
        self.fuse = nn.Linear(width, width)

    def forward(self, z_BCd: Tensor, use: Attention) -> tuple[Tensor, Tensor, Tensor]:
        """What the variates gain, B x C x d; the weights, B x C x k; and what they weigh, B x C x k. In training the
        weights are one for the variate that was drawn."""
        proposed_BCk = self.propose(F.gelu(self.lift(z_BCd)))
        weights_BCk = proposed_BCk.softmax(1)
        C = z_BCd.shape[1]
        if use == "uniform":
            weights_BCk = torch.full_like(weights_BCk, 1 / C)
        elif use == "permuted":
            weights_BCk = weights_BCk[:, fixed_order(C, z_BCd.device)]
        elif self.training:
            weights_BCk = drawn(weights_BCk)
        core_B1k = part((proposed_BCk * weights_BCk).sum(1, keepdim=True), branch="attention")
        gained_BCd = self.fuse(F.gelu(self.read(z_BCd) + self.read_core(core_B1k)))
        return gained_BCd, weights_BCk, proposed_BCk


@torch.no_grad()
def drawn(weights_BCk: Tensor) -> Tensor:
    """One variate for every core channel, drawn by the weights: ones and zeros, B x C x k."""
    B, C, k = weights_BCk.shape
    passed = weights_BCk.cumsum(1) < torch.rand(B, 1, k, device=weights_BCk.device)
    chosen_B1k = passed.sum(1, keepdim=True).clamp_max(C - 1)
    return torch.zeros_like(weights_BCk).scatter_(1, chosen_B1k, 1.0)


class Layer(nn.Module):
    """Star and feed-forward part, each with a residual and a LayerNorm."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        d = config.width
        self.star = Star(d, config.core)
        self.widen, self.narrow = nn.Linear(d, config.hidden), nn.Linear(config.hidden, d)
        self.norm_star, self.norm_out = nn.LayerNorm(d), nn.LayerNorm(d)
        self.dropout = Dropout(config.dropout)
        self.activation = F.gelu if config.activation == "gelu" else F.relu

    def forward(self, z_BCd: Tensor, use: Attention) -> tuple[Tensor, Tensor, Tensor]:
        gained_BCd, weights_BCk, proposed_BCk = self.star(z_BCd, use)
        z_BCd = self.norm_star(z_BCd + self.dropout(gained_BCd))
        hidden = self.dropout(self.activation(self.widen(z_BCd)))
        return self.norm_out(z_BCd + self.dropout(self.narrow(hidden))), weights_BCk, proposed_BCk


class SOFTS(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "softs"
    title: ClassVar[str] = "SOFTS"
    source: ClassVar[str] = "arXiv 2404.14197"
    link: ClassVar[str] = "https://arxiv.org/abs/2404.14197"
    summary: ClassVar[str] = "A variate's window is one token; the variates exchange through one shared core."
    shows: ClassVar[str] = "How much each variate gives to every channel of the core, layer by layer."
    claims: ClassVar[str] = (
        "A shared core replaces attention between all pairs of variates: linear cost in their number, and less harm "
        "from a variate that has gone astray."
    )
    limits: ClassVar[str] = (
        "The core's channels mean nothing by themselves, and every variate reads the whole core: the map tells who "
        "speaks, not to whom. It says nothing about time."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        attention=True,
        reason="SOFTS takes each variate's window as one token: it weighs variates, not time.",
    )
    published: ClassVar[dict[str, Published]] = {
        "": Published({**PLAIN_ADAM, "learning_rate": 3e-4, "schedule": "cosine"}),
        "ETTh2": Published(
            {**PLAIN_ADAM, "learning_rate": 3e-4, "schedule": "cosine"},
            {"width": 128, "core": 64, "hidden": 128, "layers": 2},
        ),
    }
    Config = Config
    config: Config

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        self.revin = RevIN(shape.variates, shape.withheld, affine=False, axis=1)
        self.embed = nn.Linear(shape.lookback, config.width)
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.head = nn.Linear(config.width, shape.horizon)

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        config = cast(Config, config)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        tokens = dims("B", C, config.width)
        boxes = [Box("in", "Window", dims("B", L, C), "data")]
        arrows, before = [], "in"
        if config.normalise:
            boxes.append(Box("norm", "Normalise each window", dims("B", L, C)))
            arrows.append(Arrow("in", "norm"))
            before = "norm"
        boxes.append(Box("embed", "A token per variate", tokens))
        arrows.append(Arrow(before, "embed"))
        before = "embed"
        for n in range(config.layers):
            boxes += [
                Box(f"core{n}", f"Core {n + 1}: weighted over variates", dims("B", 1, config.core), "attention"),
                Box(f"fuse{n}", "Variate and core together", tokens, "sum"),
                Box(f"feed{n}", f"Feed-forward, {config.hidden} hidden", tokens),
            ]
            arrows += [
                Arrow(before, f"core{n}", "every variate"),
                Arrow(before, f"fuse{n}"),
                Arrow(f"core{n}", f"fuse{n}", "the same for all"),
                Arrow(f"fuse{n}", f"feed{n}"),
            ]
            before = f"feed{n}"
        boxes += [Box("head", "Linear head", dims("B", H, C)), Box("out", "Forecast", dims("B", H, C), "data")]
        undone = "normalisation undone" if config.normalise else ""
        return Diagram(tuple(boxes), (*arrows, Arrow(before, "head"), Arrow("head", "out", undone)))

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "SOFTS":
        """SOFTS with the public code's weights; its convolutions of width one are linear layers here."""
        config = Config(
            width=options["d_model"],
            core=options["d_core"],
            hidden=options.get("d_ff") or 4 * options["d_model"],
            layers=options["e_layers"],
            dropout=options.get("dropout", 0.0),
            # the public code knows "relu" and takes anything else for GELU
            activation="relu" if options.get("activation", "gelu") == "relu" else "gelu",
            normalise=bool(options.get("use_norm", True)),
        )
        model = cls(config, Shape(options["seq_len"], options["pred_len"], options["enc_in"]))
        names = {"embed": "enc_embedding.value_embedding", "head": "projection"}
        layer = {
            "star.lift": "attention.gen1",
            "star.propose": "attention.gen2",
            "star.read": "attention.gen3",
            "star.fuse": "attention.gen4",
            "widen": "conv1",
            "narrow": "conv2",
            "norm_star": "norm1",
            "norm_out": "norm2",
        }
        for n in range(config.layers):
            names |= {f"layers.{n}.{mine}": f"encoder.attn_layers.{n}.{theirs}" for mine, theirs in layer.items()}
        ours = {}
        for mine, theirs in names.items():
            ours[f"{mine}.weight"] = (
                public[f"{theirs}.weight"].flatten(1) if "norm" not in mine else public[f"{theirs}.weight"]
            )
            ours[f"{mine}.bias"] = public[f"{theirs}.bias"]
        for n in range(config.layers):
            both = ours[f"layers.{n}.star.read.weight"]
            ours[f"layers.{n}.star.read.weight"] = both[:, : config.width]
            ours[f"layers.{n}.star.read_core.weight"] = both[:, config.width :]
        model.load_state_dict(ours)
        return model

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        return self._forecast(x_BLC, attention)[0]

    def _forecast(self, x_BLC: Tensor, use: Attention) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The forecast, and per layer the weights and what they weigh."""
        x_BCL = x_BLC.transpose(1, 2).contiguous()
        mean_BC1, std_BC1 = self.revin.statistics(x_BCL)
        if self.config.normalise:
            x_BCL = self.revin(x_BCL, mean_BC1, std_BC1)
        z_BCd = self.dropout(self.embed(x_BCL))
        found = []
        for layer in self.layers:
            z_BCd, *inside = layer(z_BCd, use)
            found.append(tuple(inside))
        y_BCH = self.head(z_BCd)
        if self.config.normalise:
            y_BCH = self.revin.inverse(y_BCH, mean_BC1, std_BC1)
        return y_BCH.transpose(1, 2), found

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        y_BHC, found = self._forecast(x_BLC, "learned")
        core, variates = numbered("feature", self.config.core), numbered("variate", self.shape.variates)
        maps = tuple(
            AttentionMap(
                "core",
                array(weights_BCk.transpose(1, 2)),
                core,
                variates,
                layer=n,
                carried=array(proposed_BCk.norm(dim=-1)),
            )
            for n, (weights_BCk, proposed_BCk) in enumerate(found)
        )
        return Trace(array(y_BHC), array(y_BHC), (), maps)


MODEL = SOFTS
