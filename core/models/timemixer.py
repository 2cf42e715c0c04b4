"""TimeMixer (Wang et al. 2024, arXiv 2405.14616): pooled scales of one window; in every block their seasonal parts are
mixed from fine to coarse and their trends from coarse to fine; each scale forecasts, and the forecasts are added up.

Shape suffixes: B batch, L look-back, H horizon, C variates, l points of a scale, d width, K series that enter together
(1, or C where variates are mixed), R = C * B / K rows. Channels come first and time last (d x R x l): every layer along
time and every layer along the channels is then one matrix product.

Where each variate is taken alone, a scale's seasonal part and trend add up to the scale itself, so the finest trend is
never computed, and the finest seasonal part is a matrix that the next layer takes in: that is how it trains. Evaluated,
it takes the public code's steps (``plainly``), so that it rounds alike. Ours: marks of the calendar, which the public
code adds to the embedding, are left out, and so are its pooling by a convolution that it never learns and its
decomposition by Fourier transform, which runs over the channels instead of time.
"""

from dataclasses import replace
from itertools import pairwise
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
from core.models.diagram import Arrow, Box, Diagram, dims
from core.models.layers import linear_maps
from core.models.layers.dropout import Dropout
from core.models.layers.frozen import part
from core.models.layers.normalisation import RevIN
from core.models.trace import ScaleOutput, Trace, array


class Config(ModelConfig):
    """Options of TimeMixer. Defaults are the paper's for ETT."""

    scales: int = Field(default=4, ge=1, le=6, title="Scales", description="How many resolutions see the window.")
    factor: int = Field(
        default=2, ge=2, le=8, title="Factor", description="Each scale pools this many points of the finer one."
    )
    pooling: Literal["avg", "max"] = Field(
        default="avg", title="Pooling", description="What stands for the points that are pooled: their mean or largest."
    )
    width: int = Field(default=16, ge=1, le=512, title="Width", description="Channels that describe a point.")
    hidden: int = Field(default=32, ge=1, le=2048, title="Hidden units", description="Of layers along the channels.")
    blocks: int = Field(default=2, ge=1, le=8, title="Blocks", description="How often the scales are mixed.")
    window: int = Field(
        default=25,
        ge=1,
        le=501,
        title="Trend window",
        description="Points of the moving average that splits off the trend.",
    )
    dropout: float = Field(
        default=0.1, ge=0, lt=1, title="Dropout", description="Share of the embedding dropped in training."
    )
    mix_variates: bool = Field(
        default=False, title="Mix variates", description="All variates enter one embedding; otherwise each alone."
    )
    normalise: bool = Field(
        default=True, title="Normalise windows", description="Each scale by its own mean and deviation."
    )


