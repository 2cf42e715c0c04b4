"""CrossScaleNet written the obvious way from its description: what the benchmark holds our layout against.

B x L x C throughout, one module a step, seasonal and trend one after the other. Same arithmetic, same outputs (a test
compares them); only the order of memory and the number of operations differ from ``core.models.crossscalenet``.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Decomposition(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        padded = torch.cat([x[:, :1].repeat(1, 12, 1), x, x[:, -1:].repeat(1, 12, 1)], dim=1)
        trend = F.avg_pool1d(padded.transpose(1, 2), 25, 1).transpose(1, 2)
        return x - trend, trend


class Encoder(nn.Module):
    def __init__(self, points: int, horizon: int, variates: int, width: int) -> None:
        super().__init__()
        self.temporal = nn.Sequential(nn.Linear(points, width), nn.ReLU(), nn.Linear(width, points), nn.Dropout(0.1))
        self.channel = nn.Sequential(nn.Linear(variates, width), nn.ReLU(), nn.Linear(width, variates))
        self.final = nn.Linear(points, horizon)

    def forward(self, z: Tensor) -> Tensor:
        h = self.temporal(z.transpose(1, 2)).transpose(1, 2)
        difference = torch.cat([z[:, :1], z[:, 1:] - z[:, :-1]], dim=1)
        g = h * difference
        r = z + g + self.channel(g)
        return self.final(r.transpose(1, 2)).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, patch: int, variates: int) -> None:
        super().__init__()
        self.patch, self.variates = patch, variates
        self.far = nn.ModuleList(nn.Linear(variates, variates) for _ in range(3))
        self.near = nn.ModuleList(nn.Linear(variates, variates) for _ in range(3))

    def forward(self, x: Tensor, patch_key: Tensor, local_key: Tensor) -> Tensor:
        B, points, C = x.shape
        p, P = self.patch, points // self.patch

        def stretch(series: Tensor) -> Tensor:
            return F.interpolate(series.transpose(1, 2), size=points, mode="linear").transpose(1, 2)

        def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(C), dim=-1)
            return weights @ value

        x_patches, k_patches = x.reshape(B, P, p, C), stretch(patch_key).reshape(B, P, p, C)
        q, k, v = (f(s) for f, s in zip(self.far, (x_patches, k_patches, x_patches), strict=True))
        far = attend(q.mean(2), k.mean(2), v.mean(2)).unsqueeze(2).expand(-1, -1, p, -1).reshape(B, points, C)
        l_patches = stretch(local_key).reshape(B, P, p, C)
        q, k, v = (f(s) for f, s in zip(self.near, (x_patches, l_patches, x_patches), strict=True))
        return far + attend(q, k, v).reshape(B, points, C)


class PlainCrossScaleNet(nn.Module):
    """Defaults of the paper for ETT; look-back a multiple of 16."""

    def __init__(self, lookback: int, horizon: int, variates: int, scales: int = 4, width: int = 32) -> None:
        super().__init__()
        lengths = [lookback // 2**m for m in range(scales)]
        self.weight, self.bias = nn.Parameter(torch.ones(variates)), nn.Parameter(torch.zeros(variates))
        self.split = Decomposition()
        self.seasonal = nn.ModuleList(Encoder(length, horizon, variates, width) for length in lengths)
        self.trend = nn.ModuleList(Encoder(length, horizon, variates, width) for length in lengths)
        self.attention = nn.ModuleList(Attention(16 // 2**m, variates) for m in range(1, scales))
        self.scale_weights = nn.Parameter(torch.ones(scales))
        self.head = nn.Linear(scales * horizon, horizon)
        position = torch.arange(lookback)[:, None]
        angle = position * torch.exp(torch.arange(0, variates, 2) * (-math.log(10000.0) / variates))
        code = torch.zeros(lookback, variates)
        code[:, 0::2], code[:, 1::2] = angle.sin(), angle.cos()[:, : variates // 2]
        self.register_buffer("position", code)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True).detach()
        std = torch.sqrt(x.var(1, keepdim=True, unbiased=False) + 1e-5).detach()
        x = (x - mean) / std * self.weight + self.bias + self.position
        outputs, finest, first_seasonal = [], x, x
        for m, (seasonal_encoder, trend_encoder) in enumerate(zip(self.seasonal, self.trend, strict=True)):
            if m:
                x = F.avg_pool1d(x.transpose(1, 2), 2).transpose(1, 2)
            z = self.attention[m - 1](x, finest, first_seasonal) if m else x
            seasonal, trend = self.split(z)
            seasonal = seasonal_encoder(seasonal)
            y = (seasonal + trend_encoder(trend)) * torch.sigmoid(self.scale_weights[m])
            if m == 0:
                finest, first_seasonal = y, seasonal
            outputs.append(y)
        y = self.head(torch.cat(outputs, dim=1).transpose(1, 2)).transpose(1, 2)
        return (y - self.bias) / (self.weight + 1e-10) * std + mean


def public_names(plain: PlainCrossScaleNet) -> dict[str, Tensor]:
    """Its weights under the public code's names, which ``CrossScaleNet.from_public`` takes."""
    names = {"normalize_layer.affine_weight": plain.weight, "normalize_layer.affine_bias": plain.bias}
    names |= {"scale_weights": plain.scale_weights}
    names |= {"projection.weight": plain.head.weight, "projection.bias": plain.head.bias}
    for part, encoders in (("Seasonal", plain.seasonal), ("Trend", plain.trend)):
        for m, encoder in enumerate(encoders):
            for name, value in encoder.state_dict().items():
                public = name.replace("final", "linear_final")
                names[f"encoder_{part}.{m}.{public}"] = value
    for m, attention in enumerate(plain.attention):
        for branch, layers in (("patch", attention.far), ("local", attention.near)):
            for role, layer in zip(("query", "key", "value"), layers, strict=True):
                names |= {f"attention.{m}.{branch}_{role}.{k}": v for k, v in layer.state_dict().items()}
    return {name: value.detach().clone() for name, value in names.items()}
