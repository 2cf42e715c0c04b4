"""Seasonal naive: the last season seen, repeated. The season is the lag whose repetition erred least in training."""

from typing import ClassVar

import torch
from torch import Tensor

from core.data.season import repeating_lag
from core.models.contract import ModelConfig, Shape
from core.models.layers.statistical import Statistical


class SeasonalNaive(Statistical):
    """``period`` (1: no season, so the naive forecast) is what is estimated."""

    name: ClassVar[str] = "seasonal_naive"
    title: ClassVar[str] = "Seasonal naive"
    source: ClassVar[str] = "Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, 2021, 5.2"
    link: ClassVar[str] = "https://otexts.com/fpp3/simple-methods.html"
    summary: ClassVar[str] = "Repeats the last season of each variate; one season for all."
    shows: ClassVar[str] = "nothing inside"
    claims: ClassVar[str] = "Hard to beat where a series repeats itself by the day, the week or the year."
    limits: ClassVar[str] = "It repeats one season with all its noise, and knows no trend."
    steps: ClassVar = (("Last season", ""), ("Repeat", "forecast"))
    period: Tensor

    def __init__(self, config: ModelConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        self.register_buffer("period", torch.ones((), dtype=torch.int64))

    def fit(self, values_TC: Tensor, targets: tuple[int, ...]) -> None:
        values_TK = values_TC[:, list(targets)].cpu().numpy()
        self.period.fill_(repeating_lag(values_TK, self.shape.lookback, self.shape.horizon))

    def ahead(self, x_BLC: Tensor) -> Tensor:
        period = min(max(int(self.period), 1), self.shape.lookback)
        step = self.shape.lookback - period + torch.arange(self.shape.horizon, device=x_BLC.device) % period
        return x_BLC[:, step]


MODEL = SeasonalNaive