def grids_of(config: Config, lookback: int) -> list[Grid]:
    """Every scale, fine to coarse."""
    return [Grid(config.factor**m, lookback // config.factor**m, 0, 0) for m in range(config.scales)]


class Perceptron(nn.Module):
    """Two linear layers with a GELU between them; as many hidden units as come out where ``hidden`` says nothing."""

    def __init__(self, fan_in: int, fan_out: int, hidden: int = 0) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(fan_in, hidden or fan_out), nn.Linear(hidden or fan_out, fan_out)

    def forward(self, x: Tensor, split: Tensor | None = None) -> Tensor:
        """Along the last axis. ``split`` is a linear map before it, as a matrix that the first layer takes in."""
        weight = self.first.weight if split is None else self.first.weight @ split.T
        return self.second(F.gelu(F.linear(x, weight, self.first.bias)))

    def along_channels(self, series: Tensor, beside: Tensor | None = None) -> Tensor:
        """d x R x l to the same shape, plus ``beside``."""
        hidden = F.gelu(torch.addmm(self.first.bias[:, None], self.first.weight, series.flatten(1)))
        bias = self.second.bias[:, None]
        if beside is None:
            return torch.addmm(bias, self.second.weight, hidden).view(-1, *series.shape[1:])
        return torch.addmm(beside.flatten(1), self.second.weight, hidden).add_(bias).view_as(beside)


class Mixing(nn.Module):
    """Past decomposable mixing, one block over all scales."""

    def __init__(self, points: list[int], config: Config) -> None:
        super().__init__()
        self.to_coarse = nn.ModuleList(Perceptron(fine, coarse) for fine, coarse in pairwise(points))
        self.to_fine = nn.ModuleList(Perceptron(coarse, fine) for fine, coarse in pairwise(points))
        self.channels = Perceptron(config.width, config.width, config.hidden)
        self.mixes = config.mix_variates

    def forward(self, series: list[Tensor], averages: list[Tensor]) -> list[Tensor]:
        """The scales d x R x l, fine to coarse, mixed. ``averages`` are their moving averages as matrices."""
        if self.mixes:
            trends = [z @ average for z, average in zip(series, averages, strict=True)]
            seasonals = [self.channels.along_channels(z - trend) for z, trend in zip(series, trends, strict=True)]
            trends = [self.channels.along_channels(trend) for trend in trends]
            mixed = [seasonal + trend for seasonal, trend in zip(seasonals, trends, strict=True)]
            split = None
        else:
            # of the finest scale only the seasonal part is told, and by way of ``split``
            trends = [series[0], *(z @ average for z, average in zip(series[1:], averages[1:], strict=True))]
            seasonals = [series[0], *(z - trend for z, trend in zip(series[1:], trends[1:], strict=True))]
            mixed = list(series)
            split = torch.eye(len(averages[0]), device=averages[0].device) - averages[0]
        seasonal = seasonals[0]
        for m, layer in enumerate(self.to_coarse, start=1):
            told = layer(seasonal, split if m == 1 else None)
            mixed[m] = mixed[m] + told
            seasonal = seasonals[m] + told
        trend = trends[-1]
        for m in reversed(range(len(self.to_fine))):
            told = self.to_fine[m](trend)
            mixed[m] = mixed[m] + told
            trend = trends[m] + told if m else told
        if self.mixes:
            return mixed
        return [self.channels.along_channels(z, beside) for z, beside in zip(mixed, series, strict=True)]

    def plainly(self, series: list[Tensor], window: int) -> list[Tensor]:
        """``forward`` as the public code does it, for scales R x l x d."""
        trends = [average(z, window) for z in series]
        seasonals = [z - trend for z, trend in zip(series, trends, strict=True)]
        if self.mixes:
            seasonals, trends = ([self.channels(part) for part in parts] for parts in (seasonals, trends))
        seasonals, trends = ([part.transpose(1, 2) for part in parts] for parts in (seasonals, trends))
        for m, layer in enumerate(self.to_coarse):
            seasonals[m + 1] = seasonals[m + 1] + layer(seasonals[m])
        for m in reversed(range(len(self.to_fine))):
            trends[m] = trends[m] + self.to_fine[m](trends[m + 1])
        mixed = [(seasonal + trend).transpose(1, 2) for seasonal, trend in zip(seasonals, trends, strict=True)]
        return mixed if self.mixes else [z + self.channels(y) for z, y in zip(series, mixed, strict=True)]


def average(z_RlK: Tensor, window: int) -> Tensor:
    """Moving average along the middle axis, the first and last value repeated beyond the edges."""
    beside = ((window - 1) // 2, window // 2)
    return F.avg_pool1d(F.pad(z_RlK.transpose(1, 2), beside, mode="replicate"), window, 1).transpose(1, 2)


class TimeMixer(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "timemixer"
    title: ClassVar[str] = "TimeMixer"
    source: ClassVar[str] = "arXiv 2405.14616"
    link: ClassVar[str] = "https://arxiv.org/abs/2405.14616"
    summary: ClassVar[str] = "Pooled scales tell each other: seasons from fine to coarse, trends from coarse to fine."
    shows: ClassVar[str] = "What each scale adds to the forecast."
    claims: ClassVar[str] = (
        "Seasons build up from fine detail and trends are led by the coarse view: mixing each in its own direction, "
        "with one forecast per scale, beats attention with a few linear layers."
    )
    limits: ClassVar[str] = (
        "The scales are mixed before they forecast: a contribution is what a scale's last layer adds, not what only "
        "its resolution knows."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        multivariate=False,
        scales=True,
        reason="TimeMixer has no attention: its layers along time are the same for every window.",
    )
    # the public code's one cycle rises over the first fifth along a cosine; ours rises along a line
    published: ClassVar[dict[str, Published]] = {
        "": Published(
            {
                **PLAIN_ADAM,
                "learning_rate": 1e-2,
                "schedule": "cosine",
                "warmup": 0.2,
                "batch_size": 128,
                "epochs": 10,
                "patience": 10,
            }
        )
    }
    scale_fields: ClassVar[tuple[str, ...]] = ("scales", "factor", "blocks")
    Config = Config
    config: Config

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        H, C = shape.horizon, shape.variates
        self.geometry = grids_of(config, shape.lookback)
        points = [grid.points for grid in self.geometry]
        together = C if config.mix_variates else 1
        self.revin = nn.ModuleList(RevIN(C, shape.withheld, affine=config.normalise) for _ in points)
        # a circular convolution over the point before, the point itself and the next
        self.embed = nn.Parameter(torch.empty(config.width, 3 * together))
        nn.init.kaiming_normal_(self.embed, nonlinearity="leaky_relu")
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Mixing(points, config) for _ in range(config.blocks))
        self.predict = nn.ModuleList(nn.Linear(length, H) for length in points)
        self.project = nn.Linear(config.width, together)
        if config.mix_variates:
            self.trend_refine = nn.ModuleList(nn.Linear(length, length) for length in points)
            self.trend_predict = nn.ModuleList(nn.Linear(length, H) for length in points)
        for m, length in enumerate(points):
            self.register_buffer(f"average{m}", linear_maps.moving_average(length, config.window), persistent=False)

    @property
    def averages(self) -> list[Tensor]:
        return [self.get_buffer(f"average{m}") for m in range(self.config.scales)]

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
        rows = "B" if config.mix_variates else f"B·{C}"
        boxes, arrows = [Box("in", "Window", dims("B", L, C), "data")], []
        for m, grid in enumerate(grids_of(config, L)):
            tokens, before = dims(rows, grid.points, config.width), f"embed{m}"
            # one box, so that the blocks that trade season and trend stand under each other
            steps = ["normalise"] * config.normalise + ["embed points"]
            about = ", ".join([f"pool {grid.factor} steps"] * (m > 0) + steps).capitalize()
            boxes.append(Box(before, about, tokens, scale=m))
            arrows.append(Arrow("in", before))
            for n in range(config.blocks):
                boxes.append(Box(f"mix{n}.{m}", f"Mixing, block {n + 1}", tokens, scale=m))
                arrows.append(Arrow(before, f"mix{n}.{m}"))
                if m:
                    arrows.append(Arrow(f"mix{n}.{m - 1}", f"mix{n}.{m}", "season"))
                    arrows.append(Arrow(f"mix{n}.{m}", f"mix{n}.{m - 1}", "trend"))
                before = f"mix{n}.{m}"
            boxes.append(Box(f"predict{m}", "Linear layers to the horizon", dims("B", H, C), scale=m))
            arrows += [Arrow(before, f"predict{m}"), Arrow(f"predict{m}", "sum")]
        boxes += [
            Box("sum", "Sum over scales", dims("B", H, C), "sum"),
            Box("out", "Forecast", dims("B", H, C), "data"),
        ]
        undone = "normalisation undone" if config.normalise else ""
        return Diagram(tuple(boxes), (*arrows, Arrow("sum", "out", undone)))

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "TimeMixer":
        """TimeMixer with the public code's weights. What that code stores and never uses is left out."""
        refuse_what_is_not_taken(options)
        config = Config(
            scales=options["down_sampling_layers"] + 1,
            factor=options["down_sampling_window"],
            pooling=options.get("down_sampling_method", "avg"),
            width=options["d_model"],
            hidden=options["d_ff"],
            blocks=options["e_layers"],
            window=options.get("moving_avg", 25),
            dropout=options.get("dropout", 0.1),
            mix_variates=options.get("channel_independence", 1) == 0,
            normalise=options.get("use_norm", 1) != 0,
        )
        model = cls(config, Shape(options["seq_len"], options["pred_len"], options["enc_in"]))
        M = config.scales
        names = {"project": "projection_layer"} | {f"predict.{m}": f"predict_layers.{m}" for m in range(M)}
        if config.mix_variates:
            names |= {f"trend_refine.{m}": f"out_res_layers.{m}" for m in range(M)}
            names |= {f"trend_predict.{m}": f"regression_layers.{m}" for m in range(M)}
        for n in range(config.blocks):
            pairs = {"channels": "cross_layer" if config.mix_variates else "out_cross_layer"}
            for m in range(M - 1):
                pairs[f"to_coarse.{m}"] = f"mixing_multi_scale_season.down_sampling_layers.{m}"
                # the public code counts these from the coarsest scale
                pairs[f"to_fine.{m}"] = f"mixing_multi_scale_trend.up_sampling_layers.{M - 2 - m}"
            for mine, theirs in pairs.items():
                names |= {f"blocks.{n}.{mine}.first": f"pdm_blocks.{n}.{theirs}.0"}
                names |= {f"blocks.{n}.{mine}.second": f"pdm_blocks.{n}.{theirs}.2"}
        ours = {f"{mine}.{part}": public[f"{names[mine]}.{part}"] for mine in names for part in ("weight", "bias")}
        ours["embed"] = public["enc_embedding.value_embedding.tokenConv.weight"].transpose(1, 2).flatten(1)
        if config.normalise:
            for m, part in ((m, part) for m in range(M) for part in ("weight", "bias")):
                ours[f"revin.{m}.{part}"] = public[f"normalize_layers.{m}.affine_{part}"]
        model.load_state_dict(ours)
        return model

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        x_CBL = x_BLC.permute(2, 0, 1).contiguous()
        scales, finest = self._normalised(self._pooled(x_CBL))
        outputs = self._outputs(scales) if self.training else self._outputs_plainly(scales)
        outputs = [part(y_KRH, scale=m) for m, y_KRH in enumerate(outputs)]
        y_CBH = torch.stack(outputs).sum(0).view(*x_CBL.shape[:2], -1)
        return self._undone(y_CBH, *finest).permute(1, 2, 0)

    def _pooled(self, x_CBL: Tensor) -> list[Tensor]:
        """The window at every scale, C x B x l."""
        pool = F.avg_pool1d if self.config.pooling == "avg" else F.max_pool1d
        scales = [x_CBL]
        for _ in self.geometry[1:]:
            scales.append(pool(scales[-1], self.config.factor))
        return scales

    def _normalised(self, pooled: list[Tensor]) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """Every scale as it enters, K x R x l, and the mean and deviation of the finest."""
        K, scales, statistics = self.project.out_features, [], []
        for revin, x_CBl in zip(self.revin, pooled, strict=True):
            statistics.append(cast(RevIN, revin).statistics(x_CBl))
            z_CBl = revin(x_CBl, *statistics[-1]) if self.config.normalise else x_CBl
            scales.append(z_CBl.reshape(K, -1, z_CBl.shape[-1]))
        return scales, statistics[0]

    def _undone(self, y_CBH: Tensor, mean_CB1: Tensor, std_CB1: Tensor) -> Tensor:
        return cast(RevIN, self.revin[0]).inverse(y_CBH, mean_CB1, std_CB1) if self.config.normalise else y_CBH

    def _outputs(self, scales: list[Tensor]) -> list[Tensor]:
        """What every scale forecasts, K x R x H."""
        averages, series, trends = self.averages, [], []
        for z_KRl, moving in zip(scales, averages, strict=True):
            if self.config.mix_variates:
                trends.append(z_KRl @ moving)
                z_KRl = z_KRl - trends[-1]
            neighbours = torch.cat([z_KRl.roll(1, -1), z_KRl, z_KRl.roll(-1, -1)])
            series.append(self.dropout((self.embed @ neighbours.flatten(1)).view(-1, *z_KRl.shape[1:])))
        for block in self.blocks:
            series = block(series, averages)
        outputs = []
        for m, z_dRl in enumerate(series):
            # the channels first: the other way round is the same with d times the work
            z_KRl = (self.project.weight @ z_dRl.flatten(1)).view(-1, *z_dRl.shape[1:])
            y_KRH = z_KRl @ self.predict[m].weight.T + self._bias(m)
            outputs.append(y_KRH + self._from_trend(m, trends[m]) if trends else y_KRH)
        return outputs

    def _outputs_plainly(self, scales: list[Tensor]) -> list[Tensor]:
        """The same in the public code's steps."""
        window, series, trends = self.config.window, [], []
        kernel_dK3 = self.embed.view(len(self.embed), 3, -1).transpose(1, 2)
        for z_RlK in (z_KRl.permute(1, 2, 0) for z_KRl in scales):
            if self.config.mix_variates:
                trends.append(average(z_RlK, window))
                z_RlK = z_RlK - trends[-1]
            around_RKl = F.pad(z_RlK.transpose(1, 2), (1, 1), mode="circular")
            series.append(F.conv1d(around_RKl, kernel_dK3).transpose(1, 2))
        for block in self.blocks:
            series = cast(Mixing, block).plainly(series, window)
        outputs = []
        for m, z_Rld in enumerate(series):
            y_RHK = self.project(self.predict[m](z_Rld.transpose(1, 2)).transpose(1, 2))
            y_KRH = y_RHK.permute(2, 0, 1)
            outputs.append(y_KRH + self._from_trend(m, trends[m].permute(2, 0, 1)) if trends else y_KRH)
        return [y_KRH.contiguous() for y_KRH in outputs]

    def _from_trend(self, m: int, trend_KRl: Tensor) -> Tensor:
        """Where variates are mixed, the trend of the normalised scale reaches the horizon past the blocks."""
        return self.trend_predict[m](self.trend_refine[m](trend_KRl))

    def _bias(self, m: int) -> Tensor:
        """What the biases of a scale's last two layers add to the forecast, K x 1 x H."""
        along_time = cast(nn.Linear, self.predict[m])
        through_KH = self.project.weight.sum(1, keepdim=True) * along_time.bias
        return (through_KH + self.project.bias[:, None])[:, None]

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        x_CBL = x_BLC.permute(2, 0, 1).contiguous()
        C, B, _ = x_CBL.shape
        pooled = self._pooled(x_CBL)
        normalised, (mean_CB1, std_CB1) = self._normalised(pooled)
        gain = cast(RevIN, self.revin[0]).gain(std_CB1) if self.config.normalise else 1.0
        scales, biases = [], torch.zeros_like(pooled[0][..., :1])
        for m, (grid, y_KRH) in enumerate(zip(self.geometry, self._outputs_plainly(normalised), strict=True)):
            bias_K1H = self._bias(m)
            if self.config.mix_variates:
                bias_K1H = bias_K1H + self.trend_predict[m](self.trend_refine[m].bias)
            part_CBH = (y_KRH - bias_K1H).view(C, B, -1) * gain
            biases = biases + bias_K1H
            seen, part = (array(v.permute(1, 2, 0)) for v in (pooled[m], part_CBH))
            scales.append(ScaleOutput(m, grid.factor, 0, 1.0, seen, part))
        rest = array(self._undone(biases, mean_CB1, std_CB1).permute(1, 2, 0))
        return Trace(rest + sum(scale.contribution for scale in scales), rest, tuple(scales))


def refuse_what_is_not_taken(options: dict[str, Any]) -> None:
    """Raises UserError for options of the public code that this model leaves out."""
    method, split, window = (
        options.get("down_sampling_method", "avg"),
        options.get("decomp_method", "moving_avg"),
        options.get("moving_avg", 25),
    )
    if method not in ("avg", "max"):
        raise UserError(
            f"down_sampling_method {method!r} cannot be compared: the public code draws that convolution anew for "
            "every batch. The nearest that can: 'avg' or 'max'."
        )
    if split != "moving_avg":
        raise UserError(
            f"decomp_method {split!r} cannot be compared: the public code transforms over the channels, not over time. "
            "The nearest that can: 'moving_avg'."
        )
    if window % 2 == 0:
        raise UserError(
            f"The public TimeMixer shortens the window with an even moving average of {window}. The nearest that can "
            f"be compared: {window + 1}."
        )
    if options["down_sampling_layers"] < 1:
        raise UserError("The public TimeMixer needs down_sampling_layers of at least 1 to mix scales.")


MODEL = TimeMixer
