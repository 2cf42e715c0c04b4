"""DLinear (Zeng et al. 2023, arXiv 2205.13504): moving-average decomposition, then one linear layer from the window to
the horizon for the seasonal part and one for the trend. No normalisation, nothing between the variates. Ours: each
window may be normalised before and its forecast put back (RLinear, Li et al. 2023), which ``ours`` turns on.

Shape suffixes: B batch, L look-back, H horizon, C variates, G = 1 (all variates share the layers) or C (one each).

Both layers and the decomposition are linear, so the forecast is one product x M with M = S + T (R - S), where T is the
moving average, S and R the seasonal and the trend weights: that is how it trains. Evaluated, it takes the public code's
way through both parts, so that a window at a high level is rounded alike.
"""

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from core.errors import UserError
from core.models.contract import PLAIN_ADAM, Attention, Capabilities, Forecaster, ModelConfig, Published, Shape
from core.models.diagram import Arrow, Box, Diagram, chain, dims
from core.models.layers import linear_maps
from core.models.layers.normalisation import RevIN
from core.models.trace import ScaleOutput, Trace, array


class Config(ModelConfig):
    """Options of DLinear. Defaults are the paper's; ``normalise`` is ours."""

    window: int = Field(
        default=25,
        ge=1,
        le=501,
        title="Trend window",
        description="Points of the moving average that splits off the trend.",
    )
    individual: bool = Field(
        default=False,
        title="Layers per variate",
        description="Every variate has layers of its own (the paper's DLinear-I) instead of sharing them.",
    )
    normalise: bool = Field(
        default=False,
        title="Normalise each window",
        description="By its own mean and deviation, put back after; not in the paper. Long windows gain from it.",
    )


