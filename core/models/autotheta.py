"""AutoTheta (Assimakopoulos and Nikolopoulos 2000; as a formula: Hyndman and Billah 2003): exponential smoothing of the
deseasonalised series plus a share of its straight line.

statsmodels' ``ThetaModel`` decides by its test whether a variate of the training part has a season, and estimates
alpha. The forecast of a window is the library's:
y_h = l + (1 - 1/theta) b (h - 1 + (1 - (1 - alpha)^L) / alpha) + season, with l the smoothed level, b the least-squares
slope, and the season by additive decomposition, all of the window.

Choices, ours: theta is the one that errs least over windows of the training part, at all steps of the horizon, instead
of 2; a season needs a look-back of two seasons.
"""

import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from core.models.contract import ModelConfig, Shape
from core.models.layers.statistical import Additive, filled

WINDOWS = 1_000  # of the training part, evenly spaced, that choose theta


class AutoTheta(Additive):
    """``alpha_C`` smooths the level; ``share_C`` = 1 - 1/theta of the straight line is taken (0: none, theta 1)."""

    name: ClassVar[str] = "autotheta"
    title: ClassVar[str] = "AutoTheta"
    source: ClassVar[str] = (
        "Assimakopoulos and Nikolopoulos, The theta model: a decomposition approach to forecasting, International "
        "Journal of Forecasting 16, 2000"
    )
    link: ClassVar[str] = "https://doi.org/10.1016/S0169-2070(00)00066-2"
    summary: ClassVar[str] = "A smoothed level, a share of the window's straight line, and a mean season."
    shows: ClassVar[str] = "nothing inside"
    claims: ClassVar[str] = "Won the M3 competition of 3,003 short series."
    limits: ClassVar[str] = (
        "Each variate alone. It is estimated once, on the training part: a window is forecast with the smoothing and "
        "the theta found there."
    )
    steps: ClassVar = (("Deseasonalise", "window"), ("Smoothed level, slope", "variate"), ("Extend", "forecast"))
    alpha_C: Tensor
    share_C: Tensor

    def __init__(self, config: ModelConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        # alpha 1 and no line: the last value, repeated
        self.register_buffer("alpha_C", torch.ones(shape.variates, dtype=torch.float64))
        self.register_buffer("share_C", torch.zeros(shape.variates, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, values_TC: Tensor, targets: tuple[int, ...]) -> None:
        super().fit(values_TC, targets)
        self.choose_theta(filled(values_TC[None])[0].double(), targets)
        self._matrices.clear()

    def estimate(self, values_T: np.ndarray, variate: int, period: int) -> None:
        from statsmodels.tsa.forecasting.theta import ThetaModel

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # a search that stops early still has an alpha
            model = ThetaModel(values_T, period=period, deseasonalize=period > 1, method="additive")
            try:
                found: Any = model.fit()
            except (ValueError, np.linalg.LinAlgError):  # a series that cannot be smoothed: its last value, repeated
                return
            seasonal = period > 1 and bool(found.forecast_components(period)["seasonal"].any())
        alpha = float(found.params["alpha"])
        if np.isfinite(alpha):
            self.alpha_C[variate] = min(max(alpha, 1e-6), 1.0)
            self.seasonal_C[variate] = seasonal

    def choose_theta(self, values_TC: Tensor, targets: tuple[int, ...]) -> None:
        """The share of the line that errs least: least squares over windows, held between 0 and 1."""
        L, H = self.shape.lookback, self.shape.horizon
        self.share_C.zero_()
        if len(values_TC) < L + H:
            return
        windows_NCT = values_TC.unfold(0, L + H, 1)
        chosen = torch.linspace(0, len(windows_NCT) - 1, min(WINDOWS, len(windows_NCT))).round().long()
        slope_CL = self.matrices(values_TC.dtype, values_TC.device)[0][..., 1]
        straight_CH = self.straight().to(values_TC)
        size, fit = (values_TC.new_zeros(self.shape.variates) for _ in range(2))
        for part in chosen.to(values_TC.device).split(16):
            x_BLC, y_BHC = windows_NCT[part].transpose(1, 2).split((L, H), dim=1)
            line_BHC = torch.einsum("blc,cl,ch->bhc", x_BLC, slope_CL, straight_CH)
            size += line_BHC.square().sum((0, 1))
            fit += (line_BHC * (y_BHC - self.ahead(x_BLC))).sum((0, 1))
        best_C = torch.where(size > 1e-12, fit / size.clamp_min(1e-12), 0.0).clamp(0, 1)
        self.share_C[list(targets)] = best_C[list(targets)].to(self.share_C)

    def components(self, part: slice, period: int) -> Tensor:
        alpha_C, seasonal_C = self.alpha_C[part].cpu(), self.seasonal_C[part].cpu()
        L = self.shape.lookback
        age_L = torch.arange(L - 1, -1, -1)
        level_CL = alpha_C[:, None] * (1 - alpha_C[:, None]) ** age_L
        level_CL[:, 0] += (1 - alpha_C) ** L  # smoothing starts from the first value
        centred_L = torch.arange(L, dtype=torch.float64) - (L - 1) / 2
        slope_L = centred_L / centred_L.square().sum()
        both_CL2 = torch.stack([level_CL, slope_L.expand_as(level_CL)], dim=-1)
        if period == 1:
            return both_CL2
        season_LL = decomposition(L, period)
        plain_CLL = torch.eye(L, dtype=torch.float64) - seasonal_C[:, None, None] * season_LL
        ahead_Lm = season_LL[:, (L + torch.arange(period)) % period]
        return torch.cat([plain_CLL @ both_CL2, seasonal_C[:, None, None] * ahead_Lm], dim=-1)

    def reach(self) -> Tensor:
        return self.share_C.cpu()[:, None] * self.straight()

    def straight(self) -> Tensor:
        """What the slope is worth at each step ahead where the line counts in full, C x H."""
        alpha_C1 = self.alpha_C.cpu()[:, None]
        return torch.arange(self.shape.horizon) + (1 - (1 - alpha_C1) ** self.shape.lookback) / alpha_C1


def decomposition(length: int, period: int) -> Tensor:
    """Seasonal part of the library's additive decomposition, which is linear: x @ M is the season at every step."""
    from statsmodels.tsa.seasonal import seasonal_decompose

    return torch.from_numpy(seasonal_decompose(np.eye(length), model="additive", period=period).seasonal.T.copy())


MODEL = AutoTheta
