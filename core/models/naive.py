"""Naive: the last value seen, at every step ahead. The best forecast of a random walk."""

from typing import ClassVar

from torch import Tensor

from core.models.layers.statistical import Statistical


class Naive(Statistical):
    """See the module's docstring."""

    name: ClassVar[str] = "naive"
    title: ClassVar[str] = "Naive"
    source: ClassVar[str] = "Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, 2021, 5.2"
    link: ClassVar[str] = "https://otexts.com/fpp3/simple-methods.html"
    summary: ClassVar[str] = "Repeats the last value of each variate."
    shows: ClassVar[str] = "nothing inside"
    claims: ClassVar[str] = "The best forecast of a random walk; what does not beat it has learned nothing."
    limits: ClassVar[str] = "It knows no season and no trend, and only one value of the window."
    steps: ClassVar = (("Last value", "variate"), ("Repeat", "forecast"))

    def ahead(self, x_BLC: Tensor) -> Tensor:
        return x_BLC[:, -1:].repeat(1, self.shape.horizon, 1)


MODEL = Naive
