"""The lesson in a real browser: all six stops by keyboard alone, marks drawn by hand and counted over two devices, a
point dragged, large type on a projector, and no request that leaves the machine."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from core.ui.lesson import guide
from tests.browser.dashboard import NARROW, Visitor

Visitors = Callable[..., Visitor]
SMALL_TYPE = """least => {
    const small = [];
    const walk = document.createTreeWalker(document.querySelector('[data-testid="stMain"]'), NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const text = walk.currentNode.textContent.trim(), parent = walk.currentNode.parentElement;
        const box = parent.getBoundingClientRect();
        if (!text || !box.width || !box.height || parent.closest('style, [aria-hidden="true"], .vega-bind')) continue;
        const size = parseFloat(getComputedStyle(parent).fontSize);
        if (size < least - 0.5) small.push(`${size} "${text.slice(0, 40)}"`);
    }
    return small;
}"""


def at_stop(visitor: Visitor, stop: int) -> None:
    about = guide.STOPS[stop - 1]
    expect(visitor.page.get_by_role("heading", level=2, name=f"{stop} {about.title}")).to_be_visible()
    visitor.settled()


def test_all_six_stops_by_keyboard_alone(visitor: Visitor):
    """Nothing is clicked: keys of a presenter's clicker move it, Tab and Enter do the rest."""
    page = visitor.page
    visitor.open("lesson")
    at_stop(visitor, 1)
    field = visitor.keyed("lesson-marks-typed").locator("input")
    field.focus()
    page.keyboard.type("59-65")
    page.keyboard.press("Enter")
    expect(page.get_by_text("You marked 7 of 96 steps")).to_be_visible()
    page.keyboard.press("Tab")
    for stop in (2, 3):
        page.keyboard.press("PageDown")
        at_stop(visitor, stop)
    page.locator("label", has_text="Show the truth").locator("input").focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("your marks 1.00")).to_be_visible()
    page.keyboard.press("PageDown")
    at_stop(visitor, 4)
    plot = page.get_by_role("slider", name="Input window of x1")
    expect(plot).to_be_visible()
    plot.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    expect(page.get_by_text("The rule itself would move y")).to_be_visible()
    for stop in (5, 6):
        page.keyboard.press("PageDown")
        at_stop(visitor, stop)
    page.locator("label", has_text="Show the answer").locator("input").focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("Its test MSE is")).to_be_visible()
    page.keyboard.press("PageUp")
    at_stop(visitor, 5)


def test_marks_are_drawn_by_hand_and_counted_on_two_devices(visitors: Visitors):
    one, other = visitors(), visitors()
    for visitor in (one, other):
        visitor.open("lesson", lesson=1)
        visitor.chart("Marked")
        at_stop(visitor, 1)
    strip = one.keyed("lesson-draw").locator("svg.marks, canvas.marks").first
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    assert box
    one.page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 12)
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 12, steps=6)
    one.page.mouse.up()
    expect(one.page.get_by_text(re.compile(r"You marked \d+ of 96 steps"))).to_be_visible()
    expect(one.keyed("lesson-marks-typed").locator("input")).not_to_have_value("")
    other.keyed("lesson-marks-typed").locator("input").fill("1-5")
    other.page.keyboard.press("Enter")
    expect(other.page.get_by_text("You marked 5 of 96 steps")).to_be_visible()
    for visitor in (one, other):  # the first device hears of the second's vote by itself
        expect(visitor.page.get_by_text(re.compile(r"[2-9]\d* votes on this server"))).to_be_visible()


def test_a_point_is_dragged_and_the_forecast_follows(visitor: Visitor):
    visitor.open("lesson", lesson=4)
    at_stop(visitor, 4)
    page = visitor.page
    plot = page.get_by_role("slider", name="Input window of x1")
    expect(page.locator(".poke path.forecast")).to_have_attribute("d", re.compile("L"))
    visitor.charts(least=1)
    before = page.locator(".poke path.forecast").get_attribute("d")
    found = re.findall(r"[ML]([\d.]+),([\d.]+)", page.locator(".poke path.line").get_attribute("d") or "")
    plot.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = plot.bounding_box()
    assert box
    x, y = box["x"] + float(found[33][0]), box["y"] + float(found[33][1])
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 60, steps=5)
    page.mouse.up()
    expect(page.get_by_text("The rule itself would move y")).to_be_visible()
    expect(page.locator(".poke path.forecast")).not_to_have_attribute("d", before or "")
    page.get_by_role("button", name="Reset").click()
    expect(page.locator(".poke path.forecast")).to_have_attribute("d", before or "")


@pytest.mark.parametrize("stop", range(1, 7))
def test_on_a_projector_all_type_is_large_and_the_side_bar_is_gone(visitors: Visitors, stop: int):
    visitor = visitors(size=(1280, 720))
    visitor.open("lesson", lesson=stop, present=1)
    at_stop(visitor, stop)
    visitor.charts(least=1)
    expect(visitor.page.get_by_test_id("stSidebar")).to_be_hidden()
    small = visitor.page.evaluate(SMALL_TYPE, 20)
    assert small == []


def test_no_stop_needs_a_network(visitors: Visitors):
    visitor, asked = visitors(size=NARROW), set()
    visitor.page.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
    for stop in range(1, 7):
        visitor.open("lesson", lesson=stop)
        at_stop(visitor, stop)
    assert asked <= {"localhost", None, ""}
