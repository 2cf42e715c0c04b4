"""CrossScaleNet (arXiv 2509.22839): pooled scales, a seasonal and a trend encoder each, cross-scale patch attention
whose keys come from the finest scale's own forecast, and a linear head, so that the forecast is a sum over scales.

Shape suffixes: B batch, L look-back, H horizon, C variates, M scales, l points of a scale, d width, P patches of a
scale, p points of a patch, S = 2 (seasonal, trend). Time is last and variates first (C x B x l): every layer along
time and every layer along variates is then one matrix product, for seasonal and trend together.

Choices the paper leaves open, ours: dropout acts on the gate h only; replicated instead of zero padding where L is no
multiple of the patch; the key modes besides ``dual`` (see ``Config.keys``). Ours too, and off as published, is what may
make the attention matter: ``scale_dropout``, ``agreement``, ``centre_values``, ``sharpness``, ``position_bias``,
``gated_residual``, ``focus``. What they gain and cost stands in ``docs/results/attention_matters.md``.
"""

import math
from itertools import product
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from core.errors import UserError
from core.models.contract import (
    PLAIN_ADAM,
    Attention,
    Capabilities,
    Family,
    Forecaster,
    Grid,
    ModelConfig,
    Published,
    Shape,
)
from core.models.diagram import Arrow, Box, Diagram, chain, dims
from core.models.layers import linear_maps
from core.models.layers.encoders import EncoderPair, affine
from core.models.layers.frozen import frozen, held, part
from core.models.layers.normalisation import RevIN
from core.models.layers.position import position_code
from core.models.trace import AttentionMap, Axis, ScaleOutput, Trace, array, time_axis

DIAGONAL = 2.0  # what a place prefers itself by at first, in units of the softmax
TINY = 1e-12  # keeps the gradient of a norm finite where a token is all zeros


class Config(ModelConfig):
    """Options of CrossScaleNet. Defaults are the paper's for ETT."""

    scales: int = Field(default=4, ge=1, le=6, title="Scales", description="How many resolutions see the window.")
    factor: int = Field(
        default=2, ge=2, le=8, title="Factor", description="Each scale pools this many points of the finer one."
    )
    patch: int = Field(
        default=16,
        ge=1,
        le=512,
        title="Patch length",
        description="Steps of the window one patch spans, on every scale.",
    )
    width: int = Field(default=32, ge=1, le=1024, title="Width", description="Hidden units of the encoders.")
    window: int = Field(
        default=25,
        ge=1,
        le=501,
        title="Trend window",
        description="Points of the moving average that splits off the trend.",
    )
    dropout: float = Field(
        default=0.1, ge=0, lt=1, title="Dropout", description="Share of gate values dropped in training."
    )
    head_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        title="Head dropout",
        description="Share of the encoders' output dropped in training before the linear layer to the horizon (ours).",
    )
    keys: Literal["self", "patch-self", "shared", "dual", "seasonal", "trend"] = Field(
        default="dual",
        title="Attention keys",
        description="Where the keys come from. dual (published): patches ask the finest forecast, points its seasonal "
        "part. self: the scale itself; patch-self: patches the scale itself, points the seasonal part; shared, "
        "seasonal, trend: both the finest forecast, its seasonal or its trend part.",
    )
    mix_variates: bool = Field(default=True, title="Mix variates", description="Encoders also mix along variates.")
    scale_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        title="Scale dropout",
        description="Chance that a whole scale is left out of a training step, so that no scale can carry all (ours).",
    )
    padding: Literal["replicate", "zero"] = Field(
        default="replicate", title="Padding", description="How the last patch is filled; zero is the public code's way."
    )
    agreement: float = Field(
        default=0.0,
        ge=0,
        le=10,
        title="Agreement",
        description="Weight of a loss that asks each scale's own forecast to agree with the whole one (ours).",
    )
    centre_values: bool = Field(
        default=False,
        title="Centred values",
        description="Attention passes on how far values are from their mean: uniform attention passes nothing (ours).",
    )
    sharpness: float = Field(
        default=0.0,
        ge=0,
        le=100,
        title="Sharpness",
        description="Queries and keys are normalised, and their product is scaled by a number that is learned per "
        "scale and starts here. 0 is the published product (ours).",
    )
    position_bias: Literal["none", "zero", "diagonal"] = Field(
        default="none",
        title="Position bias",
        description="A learned preference of each place for each place. It starts at zero, or with every place looking "
        "at itself (ours).",
    )
    gated_residual: bool = Field(
        default=False,
        title="Gated residual",
        description="The pooled series goes on, and the attention is added by a learned gate that starts at zero "
        "(ours).",
    )
    focus: bool = Field(
        default=False,
        title="Focus",
        description="The finest scale reads the window weighted by the coarse scales' patch attention (ours).",
    )


