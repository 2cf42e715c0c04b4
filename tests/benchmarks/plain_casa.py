"""CASA written the obvious way from its description, with convolution modules: what the benchmark holds our form of the
score against. Same arithmetic, same outputs (a test compares them)."""

import torch
from torch import Tensor, nn


class Score(nn.Module):
    def __init__(self, tokens: int, width: int, kernel: int) -> None:
        super().__init__()
        d, about = width, {"stride": 2, "padding": kernel // 2}
        self.encoder = nn.Sequential(
            nn.Conv1d(tokens, d // 4, kernel, **about),
            nn.ReLU(),
            nn.Conv1d(d // 4, d // 2, kernel, **about),
            nn.ReLU(),
            nn.Conv1d(d // 2, d, kernel, **about),
            nn.ReLU(),
        )
        about["output_padding"] = 1
        self.decoder = nn.Sequential(
            nn.ConvTranspose1d(d, d // 2, kernel, **about),
            nn.ReLU(),
            nn.ConvTranspose1d(d // 2, d // 4, kernel, **about),
            nn.ReLU(),
            nn.ConvTranspose1d(d // 4, tokens, kernel, **about),
            nn.Sigmoid(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.decoder(self.encoder(z)) + z


class Block(nn.Module):
    def __init__(self, variates: int, width: int, kernel: int) -> None:
        super().__init__()
        self.score = Score(variates, width, kernel)
        self.value = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, z: Tensor) -> Tensor:
        u = self.norm(torch.softmax(self.score(z), dim=1) * self.value(z) + z)
        return self.norm(self.mlp(u) + u)


class PlainCASA(nn.Module):
    """Defaults of the paper for ETTh1."""

    def __init__(
        self, lookback: int, horizon: int, variates: int, width: int = 128, kernel: int = 3, layers: int = 1
    ) -> None:
        super().__init__()
        blocks = [nn.Sequential(Block(variates, width, kernel), nn.ReLU()) for _ in range(layers)]
        self.model = nn.Sequential(nn.Linear(lookback, width), nn.ReLU(), *blocks, nn.Linear(width, horizon))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True).detach()
        std = torch.sqrt(x.var(1, keepdim=True) + 1e-5).detach()
        return self.model(((x - mean) / std).transpose(1, 2)).transpose(1, 2) * std + mean
