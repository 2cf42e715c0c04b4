"""Every learned architecture on a GPU: that it computes what it computes on the CPU, how fast, in how much memory.

S2TX and SST stand twice where mamba-ssm's kernel is installed, with it and with the torch form of the scan.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from statistics import median
from unittest.mock import patch

import torch
from torch import Tensor

from core.errors import UserError
from core.models.contract import Forecaster, Shape
from core.models.layers import selective_scan
from core.models.registry import architecture, architectures, build
from core.training.loop import TrainingState
from core.training.recipes import preset, preset_lookback

HORIZON, BATCH = 96, 32
VARIATES = (7, 321, 862)
SCANNING = ("s2tx", "sst")
WARM, STEPS, LIMIT = 5, 30, 4.0  # steps that are not counted, that are at most, and seconds of a cell at most

Row = dict[str, object]


def measure() -> list[Row]:
    """A row per architecture, scan, number of variates and precision. Raises UserError without a CUDA device."""
    if not torch.cuda.is_available():
        raise UserError("There is no CUDA device here, so there is nothing to measure.")
    rows = []
    learned = [name for name, model in architectures().items() if not model.capabilities.fitted]
    for name in sorted(learned, key=lambda name: name in SCANNING):  # the slowest last
        for scan in scans() if name in SCANNING else ("",):
            with scanned_by(scan):
                off, slow = agreement(name), False
                for variates in VARIATES:
                    if slow:
                        break  # more variates take longer still
                    for precision in ("bf16", "fp32"):
                        found: Row = {"model": name, "scan": scan, "variates": variates, "precision": precision}
                        found |= cell(name, variates, precision == "bf16")
                        first = variates == VARIATES[0]
                        found["forecast off"] = f"{off[precision][0]:.1e}" if first else ""
                        found["gradient off"] = f"{off[precision][1]:.1e}" if first else ""
                        slow = slow or found.pop("seconds") > LIMIT  # type: ignore[operator]
                        print(found, flush=True)
                        rows.append(found)
    return rows


def scans() -> tuple[str, ...]:
    return ("mamba-ssm", "torch") if selective_scan.scan_path("cuda").name == "mamba-ssm" else ("torch",)


@contextmanager
def scanned_by(scan: str) -> Iterator[None]:
    """Every scan on the GPU takes the torch form inside, where ``scan`` says so."""
    chosen = selective_scan._chosen

    def torch_form(device: str, wide: bool):
        return (selective_scan.torch_scan, chosen(device, wide)[1]) if device == "cuda" else chosen(device, wide)

    with patch.object(selective_scan, "_chosen", torch_form) if scan == "torch" else nullcontext():
        yield


def make(name: str, variates: int) -> Forecaster:
    own = architecture(name).published
    options = dict(own["ETTh1"].config if "ETTh1" in own else own[""].config) if own else {}
    torch.manual_seed(0)
    return build(name, options, Shape(preset_lookback("published", name, "ETTh1"), HORIZON, variates))


def agreement(name: str) -> dict[str, tuple[float, float]]:
    """How far forecast and gradient are from the CPU's in float32, by precision: norm of the difference over norm."""
    model = make(name, VARIATES[0]).eval()
    x_BLC = torch.randn(8, model.shape.lookback, VARIATES[0]).cumsum(1)
    expected = passed(model, x_BLC, "cpu", bfloat16=False)
    found = {}
    for precision in ("bf16", "fp32"):
        ours = passed(model, x_BLC, "cuda", precision == "bf16")
        forecast, gradient = (far(a, b) for a, b in zip(ours, expected, strict=True))
        found[precision] = (forecast, gradient)
    return found


def passed(model: Forecaster, x_BLC: Tensor, device: str, bfloat16: bool) -> tuple[Tensor, Tensor]:
    """Forecast, and the gradient of its mean square with respect to all weights."""
    model.to(device).zero_grad()
    with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
        forecast = model(x_BLC.to(device))
    forecast.float().square().mean().backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return forecast.detach().float().cpu(), torch.cat(gradients).float().cpu()


def far(ours: Tensor, expected: Tensor) -> float:
    return float((ours - expected).norm() / expected.norm())


def cell(name: str, variates: int, bfloat16: bool) -> Row:
    """Training steps as the loop makes them, batches drawn on the card."""
    empty: Row = dict.fromkeys(("step, ms", "windows/s", "peak, MiB"), "") | {"seconds": 0.0}
    torch.cuda.empty_cache()
    begun = time.perf_counter()
    try:
        model = make(name, variates).cuda().train()
        L = model.shape.lookback
        windows = torch.randn(2000, variates, device="cuda").cumsum(0).mul(0.1).unfold(0, L + HORIZON, 1)
        state = TrainingState(model, preset("published", name, "ETTh1"), len(windows), "cuda", bfloat16=bfloat16)
        torch.cuda.reset_peak_memory_stats()
        seconds: list[float] = []
        while len(seconds) < WARM + STEPS and (time.perf_counter() - begun < LIMIT or len(seconds) < WARM + 3):
            both = windows[torch.randint(0, len(windows), (BATCH,), device="cuda")]
            torch.cuda.synchronize()
            started = time.perf_counter()
            state.step(both[..., :L].transpose(1, 2), both[..., L:].transpose(1, 2), tuple(range(variates)))
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    except UserError as error:
        return empty | {"step, ms": f"refused: {error}"}
    except torch.cuda.OutOfMemoryError:
        return empty | {"step, ms": "out of memory"}
    step = median(seconds[WARM:])
    peak = torch.cuda.max_memory_allocated() / 2**20
    took = {"seconds": time.perf_counter() - begun}
    return took | {"step, ms": round(step * 1e3, 2), "windows/s": round(BATCH / step), "peak, MiB": round(peak)}
