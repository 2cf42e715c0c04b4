"""RevIN (Kim et al. 2022): each window is normalised by its own mean and deviation, and the forecast put back.

Time is last; ``axis`` says where the variates are: 0 for C x B x L, 1 for B x C x L. Evaluated, every operation is the
public codes' own, so that forecasts round alike; in training some are one.
"""

import torch
from torch import Tensor, nn

from core.models.layers.frozen import held


class RevIN(nn.Module):
    """Instance normalisation; with ``affine`` a learned weight and bias per variate.

    Statistics are detached; ``withheld`` variates (all zeros) are left alone: mean 0, deviation 1. ``unbiased`` divides
    the variance by L - 1. With ``missing``, NaN is a missing step: it takes no part in the statistics and enters as
    zero after normalisation; a window with no observed step has mean 0 and deviation 1.
    """

    def __init__(
        self,
        variates: int,
        withheld: tuple[int, ...] = (),
        eps: float = 1e-5,
        *,
        affine: bool = True,
        unbiased: bool = False,
        missing: bool = False,
        axis: int = 0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(variates)) if affine else None
        self.bias = nn.Parameter(torch.zeros(variates)) if affine else None
        self.eps, self.withheld, self.unbiased, self.missing, self.axis = eps, list(withheld), unbiased, missing, axis

    @torch.no_grad()
    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of every window: the shape of ``x`` with one step."""
        if self.missing:
            seen = ~x.isnan()
            x, count = x.nan_to_num(), seen.sum(-1, keepdim=True)
            mean = x.sum(-1, keepdim=True) / count.clamp_min(1)
            squares = ((x - mean) * seen).square_().sum(-1, keepdim=True)
            std = squares.div_((count - int(self.unbiased)).clamp_min(1)).add_(self.eps).sqrt_()
            std = torch.where(count > 0, std, 1.0)
        elif not self.training:
            # in the order of the public codes, B x L x C along L: deep models multiply a difference in rounding
            x_BLC = (x.permute(1, 2, 0) if self.axis == 0 else x.transpose(1, 2)).contiguous()
            mean_B1C = x_BLC.mean(1, keepdim=True)
            variance_B1C = x_BLC.var(1, correction=min(int(self.unbiased), x.shape[-1] - 1), keepdim=True)
            both = (mean_B1C, variance_B1C.add_(self.eps).sqrt_())
            mean, std = (v.permute(2, 0, 1) if self.axis == 0 else v.transpose(1, 2) for v in both)
        else:
            mean = x.mean(-1, keepdim=True)
            # not var_mean, which is twenty times slower on rows this short
            squares = (x - mean).square_().sum(-1, keepdim=True)
            std = squares.div_(max(x.shape[-1] - int(self.unbiased), 1)).add_(self.eps).sqrt_()
        if self.withheld:
            index = torch.tensor(self.withheld, device=x.device)
            mean, std = mean.index_fill(self.axis, index, 0.0), std.index_fill(self.axis, index, 1.0)
        return held(mean), held(std)

    def forward(self, x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        x = x - mean
        if self.missing:
            x = x.nan_to_num()
        if self.weight is None or self.bias is None:
            return x / std
        if not self.training:
            return x / std * self._beside(self.weight) + self._beside(self.bias)
        return torch.addcmul(self._beside(self.bias), x, self._beside(self.weight) / std)

    def inverse(self, y: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        if self.bias is not None:
            y = y - self._beside(self.bias)
        if not self.training:
            y = y if self.weight is None else y / (self._beside(self.weight) + self.eps**2)
            return y * std + mean
        return torch.addcmul(mean, y, self.gain(std))

    def gain(self, std: Tensor) -> Tensor:
        """What one unit of the normalised forecast is worth on the input's scale, the shape of ``std``."""
        return std if self.weight is None else std / (self._beside(self.weight) + self.eps**2)

    def _beside(self, per_variate: Tensor) -> Tensor:
        return per_variate[:, None, None] if self.axis == 0 else per_variate[:, None]
