"""Every page, wide and narrow, light and dark: nothing sticks out, the heading stands, the charts have marks."""

from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser import prepared
from tests.browser.dashboard import NARROW, WIDE, Visitor

# page, whether its address names the run, the fewest charts it shows at rest
PAGES = (
    ("start", False, 0),
    ("data", False, 5),
    ("train", False, 1),
    ("train", True, 3),
    ("forecast", True, 4 + 6),
    ("scales", True, 2 * 4 + 1),
    ("attention", True, 1 + 3),
    ("studies", False, 0),
    ("models", False, 1),
    ("lesson", False, 2),
)

STICKS_OUT = """() => {
    const main = document.querySelector('[data-testid="stMain"]'), document_ = document.documentElement;
    const seen = [];
    for (const place of [document_, main])
        if (place.scrollWidth > place.clientWidth + 1)
            seen.push(`${place.tagName} ${place.scrollWidth} > ${place.clientWidth}`);
    for (const chart of document.querySelectorAll('[data-testid="stVegaLiteChart"]')) {
        const box = chart.getBoundingClientRect(), drawn = chart.querySelector('svg.marks, canvas.marks');
        if (box.right > innerWidth + 1 || (drawn && drawn.getBoundingClientRect().right > box.right + 2))
            seen.push(`chart "${chart.getAttribute('aria-label')}" at ${Math.round(box.right)} of ${innerWidth}`);
    }
    return seen;
}"""
GROUND = """() => getComputedStyle(document.querySelector('[data-testid="stApp"]')).backgroundColor"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1440", "390"])
def test_every_page_fits_and_is_drawn(
    visitors: Callable[..., Visitor],
    trained: prepared.Trained,
    size: tuple[int, int],
    scheme: Literal["light", "dark"],
):
    visitor = visitors(size=size, scheme=scheme)
    for name, of_run, charts in PAGES:
        asked = {"dataset": trained.dataset} | ({"run": trained.run} if of_run else {})
        visitor.open("" if name == "start" else name, **({} if name == "start" else asked))
        expect(visitor.heading(name.capitalize())).to_be_visible()
        visitor.charts(charts)
        visitor.settled()
        assert visitor.page.evaluate(STICKS_OUT) == [], f"{name} at {size[0]}, {scheme}"
        assert visitor.page.get_by_test_id("stAlert").count() == 0, name
        assert visitor.page.get_by_test_id("stException").count() == 0, name
        assert visitor.page.evaluate(GROUND) == {"light": "rgb(251, 251, 249)", "dark": "rgb(20, 24, 27)"}[scheme]


def test_no_axis_shows_numbers_that_are_none(visitor: Visitor, trained: prepared.Trained):
    """``NaN``, ``undefined`` or an unformatted long number in a chart is a fault of ours that no exception tells."""
    for name in ("data", "forecast", "scales", "attention", "models"):
        visitor.open(name, dataset=trained.dataset, **({} if name == "data" else {"run": trained.run}))
        visitor.charts(1)
        for text in visitor.page.locator("svg.marks text").all_text_contents():
            assert not any(word in text for word in ("NaN", "undefined", "null", "Infinity")), (name, text)
