"""Drift: from the last value on along the straight line through the first and the last value of the window."""

from typing import ClassVar

import torch
from torch import Tensor

from core.models.layers.statistical import Statistical


class Drift(Statistical):
    """See the module's docstring."""

    name: ClassVar[str] = "drift"
    title: ClassVar[str] = "Drift"
    source: ClassVar[str] = "Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, 2021, 5.2"
    link: ClassVar[str] = "https://otexts.com/fpp3/simple-methods.html"
    summary: ClassVar[str] = "Goes on as fast as the window rose or fell on the whole."
    shows: ClassVar[str] = "nothing inside"
    claims: ClassVar[str] = "The best forecast of a random walk that drifts."
    limits: ClassVar[str] = "Its slope hangs on two values, the first and the last of the window, and it never bends."
    steps: ClassVar = (("Last value, mean change", "variate"), ("Extend the line", "forecast"))

    def ahead(self, x_BLC: Tensor) -> Tensor:
        first_B1C, last_B1C = x_BLC[:, :1], x_BLC[:, -1:]
        step_H1 = torch.arange(1, self.shape.horizon + 1, device=x_BLC.device, dtype=x_BLC.dtype)[:, None]
        return last_B1C + step_H1 * ((last_B1C - first_B1C) / max(self.shape.lookback - 1, 1))


MODEL = Drift
