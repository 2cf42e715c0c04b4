"""CrossScaleNet (arXiv 2509.22839): pooled scales, a seasonal and a trend encoder each, cross-scale patch attention
whose keys come from the finest scale's own forecast, and a linear head, so that the forecast is a sum over scales.

Shape suffixes: B batch, L look-back, H horizon, C variates, M scales, l points of a scale, d width, P patches of a
scale, p points of a patch, S = 2 (seasonal, trend). Time is last and variates first (C x B x l): every layer along
time and every layer along variates is then one matrix product, for seasonal and trend together.

Choices the paper leaves open, ours: dropout acts on the gate h only; ``scale_dropout``; replicated instead of zero
padding where L is no multiple of the patch; the key modes besides ``dual`` (see ``Config.keys``).
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from core.errors import UserError
from core.models.contract import Capabilities, Forecaster, ModelConfig, Shape
from core.models.layers import linear_maps
from core.models.layers.normalisation import RevIN
from core.models.trace import AttentionMap, Axis, ScaleOutput, Trace

Attention = Literal["learned", "uniform", "permuted"]


class Config(ModelConfig):
    """Options of CrossScaleNet. Defaults are the paper's for ETT."""

    scales: int = Field(4, ge=1, le=6, title="Scales", description="How many resolutions see the window.")
    factor: int = Field(2, ge=2, le=8, title="Factor", description="Each scale pools this many points of the finer one.")
    patch: int = Field(
        16, ge=1, le=512, title="Patch length", description="Steps of the window one patch spans, on every scale."
    )
    width: int = Field(32, ge=1, le=1024, title="Width", description="Hidden units of the encoders.")
    window: int = Field(
        25, ge=1, le=501, title="Trend window", description="Points of the moving average that splits off the trend."
    )
    dropout: float = Field(0.1, ge=0, lt=1, title="Dropout", description="Share of gate values dropped in training.")
    keys: Literal["self", "patch-self", "shared", "dual", "seasonal", "trend"] = Field(
        "dual",
        title="Attention keys",
        description="Where the keys come from. dual (published): patches ask the finest forecast, points its seasonal "
        "part. self: the scale itself; patch-self: patches the scale itself, points the seasonal part; shared, "
        "seasonal, trend: both the finest forecast, its seasonal or its trend part.",
    )
    mix_variates: bool = Field(True, title="Mix variates", description="Encoders also mix along variates.")
    scale_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Scale dropout",
        description="Chance that a whole scale is left out of a training step, so that no scale can carry all (ours).",
    )
    padding: Literal["replicate", "zero"] = Field(
        "replicate", title="Padding", description="How the last patch is filled; zero is the public code's way."
    )


@dataclass(frozen=True)
class Grid:
    """Geometry of one scale."""

    factor: int  # original steps per point
    points: int  # l
    patch: int  # p; 0 where the scale has no attention
    patches: int  # P

    @property
    def padded(self) -> int:
        return self.patch * self.patches


