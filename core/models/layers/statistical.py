"""What the statistical forecasters share: each reads every variate alone, by a rule that is linear in the window.

``Statistical`` is their base. ``Additive`` is the base of those that read a level, a slope and a season off the window:
one small matrix a variate, so that thousands of windows are scored in moments.

Shape suffixes: B batch, L look-back, H horizon, C variates, T steps of a series, k = 2 + m components (level, slope and
the m steps of a season; 2 where there is no season).
"""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from core.data.season import repeating_lag
from core.errors import UserError
from core.models.contract import Attention, Capabilities, Family, Forecaster, ModelConfig, Shape
from core.models.diagram import Box, Diagram, chain, dims
from core.models.trace import Trace, array

VALUES, ROWS, FEWEST = 2_000_000, 10_000, 1_000  # of a training part: what is looked at, so that a fit takes seconds
SHORTEST = 10  # rows that the library needs


class NoOptions(ModelConfig):
    """Nothing to choose: what there is to find is estimated."""


class Statistical(Forecaster):
    """A forecast by rule. Missing steps take the last value seen before them, or 0, the mean, where none was."""

    family: ClassVar[Family] = "statistical"
    Config: ClassVar[type[ModelConfig]] = NoOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        multivariate=False,
        missing_values=True,
        fitted=True,
        reason="It has no attention: its forecast follows from the window by a rule that can be written down.",
    )
    steps: ClassVar[tuple[tuple[str, str], ...]]  # what happens between window and forecast: a name, what leaves it

    @classmethod
    def diagram(cls, config: ModelConfig, shape: Shape) -> Diagram:
        L, H, C = shape.lookback, shape.horizon, shape.variates
        known = {"window": dims("B", L, C), "forecast": dims("B", H, C), "variate": dims("B", C), "": ""}
        boxes = [Box("window", "Window", known["window"], "data")]
        boxes += [Box(f"step {i}", text, known[leaves]) for i, (text, leaves) in enumerate(cls.steps)]
        boxes.append(Box("forecast", "Forecast", known["forecast"], "data"))
        return Diagram(tuple(boxes), chain(*(box.id for box in boxes)))

    @abstractmethod
    def ahead(self, x_BLC: Tensor) -> Tensor:
        """B x H x C from a window without gaps."""

    def fit(self, values_TC: Tensor, targets: tuple[int, ...]) -> None:
        """There is nothing to estimate."""

    def forward(self, x_BLC: Tensor, attention: Attention = "learned") -> Tensor:
        return self.ahead(filled(x_BLC))

    @torch.no_grad()
    def trace(self, x_BLC: Tensor) -> Trace:
        forecast = array(self(x_BLC))
        return Trace(forecast, forecast)


class Additive(Statistical):
    """Forecast h steps ahead = level + slope x reach(h) + season(h), all three linear in the window.

    What is estimated are buffers; the matrices follow from them and are made when first needed. ``seasonal_C`` says
    which variates have a season; only targets are estimated, the others repeat their last value.
    """

    period: Tensor
    seasonal_C: Tensor

    def __init__(self, config: ModelConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        self.register_buffer("period", torch.ones((), dtype=torch.int64))
        self.register_buffer("seasonal_C", torch.zeros(shape.variates, dtype=torch.bool))
        self._matrices: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}
        self.register_load_state_dict_post_hook(lambda *_: self._matrices.clear())

    @abstractmethod
    def estimate(self, values_T: np.ndarray, variate: int, period: int) -> None:
        """Sets the buffers of one variate from its training part, which is neither short nor constant. ``period`` 1:
        no season."""

    @abstractmethod
    def components(self, part: slice, period: int) -> Tensor:
        """What turns windows into components, of the variates of ``part``: C x L x k in float64."""

    @abstractmethod
    def reach(self) -> Tensor:
        """How often the slope counts at each step ahead, C x H in float64."""

    @torch.no_grad()
    def fit(self, values_TC: Tensor, targets: tuple[int, ...]) -> None:
        if len(values_TC) < SHORTEST:
            raise UserError(
                f"{self.title} is estimated from {SHORTEST} rows or more, and the training part has {len(values_TC)}. "
                "Use a longer series, or the naive forecast."
            )
        rows = min(ROWS, max(FEWEST, VALUES // len(targets)))
        values_TK = filled(values_TC[None, :, list(targets)])[0, -rows:].double().cpu().numpy()
        # a season is told from a level by being seen twice, in the training part and in every window
        longest = min(self.shape.lookback, (len(values_TK) - SHORTEST) // 2) // 2
        period = repeating_lag(values_TK, longest, self.shape.horizon) if longest > 1 else 1
        self.period.fill_(period)
        for variate, values_T in zip(targets, values_TK.T, strict=True):
            if np.ptp(values_T) > 1e-9:  # a constant repeats itself
                self.estimate(values_T, variate, period)
        self._matrices.clear()

    def ahead(self, x_BLC: Tensor) -> Tensor:
        read_CLk, reach_CH = self.matrices(x_BLC.dtype, x_BLC.device)
        level_CB1, slope_CB1, season_CBm = torch.bmm(x_BLC.permute(2, 0, 1), read_CLk).tensor_split((1, 2), dim=-1)
        y_CBH = torch.addcmul(level_CB1, slope_CB1, reach_CH[:, None])
        if m := season_CBm.shape[-1]:
            y_CBH = y_CBH + season_CBm[..., torch.arange(self.shape.horizon, device=x_BLC.device) % m]
        return y_CBH.permute(1, 2, 0)

    def matrices(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        """C x L x k and C x H, made once."""
        if (dtype, device) not in self._matrices:
            # not as inference tensors: a gradient with respect to the window may pass through them later
            with torch.inference_mode(False), torch.no_grad():
                self._matrices[dtype, device] = (self.read().to(device, dtype), self.reach().to(device, dtype))
        return self._matrices[dtype, device]

    def read(self) -> Tensor:
        """``components`` of all variates, a few at a time: what leads to them is larger than they are. On the CPU."""
        C, L = self.shape.variates, self.shape.lookback
        # a file from outside may claim any season
        period = min(max(int(self.period), 1), max(L // 2, 1)) if bool(self.seasonal_C.any()) else 1
        few = max(1, 4_000_000 // L**2)
        return torch.cat([self.components(slice(i, i + few), period) for i in range(0, C, few)])


def filled(x_BLC: Tensor) -> Tensor:
    """Missing steps (NaN) take the last value seen before them, or 0 where none was."""
    seen = ~x_BLC.isnan()
    if bool(seen.all()):
        return x_BLC
    step = torch.arange(x_BLC.shape[1], device=x_BLC.device)[None, :, None]
    return x_BLC.gather(1, torch.where(seen, step, 0).cummax(1).values).nan_to_num(0.0)