class DLinear(Forecaster):
    """See the module's first paragraph and ``models.md``."""

    name: ClassVar[str] = "dlinear"
    title: ClassVar[str] = "DLinear"
    source: ClassVar[str] = "arXiv 2205.13504"
    link: ClassVar[str] = "https://arxiv.org/abs/2205.13504"
    summary: ClassVar[str] = "One linear layer each for the window's trend and for the rest: the least there is."
    shows: ClassVar[str] = "What the trend and what the seasonal part adds to the forecast, exactly."
    claims: ClassVar[str] = "One linear layer forecasts long horizons better than the Transformers of its day."
    limits: ClassVar[str] = (
        "The same weights answer every window, whatever it looks like, and no variate sees another. Nothing brings a "
        "window of another level to that of the training."
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        multivariate=False, scales=True, reason="DLinear has no attention: its weights are the same for every window."
    )
    # models.md: 5e-3; for the exchange rates what its authors' script says
    published: ClassVar[dict[str, Published]] = {
        "": Published({**PLAIN_ADAM, "learning_rate": 5e-3, "epochs": 10}),
        "exchange_rate": Published({**PLAIN_ADAM, "learning_rate": 5e-4, "batch_size": 8, "epochs": 10}),
    }
    # chosen on validation windows: docs/results/modern-choice.md
    ours: ClassVar[dict[str, Any]] = {"normalise": True}
    ours_recipe: ClassVar[dict[str, Any]] = {"loss": "mse"}  # each step has weights of its own: no weighing of steps
    ours_lookback: ClassVar[int] = 336
    Config = Config
    config: Config
    moving_average: Tensor

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        L, H = shape.lookback, shape.horizon
        G = shape.variates if config.individual else 1
        # the public code's start: every step of the window counts alike
        self.seasonal = nn.Parameter(torch.full((G, L, H), 1 / L))
        self.trend = nn.Parameter(torch.full((G, L, H), 1 / L))
        self.seasonal_bias = nn.Parameter(torch.empty(G, 1, H).uniform_(-(L**-0.5), L**-0.5))
        self.trend_bias = nn.Parameter(torch.empty(G, 1, H).uniform_(-(L**-0.5), L**-0.5))
        self.revin = RevIN(shape.variates, shape.withheld, affine=False) if config.normalise else None
        self.register_buffer("moving_average", linear_maps.moving_average(L, config.window), persistent=False)

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        config = cast(Config, config)
        L, H, C = shape.lookback, shape.horizon, shape.variates
        whose = "of each variate" if config.individual else "shared by the variates"
        boxes = [
            Box("in", "Window", dims("B", L, C), "data"),
            Box("average", f"Moving average, {config.window} points", dims("B", L, C), scale=0),
            Box("seasonal", f"Seasonal layer, {whose}", dims("B", H, C), scale=0),
            Box("trend", f"Trend layer, {whose}", dims("B", H, C), scale=0),
            Box("sum", "Sum", dims("B", H, C), "sum"),
            Box("out", "Forecast", dims("B", H, C), "data"),
        ]
        split = (Arrow("average", "seasonal", "window - average"), Arrow("average", "trend", "average"))
        before, after = ["in", "average"], ["seasonal", "sum", "out"]
        if config.normalise:
            boxes.insert(1, Box("norm", "Normalise each window", dims("B", L, C)))
            boxes.insert(-1, Box("back", "Mean and deviation back", dims("B", H, C)))
            before.insert(1, "norm")
            after.insert(2, "back")
        return Diagram(tuple(boxes), (*chain(*before), *split, *chain(*after), Arrow("trend", "sum")))

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "DLinear":
        """DLinear with the public code's weights, matrices turned to multiply from the right."""
        window = options.get("moving_avg", 25)
        if window % 2 == 0:
            raise UserError(
                f"The public DLinear shortens the window with an even moving average of {window}. "
                f"The nearest that can be compared: {window + 1}."
            )
        individual = "Linear_Trend.0.weight" in public
        config = Config(window=window, individual=individual)
        model = cls(config, Shape(options["seq_len"], options["pred_len"], options["enc_in"]))
        ours = {}
        for mine, theirs in (("seasonal", "Linear_Seasonal"), ("trend", "Linear_Trend")):
            names = [f"{theirs}.{g}" for g in range(options["enc_in"])] if individual else [theirs]
            ours[mine] = torch.stack([public[f"{name}.weight"].T for name in names])
            ours[f"{mine}_bias"] = torch.stack([public[f"{name}.bias"][None] for name in names])
        model.load_state_dict(ours)
        return model

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        x_CBL = x_BLC.permute(2, 0, 1)
        if self.revin is None:
            return self._layers(x_CBL).permute(1, 2, 0)
        mean, std = self.revin.statistics(x_CBL)
        return self.revin.inverse(self._layers(self.revin(x_CBL, mean, std)), mean, std).permute(1, 2, 0)

    def _layers(self, x_CBL: Tensor) -> Tensor:
        C, B, L = x_CBL.shape
        x_GNL = x_CBL.reshape(len(self.seasonal), -1, L)
        if self.training:
            whole_GLH = self.seasonal + self.moving_average @ (self.trend - self.seasonal)
            y_GNH = torch.baddbmm(self.seasonal_bias + self.trend_bias, x_GNL, whole_GLH)
        else:
            trend_GNL = self._trend(x_GNL)
            y_GNH = torch.baddbmm(self.seasonal_bias, x_GNL - trend_GNL, self.seasonal)
            y_GNH = y_GNH + torch.baddbmm(self.trend_bias, trend_GNL, self.trend)
        return y_GNH.view(C, B, -1)

    def _trend(self, x_GNL: Tensor) -> Tensor:
        window = self.config.window
        beside = ((window - 1) // 2, window // 2)
        return F.avg_pool1d(F.pad(x_GNL, beside, mode="replicate"), window, 1)

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        B, L, C = x_BLC.shape
        x_CBL = x_BLC.permute(2, 0, 1)
        mean, std = (0.0, 1.0) if self.revin is None else self.revin.statistics(x_CBL)
        x_GNL = ((x_CBL - mean) / std).reshape(len(self.seasonal), -1, L)
        trend_GNL = self._trend(x_GNL)
        parts = ((x_GNL - trend_GNL) @ self.seasonal, trend_GNL @ self.trend)
        seasonal, trend = (array((std * part.view(C, B, -1)).permute(1, 2, 0)) for part in parts)
        bias_C1H = (self.seasonal_bias + self.trend_bias).expand(C, 1, -1)
        rest = array((std * bias_C1H + mean).expand(C, B, -1).permute(1, 2, 0))
        whole = ScaleOutput(0, 1, 0, 1.0, array(x_BLC), seasonal + trend, seasonal, trend, name="whole window")
        return Trace(rest + whole.contribution, rest, (whole,))


MODEL = DLinear
