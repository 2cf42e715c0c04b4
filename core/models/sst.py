"""SST (arXiv 2404.14757): Mamba reads long patches of the whole window, attention within a band short patches of its
end, and a router weighs the two for every window. S2TX's base, and what it is compared with.

Shape suffixes: B batch, L look-back, H horizon, C variates, N = B * C series, S steps of the local window, P patches of
a branch, D width. Every variate passes both branches alone; only the router sees them together.

The head is linear on both branches side by side, so the forecast is exactly a local and a global part. Public code
leaves out the neighbours in its local attention where it means to keep only them; ``inverted`` keeps that. Ours:
missing steps enter as zero after normalisation.
"""

import math
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
from core.models.layers import branches
from core.models.layers.band_attention import BandAttention
from core.models.layers.dropout import Dropout
from core.models.layers.frozen import part
from core.models.layers.mamba import Mamba
from core.models.layers.normalisation import RevIN
from core.models.layers.patching import cut
from core.models.trace import AttentionMap, ScaleOutput, Trace, array

LOCAL, GLOBAL = 0, 1  # fine to coarse


class Config(branches.TwoBranches):
    """Options of SST. Defaults are those of its public scripts for ETTh1."""

    affine: bool = Field(
        default=False, title="Learned normalisation", description="A learned weight and bias per variate in RevIN."
    )
    inverted: bool = Field(
        default=False,
        title="Band inverted",
        description="Local tokens ask all but their neighbours, as the public code does; else only their neighbours.",
    )