def grids(config: Config, lookback: int) -> list[Grid]:
    """Geometry of every scale, fine to coarse (models.md: patch 16 / factor^m, at least 1)."""
    found, points = [], lookback
    for m in range(config.scales):
        factor = config.factor**m
        points = points if m == 0 else points // config.factor
        patch = 0 if m == 0 else max(1, config.patch // factor)
        found.append(Grid(factor, points, patch, math.ceil(points / patch) if patch else 0))
    return found


def affine(count: int, fan_in: int, fan_out: int, bias_shape: tuple[int, ...]) -> tuple[nn.Parameter, nn.Parameter]:
    """``count`` stacked linear layers with the usual uniform start, weights count x fan_in x fan_out."""
    bound = 1 / math.sqrt(fan_in)
    weight = torch.empty(count, fan_in, fan_out).uniform_(-bound, bound)
    return nn.Parameter(weight), nn.Parameter(torch.empty(bias_shape).uniform_(-bound, bound))


class EncoderPair(nn.Module):
    """The seasonal and the trend encoder of one scale, stacked (S = 2).

    r = z + g (+ variate mixing of g), g = h * D, D the lag-1 difference of z, h a two-layer gate along time; then one
    linear layer to the horizon.
    """

    def __init__(self, points: int, horizon: int, variates: int, config: Config) -> None:
        super().__init__()
        d = config.width
        self.gate_in, self.gate_in_bias = affine(2, points, d, (2, 1, d))
        self.gate_out, self.gate_out_bias = affine(2, d, points, (2, 1, points))
        self.head, self.head_bias = affine(2, points, horizon, (2, 1, horizon))
        self.mixes = config.mix_variates
        if self.mixes:
            # along variates the matrix stands on the left: S x d x C and S x C x d
            mix_in, self.mix_in_bias = affine(2, variates, d, (2, d, 1))
            mix_out, self.mix_out_bias = affine(2, d, variates, (2, variates, 1))
            self.mix_in = nn.Parameter(mix_in.detach().transpose(1, 2).contiguous())
            self.mix_out = nn.Parameter(mix_out.detach().transpose(1, 2).contiguous())
        self.dropout = config.dropout
        trend = linear_maps.moving_average(points, config.window)
        self.register_buffer("split", torch.stack([torch.eye(points) - trend, trend]), persistent=False)

    def forward(self, x_CBl: Tensor) -> Tensor:
        """Seasonal and trend outputs, S x C x B x H."""
        C, B, points = x_CBl.shape
        z_SNl = torch.matmul(x_CBl.reshape(C * B, points), self.split)
        hidden_SNd = torch.baddbmm(self.gate_in_bias, z_SNl, self.gate_in).relu_()
        h_SNl = F.dropout(torch.baddbmm(self.gate_out_bias, hidden_SNd, self.gate_out), self.dropout, self.training)
        difference_SNl = torch.cat([z_SNl[..., :1], z_SNl[..., 1:] - z_SNl[..., :-1]], dim=-1)
        g_SNl = h_SNl * difference_SNl
        r_SNl = z_SNl + g_SNl
        if self.mixes:
            g_SCN = g_SNl.view(2, C, B * points)
            mixed_SdN = torch.baddbmm(self.mix_in_bias, self.mix_in, g_SCN).relu_()
            r_SNl = torch.baddbmm(self.mix_out_bias, self.mix_out, mixed_SdN).add_(r_SNl.view(2, C, -1)).view_as(r_SNl)
        return torch.baddbmm(self.head_bias, r_SNl, self.head).view(2, C, B, -1)


class CrossScaleAttention(nn.Module):
    """Patch attention plus local attention inside each patch; its output replaces the pooled series of the scale.

    Order of the stacked projections: patch query, patch value, local query, local value | patch key, local key.
    """

    def __init__(self, grid: Grid, horizon: int, variates: int, config: Config) -> None:
        super().__init__()
        self.grid, self.variates = grid, variates
        weight, bias = affine(6, variates, variates, (6, variates, 1))
        self.weight, self.bias = nn.Parameter(weight.detach().transpose(1, 2).contiguous()), bias
        pad = linear_maps.padding(grid.points, grid.patch, config.padding)
        stretch = linear_maps.stretching(horizon, grid.points) @ pad
        mean = linear_maps.patch_means(grid.padded, grid.patch)
        # series of the scale (l) or of the finest forecast (H) -> padded points, and -> patch means
        for name, matrix in (
            ("own_points", pad),
            ("own_patches", pad @ mean),
            ("key_points", stretch),
            ("key_patches", stretch @ mean),
        ):
            self.register_buffer(name, matrix, persistent=False)

    def forward(
        self, x_CBl: Tensor, patch_key_CBH: Tensor, local_key_CBH: Tensor, use: Attention = "learned", whole: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The new series C x B x l and, if ``whole``, the weights: patch B x P x P, local (B * P) x p x p, carried."""
        C, B, _ = x_CBl.shape
        P, p, points = self.grid.patches, self.grid.patch, self.grid.points
        own_key = patch_key_CBH is x_CBl, local_key_CBH is x_CBl
        x_points = x_CBl if self.grid.padded == points else x_CBl @ self.own_points
        x_patches = x_CBl @ self.own_patches
        k_patches = x_patches if own_key[0] else patch_key_CBH @ self.key_patches
        k_points = x_points if own_key[1] else local_key_CBH @ self.key_points

        def project(first: int, count: int, series: Tensor) -> Tensor:
            rows = torch.matmul(self.weight[first : first + count].reshape(count * C, C), series.reshape(C, -1))
            return rows.view(count, C, -1) + self.bias[first : first + count]

        patch_qv = project(0, 2, x_patches).view(2, C, B, P)
        patch_k = project(4, 1, k_patches).view(C, B, P)
        local_qv = project(2, 2, x_points).view(2, C, B * P, p)
        local_k = project(5, 1, k_points).view(C, B * P, p)
        far_BPC, patch_weights = self._attend(patch_qv[0], patch_k, patch_qv[1], use)
        near_NpC, local_weights = self._attend(local_qv[0], local_k, local_qv[1], use)
        out_BPpC = near_NpC.view(B, P, p, C) + far_BPC[:, :, None]
        out_CBl = out_BPpC.reshape(B, P * p, C).permute(2, 0, 1)[..., :points]
        if not whole:
            return out_CBl, {}
        return out_CBl, {
            "patch": patch_weights,
            "local": local_weights,
            "patch_carried": patch_qv[1].norm(dim=0),
            "local_carried": local_qv[1].norm(dim=0),
        }

    def _attend(self, q_CNt: Tensor, k_CNt: Tensor, v_CNt: Tensor, use: Attention) -> tuple[Tensor, Tensor]:
        """Single-head attention among t tokens, N x t x C, and its weights N x t x t."""
        logits_Ntt = torch.bmm(q_CNt.permute(1, 2, 0), k_CNt.permute(1, 0, 2)).div_(math.sqrt(self.variates))
        if use == "uniform":
            logits_Ntt = torch.zeros_like(logits_Ntt)
        weights_Ntt = logits_Ntt.softmax(dim=-1)
        if use == "permuted":
            t = weights_Ntt.shape[-1]
            order = torch.randperm(t, generator=torch.Generator().manual_seed(t))
            weights_Ntt = weights_Ntt[..., order]
        return torch.bmm(weights_Ntt, v_CNt.permute(1, 2, 0)), weights_Ntt


class CrossScaleNet(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "crossscalenet"
    title: ClassVar[str] = "CrossScaleNet"
    source: ClassVar[str] = "arXiv 2509.22839"
    summary: ClassVar[str] = "Pooled scales of one window; coarse patches attend to what the finest scale forecasts."
    capabilities: ClassVar[Capabilities] = Capabilities(multivariate=True, time_saliency=True, scales=True)
    Config = Config
    config: Config

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        self.grids = grids(config, L)
        self.revin = RevIN(C, shape.withheld)
        self.encoders = nn.ModuleList(EncoderPair(grid.points, H, C, config) for grid in self.grids)
        self.attention = nn.ModuleList(CrossScaleAttention(grid, H, C, config) for grid in self.grids[1:])
        self.scale_logits = nn.Parameter(torch.ones(config.scales))
        head, self.head_bias = affine(1, config.scales * H, H, (H,))
        self.head = nn.Parameter(head.detach().view(config.scales, H, H).clone())
        self.register_buffer("position", position_code(L, C).T[:, None].contiguous(), persistent=False)
        pooled = [torch.eye(L)]
        for grid in self.grids[1:]:
            pooled.append(pooled[-1] @ linear_maps.pooling(pooled[-1].shape[1], config.factor))
        self.register_buffer("pool", torch.cat([m for m in pooled[1:]] or [torch.zeros(L, 0)], dim=1), persistent=False)

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        assert isinstance(config, Config)
        coarsest = shape.lookback // config.factor ** (config.scales - 1)
        if coarsest < 1:
            fits = max(m for m in range(1, 7) if shape.lookback // config.factor ** (m - 1) >= 1)
            raise UserError(
                f"{config.scales} scales with factor {config.factor} leave no point of a look-back of {shape.lookback}. "
                f"The nearest that works: {fits} scales, or a look-back of {config.factor ** (config.scales - 1)}."
            )
        if config.scales > 1 and config.patch > shape.lookback:
            raise UserError(
                f"A patch of {config.patch} steps is longer than the look-back of {shape.lookback}. "
                f"The nearest that works: patch {shape.lookback}."
            )

    def scale_weights(self) -> list[float]:
        return torch.sigmoid(self.scale_logits.detach()).tolist()

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        x_CBL = x_BLC.permute(2, 0, 1)
        mean_CB1, std_CB1 = self.revin.statistics(x_CBL)
        outputs = self._scales(self.revin(x_CBL, mean_CB1, std_CB1), attention)
        y_CBH = self._head(torch.stack([pair.sum(0) for pair, _, _ in outputs]))
        return self.revin.inverse(y_CBH, mean_CB1, std_CB1).permute(1, 2, 0)

    def _scales(self, z_CBL: Tensor, attention: Attention, whole: bool = False) -> list:
        """Per scale: seasonal and trend output S x C x B x H (not yet weighted), its input, its attention."""
        z_CBL = z_CBL + self.position
        coarse = (z_CBL @ self.pool).split([grid.points for grid in self.grids[1:]], dim=-1) if self.grids[1:] else ()
        first = self.encoders[0](z_CBL)
        outputs = [(first, z_CBL, {})]
        seasonal, trend = first[0], first[1]
        finest = (seasonal + trend) * torch.sigmoid(self.scale_logits[0])
        for encoder, attend, x_CBl in zip(self.encoders[1:], self.attention, coarse, strict=True):
            patch_key, local_key = {
                "self": (x_CBl, x_CBl),
                "patch-self": (x_CBl, seasonal),
                "shared": (finest, finest),
                "dual": (finest, seasonal),
                "seasonal": (seasonal, seasonal),
                "trend": (trend, trend),
            }[self.config.keys]
            attended_CBl, weights = attend(x_CBl, patch_key, local_key, attention, whole)
            outputs.append((encoder(attended_CBl), x_CBl, weights))
        return outputs

    def _head(self, y_MCBH: Tensor) -> Tensor:
        """Weights the scales and mixes them to the forecast, C x B x H, on the normalised scale."""
        M, C, B, H = y_MCBH.shape
        weight_M = torch.sigmoid(self.scale_logits)
        if self.training and self.config.scale_dropout > 0:
            keep = torch.rand(M, device=weight_M.device) >= self.config.scale_dropout
            keep[torch.randint(M, (1,))] |= not keep.any()
            weight_M = weight_M * keep * (M / keep.sum())
        rows_NMH = (y_MCBH * weight_M[:, None, None, None]).view(M, C * B, H).transpose(0, 1).reshape(C * B, M * H)
        return torch.addmm(self.head_bias, rows_NMH, self.head.view(M * H, H)).view(C, B, H)

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        x_CBL = x_BLC.permute(2, 0, 1)
        mean_CB1, std_CB1 = self.revin.statistics(x_CBL)
        outputs = self._scales(self.revin(x_CBL, mean_CB1, std_CB1), "learned", whole=True)
        gain_CB1 = self.revin.gain(std_CB1)
        weights, L = self.scale_weights(), self.shape.lookback
        scales, maps = [], []
        for m, (grid, (pair_SCBH, seen_CBl, found)) in enumerate(zip(self.grids, outputs, strict=True)):
            parts_SCBH = (pair_SCBH * weights[m]) @ self.head[m] * gain_CB1
            seasonal, trend = (array(part.permute(1, 2, 0)) for part in parts_SCBH)
            # what the scale saw, on the input's scale: the pooled window without position code and RevIN
            seen_CBl = x_CBL if m == 0 else x_CBL @ self._pooling(m)
            scales.append(
                ScaleOutput(
                    m, grid.factor, grid.patch, weights[m], array(seen_CBl.permute(1, 2, 0)), seasonal + trend, seasonal, trend
                )
            )
            if found:
                maps += attention_maps(m, grid, found, L)
        rest_CBH = self.revin.inverse(self.head_bias.expand(*x_CBL.shape[:2], -1), mean_CB1, std_CB1)
        rest = array(rest_CBH.permute(1, 2, 0))
        forecast = rest + sum(scale.contribution for scale in scales)
        return Trace(forecast, rest, tuple(scales), tuple(maps))

    def _pooling(self, m: int) -> Tensor:
        return self.pool.split([grid.points for grid in self.grids[1:]], dim=1)[m - 1]


def attention_maps(m: int, grid: Grid, found: dict[str, Tensor], lookback: int) -> list[AttentionMap]:
    """The patch map of a scale, and its local map laid out block by block on one points x points map."""
    B, P, _ = found["patch"].shape
    steps = grid.factor * grid.patch
    spans = np.array([(j * steps, min((j + 1) * steps, lookback)) for j in range(P)])
    axis = Axis("time", spans)
    patch = AttentionMap(
        "patch", array(found["patch"]), axis, axis, scale=m, carried=array(found["patch_carried"]), real=np.ones(P, bool)
    )
    points = np.array([(i * grid.factor, (i + 1) * grid.factor) for i in range(grid.points)])
    local = np.zeros((B, grid.padded, grid.padded), np.float32)
    blocks = array(found["local"]).reshape(B, P, grid.patch, grid.patch)
    for j in range(P):
        inside = slice(j * grid.patch, (j + 1) * grid.patch)
        local[:, inside, inside] = blocks[:, j]
    carried = array(found["local_carried"]).reshape(B, -1)
    fine = Axis("time", points)
    real = np.ones(grid.points, bool)
    cut = slice(0, grid.points)
    return [patch, AttentionMap("local", local[:, cut, cut], fine, fine, scale=m, carried=carried[:, cut], real=real)]


def position_code(length: int, variates: int) -> Tensor:
    """Sinusoidal code, L x C (Vaswani et al. 2017), over the variates as features."""
    code = torch.zeros(length, variates)
    step = torch.exp(torch.arange(0, variates, 2) * (-math.log(10000.0) / variates))
    angle = torch.arange(length)[:, None] * step
    code[:, 0::2], code[:, 1::2] = angle.sin(), angle.cos()[:, : variates // 2]
    return code


def array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


MODEL = CrossScaleNet
