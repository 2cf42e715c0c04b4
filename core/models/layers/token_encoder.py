"""The Transformer encoder that iTransformer, PatchTST and Transformer share (Vaswani et al. 2017): attention, full or
by score, then two linear layers, each with a residual and a LayerNorm after it. They differ in what a token is.

Shape suffixes: N windows (or windows x variates), T tokens, d width, h heads.

By score (CASA, arXiv 2505.02011) a layer takes no projection after the weighted values, as in CASA's own block (ours).
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from core.models.contract import Attention, ModelConfig
from core.models.layers.attention import MultiHeadAttention, check_heads
from core.models.layers.dropout import Dropout
from core.models.layers.score import ScoreAttention, check_score
from core.models.trace import AttentionMap, Axis, array, numbered

NO_TIME_AXIS = (
    "Attention by score weighs tokens for each hidden feature: what asks has no place in time, so its maps cannot be "
    "followed down to steps. Choose full attention, or ask attribution methods (gradients, occlusion)."
)


class EncoderConfig(ModelConfig):
    """Options of the encoder."""

    width: int = Field(default=128, ge=1, le=4096, title="Width", description="Features of a token.")
    heads: int = Field(
        default=8, ge=1, le=128, title="Heads", description="Of full attention; the width must be divisible by them."
    )
    hidden: int = Field(
        default=128, ge=1, le=16384, title="Hidden units", description="Between the two linear layers of each layer."
    )
    layers: int = Field(default=2, ge=1, le=24, title="Layers", description="Encoder layers, one after the other.")
    dropout: float = Field(default=0.1, ge=0, lt=1, title="Dropout", description="Share of values dropped in training.")
    activation: Literal["gelu", "relu"] = Field(
        default="gelu", title="Activation", description="Between the two linear layers."
    )
    attention: Literal["full", "score"] = Field(
        default="full",
        title="Attention",
        description="full: every token asks every token. score: CASA's convolutional score, linear in the tokens.",
    )
    kernel: int = Field(
        default=3, ge=3, le=101, title="Kernel", description="Of attention by score: features one step sees; odd."
    )


def check_encoder(config: EncoderConfig) -> None:
    """Raises UserError where heads or score do not fit the width, naming the nearest that does."""
    if config.attention == "score":
        check_score(config.width, config.kernel)
    else:
        check_heads(config.width, config.heads)


class EncoderLayer(nn.Module):
    """N x T x d to N x T x d. ``tokens`` is T, to which attention by score is bound."""

    def __init__(self, config: EncoderConfig, tokens: int) -> None:
        super().__init__()
        d = config.width
        self.attention: MultiHeadAttention | ScoreAttention
        if config.attention == "full":
            self.attention = MultiHeadAttention(d, config.heads, config.dropout)
        else:
            self.attention = ScoreAttention(tokens, d, config.kernel)
        self.widen, self.narrow = nn.Linear(d, config.hidden), nn.Linear(config.hidden, d)
        self.norm_attention, self.norm_out = nn.LayerNorm(d), nn.LayerNorm(d)
        self.dropout = Dropout(config.dropout)
        self.activation: Callable[[Tensor], Tensor] = F.gelu if config.activation == "gelu" else F.relu

    def forward(self, z_NTd: Tensor, use: Attention, whole: bool) -> tuple[Tensor, Tensor | None]:
        """The tokens and, if ``whole``, the weights: N x h x T x T (full) or N x T x d (by score)."""
        gained_NTd, weights = self.attention(z_NTd, use=use, whole=whole)
        z_NTd = self.norm_attention(z_NTd + self.dropout(gained_NTd))
        hidden = self.dropout(self.activation(self.widen(z_NTd)))
        return self.norm_out(z_NTd + self.dropout(self.narrow(hidden))), weights


class Encoder(nn.Module):
    """The layers, one after the other."""

    def __init__(self, config: EncoderConfig, tokens: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config, tokens) for _ in range(config.layers))

    def forward(self, z_NTd: Tensor, use: Attention = "learned", whole: bool = False) -> tuple[Tensor, list[Tensor]]:
        """The tokens and, if ``whole``, every layer's weights."""
        found = []
        for layer in self.layers:
            z_NTd, weights = layer(z_NTd, use, whole)
            found.append(weights)
        return z_NTd, found


def encoder_maps(found: list[Tensor], tokens: Axis, variates: int | None = None) -> tuple[AttentionMap, ...]:
    """Maps of every layer and head. With ``variates``, N is windows x variates and every variate has maps of its own.

    By score the features ask and the tokens are asked: B x d x T.
    """
    maps = []
    for n, weights in enumerate(found):
        by_score = weights.dim() == 3
        # N x heads x queries x keys; attention by score has one head
        heads = weights.transpose(1, 2)[:, None] if by_score else weights
        query, branch = (numbered("feature", weights.shape[2]), "score") if by_score else (tokens, "self")
        series = [(None, heads)] if variates is None else enumerate(heads.unflatten(0, (-1, variates)).unbind(1))
        maps += [
            AttentionMap(branch, array(head), query, tokens, layer=n, head=h, variate=variate)
            for variate, own in series
            for h, head in enumerate(own.unbind(1))
        ]
    return tuple(maps)


def encoder_from_public(options: dict[str, Any], public: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The layers' weights under our names, from the public codes' ``encoder.attn_layers.*``: their projections of one
    sequence are one product here, their convolutions of width one are linear layers."""
    ours = {}
    plain = {
        "attention.out": "attention.out_projection",
        "widen": "conv1",
        "narrow": "conv2",
        "norm_attention": "norm1",
        "norm_out": "norm2",
    }
    for n in range(options["e_layers"]):
        layer, theirs = f"{prefix}.layers.{n}", f"encoder.attn_layers.{n}"
        for part in ("weight", "bias"):
            for mine, name in plain.items():
                value = public[f"{theirs}.{name}.{part}"]
                ours[f"{layer}.{mine}.{part}"] = (
                    value.squeeze(-1) if name.startswith("conv") and part == "weight" else value
                )
            projections = [public[f"{theirs}.attention.{role}_projection.{part}"] for role in ("query", "key", "value")]
            ours[f"{layer}.attention.project.{part}"] = torch.cat(projections)
    return ours


def public_options(options: dict[str, Any]) -> dict[str, Any]:
    """The public codes' options of the encoder as fields of ``EncoderConfig``."""
    return {
        "width": options["d_model"],
        "heads": options.get("n_heads", 8),
        "hidden": options.get("d_ff") or 4 * options["d_model"],
        "layers": options["e_layers"],
        "dropout": options.get("dropout", 0.1),
        # the public code knows "relu" and takes anything else for GELU
        "activation": "relu" if options.get("activation", "gelu") == "relu" else "gelu",
    }
