"""RevIN (Kim et al. 2022): each window is normalised by its own mean and deviation, and the forecast put back.

Layout C x B x L: one row per variate and window, time last.
"""

import torch
from torch import Tensor, nn


class RevIN(nn.Module):
    """Instance normalisation with a learned weight and bias per variate.

    Statistics are detached; ``withheld`` variates (all zeros) are left alone: mean 0, deviation 1.
    """

    def __init__(self, variates: int, withheld: tuple[int, ...] = (), eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(variates)), nn.Parameter(torch.zeros(variates))
        self.eps, self.withheld = eps, list(withheld)

    @torch.no_grad()
    def statistics(self, x_CBL: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of every window, each C x B x 1."""
        mean = x_CBL.mean(-1, keepdim=True)
        # not var_mean, which is twenty times slower on rows this short
        std = (x_CBL - mean).square_().mean(-1, keepdim=True).add_(self.eps).sqrt_()
        if self.withheld:
            mean[self.withheld], std[self.withheld] = 0.0, 1.0
        return mean, std

    def forward(self, x_CBL: Tensor, mean_CB1: Tensor, std_CB1: Tensor) -> Tensor:
        return torch.addcmul(self.bias[:, None, None], x_CBL - mean_CB1, self.weight[:, None, None] / std_CB1)

    def inverse(self, y_CBH: Tensor, mean_CB1: Tensor, std_CB1: Tensor) -> Tensor:
        return torch.addcmul(mean_CB1, y_CBH - self.bias[:, None, None], self.gain(std_CB1))

    def gain(self, std_CB1: Tensor) -> Tensor:
        """What one unit of the normalised forecast is worth on the input's scale, C x B x 1."""
        return std_CB1 / (self.weight[:, None, None] + self.eps**2)
