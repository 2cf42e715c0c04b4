"""Pictures and numbers to take away: PNG and SVG with a provenance line, CSV of the tables. Works offline.

Files are made when a download button is pressed, not on every rerun: turning a picture into a PNG takes most of a
second.
"""

import json
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.data.words import inert
from core.ui.charts.picture import Picture
from core.ui.theme import Colors, colors

WIDTH = 900  # pixels of an exported picture; a PNG has twice as many


def png(picture: Picture, colors: Colors, lines: Sequence[str], width: int = WIDTH) -> bytes:
    """The picture as PNG, at twice its pixels. ``lines``: the title, then the provenance."""
    import vl_convert

    return vl_convert.vegalite_to_png(json.dumps(picture.whole(colors, width, lines)), scale=2)


def svg(picture: Picture, colors: Colors, lines: Sequence[str], width: int = WIDTH) -> str:
    """The picture as SVG."""
    import vl_convert

    return vl_convert.vegalite_to_svg(json.dumps(picture.whole(colors, width, lines)))


def csv(table: pd.DataFrame) -> bytes:
    """As UTF-8 CSV. A text that a spreadsheet would take for a formula gets a leading apostrophe."""
    safe = table.copy()
    safe.columns = [_cell(name) for name in safe.columns]
    for name in safe.columns[[not pd.api.types.is_numeric_dtype(t) for t in safe.dtypes]]:
        safe[name] = [_cell(value) for value in safe[name]]
    return safe.to_csv(index=False).encode()


def _cell(value: object) -> object:
    return inert(value) if isinstance(value, str) else value


def buttons(name: str, picture: Picture, table: pd.DataFrame, lines: Sequence[str]) -> None:
    """PNG, SVG and CSV side by side. ``name`` is the file's name without its ending, letters we chose ourselves."""
    shown = colors()
    with st.container(horizontal=True, gap="small", key=f"export-{name}"):
        for label, make, mime in (
            ("PNG", lambda: png(picture, shown, lines), "image/png"),
            ("SVG", lambda: svg(picture, shown, lines).encode(), "image/svg+xml"),
            ("CSV", lambda: csv(table), "text/csv"),
        ):
            st.download_button(
                label,
                make,
                f"{name}.{label.lower()}",
                mime,
                on_click="ignore",
                key=f"{name}-{label}",
                help={"PNG": "The picture with its provenance", "SVG": "The picture, to edit", "CSV": "The numbers"}[
                    label
                ],
            )
