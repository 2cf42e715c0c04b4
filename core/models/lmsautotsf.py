"""LMS-AutoTSF (Delibasoglu et al. 2024, arXiv 2412.06866): pooled scales, each split by a learnable low-pass filter per
variate into trend (what passes) and seasonal part (the rest), encoded as in CrossScaleNet, and joined by a linear head,
so that the forecast is a sum over scales.

Shape suffixes: B batch, L look-back, H horizon, C variates, M scales, l points of a scale, W = points of all scales
together, S = 2 (seasonal, trend), N = C * B. Time is last and variates first.

A filter is a factor per frequency, sigmoid(steepness (cutoff - f)), frequencies in cycles a point. In the real Fourier
basis it is a product with a diagonal, so that pooling and spectrum of all scales are one matrix product. The public
code filters with signed frequencies: of each pair f and -f, the negative one always counts as low. Ours: the size of a
frequency counts, unless ``frequencies`` says signed; dropout acts on the gate only.

``_split`` and ``_joined`` are for training. Evaluated, it takes the public code's steps, so that it rounds alike.
"""

import math
from dataclasses import replace
from typing import Any, ClassVar, Literal, cast

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
from core.models.layers import linear_maps
from core.models.layers.encoders import EncoderPair, affine
from core.models.layers.frozen import part
from core.models.layers.normalisation import RevIN
from core.models.trace import ScaleOutput, Trace, array


class Config(ModelConfig):
    """Options of LMS-AutoTSF. Defaults are the public code's for ETT."""

    scales: int = Field(default=4, ge=1, le=6, title="Scales", description="How many resolutions see the window.")
    factor: int = Field(
        default=2, ge=2, le=8, title="Factor", description="Each scale pools this many points of the finer one."
    )
    width: int = Field(default=512, ge=1, le=2048, title="Width", description="Hidden units of the encoders.")
    dropout: float = Field(
        default=0.1, ge=0, lt=1, title="Dropout", description="Share of gate values dropped in training."
    )
    mix_variates: bool = Field(default=True, title="Mix variates", description="Encoders also mix along variates.")
    frequencies: Literal["absolute", "signed"] = Field(
        default="absolute",
        title="Frequencies",
        description="What the filter compares with its cutoff: a frequency's size, or its sign too (the public code).",
    )
    normalise: bool = Field(
        default=True, title="Normalise windows", description="Each window by its own mean and deviation."
    )


def grids_of(config: Config, lookback: int) -> list[Grid]:
    """Every scale, fine to coarse."""
    found, points = [], lookback
    for m in range(config.scales):
        points = points if m == 0 else points // config.factor
        found.append(Grid(config.factor**m, points, 0, 0))
    return found


