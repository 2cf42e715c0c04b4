"""What a person takes away: pictures that say where they come from, and numbers that a spreadsheet cannot run."""

import io

import numpy as np
import pandas as pd

from core.ui import export
from core.ui.charts.forecast import by_step_picture
from core.ui.theme import COLORS

LINES = ["load, waves", "dataset waves · run r1 · window 3 of 9", "seed 2021 · Scalescope"]


def test_png_is_a_picture_twice_as_wide() -> None:
    data = export.png(by_step_picture(np.array([0.1, 0.2]), None, COLORS["light"]), COLORS["light"], LINES, width=300)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(data[16:20]) >= 600


def test_svg_carries_its_provenance_in_both_appearances() -> None:
    for name in ("light", "dark"):
        colors = COLORS[name]
        data = export.svg(by_step_picture(np.array([0.1, 0.2]), 0.3, colors), colors, LINES)
        assert all(line in data for line in LINES)
        assert colors.ground.lower() in data.lower()


def test_csv_comes_back_as_it_was() -> None:
    table = pd.DataFrame({"time": ["2024-01-01", "2024-01-02"], "load": [1.5, -2.25]})
    assert pd.read_csv(io.BytesIO(export.csv(table))).equals(table)


def test_a_name_that_is_a_formula_is_text_in_a_spreadsheet() -> None:
    """Column names come from uploads; "=cmd()" in a CSV is run by some spreadsheets."""
    lines = export.csv(pd.DataFrame({"=cmd()": ["@sum(a1)", "fine"]})).decode().splitlines()
    assert lines == ["'=cmd()", "'@sum(a1)", "fine"]
