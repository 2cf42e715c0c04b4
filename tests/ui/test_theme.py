"""Colours keep their promises: contrast of text, and scales from dark to light along one hue."""

import colorsys

import pytest

from core.ui.theme import COLORS, palette


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("appearance", COLORS)
def test_text_can_be_read(appearance):
    c = COLORS[appearance]
    for ink in (c.text, c.muted, c.accent):
        assert contrast(ink, c.ground) >= 4.5
    assert contrast(c.text, c.panel) >= 4.5
    assert contrast(c.muted, c.panel) >= 4.5


@pytest.mark.parametrize("appearance", COLORS)
@pytest.mark.parametrize("scales", range(1, 7))
def test_scales_go_from_dark_to_light_along_one_hue(appearance, scales):
    found = palette(scales, COLORS[appearance])
    assert len(set(found)) == scales
    brightness = [luminance(color) for color in found]
    assert brightness == sorted(brightness)
    hues = [colorsys.rgb_to_hsv(*(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)))[0] for c in found]
    assert max(hues) - min(hues) < 0.03


def test_the_page_and_the_charts_take_the_same_colours():
    import tomllib
    from pathlib import Path

    theme = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())["theme"]
    for appearance, c in COLORS.items():
        page = theme[appearance]
        assert (page["backgroundColor"], page["secondaryBackgroundColor"]) == (c.ground, c.panel)
        assert (page["textColor"], page["linkColor"]) == (c.text, c.accent)
        assert contrast("#FFFFFF", page["primaryColor"]) >= 4.5  # white stands on it
