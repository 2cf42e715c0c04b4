"""The Mamba block (Gu and Dao 2023, arXiv 2312.00752), with the parameter names and the start of mamba-ssm.

For a sequence of L tokens of width D the block works on E = expand * D channels:

    1. in_proj     x, z = halves of W_in tokens           every token becomes E channels x and E gate values z
    2. conv1d      x = silu(conv(x))                      each channel by itself, over a token and the K - 1 before it
    3. x_proj      r, B, C = parts of W_x x               R numbers for delta, N for B and N for C
       dt_proj     delta = softplus(W_dt r + b_dt)        one for each channel
    4. scan        h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t,   y_t = C_t h_t + D x_t,   with A = -exp(A_log)
    5. gate        y = y * silu(z)
    6. out_proj    W_out y                                back to width D

That delta, B and C come from the token is what makes the scan selective: delta is how far a token moves the state. Near
0 it is passed over; large it replaces what was there. A channel has N states, which forget at the rates A. Steps 4 and
5 are ``core.models.layers.selective_scan``.

Shape suffixes: B batch, L tokens, D width, E channels, N states (B and C of the scan are ``B_BLN`` and ``C_BLN``; the
skip weight D is ``self.D``).
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.layers.frozen import held
from core.models.layers.selective_scan import selective_scan

DELTA_RANGE = (1e-3, 1e-1)  # where delta starts, log-uniform over the channels


class Mamba(nn.Module):
    """``width`` is D, ``state`` N, ``conv`` K, ``rank`` R (a sixteenth of the width where not given). ``bias`` is that
    of the first and last projection, ``conv_bias`` the convolution's."""

    def __init__(
        self,
        width: int,
        state: int = 16,
        conv: int = 4,
        expand: int = 2,
        rank: int | None = None,
        *,
        bias: bool = False,
        conv_bias: bool = True,
    ) -> None:
        super().__init__()
        channels, rank = expand * width, rank or math.ceil(width / 16)
        self.parts = (rank, state, state)
        self.in_proj = nn.Linear(width, 2 * channels, bias=bias)
        # holds the weights; ``_convolve`` applies them in the layout of the other steps
        self.conv1d = nn.Conv1d(channels, channels, conv, groups=channels, padding=conv - 1, bias=conv_bias)
        self.x_proj = nn.Linear(channels, sum(self.parts), bias=False)
        self.dt_proj = nn.Linear(rank, channels)
        self.A_log = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(channels, 1))
        self.D = nn.Parameter(torch.ones(channels))
        self.out_proj = nn.Linear(channels, width, bias=bias)
        with torch.no_grad():
            self.dt_proj.weight.uniform_(-(rank**-0.5), rank**-0.5)
            low, high = (math.log(bound) for bound in DELTA_RANGE)
            delta_E = torch.empty(channels).uniform_(low, high).exp_()
            self.dt_proj.bias.copy_(delta_E + torch.log(-torch.expm1(-delta_E)))  # softplus of this is delta

    @classmethod
    def from_public(cls, options: dict[str, Any], public: dict[str, Tensor]) -> "Mamba":
        """A block with the weights of mamba-ssm's, in their type; ``options`` are the arguments it was made with."""
        rank = options.get("dt_rank", "auto")
        block = cls(
            options["d_model"],
            options.get("d_state", 16),
            options.get("d_conv", 4),
            options.get("expand", 2),
            None if rank == "auto" else rank,
            bias=options.get("bias", False),
            conv_bias=options.get("conv_bias", True),
        )
        block.load_state_dict(public)
        return block.to(public["in_proj.weight"].dtype)

    def forward(self, x_BLD: Tensor, reverse: bool = False) -> Tensor:
        """B x L x D; ``reverse`` reads the tokens from the last to the first, as on a flipped sequence."""
        x_BLE, z_BLE = self.in_proj(x_BLD).chunk(2, dim=-1)
        x_BLE = F.silu(self._convolve(x_BLE, reverse))
        rank_BLR, B_BLN, C_BLN = self.x_proj(x_BLE).split(self.parts, dim=-1)
        delta_BLE = F.softplus(self.dt_proj(rank_BLR))
        # as in mamba-ssm these two are float32 in every block, a float64 one too
        A_EN, D_E = -self.A_log.float().exp(), self.D.float()
        delta_BLE, B_BLN, C_BLN, z_BLE = held(delta_BLE), held(B_BLN), held(C_BLN), held(z_BLE)
        y_BLE = selective_scan(x_BLE, delta_BLE, A_EN, B_BLN, C_BLN, D_E, z_BLE, reverse)
        return self.out_proj(y_BLE)

    def _convolve(self, x_BLE: Tensor, reverse: bool) -> Tensor:
        """Each channel over the K - 1 tokens before it, or after it where time runs backwards; B x L x E.

        The tokens lie in memory as an image of height 1 with its channels last, which is read as it is."""
        weight_E1K, before = self.conv1d.weight, self.conv1d.kernel_size[0] - 1
        x_BLE = F.pad(x_BLE, (0, 0, 0, before) if reverse else (0, 0, before, 0))
        weight_E1K = weight_E1K.flip(-1) if reverse else weight_E1K
        x_BE1L = x_BLE.transpose(1, 2)[:, :, None]
        y_BE1L = F.conv2d(x_BE1L, weight_E1K[:, :, None], self.conv1d.bias, groups=self.conv1d.groups)
        return y_BE1L[:, :, 0].transpose(1, 2)
