"""What SST and S2TX have in common: a coarse look at the whole window beside a fine look at its end.

The global branch cuts all L steps into long patches, the local branch the last S steps into short ones; patches
overlap, and the end is filled by repeating the last step. Options, geometry and what cannot work live here.
"""

import torch
from pydantic import Field

from core.errors import UserError
from core.models.contract import Grid, ModelConfig, Shape
from core.models.layers.attention import check_heads
from core.models.layers.patching import count_padded
from core.models.layers.selective_scan import scan_path
from core.models.trace import Axis, time_axis


class TwoBranches(ModelConfig):
    """Options of both branches. Defaults are SST's for ETT."""

    local: int = Field(
        default=0,
        ge=0,
        le=100_000,
        title="Local window S",
        description="Last steps of the look-back that the local branch sees; 0 is half of the look-back.",
    )
    local_patch: int = Field(
        default=16, ge=1, le=1024, title="Local patch", description="Steps of one patch of the local branch."
    )
    local_stride: int = Field(
        default=8, ge=1, le=1024, title="Local stride", description="Steps from one local patch to the next."
    )
    global_patch: int = Field(
        default=48, ge=1, le=4096, title="Global patch", description="Steps of one patch of the global branch."
    )
    global_stride: int = Field(
        default=16, ge=1, le=4096, title="Global stride", description="Steps from one global patch to the next."
    )
    width: int = Field(
        default=16, ge=1, le=1024, title="Width", description="Features of a token, in both branches: d in the papers."
    )
    heads: int = Field(
        default=4, ge=1, le=64, title="Heads", description="Of every attention; the width must be divisible by them."
    )
    hidden: int = Field(
        default=128, ge=1, le=8192, title="Hidden units", description="Between the two linear layers after a mixer."
    )
    local_layers: int = Field(
        default=3, ge=1, le=12, title="Local layers", description="Attention layers of the local branch."
    )
    global_layers: int = Field(
        default=1, ge=1, le=12, title="Global layers", description="Mamba layers of the global branch."
    )
    band: int = Field(
        default=3,
        ge=0,
        le=1024,
        title="Band",
        description="A local token asks this many neighbours to each side. SST's local_ws is 2 x band + 1.",
    )
    state: int = Field(default=16, ge=1, le=256, title="States", description="Of every channel of the selective scan.")
    conv: int = Field(default=4, ge=1, le=16, title="Convolution", description="Steps of Mamba's convolution.")
    expand: int = Field(default=2, ge=1, le=8, title="Expansion", description="Mamba's channels per feature.")
    dropout: float = Field(default=0.3, ge=0, lt=1, title="Dropout", description="Share of values dropped in training.")


def scan_note() -> str:
    """Which form of the selective scan runs on this machine, in a sentence. The first call may compile (seconds)."""
    path = scan_path("cuda" if torch.cuda.is_available() else "cpu")
    return f"Selective scan on this machine: {path.name} ({path.reason})."


def local_window(config: TwoBranches, lookback: int) -> int:
    """S: what was asked for, or half of the look-back."""
    return config.local or max(lookback // 2, 1)


def local_grid(config: TwoBranches, lookback: int) -> Grid:
    S = local_window(config, lookback)
    patches = count_padded(S, config.local_patch, config.local_stride)
    return Grid(1, S, config.local_patch, patches, lookback - S, config.local_stride, "local")


def global_grid(config: TwoBranches, lookback: int, patches: int = 0) -> Grid:
    """``patches`` holds their number fixed: the stride is then L / patches, and the remainder of the division is left
    out at the far end of the window, not at its last steps (ours)."""
    stride = lookback // patches if patches else config.global_stride
    count = patches or count_padded(lookback, config.global_patch, stride)
    first = lookback - patches * stride if patches else 0
    return Grid(1, lookback - first, config.global_patch, count, first, stride, "global")


def patch_axis(grid: Grid, lookback: int) -> Axis:
    """The steps each patch of a branch spans."""
    return time_axis(grid.first, grid.patch, grid.stride, grid.patches, lookback)


def check_branches(config: TwoBranches, shape: Shape) -> None:
    """Raises UserError where the branches do not fit the window or the heads do not divide the width."""
    L, S = shape.lookback, local_window(config, shape.lookback)
    if S > L:
        raise UserError(
            f"The local window of {S} steps is longer than the look-back of {L}. The nearest that works: a local "
            f"window of {L}, or a look-back of {S}.",
            {"local": L},
        )
    if config.global_patch > L:
        raise UserError(
            f"A global patch of {config.global_patch} steps is longer than the look-back of {L}. The nearest that "
            f"works: global patch {L}, or a look-back of {config.global_patch}.",
            {"global_patch": L},
        )
    if config.local_patch > S:
        longer = "" if config.local_patch > L else f", or a local window of {config.local_patch}"
        raise UserError(
            f"A local patch of {config.local_patch} steps is longer than the local window of {S}. The nearest that "
            f"works: local patch {S}{longer}.",
            {"local_patch": S},
        )
    check_heads(config.width, config.heads)