def fourier(points: int) -> tuple[Tensor, Tensor]:
    """The orthonormal real Fourier basis, a column for each wave (points x points, in float64), and its frequency in
    cycles a point, signed as the discrete transform has it (2 x points: the two of a pair; half a cycle is -1/2 once).
    """
    time, waves = torch.arange(points, dtype=torch.float64), [torch.full((points,), points**-0.5, dtype=torch.float64)]
    pairs = [(0.0, 0.0)]
    for k in range(1, (points + 1) // 2):
        angle = 2 * math.pi * k / points * time
        waves += [angle.cos() * math.sqrt(2 / points), angle.sin() * math.sqrt(2 / points)]
        pairs += [(k / points, -k / points)] * 2
    if points % 2 == 0:
        waves.append((1 - 2 * (time % 2)) * points**-0.5)
        pairs.append((-0.5, -0.5))
    return torch.stack(waves, dim=1), torch.tensor(pairs).T


class LMSAutoTSF(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "lmsautotsf"
    title: ClassVar[str] = "LMS-AutoTSF"
    source: ClassVar[str] = "arXiv 2412.06866"
    link: ClassVar[str] = "https://arxiv.org/abs/2412.06866"
    summary: ClassVar[str] = "Pooled scales of one window, each split into trend and rest by a filter that is learnt."
    shows: ClassVar[str] = "What each scale adds to the forecast, as trend and seasonal part."
    claims: ClassVar[str] = (
        "A split that is learnt for every scale and variate, and encoders that see how the series changes from step to "
        "step, forecast as well as attention at less cost."
    )
    limits: ClassVar[str] = (
        "Scales see the same window and can stand in for each other: a small contribution does not mean that its "
        "resolution is unimportant. The filter splits what enters a scale, not what it forecasts."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        scales=True, reason="LMS-AutoTSF has no attention: its filters are the same for every window."
    )
    published: ClassVar[dict[str, Published]] = {
        "": Published({**PLAIN_ADAM, "learning_rate": 1e-4}),
        "exchange_rate": Published({**PLAIN_ADAM, "learning_rate": 1e-4}, {"mix_variates": False}),
    }
    scale_fields: ClassVar[tuple[str, ...]] = ("scales", "factor")
    Config = Config
    config: Config
    pool: Tensor
    spectrum: Tensor
    frequency: Tensor
    scale_of: Tensor

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        self.geometry = grids_of(config, L)
        self.points = [grid.points for grid in self.geometry]
        self.revin = RevIN(C, shape.withheld, affine=config.normalise)
        # the public code's start: a fifth of a cycle a point
        self.cutoff = nn.Parameter(torch.full((config.scales, C), 0.2))
        self.steepness = nn.Parameter(torch.full((config.scales, C), 10.0))
        self.encoders = nn.ModuleList(
            EncoderPair(points, H, C, config.width, mix_variates=config.mix_variates, dropout=config.dropout)
            for points in self.points
        )
        head, self.head_bias = affine(1, config.scales * H, H, (H,))
        self.head = nn.Parameter(head.detach().view(config.scales, H, H).clone())
        pooled = [torch.eye(L)]
        for points in self.points[:-1]:
            pooled.append(pooled[-1] @ linear_maps.pooling(points, config.factor))
        bases = [fourier(points) for points in self.points]
        spectrum = [(pool.double() @ basis).float() for pool, (basis, _) in zip(pooled, bases, strict=True)]
        frequency = torch.cat([pair for _, pair in bases], dim=1)
        scale_of = torch.arange(config.scales).repeat_interleave(torch.tensor(self.points, device="cpu"))
        buffers = {
            "pool": torch.cat(pooled, dim=1),
            "spectrum": torch.cat(spectrum, dim=1),
            "frequency": frequency if config.frequencies == "signed" else frequency[:1].abs(),
            "scale_of": scale_of,
        }
        buffers |= {f"basis{m}": basis.T.float().contiguous() for m, (basis, _) in enumerate(bases)}
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    @classmethod
    def capabilities_of(cls, config: ModelConfig) -> Capabilities:
        return replace(cls.capabilities, multivariate=cast(Config, config).mix_variates)

    @classmethod
    def grids(cls, config: ModelConfig, lookback: int) -> list[Grid]:
        return grids_of(cast(Config, config), lookback)

    @classmethod
    def check(cls, config: ModelConfig, shape: Shape) -> None:
        config = cast(Config, config)
        if shape.lookback // config.factor ** (config.scales - 1) < 1:
            fits = max(m for m in range(1, 7) if shape.lookback // config.factor ** (m - 1) >= 1)
            raise UserError(
                f"{config.scales} scales with factor {config.factor} leave no point of a look-back of "
                f"{shape.lookback}. The nearest that works: {fits} scales, or a look-back of "
                f"{config.factor ** (config.scales - 1)}.",
                {"scales": fits},
            )

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        config = cast(Config, config)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        boxes, before, undone = [Box("in", "Window", dims("B", L, C), "data")], "in", ""
        arrows = []
        if config.normalise:
            boxes.append(Box("revin", "RevIN", dims("B", L, C)))
            arrows.append(Arrow("in", "revin"))
            before, undone = "revin", "RevIN undone"
        for m, grid in enumerate(grids_of(config, L)):
            seen = dims("B", grid.points, C)
            if m:
                boxes.append(Box(f"pool{m}", f"Pool {grid.factor} steps", seen, scale=m))
            boxes.append(Box(f"filter{m}", "Learnable low-pass filter", seen, scale=m))
            boxes.append(Box(f"encode{m}", "Seasonal and trend encoder", dims("B", H, C), scale=m))
            way = (before, *([f"pool{m}"] if m else []), f"filter{m}")
            arrows += [*chain(*way), Arrow(f"filter{m}", f"encode{m}", "low, rest"), Arrow(f"encode{m}", "head")]
        boxes.append(Box("head", "Linear head: a sum over scales", dims("B", H, C), "sum"))
        boxes.append(Box("out", "Forecast", dims("B", H, C), "data"))
        return Diagram(tuple(boxes), (*arrows, Arrow("head", "out", undone)))

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "LMSAutoTSF":
        """LMS-AutoTSF with the public code's weights: layers stacked, matrices turned to multiply from the right."""
        M, H = len(public["cutoff_frequencies"]), options["pred_len"]
        config = Config(
            scales=M,
            width=options["d_model"],
            dropout=options.get("dropout", 0.1),
            mix_variates=not options.get("channel_independence", 0),
            frequencies="signed",
            normalise=options.get("use_norm", 1) != 0,
        )
        model = cls(config, Shape(options["seq_len"], H, options["enc_in"]))
        ours: dict[str, Tensor] = {
            "cutoff": public["cutoff_frequencies"],
            "steepness": public["stepness"],
            "head": public["projection.weight"].T.reshape(M, H, H),
            "head_bias": public["projection.bias"],
        }
        if config.normalise:
            ours |= {f"revin.{name}": public[f"normalize_layer.affine_{name}"] for name in ("weight", "bias")}
        for m in range(M):
            layers = {"gate_in": "temporal.0", "gate_out": "temporal.2", "head": "linear_final"}
            if config.mix_variates:
                layers |= {"mix_in": "channel.0", "mix_out": "channel.2"}
            for mine, theirs in layers.items():
                both = [f"encoder_{part}.{m}.{theirs}" for part in ("Seasonal", "Trend")]
                weight = torch.stack([public[f"{name}.weight"] for name in both])
                bias = torch.stack([public[f"{name}.bias"] for name in both])
                along_variates = mine.startswith("mix")
                ours[f"encoders.{m}.{mine}"] = weight if along_variates else weight.transpose(1, 2)
                ours[f"encoders.{m}.{mine}_bias"] = bias[:, :, None] if along_variates else bias[:, None]
        model.load_state_dict(ours)
        return model

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        x_CBL = x_BLC.permute(2, 0, 1)
        C, B, _ = x_CBL.shape
        mean_CB1, std_CB1, z_CBL = self._normalised(x_CBL)
        split, joined = self._split_plainly, self._joined_plainly
        if self.training:
            split, joined = self._split, self._joined
        y_NH = joined(split(z_CBL))
        y_CBH = y_NH.view(C, B, -1)
        if self.config.normalise:
            y_CBH = self.revin.inverse(y_CBH, mean_CB1, std_CB1)
        return y_CBH.permute(1, 2, 0)

    def _joined(self, parts: list[Tensor]) -> Tensor:
        """Encoders and head: both linear layers of a scale as one, l x H x H is less work than (C * B) x H x H."""
        y_NH = self.head_bias
        for encoder, head_HH, parts_SCBl in zip(self._encoders(), self.head, parts, strict=True):
            y_NH = y_NH + encoder.head_bias.sum((0, 1)) @ head_HH
            for r_Nl, both_lH in zip(encoder.represent(parts_SCBl), encoder.head @ head_HH, strict=True):
                y_NH = torch.addmm(y_NH, r_Nl, both_lH)
        return y_NH

    def _joined_plainly(self, parts: list[Tensor]) -> Tensor:
        """The same, layer by layer."""
        outputs = [
            encoder(part(parts_SCBl, scale=m)).sum(0).flatten(0, 1)
            for m, (encoder, parts_SCBl) in enumerate(zip(self._encoders(), parts, strict=True))
        ]
        return torch.addmm(self.head_bias, torch.cat(outputs, dim=-1), self.head.flatten(0, 1))

    def _encoders(self) -> list[EncoderPair]:
        return [cast(EncoderPair, encoder) for encoder in self.encoders]

    def _normalised(self, x_CBL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and deviation of the windows, and what the scales are pooled from."""
        x_CBL = x_CBL.contiguous()
        mean_CB1, std_CB1 = self.revin.statistics(x_CBL)
        return mean_CB1, std_CB1, self.revin(x_CBL, mean_CB1, std_CB1) if self.config.normalise else x_CBL

    def _split(self, z_CBL: Tensor) -> list[Tensor]:
        """Seasonal and trend part of every scale, S x C x B x l."""
        pooled = (z_CBL @ self.pool).split(self.points, dim=-1)
        cutoff_CW, steepness_CW = (p.T[:, self.scale_of] for p in (self.cutoff, self.steepness))
        pass_CW = torch.sigmoid((cutoff_CW - self.frequency[:, None]) * steepness_CW).mean(0)
        passed = ((z_CBL @ self.spectrum) * pass_CW[:, None]).split(self.points, dim=-1)
        parts = []
        for m, (whole_CBl, waves_CBl) in enumerate(zip(pooled, passed, strict=True)):
            trend_CBl = waves_CBl @ self.get_buffer(f"basis{m}")
            parts.append(torch.stack([whole_CBl - trend_CBl, trend_CBl]))
        return parts

    def _split_plainly(self, z_CBL: Tensor) -> list[Tensor]:
        """The same by the fast Fourier transform."""
        parts, whole_CBl = [], z_CBL
        for m, points in enumerate(self.points):
            whole_CBl = whole_CBl if m == 0 else F.avg_pool1d(whole_CBl, self.config.factor)
            frequency = torch.fft.fftfreq(points, device=z_CBL.device)
            frequency = frequency if self.config.frequencies == "signed" else frequency.abs()
            over_C1l = ((frequency - self.cutoff[m][:, None]) * self.steepness[m][:, None])[:, None]
            spectrum_CBl = torch.fft.fft(whole_CBl)
            sides = (torch.fft.ifft(spectrum_CBl * torch.sigmoid(side)).real for side in (over_C1l, -over_C1l))
            parts.append(torch.stack(tuple(sides)))
        return parts

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        x_CBL = x_BLC.permute(2, 0, 1)
        mean_CB1, std_CB1, z_CBL = self._normalised(x_CBL)
        gain_CB1 = self.revin.gain(std_CB1) if self.config.normalise else torch.ones_like(std_CB1)
        # on the input's scale: the pooled window without RevIN
        seen = (x_CBL @ self.pool).split(self.points, dim=-1)
        scales = []
        for m, (encoder, parts_SCBl) in enumerate(zip(self._encoders(), self._split_plainly(z_CBL), strict=True)):
            pair_SCBH = encoder(parts_SCBl) @ self.head[m] * gain_CB1
            seasonal, trend = (array(part.permute(1, 2, 0)) for part in pair_SCBH)
            seen_BlC = array(seen[m].permute(1, 2, 0))
            scales.append(ScaleOutput(m, self.geometry[m].factor, 0, 1.0, seen_BlC, seasonal + trend, seasonal, trend))
        rest_CBH = self.head_bias.expand(*x_CBL.shape[:2], -1)
        if self.config.normalise:
            rest_CBH = self.revin.inverse(rest_CBH, mean_CB1, std_CB1)
        rest = array(rest_CBH.permute(1, 2, 0))
        return Trace(rest + sum(scale.contribution for scale in scales), rest, tuple(scales))


MODEL = LMSAutoTSF
