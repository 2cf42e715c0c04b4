"""AutoETS (Hyndman et al. 2002): exponential smoothing of level, trend and season; the form by AICc, for each variate.

statsmodels' ``ETSModel`` estimates every form on the training part. The values are z-scored, so forms are additive:
trend none, additive or damped; season none or additive. A window is then forecast with those parameters fixed.

Choices, ours: the look-back starts from the states that err least over it, which is their maximum likelihood (a season
or slope that the window says nothing about is 0); a trend needs a look-back of five steps, a season one of two seasons.
"""

import math
import warnings
from itertools import product
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from core.models.contract import ModelConfig, Shape
from core.models.layers.statistical import Additive

TRENDS = ((None, False), ("add", False), ("add", True))
NONE = (math.inf, [1.0, 0.0, 0.0, 0.0], False)  # no parameters found: the last value, repeated
RIDGE = 1e-6  # makes slope and season 0 where the window leaves them open; far below what it tells


class AutoETS(Additive):
    """``smoothing_C4`` are alpha, beta, gamma and phi of each variate; beta = phi = 0: no trend, phi = 1: undamped."""

    name: ClassVar[str] = "autoets"
    title: ClassVar[str] = "AutoETS"
    source: ClassVar[str] = (
        "Hyndman, Koehler, Snyder and Grose, A state space framework for automatic forecasting using exponential "
        "smoothing methods, International Journal of Forecasting 18, 2002"
    )
    link: ClassVar[str] = "https://doi.org/10.1016/S0169-2070(01)00110-8"
    summary: ClassVar[str] = "Exponential smoothing of level, trend and season; the form is chosen for each variate."
    shows: ClassVar[str] = "nothing inside"
    claims: ClassVar[str] = "Automatic, and good in the M3 competition, above all a few steps ahead of seasonal series."
    limits: ClassVar[str] = (
        "It is fitted for one step ahead and for each variate alone. It is estimated once, on the training part: "
        "a window is forecast with the parameters found there."
    )
    steps: ClassVar = (("Smooth: level, trend, season", ""), ("Extend", "forecast"))
    smoothing_C4: Tensor

    def __init__(self, config: ModelConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        # alpha 1 and no more: the last value, repeated
        self.register_buffer("smoothing_C4", torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(shape.variates, 1).double())

    def estimate(self, values_T: np.ndarray, variate: int, period: int) -> None:
        trends = TRENDS if self.shape.lookback >= 5 else TRENDS[:1]
        forms = [form(values_T, *trend, p) for trend, p in product(trends, sorted({1, period}))]
        _, smoothing, seasonal = min(forms, key=lambda found: found[0])
        self.smoothing_C4[variate] = torch.tensor(smoothing, dtype=torch.float64)
        self.seasonal_C[variate] = seasonal

    def components(self, part: slice, period: int) -> Tensor:
        smoothing_C4, seasonal_C = (b[part].cpu() for b in (self.smoothing_C4, self.seasonal_C))
        first_CLk, read_CLk, carried_Ckk = linear_smoothing(smoothing_C4, seasonal_C, self.shape.lookback, period)
        return read_CLk + first_CLk @ carried_Ckk

    def reach(self) -> Tensor:
        damping_C1 = self.smoothing_C4[:, 3:].cpu()
        return torch.cumsum(damping_C1 ** torch.arange(1, self.shape.horizon + 1), dim=1)


def form(values_T: np.ndarray, trend: str | None, damped: bool, period: int) -> tuple[float, list[float], bool]:
    """AICc (up to a constant), alpha, beta, gamma and phi of one form, and whether it has a season; ``period`` 1: none.
    AICc is infinite where the library finds no parameters."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    seasonal = period > 1
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a search that stops early is judged by its AICc like any other
        try:
            model = ETSModel(
                values_T,
                trend=trend,
                damped_trend=damped,
                seasonal="add" if seasonal else None,
                seasonal_periods=period if seasonal else None,
                initialization_method="heuristic",
            )
            found: Any = model.fit(disp=False)
        except (ValueError, np.linalg.LinAlgError):  # a series that this form cannot follow
            return NONE
    named = dict(zip(model.param_names, np.asarray(found.params), strict=True))
    phi = named.get("damping_trend", 1.0 if trend else 0.0)
    smoothing = [*(named.get(f"smoothing_{part}", 0.0) for part in ("level", "trend", "seasonal")), phi]
    n, squares = len(values_T), float(found.sse)
    # smoothing parameters, first states (level, slope, season), variance; the library does not count states
    # that its heuristic sets
    k = len(named) + 1 + bool(trend) + (period if seasonal else 0) + 1
    if not (math.isfinite(squares) and np.isfinite(smoothing).all() and n > k + 1):
        return NONE
    return n * math.log(max(squares / n, 1e-300)) + 2 * k * n / (n - k - 1), smoothing, seasonal


def smooth(y_CnL: Tensor, smoothing_C4: Tensor, first_Cnk: Tensor) -> tuple[Tensor, Tensor]:
    """The recursion itself: one-step errors C x n x L and the last states C x n x k of n series a variate.

    States are level, slope, and the season's steps in the order in which they come next. e = y - (l + phi b + s),
    l <- l + phi b + alpha e, b <- phi b + beta e, s <- s + gamma e.
    """
    alpha, beta, gamma, phi = smoothing_C4.T[..., None]
    level_Cn, slope_Cn, season_mCn = first_Cnk[..., 0], first_Cnk[..., 1], first_Cnk[..., 2:].movedim(-1, 0).clone()
    errors = []
    for t, y_Cn in enumerate(y_CnL.unbind(-1)):
        season_Cn = season_mCn[t % len(season_mCn)]
        ahead_Cn = level_Cn + phi * slope_Cn
        e_Cn = y_Cn - ahead_Cn - season_Cn
        level_Cn, slope_Cn = ahead_Cn + alpha * e_Cn, phi * slope_Cn + beta * e_Cn
        season_Cn += gamma * e_Cn
        errors.append(e_Cn)
    season_mCn = season_mCn.roll(-len(errors), 0)
    return torch.stack(errors, -1), torch.cat([torch.stack([level_Cn, slope_Cn]), season_mCn]).movedim(0, -1)


def linear_smoothing(
    smoothing_C4: Tensor, seasonal_C: Tensor, lookback: int, period: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Smoothing as matrices: the first states from the window (C x L x k), and the last states from the window alone
    (C x L x k) and from the first states (C x k x k). Without a season k is 3: the season's one step stays 0."""
    C, k = len(smoothing_C4), 2 + period
    window_LL = torch.eye(lookback, dtype=smoothing_C4.dtype)
    errors_CLL, read_CLk = smooth(window_LL.expand(C, -1, -1), smoothing_C4, smoothing_C4.new_zeros(C, lookback, k))
    open_Ck = smoothing_C4.new_ones(C, k)
    open_Ck[:, 2:] = seasonal_C[:, None]
    left_CkL, carried_Ckk = smooth(smoothing_C4.new_zeros(C, k, lookback), smoothing_C4, torch.diag_embed(open_Ck))
    # least squares of errors + first @ left over the first states
    ridge_k = smoothing_C4.new_full((k,), RIDGE)
    ridge_k[0] = 0.0  # the level is never open, and the forecast moves with the window
    first_CkL = -torch.linalg.solve(left_CkL @ left_CkL.mT + torch.diag(ridge_k), left_CkL @ errors_CLL.mT)
    return first_CkL.mT, read_CLk, carried_Ckk


MODEL = AutoETS