def grids_of(config: Config, lookback: int) -> list[Grid]:
    """Geometry of every scale, fine to coarse (models.md: patch 16 / factor^m, at least 1)."""
    found, points = [], lookback
    for m in range(config.scales):
        factor = config.factor**m
        points = points if m == 0 else points // config.factor
        patch = 0 if m == 0 else max(1, config.patch // factor)
        found.append(Grid(factor, points, patch, math.ceil(points / patch) if patch else 0))
    return found


class AlongVariates(nn.Module):
    """``count`` linear layers along the variates, C x rest -> count x C x rest, as one product from the left."""

    def __init__(self, count: int, variates: int) -> None:
        super().__init__()
        weight, self.bias = affine(1, variates, count * variates, (count * variates, 1))
        self.weight = nn.Parameter(weight.detach()[0].T.contiguous())

    def forward(self, series: Tensor) -> Tensor:
        C = len(series)
        return torch.addmm(self.bias, self.weight, series.view(C, -1)).view(-1, *series.shape)


class CrossScaleAttention(nn.Module):
    """Patch attention plus local attention inside each patch; its output replaces the pooled series of the scale."""

    own_points: Tensor
    own_patches: Tensor
    key_points: Tensor
    key_patches: Tensor

    def __init__(self, grid: Grid, horizon: int, variates: int, config: Config) -> None:
        super().__init__()
        self.grid, self.variates, self.config = grid, variates, config
        # queries and values come from the scale itself, keys from the finest scale's forecast
        self.patch_qv, self.patch_k = AlongVariates(2, variates), AlongVariates(1, variates)
        self.local_qv, self.local_k = AlongVariates(2, variates), AlongVariates(1, variates)
        pad = linear_maps.padding(grid.points, grid.patch, config.padding)
        stretch = linear_maps.stretching(horizon, grid.points) @ pad
        mean = linear_maps.pooling(grid.padded, grid.patch)
        # series of the scale (l) or of the finest forecast (H) -> padded points, and -> patch means
        for name, matrix in (
            ("own_points", pad),
            ("own_patches", pad @ mean),
            ("key_points", stretch),
            ("key_patches", stretch @ mean),
        ):
            self.register_buffer(name, matrix, persistent=False)
        # options of ours; the first number is of the patch branch, the second of the local one
        start = torch.full((2,), math.log(config.sharpness)) if config.sharpness else None
        self.log_sharpness = nn.Parameter(start) if start is not None else None
        self.gate = nn.Parameter(torch.zeros(())) if config.gated_residual else None
        biases = [
            nn.Parameter((DIAGONAL if config.position_bias == "diagonal" else 0) * torch.eye(tokens))
            for tokens in (grid.patches, grid.patch)
            if config.position_bias != "none"
        ]
        self.biases = nn.ParameterList(biases) if biases else None

    def forward(
        self,
        x_CBl: Tensor,
        patch_key_CBH: Tensor,
        local_key_CBH: Tensor,
        use: Attention = "learned",
        whole: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The new series C x B x l and, if ``whole``, the weights: patch B x P x P, local (B * P) x p x p, carried. The
        patch weights also with ``focus``."""
        C, B, _ = x_CBl.shape
        P, p, points = self.grid.patches, self.grid.patch, self.grid.points
        x_points = x_CBl if self.grid.padded == points else x_CBl @ self.own_points
        x_patches = x_CBl @ self.own_patches
        k_patches = x_patches if patch_key_CBH is x_CBl else patch_key_CBH @ self.key_patches
        k_points = x_points if local_key_CBH is x_CBl else local_key_CBH @ self.key_points

        # tokens before windows (C x t x N): softmax and products then run along the longest axis
        def windows_last(series: Tensor, tokens: int) -> Tensor:
            return series.reshape(C, -1, tokens).transpose(1, 2).contiguous()

        patch_q, patch_v = self.patch_qv(windows_last(x_patches, P)).unbind(0)
        local_q, local_v = self.local_qv(windows_last(x_points, p)).unbind(0)
        if self.config.centre_values:
            patch_v, local_v = patch_v - patch_v.mean(1, keepdim=True), local_v - local_v.mean(1, keepdim=True)
        far_CPB, patch_weights = self._attend(0, patch_q, self.patch_k(windows_last(k_patches, P))[0], patch_v, use)
        near_CpN, local_weights = self._attend(1, local_q, self.local_k(windows_last(k_points, p))[0], local_v, use)
        near_CpN, far_CPB = part(near_CpN, branch="local"), part(far_CPB, branch="patch")
        out_CBPp = near_CpN.view(C, p, B, P).permute(0, 2, 3, 1) + far_CPB.transpose(1, 2)[..., None]
        out_CBl = part(out_CBPp.reshape(C, B, P * p)[..., :points], branch="attention")
        if self.gate is not None:
            out_CBl = x_CBl + self.gate * out_CBl
        if not whole:
            return out_CBl, {"patch": patch_weights.permute(2, 1, 0)} if self.config.focus else {}
        return out_CBl, {
            "patch": patch_weights.permute(2, 1, 0),
            "local": local_weights.permute(2, 1, 0),
            "patch_carried": patch_v.norm(dim=0).T,
            "local_carried": local_v.norm(dim=0).T,
        }

    def _attend(
        self, branch: int, q_CtN: Tensor, k_CtN: Tensor, v_CtN: Tensor, use: Attention
    ) -> tuple[Tensor, Tensor]:
        if self.log_sharpness is not None:
            # unit queries; keys around their mean, of unit size on average: softmax then has something to tell apart
            q_CtN = q_CtN / q_CtN.square().sum(0, keepdim=True).add(TINY).sqrt()
            k_CtN = k_CtN - k_CtN.mean(1, keepdim=True)
            k_CtN = k_CtN / k_CtN.square().sum(0, keepdim=True).mean(1, keepdim=True).add(TINY).sqrt()
            q_CtN = q_CtN * (self.log_sharpness[branch].exp() * math.sqrt(len(q_CtN)))
        return attend(q_CtN, k_CtN, v_CtN, use, None if self.biases is None else self.biases[branch])


def attend(
    q_CtN: Tensor, k_CtN: Tensor, v_CtN: Tensor, use: Attention, bias_ji: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Single-head attention among the t tokens of each of N windows: C x t x N, and its weights key x query x N.
    ``bias_ji`` is added to what the softmax sees."""
    C, t, _ = q_CtN.shape
    if use == "learned" and C <= 16 and q_CtN.device.type == "cpu" and not frozen():
        return FewVariates.apply(q_CtN, k_CtN, v_CtN, bias_ji)  # type: ignore[return-value]
    logits_jiN = torch.bmm(k_CtN.permute(2, 1, 0), q_CtN.permute(2, 0, 1)).permute(1, 2, 0).contiguous()
    logits_jiN = logits_jiN / math.sqrt(C)
    weights_jiN = (logits_jiN if bias_ji is None else logits_jiN + bias_ji[..., None]).softmax(dim=0)
    if use == "uniform":
        weights_jiN = torch.full_like(weights_jiN, 1 / t)
    elif use == "permuted":
        weights_jiN = weights_jiN[torch.randperm(t, generator=torch.Generator().manual_seed(t))]
    return torch.bmm(v_CtN.permute(2, 0, 1), weights_jiN.permute(2, 0, 1)).permute(1, 2, 0), weights_jiN


class FewVariates(torch.autograd.Function):
    """``attend`` by broadcast products, with its gradient written out. While C is small this beats thousands of tiny
    matrix products, and autograd's own gradient of it takes twice the passes."""

    @staticmethod
    def forward(ctx, q_CtN, k_CtN, v_CtN, bias_ji):  # type: ignore[override]
        logits_jiN = (k_CtN[:, :, None] * q_CtN[:, None]).sum(0).div_(math.sqrt(len(q_CtN)))
        weights_jiN = (logits_jiN if bias_ji is None else logits_jiN.add_(bias_ji[..., None])).softmax(dim=0)
        ctx.save_for_backward(q_CtN, k_CtN, v_CtN, weights_jiN)
        ctx.biased = bias_ji is not None
        ctx.set_materialize_grads(False)  # weights that nobody differentiates cost nothing
        return (v_CtN[:, :, None] * weights_jiN).sum(1), weights_jiN

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_out_CiN, d_own_jiN):  # type: ignore[override]
        q_CtN, k_CtN, v_CtN, weights_jiN = ctx.saved_tensors
        if d_out_CiN is None:
            d_out_CiN = torch.zeros_like(q_CtN)
        d_out_C1iN = d_out_CiN[:, None]
        d_v_CjN = (d_out_C1iN * weights_jiN).sum(2)
        d_weights_jiN = (d_out_C1iN * v_CtN[:, :, None]).sum(0)
        if d_own_jiN is not None:
            d_weights_jiN += d_own_jiN
        d_logits_jiN = torch.ops.aten._softmax_backward_data(d_weights_jiN, weights_jiN, 0, weights_jiN.dtype)
        d_bias_ji = d_logits_jiN.sum(-1) if ctx.biased else None
        d_logits_jiN.div_(math.sqrt(len(q_CtN)))
        d_q_CiN = (d_logits_jiN * k_CtN[:, :, None]).sum(1)
        d_k_CjN = (d_logits_jiN * q_CtN[:, None]).sum(2)
        return d_q_CiN, d_k_CjN, d_v_CjN, d_bias_ji


class CrossScaleNet(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "crossscalenet"
    title: ClassVar[str] = "CrossScaleNet"
    family: ClassVar[Family] = "paper"
    source: ClassVar[str] = "arXiv 2509.22839"
    link: ClassVar[str] = "https://arxiv.org/abs/2509.22839"
    summary: ClassVar[str] = "Pooled scales of one window; coarse patches attend to what the finest scale forecasts."
    shows: ClassVar[str] = "What each scale adds to the forecast, and patch attention over time per coarse scale."
    claims: ClassVar[str] = (
        "Keys from the finest scale's own forecast tell the coarse scales where to look, and the patch attention is a "
        "saliency of the window that comes for free."
    )
    limits: ClassVar[str] = (
        "The published map leaves out the finest scale, which has no attention and often makes the whole forecast. One "
        "map serves all variates and all steps ahead, and it resolves one patch at best."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        scales=True, attention=True, saliency=("published", "corrected")
    )
    # models.md: Adam 1e-4, halved every epoch from the second, MSE, batch 32, 20 epochs, patience 3
    published: ClassVar[dict[str, Published]] = {
        "": Published({**PLAIN_ADAM, "learning_rate": 1e-4}),
        "exchange_rate": Published({**PLAIN_ADAM, "learning_rate": 1e-4}, {"mix_variates": False}),
    }
    ours: ClassVar[dict[str, Any]] = {"head_dropout": 0.1}
    scale_fields: ClassVar[tuple[str, ...]] = ("scales", "factor", "patch")
    Config = Config
    config: Config
    position: Tensor
    pool: Tensor

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        self.geometry = grids_of(config, L)
        self.revin = RevIN(C, shape.withheld)
        self.encoders = nn.ModuleList(
            EncoderPair(
                grid.points,
                H,
                C,
                config.width,
                mix_variates=config.mix_variates,
                window=config.window,
                dropout=config.dropout,
                head_dropout=config.head_dropout,
            )
            for grid in self.geometry
        )
        self.attention = nn.ModuleList(CrossScaleAttention(grid, H, C, config) for grid in self.geometry[1:])
        self.scale_logits = nn.Parameter(torch.ones(config.scales))
        head, self.head_bias = affine(1, config.scales * H, H, (H,))
        self.head = nn.Parameter(head.detach().view(config.scales, H, H).clone())
        self.register_buffer("position", position_code(L, C).T[:, None].contiguous(), persistent=False)
        pooled = [torch.eye(L)]
        for _ in self.geometry[1:]:
            pooled.append(pooled[-1] @ linear_maps.pooling(pooled[-1].shape[1], config.factor))
        self.register_buffer("pool", torch.cat([m for m in pooled[1:]] or [torch.zeros(L, 0)], dim=1), persistent=False)

    @classmethod
    def grids(cls, config: ModelConfig, lookback: int) -> list[Grid]:
        return grids_of(cast(Config, config), lookback)

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        config = cast(Config, config)
        coarsest = shape.lookback // config.factor ** (config.scales - 1)
        if coarsest < 1:
            fits = max(m for m in range(1, 7) if shape.lookback // config.factor ** (m - 1) >= 1)
            raise UserError(
                f"{config.scales} scales with factor {config.factor} leave no point of a look-back of "
                f"{shape.lookback}. The nearest that works: {fits} scales, or a look-back of "
                f"{config.factor ** (config.scales - 1)}.",
                {"scales": fits},
            )
        if config.scales > 1 and config.patch > shape.lookback:
            raise UserError(
                f"A patch of {config.patch} steps is longer than the look-back of {shape.lookback}. "
                f"The nearest that works: patch {shape.lookback}.",
                {"patch": shape.lookback},
            )

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        config = cast(Config, config)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        keys = {"self": "self", "patch-self": "self", "shared": "forecast", "dual": "forecast and seasonal part"}
        boxes = [Box("in", "Window", dims("B", L, C), "data"), Box("revin", "RevIN, position code", dims("B", L, C))]
        arrows = [Arrow("in", "revin")]
        for m, grid in enumerate(grids_of(config, L)):
            seen = dims("B", grid.points, C)
            boxes.append(Box(f"encode{m}", "Seasonal and trend encoder", dims("B", H, C), scale=m))
            if m == 0:
                arrows.append(Arrow("revin", "encode0"))
            else:
                boxes.append(Box(f"pool{m}", f"Pool {grid.factor} steps", seen, scale=m))
                about = f"Attention, {grid.patches} patches of {grid.patch}"
                boxes.append(Box(f"attend{m}", about, seen, "attention", m))
                arrows += chain("revin", f"pool{m}", f"attend{m}", f"encode{m}")
                if (label := keys.get(config.keys, config.keys)) != "self":
                    arrows.append(Arrow("encode0", f"attend{m}", f"keys: {label}"))
            arrows.append(Arrow(f"encode{m}", "head", "times its weight"))
        boxes.append(Box("head", "Linear head: a sum over scales", dims("B", H, C), "sum"))
        boxes.append(Box("out", "Forecast", dims("B", H, C), "data"))
        return Diagram(tuple(boxes), (*arrows, Arrow("head", "out", "RevIN undone")))

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "CrossScaleNet":
        """CrossScaleNet with the public code's weights: layers stacked, matrices turned to multiply from the right."""
        C, M = options["enc_in"], len(public["scale_weights"])
        config = {
            "scales": M,
            "width": options["d_model"],
            "window": options.get("moving_avg", 25),
            "dropout": options.get("dropout", 0.1),
            "mix_variates": not options.get("channel_independence", 0),
            "padding": "zero",
        }
        model = cls(Config.model_validate(config), Shape(options["seq_len"], options["pred_len"], C))
        ours: dict[str, Tensor] = {
            "revin.weight": public["normalize_layer.affine_weight"],
            "revin.bias": public["normalize_layer.affine_bias"],
            "scale_logits": public["scale_weights"],
            "head": public["projection.weight"].T.reshape(M, options["pred_len"], options["pred_len"]),
            "head_bias": public["projection.bias"],
        }
        for m in range(M):
            layers = {"gate_in": "temporal.0", "gate_out": "temporal.2", "head": "linear_final"}
            if config["mix_variates"]:
                layers |= {"mix_in": "channel.0", "mix_out": "channel.2"}
            for mine, theirs in layers.items():
                both = [f"encoder_{part}.{m}.{theirs}" for part in ("Seasonal", "Trend")]
                weight = torch.stack([public[f"{name}.weight"] for name in both])
                bias = torch.stack([public[f"{name}.bias"] for name in both])
                along_variates = mine.startswith("mix")
                ours[f"encoders.{m}.{mine}"] = weight if along_variates else weight.transpose(1, 2)
                ours[f"encoders.{m}.{mine}_bias"] = bias[:, :, None] if along_variates else bias[:, None]
        stacked = {"qv": ("query", "value"), "k": ("key",)}
        for m in range(M - 1):
            for branch, (mine, roles) in product(("patch", "local"), stacked.items()):
                names = [f"attention.{m}.{branch}_{role}" for role in roles]
                ours[f"attention.{m}.{branch}_{mine}.weight"] = torch.cat([public[f"{n}.weight"] for n in names])
                ours[f"attention.{m}.{branch}_{mine}.bias"] = torch.cat([public[f"{n}.bias"] for n in names])[:, None]
        model.load_state_dict(ours)
        return model

    def scale_weights(self) -> list[float]:
        return torch.sigmoid(self.scale_logits.detach()).tolist()

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        x_CBL = x_BLC.permute(2, 0, 1)
        C, B, _ = x_CBL.shape
        mean_CB1, std_CB1 = self.revin.statistics(x_CBL)
        first_SCBH, coarse = self._attended(self.revin(x_CBL, mean_CB1, std_CB1), attention)
        heads = (self.head * self._weights()[:, None, None]).unbind(0)
        encoders = [cast(EncoderPair, encoder) for encoder in self.encoders]
        bias_H = self.head_bias
        for encoder, head_HH in zip(encoders[1:], heads[1:], strict=True):
            bias_H = torch.addmv(bias_H, head_HH.T, encoder.head_bias.sum((0, 1)))
        y_NH = torch.addmm(bias_H, part(first_SCBH, scale=0).sum(0).view(C * B, -1), heads[0])
        for m, (encoder, head_HH, (_, series_CBl, _)) in enumerate(
            zip(encoders[1:], heads[1:], coarse, strict=True), 1
        ):
            # both linear layers of a coarse scale as one: l x H x H is less work than (C * B) x H x H
            for r_Nl, both_lH in zip(encoder.represent(part(series_CBl, scale=m)), encoder.head @ head_HH, strict=True):
                y_NH = torch.addmm(y_NH, r_Nl, both_lH)
        return self.revin.inverse(y_NH.view(C, B, -1), mean_CB1, std_CB1).permute(1, 2, 0)

    def training_forward(self, x_BLC: Tensor) -> tuple[Tensor, Tensor | None]:
        """With ``agreement``: its weight times the mean distance between each scale's own forecast, its contribution M
        times over, and the whole one, which this loss does not teach."""
        if not self.config.agreement or len(self.geometry) < 2:
            return self(x_BLC), None
        x_CBL = x_BLC.permute(2, 0, 1)
        mean_CB1, std_CB1 = self.revin.statistics(x_CBL)
        first_SCBH, coarse = self._attended(self.revin(x_CBL, mean_CB1, std_CB1), "learned")
        pairs = [first_SCBH, *(self.encoders[m](series) for m, (_, series, _) in enumerate(coarse, start=1))]
        outputs_MCBH = torch.stack([pair_SCBH.sum(0) for pair_SCBH in pairs])
        weight_M111 = torch.sigmoid(self.scale_logits)[:, None, None, None]
        parts_MCBH = (outputs_MCBH * weight_M111) @ self.head[:, None]
        whole_CBH = (parts_MCBH * self._kept()[:, None, None, None]).sum(0) + self.head_bias
        own_MCBH = len(pairs) * parts_MCBH + self.head_bias
        apart = ((own_MCBH - whole_CBH.detach()) * self.revin.gain(std_CB1)).abs().mean()
        return self.revin.inverse(whole_CBH, mean_CB1, std_CB1).permute(1, 2, 0), self.config.agreement * apart

    def _attended(self, z_CBL: Tensor, use: Attention, whole: bool = False) -> tuple[Tensor, list]:
        """The finest scale's outputs S x C x B x H, and per coarse scale: pooled series, attended series, weights."""
        z_CBL = z_CBL + self.position
        first_SCBH = self.encoders[0](z_CBL)
        coarse = []
        if self.geometry[1:]:
            seasonal, trend = first_SCBH.unbind(0)
            finest = (seasonal + trend) * torch.sigmoid(self.scale_logits[0])
            pooled = (z_CBL @ self.pool).split([grid.points for grid in self.geometry[1:]], dim=-1)
            for attention, x_CBl in zip(self.attention, pooled, strict=True):
                patch_key, local_key = {
                    "self": (x_CBl, x_CBl),
                    "patch-self": (x_CBl, seasonal),
                    "shared": (finest, finest),
                    "dual": (finest, seasonal),
                    "seasonal": (seasonal, seasonal),
                    "trend": (trend, trend),
                }[self.config.keys]
                coarse.append((x_CBl, *attention(x_CBl, patch_key, local_key, use, whole)))
            if self.config.focus:
                first_SCBH = self.encoders[0](z_CBL * self._focus([found["patch"] for _, _, found in coarse]))
        return first_SCBH, coarse

    def _focus(self, weights: list[Tensor]) -> Tensor:
        """What each step of the window counts for the finest scale, B x L: the attention its patch gets over what it
        would get if all were alike, averaged over the queries and the scales."""
        steps_L = torch.arange(self.shape.lookback, device=weights[0].device)
        gains = []
        for grid, weights_BPP in zip(self.geometry[1:], weights, strict=True):
            patch_L = (steps_L // (grid.factor * grid.patch)).clamp_max(grid.patches - 1)
            gains.append((weights_BPP.mean(1) * grid.patches)[:, patch_L])
        return held(torch.stack(gains).mean(0))

    def _weights(self) -> Tensor:
        """sigmoid(w_m); in training with scale dropout, whole scales are zero and the rest is scaled up."""
        return torch.sigmoid(self.scale_logits) * self._kept()

    def _kept(self) -> Tensor:
        """A factor for each scale: one, or with scale dropout in training zero or more than one."""
        M, device = len(self.scale_logits), self.scale_logits.device
        if not (self.training and self.config.scale_dropout > 0):
            return torch.ones(M, device=device)
        keep = torch.rand(M, device=device) >= self.config.scale_dropout
        keep[torch.randint(M, (1,))] |= ~keep.any()
        return keep * (M / keep.sum())

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        x_CBL = x_BLC.permute(2, 0, 1)
        mean_CB1, std_CB1 = self.revin.statistics(x_CBL)
        first_SCBH, coarse = self._attended(self.revin(x_CBL, mean_CB1, std_CB1), "learned", whole=True)
        outputs = [(first_SCBH, {})] + [(self.encoders[m](a), found) for m, (_, a, found) in enumerate(coarse, start=1)]
        gain_CB1 = self.revin.gain(std_CB1)
        weights, L = self.scale_weights(), self.shape.lookback
        scales, maps = [], []
        for m, (grid, (pair_SCBH, found)) in enumerate(zip(self.geometry, outputs, strict=True)):
            parts_SCBH = (pair_SCBH * weights[m]) @ self.head[m] * gain_CB1
            seasonal, trend = (array(part.permute(1, 2, 0)) for part in parts_SCBH)
            # what the scale saw, on the input's scale: the pooled window without position code and RevIN
            seen_CBl = x_CBL if m == 0 else x_CBL @ self._pooling(m)
            scales.append(
                ScaleOutput(
                    m,
                    grid.factor,
                    grid.patch,
                    weights[m],
                    array(seen_CBl.permute(1, 2, 0)),
                    seasonal + trend,
                    seasonal,
                    trend,
                )
            )
            if found:
                maps += attention_maps(m, grid, found, L)
        rest_CBH = self.revin.inverse(self.head_bias.expand(*x_CBL.shape[:2], -1), mean_CB1, std_CB1)
        rest = array(rest_CBH.permute(1, 2, 0))
        forecast = rest + sum(scale.contribution for scale in scales)
        return Trace(forecast, rest, tuple(scales), tuple(maps))

    def _pooling(self, m: int) -> Tensor:
        return self.pool.split([grid.points for grid in self.geometry[1:]], dim=1)[m - 1]


def attention_maps(m: int, grid: Grid, found: dict[str, Tensor], lookback: int) -> list[AttentionMap]:
    """The patch map of a scale, and its local map laid out block by block on one points x points map."""
    B, P, _ = found["patch"].shape
    steps = grid.factor * grid.patch
    axis = time_axis(0, steps, steps, P, lookback)
    patch = AttentionMap("patch", array(found["patch"]), axis, axis, scale=m, carried=array(found["patch_carried"]))
    points = np.array([(i * grid.factor, (i + 1) * grid.factor) for i in range(grid.points)])
    local = np.zeros((B, grid.padded, grid.padded), np.float32)
    blocks = array(found["local"]).reshape(B, P, grid.patch, grid.patch)
    for j in range(P):
        inside = slice(j * grid.patch, (j + 1) * grid.patch)
        local[:, inside, inside] = blocks[:, j]
    carried = array(found["local_carried"]).reshape(B, -1)
    # what fills the last patch repeats the last point: its weight belongs to that point
    last = grid.points - 1
    local[:, :, last] = local[:, :, last:].sum(-1)
    cut, fine = slice(0, grid.points), Axis("time", points)
    return [patch, AttentionMap("local", local[:, cut, cut], fine, fine, scale=m, carried=carried[:, cut])]


MODEL = CrossScaleNet