class GlobalLayer(nn.Module):
    """Mamba and two linear layers, without residual or normalisation, as published."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.mamba = Mamba(config.width, config.state, config.conv, config.expand)
        self.ff_in, self.ff_out = nn.Linear(config.width, config.hidden), nn.Linear(config.hidden, config.width)

    def forward(self, x_NPD: Tensor) -> Tensor:
        return self.ff_out(F.gelu(self.ff_in(self.mamba(x_NPD))))


class LocalLayer(nn.Module):
    """Attention within a band, its logits added to those of the layer below, then two linear layers; each with
    residual and batch normalisation over all tokens."""

    def __init__(self, tokens: int, config: Config) -> None:
        super().__init__()
        self.attention = BandAttention(
            config.width, config.heads, tokens, config.band, inverted=config.inverted, residual=True
        )
        self.attention_norm, self.ff_norm = nn.BatchNorm1d(config.width), nn.BatchNorm1d(config.width)
        self.ff_in, self.ff_out = nn.Linear(config.width, config.hidden), nn.Linear(config.hidden, config.width)
        # published: dropout twice in a row after the attention, which is dropout once with this rate
        self.attention_dropout = Dropout(1 - (1 - config.dropout) ** 2)
        self.ff_dropout = Dropout(config.dropout)

    def forward(
        self, x_NPD: Tensor, below: Tensor | None, use: Attention, whole: bool
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        y_NPD, logits, found = self.attention(x_NPD, use, below, whole)
        x_TD = self.attention_norm((x_NPD + self.attention_dropout(y_NPD)).flatten(0, 1))
        y_TD = self.ff_out(self.ff_dropout(F.gelu(self.ff_in(x_TD))))
        return self.ff_norm(x_TD + self.ff_dropout(y_TD)).view_as(x_NPD), logits, found


class SST(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "sst"
    title: ClassVar[str] = "SST"
    source: ClassVar[str] = "arXiv 2404.14757"
    link: ClassVar[str] = "https://arxiv.org/abs/2404.14757"
    summary: ClassVar[str] = "Mamba over the whole window, local attention over its end, and a router that weighs them."
    shows: ClassVar[str] = "What each branch adds to the forecast, and local attention over time per variate and head."
    claims: ClassVar[str] = (
        "Mamba keeps long patterns at a coarse resolution, attention short variations at a fine one, and a router that "
        "learns how much of each a window needs beats either alone, at a cost that grows linearly with the look-back."
    )
    limits: ClassVar[str] = (
        "The maps are those of the local branch only: Mamba, which sees the whole window, has no attention. They show "
        "the weights within a band of neighbours, so far patches cannot appear in one layer. The router's "
        "weight is one number for all variates and steps ahead, and no share of the forecast."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        scales=True, attention=True, saliency=("rollout",), missing_values=True
    )
    # the public scripts: ten epochs at a constant rate (their halving begins after the last), local_ws 7 or 21
    _recipe: ClassVar[dict[str, Any]] = {
        **PLAIN_ADAM,
        "learning_rate": 1e-4,
        "schedule": "constant",
        "batch_size": 128,
        "epochs": 10,
        "patience": 10,
    }
    published: ClassVar[dict[str, Published]] = {
        "": Published(_recipe, {}, 672),
        "ETTh2": Published(_recipe, {"band": 10}, 672),
    }
    scale_fields: ClassVar[tuple[str, ...]] = ("local", "local_patch", "local_stride", "global_patch", "global_stride")
    Config = Config
    config: Config

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        L, C, D = shape.lookback, shape.variates, config.width
        self.local, self.whole = self.grids(config, L)
        self.revin = RevIN(C, shape.withheld, affine=config.affine, missing=True, axis=1)
        self.global_embed, self.local_embed = nn.Linear(config.global_patch, D), nn.Linear(config.local_patch, D)
        self.global_layers = nn.ModuleList(GlobalLayer(config) for _ in range(config.global_layers))
        self.position = nn.Parameter(torch.empty(self.local.patches, D).uniform_(-0.02, 0.02))
        self.dropout = Dropout(config.dropout)
        self.local_layers = nn.ModuleList(LocalLayer(self.local.patches, config) for _ in range(config.local_layers))
        self.router_embed, self.router = nn.Linear(C, D), nn.Linear(L * D, 2)
        self.head = nn.Linear((self.whole.patches + self.local.patches) * D, shape.horizon)

    @classmethod
    def grids(cls, config: ModelConfig, lookback: int) -> list[Grid]:
        config = cast(Config, config)
        return [branches.local_grid(config, lookback), branches.global_grid(config, lookback)]

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        config = cast(Config, config)
        branches.check_branches(config, shape)
        tokens = branches.local_grid(config, shape.lookback).patches
        reach = tokens // 2  # of the token in the middle, to its farthest
        if config.inverted and config.band >= reach:
            raise UserError(
                f"With the band inverted, {config.band} neighbours to each side leave some of {tokens} local patches "
                f"nothing to ask. The nearest that works: "
                + (f"band {reach - 1}." if reach else "a longer local window, or the band not inverted."),
                {"band": reach - 1} if reach else {},
            )

    @classmethod
    def runs_on(cls) -> str:
        return branches.scan_note()

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        config = cast(Config, config)
        L, H, C, D = shape.lookback, shape.horizon, shape.variates, config.width
        fine, coarse = cls.grids(config, L)
        far = "all but" if config.inverted else "only"
        boxes = (
            Box("in", "Window", dims("B", L, C), "data"),
            Box("revin", "RevIN", dims("B", C, L)),
            Box("router", "Router: softmax of two", dims("B", 2)),
            Box("cut1", f"Patches of {coarse.patch} every {coarse.stride}", dims("B", C, coarse.patches, D), scale=1),
            Box("mamba", f"{config.global_layers} × Mamba, linear layers", dims("B", C, coarse.patches, D), scale=1),
            Box(
                "cut0", f"Last {fine.points}: {fine.patch} every {fine.stride}", dims("B", C, fine.patches, D), scale=0
            ),
            Box(
                "attend",
                f"{config.local_layers} × attention, {far} {config.band} neighbours",
                dims("B", C, fine.patches, D),
                "attention",
                0,
            ),
            Box("head", "Linear head: local plus global", dims("B", C, H), "sum"),
            Box("out", "Forecast", dims("B", H, C), "data"),
        )
        arrows = (
            *chain("in", "revin", "router"),
            *chain("revin", "cut1", "mamba"),
            *chain("revin", "cut0", "attend"),
            Arrow("mamba", "head", "times its weight"),
            Arrow("attend", "head", "times its weight"),
            Arrow("router", "head", "both weights"),
            Arrow("head", "out", "RevIN undone"),
        )
        return Diagram(boxes, arrows)

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "SST":
        """SST with the public code's weights. Raises UserError for its switches that models.md does not ask for."""
        kept = {
            "revin": 1,
            "concat": 1,
            "individual": 0,
            "decomposition": 0,
            "subtract_last": 0,
            "padding_patch": "end",
        }
        for option, value in kept.items():
            if options.get(option, value) != value:
                raise UserError(f"SST is built for {option} = {value}; the file has {option} = {options[option]!r}.")
        config = Config.model_validate(
            {
                "local": options["label_len"],
                "local_patch": options["patch_len"],
                "local_stride": options["stride"],
                "global_patch": options["m_patch_len"],
                "global_stride": options["m_stride"],
                "width": options["d_model"],
                "heads": options["n_heads"],
                "hidden": options["d_ff"],
                "local_layers": options["e_layers"],
                "global_layers": options["m_layers"],
                "band": options["local_ws"] // 2,
                "state": options["d_state"],
                "conv": options["d_conv"],
                "dropout": options.get("dropout", 0.3),
                "affine": bool(options.get("affine", 0)),
                "inverted": True,
            }
        )
        shape = Shape(options["seq_len"], options["pred_len"], options["enc_in"])
        cls.check(config, shape)
        model = cls(config, shape)
        names = {
            "global_embed": "long_encoder.backbone.W_P",
            "local_embed": "model.backbone.W_P",
            "router_embed": "router.W_P",
            "router": "router.W_w",
        }
        for i in range(config.global_layers):
            theirs = f"long_encoder.backbone.mamba_layers.{i}"
            names |= {f"global_layers.{i}.{m}": f"{theirs}.{t}" for m, t in (("ff_in", "lin1"), ("ff_out", "lin2"))}
            names[f"global_layers.{i}.mamba"] = f"{theirs}.mamba"
        ours: dict[str, Tensor] = {"position": public["model.backbone.W_pos"]}
        for i in range(config.local_layers):
            mine, theirs = f"local_layers.{i}", f"model.backbone.encoder.layers.{i}"
            names |= {
                f"{mine}.attention.out": f"{theirs}.self_attn.to_out.0",
                f"{mine}.attention_norm": f"{theirs}.norm_attn.1",
                f"{mine}.ff_norm": f"{theirs}.norm_ffn.1",
                f"{mine}.ff_in": f"{theirs}.ff.0",
                f"{mine}.ff_out": f"{theirs}.ff.3",
            }
            # their logits carry a stored factor, ours 1 / sqrt(features of a head): the queries make up for it
            factor = public[f"{theirs}.self_attn.sdp_attn.scale"] * math.sqrt(config.width // config.heads)
            for kind in ("weight", "bias"):
                q, k, v = (public[f"{theirs}.self_attn.W_{role}.{kind}"] for role in "QKV")
                ours[f"{mine}.attention.qkv.{kind}"] = torch.cat([q * factor, k, v])
        if config.affine:
            ours |= {f"revin.{kind}": public[f"revin_layer.affine_{kind}"] for kind in ("weight", "bias")}
        for mine, theirs in names.items():
            ours |= {f"{mine}{k[len(theirs) :]}": v for k, v in public.items() if k.startswith(f"{theirs}.")}
        # their head reads feature by feature, ours token by token; the global branch comes first in both
        sizes = [model.whole.patches * config.width, model.local.patches * config.width]
        weights = public["head.linear.weight"].split(sizes, dim=1)
        by_token = [w.view(len(w), config.width, -1).transpose(1, 2).flatten(1) for w in weights]
        ours |= {"head.weight": torch.cat(by_token, dim=1), "head.bias": public["head.linear.bias"]}
        model.load_state_dict(ours)
        return model

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        x_BCL = x_BLC.transpose(1, 2)
        mean_BC1, std_BC1 = self.revin.statistics(x_BCL)
        (local_BCF, global_BCF), _, _ = self._features(self.revin(x_BCL, mean_BC1, std_BC1), attention)
        y_BCH = self.head(torch.cat([part(global_BCF, scale=GLOBAL), part(local_BCF, scale=LOCAL)], dim=-1))
        return self.revin.inverse(y_BCH, mean_BC1, std_BC1).transpose(1, 2)

    def _features(
        self, z_BCL: Tensor, use: Attention, whole: bool = False
    ) -> tuple[tuple[Tensor, Tensor], Tensor, list[dict[str, Tensor]]]:
        """The tokens of the local and the global branch, flat and times their weight; the router's weights B x 2, local
        first; and, if ``whole``, the weights of each local layer."""
        B, C, _ = z_BCL.shape
        router_B2 = self._route(z_BCL)
        local_NPD, found = self._see_end(z_BCL, use, whole)
        local_BCF = local_NPD.reshape(B, C, -1) * router_B2[:, LOCAL, None, None]
        global_BCF = self._see_all(z_BCL).reshape(B, C, -1) * router_B2[:, GLOBAL, None, None]
        return (local_BCF, global_BCF), router_B2, found

    def _route(self, z_BCL: Tensor) -> Tensor:
        """Weights of the local and the global branch, B x 2; the public code's first is the global one."""
        embedded_BLD = self.router_embed(z_BCL.transpose(1, 2))
        return self.router(embedded_BLD.flatten(1)).softmax(-1).flip(-1)

    def _see_all(self, z_BCL: Tensor) -> Tensor:
        grid = self.whole
        x_NPD = self.global_embed(cut(z_BCL.flatten(0, 1), grid.patch, grid.stride, grid.patches))
        for layer in self.global_layers:
            x_NPD = layer(x_NPD)
        return x_NPD

    def _see_end(self, z_BCL: Tensor, use: Attention, whole: bool) -> tuple[Tensor, list[dict[str, Tensor]]]:
        grid = self.local
        patches = cut(z_BCL[..., grid.first :].flatten(0, 1), grid.patch, grid.stride, grid.patches)
        x_NPD, logits, found = self.dropout(self.local_embed(patches) + self.position), None, []
        for layer in self.local_layers:
            x_NPD, logits, weights = layer(x_NPD, logits, use, whole)
            found.append(weights)
        return x_NPD, found

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        """``weight`` of a part is the router's, averaged over the batch: exact for one window."""
        x_BCL = x_BLC.transpose(1, 2)
        mean_BC1, std_BC1 = self.revin.statistics(x_BCL)
        features, router_B2, found = self._features(self.revin(x_BCL, mean_BC1, std_BC1), "learned", whole=True)
        gain_BC1 = self.revin.gain(std_BC1)
        heads = self.head.weight.split([part.shape[-1] for part in reversed(features)], dim=1)[::-1]
        parts = [F.linear(part_BCF, weight_HF) for part_BCF, weight_HF in zip(features, heads, strict=True)]
        scales = tuple(
            ScaleOutput(
                m,
                grid.factor,
                grid.patch,
                float(router_B2[:, m].mean()),
                array(x_BLC[:, grid.first :]),
                array((part_BCH * gain_BC1).transpose(1, 2)),
                first=grid.first,
                name=grid.name,
            )
            for m, (grid, part_BCH) in enumerate(zip((self.local, self.whole), parts, strict=True))
        )
        rest_BCH = self.revin.inverse(self.head.bias.expand_as(parts[LOCAL]), mean_BC1, std_BC1)
        rest = array(rest_BCH.transpose(1, 2))
        forecast = rest + sum(part.contribution for part in scales)
        axis = branches.patch_axis(self.local, self.shape.lookback)
        maps = []
        for layer, weights in enumerate(found):
            by_variate = {k: array(v).reshape(len(x_BCL), -1, *v.shape[1:]) for k, v in weights.items()}
            maps += [
                AttentionMap(
                    "self",
                    by_variate["weights"][:, c, head],
                    axis,
                    axis,
                    scale=LOCAL,
                    layer=layer,
                    head=head,
                    variate=c,
                    carried=by_variate["carried"][:, c, head],
                )
                for c in range(self.shape.variates)
                for head in range(self.config.heads)
            ]
        return Trace(forecast, rest, scales, tuple(maps))


MODEL = SST
