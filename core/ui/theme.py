"""The colours of charts in light and dark, and the one Altair configuration every chart gets. No data, no widgets.

The page itself takes the same colours from ``.streamlit/config.toml``. Observed is the text colour, the forecast the
accent, baselines grey and dashed, the truth of a known set amber; scales run fine to coarse, dark to light, along
the accent's hue; variates take Okabe-Ito (product.md, Look).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st

if TYPE_CHECKING:  # a second of imports that the first page of a server need not wait for
    import altair as alt

Chart = TypeVar("Chart", bound="alt.TopLevelMixin")


@dataclass(frozen=True)
class Colors:
    """One appearance. Every colour is a hex string; ``scales`` are stops of the ramp, fine to coarse."""

    ground: str
    panel: str
    text: str
    muted: str  # 4.5:1 on ground and panel
    line: str  # borders and grid
    accent: str  # the forecast, the chosen thing
    accent_soft: str  # the accent as a quiet area
    baseline: str
    truth: str
    warning: str
    scales: tuple[str, ...]
    variates: tuple[str, ...]
    signed: tuple[str, str, str]  # below zero, zero, above zero


COLORS = {
    "light": Colors(
        ground="#FBFBF9",
        panel="#F1F2EE",
        text="#1C1F22",
        muted="#5A6166",
        line="#DDE0DA",
        accent="#0B6E83",
        accent_soft="#E3EEEF",
        baseline="#767C80",
        truth="#C98A00",
        warning="#A3440A",
        scales=("#083A47", "#0B6E83", "#4BA3B8", "#97CBD6"),
        variates=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A7F00", "#1C1F22"),
        signed=("#1F6FB2", "#F1F2EE", "#BF5410"),
    ),
    "dark": Colors(
        ground="#14181B",
        panel="#1D2327",
        text="#E7EAEB",
        muted="#A7B0B5",
        line="#30383D",
        accent="#58B9CC",
        accent_soft="#1C343A",
        baseline="#8E979D",
        truth="#C98A00",
        warning="#F0955A",
        scales=("#2F8A9E", "#58B9CC", "#93D3E0", "#D3EFF5"),
        variates=("#56B4E9", "#E8833A", "#2FC295", "#CC79A7", "#E69F00", "#A9D8F4", "#F0E442", "#E7EAEB"),
        signed=("#5AA5E0", "#1D2327", "#F0955A"),
    ),
}
FONT = '"Source Sans", "Source Sans Pro", sans-serif'
SEQUENTIAL = "viridis"  # weights that are never negative


def appearance() -> str:
    """``"light"`` or ``"dark"``, as this reader's browser shows the page."""
    return "dark" if st.context.theme.type == "dark" else "light"


def colors() -> Colors:
    """The colours of the reader's appearance."""
    return COLORS[appearance()]


def presenting() -> bool:
    """Whether the page is shown on a projector (``?present=1``): large type, no side bar."""
    return st.query_params.get("present") == "1"


def type_size() -> int:
    """Pixels of the type in charts; from five metres 20 are legible."""
    return 20 if presenting() else 12


def palette(scales: int, of: Colors | None = None) -> list[str]:
    """One colour per scale, fine to coarse, from dark to light along one hue; the same on every page."""
    stops = [tuple(int(stop[i : i + 2], 16) for i in (1, 3, 5)) for stop in (of or colors()).scales]
    found = []
    for m in range(scales):
        at = m / max(scales - 1, 1) * (len(stops) - 1)
        left = min(int(at), len(stops) - 2)
        mix = (round(a + (b - a) * (at - left)) for a, b in zip(stops[left], stops[left + 1], strict=True))
        found.append("#" + "".join(f"{part:02X}" for part in mix))
    return found


def variate_color(position: int, of: Colors | None = None) -> str:
    """The colour of the variate at this position of its dataset."""
    cycle = (of or colors()).variates
    return cycle[position % len(cycle)]


def style(chart: Chart, of: Colors | None = None) -> Chart:
    """The chart with our configuration. Wraps the outermost chart only."""
    return chart.configure(**config(of))


def config(of: Colors | None = None) -> dict[str, Any]:
    """Our Vega-Lite configuration: thin lines, a faint grid, no frame."""
    c, size = of or colors(), type_size()
    return {
        "background": "transparent" if of is None else c.ground,
        "font": FONT,
        "view": {"stroke": None, "continuousHeight": 220},
        "line": {"strokeWidth": 1.5, "strokeJoin": "round"},
        "rule": {"strokeWidth": 1},
        "axis": {
            "labelColor": c.muted,
            "titleColor": c.muted,
            "labelFontSize": size,
            "titleFontSize": size,
            "titleFontWeight": "normal",
            "gridColor": c.line,
            "gridOpacity": 0.7,
            "gridWidth": 0.7,
            "domainColor": c.line,
            "tickColor": c.line,
            "tickSize": 4,
            "labelPadding": 4,
            "titlePadding": 8,
        },
        "axisX": {"labelFlush": False, "labelOverlap": True},
        "axisY": {"domain": False, "ticks": False, "tickCount": 4},
        "legend": {
            "labelColor": c.text,
            "titleColor": c.muted,
            "labelFontSize": size,
            "titleFontSize": size,
            "titleFontWeight": "normal",
            "orient": "top",
            "symbolStrokeWidth": 2,
        },
        "title": {"color": c.text, "fontSize": size + 1, "fontWeight": 600, "anchor": "start", "offset": 6},
        "header": {"labelColor": c.text, "titleColor": c.muted, "labelFontSize": size},
        "text": {"color": c.text, "fontSize": size},
    }
