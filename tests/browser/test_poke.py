"""The input window under a real hand: mouse, finger and keys. The forecast follows, and comes back exactly."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser import prepared
from tests.browser.dashboard import NARROW, Visitor
from tests.browser.steps import number

Visitors = Callable[..., Visitor]
Point = tuple[float, float]


class Poke:
    """The section of one page, opened."""

    def __init__(self, visitor: Visitor, trained: prepared.Trained, page: str = "forecast", **query: object) -> None:
        self.visitor, self.page = visitor, visitor.page
        asked = {"dataset": trained.dataset, "run": trained.run, "window": 3, "variate": "load"} | query
        visitor.open(page, **asked)
        visitor.page.get_by_text("What if: change this window").click()
        self.plot = visitor.page.get_by_role("slider", name="Input window of load")
        expect(self.plot).to_be_visible()
        expect(self.line("forecast")).to_have_attribute("d", re.compile("L"))
        visitor.charts(least=2)
        visitor.settled()

    def line(self, name: str) -> Locator:
        return self.page.locator(f".poke path.{name}")

    def shape(self, name: str) -> str:
        return self.line(name).get_attribute("d") or ""

    def places(self, name: str) -> list[Point]:
        """Where every step of a line is drawn, on the picture."""
        return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+),([\d.]+)", self.shape(name))]

    def heights(self, name: str) -> list[float]:
        return [y for _, y in self.places(name)]

    def point(self, step: int) -> Point:
        """Where the step is drawn, on the screen."""
        (x, y), (left, top) = self.places("line")[step], self.corner()
        return left + x, top + y

    def corner(self) -> Point:
        """Where the picture is on the screen, once nothing above it comes in any more."""
        self.visitor.settled()
        self.plot.scroll_into_view_if_needed()
        before, box, still = None, self.plot.bounding_box(), 0
        while still < 3:
            self.page.wait_for_timeout(150)
            before, box = box, self.plot.bounding_box()
            still = still + 1 if box == before else 0
        assert box
        return box["x"], box["y"]

    def drag(self, start: Point, stop: Point) -> None:
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*stop, steps=5)
        self.page.mouse.up()

    def moved_from(self, before: str) -> str:
        """Wait until the forecast is another one, and return its line."""
        expect(self.line("forecast")).not_to_have_attribute("d", before)
        self.visitor.settled()
        return self.shape("forecast")

    def press(self, name: str) -> None:
        self.visitor.keyed(f"whatif-{name}").get_by_role("button").click()

    @property
    def told(self) -> Locator:
        return self.page.get_by_text(re.compile(r"Nothing is changed yet|\d+ changes?\. The last"))


@pytest.mark.parametrize("page", ["forecast", "attention"])
def test_a_dragged_point_moves_the_forecast_and_undo_brings_it_back_exactly(
    visitor: Visitor, trained: prepared.Trained, page: str
):
    poke = Poke(visitor, trained, page)
    forecast, line = poke.shape("forecast"), poke.shape("line")
    assert not poke.shape("original")
    x, y = poke.point(90)
    poke.drag((x, y), (x, y - 60 if y > 400 else y + 60))
    first = poke.moved_from(forecast)
    expect(poke.told).to_contain_text("step 90 of load set to")
    assert poke.shape("original") == line and poke.shape("before") == forecast
    assert poke.shape("line") != line
    x, y = poke.point(60)
    poke.drag((x, y), (x, y + 40))
    poke.moved_from(first)
    expect(poke.told).to_contain_text("2 changes.")
    poke.press("undo")
    expect(poke.line("forecast")).to_have_attribute("d", first)
    poke.press("reset")
    expect(poke.line("forecast")).to_have_attribute("d", forecast)
    expect(poke.line("line")).to_have_attribute("d", line)
    expect(poke.told).to_have_text("Nothing is changed yet.")


def test_a_choice_is_dragged_up_as_a_whole_and_the_fields_follow(visitor: Visitor, trained: prepared.Trained):
    poke = Poke(visitor, trained)
    forecast = poke.shape("forecast")
    top = poke.corner()[1]
    ground = top + 14  # above the line
    poke.drag((poke.point(70)[0], ground), (poke.point(80)[0], ground))
    expect(visitor.page.get_by_label("From step", exact=True)).to_have_value("70")
    expect(visitor.page.get_by_label("to step", exact=True)).to_have_value("80")
    visitor.settled()
    middle = (poke.point(75)[0], top + 120)
    poke.drag(middle, (middle[0], middle[1] + 40))
    poke.moved_from(forecast)
    expect(poke.told).to_contain_text("steps 70 to 80 of load shifted by −")
    down = [a - b for a, b in zip(poke.heights("line"), poke.heights("original"), strict=True)]
    assert down[:70] + down[81:] == pytest.approx([0] * 85, abs=0.2)
    assert down[70:81] == pytest.approx([down[75]] * 11, abs=0.3)
    assert down[75] > 20


def test_the_keys_do_what_the_mouse_does(visitor: Visitor, trained: prepared.Trained):
    poke = Poke(visitor, trained)
    forecast, press = poke.shape("forecast"), visitor.page.keyboard.press
    poke.plot.focus()
    press("End")
    press("ArrowLeft")
    press("Shift+ArrowLeft")
    expect(poke.plot).to_have_attribute("aria-valuetext", re.compile("^Step 84: "))
    value = float(poke.plot.get_attribute("aria-valuenow") or "nan")
    press("Shift+ArrowUp")
    press("ArrowUp")
    assert float(poke.plot.get_attribute("aria-valuenow") or "nan") > value
    first = poke.moved_from(forecast)
    expect(poke.told).to_contain_text("1 change. The last: step 84 of load set to")
    expect(poke.plot).to_be_focused()
    press("Space")
    press("ArrowRight")
    press("ArrowRight")
    press("Space")
    expect(visitor.page.get_by_label("From step", exact=True)).to_have_value("84")
    expect(visitor.page.get_by_label("to step", exact=True)).to_have_value("86")
    visitor.settled()
    press("Shift+ArrowDown")
    press("Enter")
    poke.moved_from(first)
    expect(poke.told).to_contain_text("2 changes. The last: steps 84 to 86 of load shifted by −")
    press("Escape")
    expect(visitor.page.get_by_label("From step", exact=True)).to_have_value("")
    press("Shift+ArrowUp")
    press("Escape")  # what is not sent yet is dropped
    visitor.page.wait_for_timeout(600)
    expect(poke.told).to_contain_text("2 changes.")


def test_the_fields_alone_do_it_too(visitor: Visitor, trained: prepared.Trained):
    poke = Poke(visitor, trained)
    forecast = poke.shape("forecast")
    for label, step in (("From step", 40), ("to step", 50)):
        number(visitor.page.get_by_label(label, exact=True), step)
        visitor.settled()
    visitor.keyed("whatif-kind").get_by_text("Mask", exact=True).click()
    visitor.settled()
    poke.press("apply")
    masked = poke.moved_from(forecast)
    expect(poke.told).to_contain_text("steps 40 to 50 of load masked")
    ys = {round(poke.point(step)[1], 1) for step in range(40, 51)}
    assert len(ys) == 1
    number(visitor.page.get_by_label("From step", exact=True), 60)
    visitor.settled()
    poke.press("apply")
    expect(visitor.page.get_by_test_id("stAlert")).to_contain_text("run backwards")
    assert poke.shape("forecast") == masked


def test_a_finger_drags_a_point_on_a_phone(visitors: Visitors, trained: prepared.Trained):
    visitor = visitors(size=NARROW)
    poke = Poke(visitor, trained)
    forecast = poke.shape("forecast")
    x, y = poke.point(90)
    send = visitor.context.new_cdp_session(visitor.page).send
    send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def touch(kind: str, *points: Point) -> None:
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]})

    touch("touchStart", (x, y))
    for i in range(1, 6):
        touch("touchMove", (x, y + 10 * i))
    touch("touchEnd")
    poke.moved_from(forecast)
    expect(poke.told).to_contain_text(re.compile(r"1 change\. The last: step \d+ of load set to"))
    wide = visitor.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, "the page is wider than the phone"


def test_a_link_opens_the_same_change_elsewhere(visitors: Visitors, trained: prepared.Trained):
    here = visitors()
    poke = Poke(here, trained)
    x, y = poke.point(90)
    forecast = poke.shape("forecast")
    poke.drag((x, y), (x, y + 50))
    moved = poke.moved_from(forecast)
    here.page.wait_for_url(re.compile("edits="))
    there = visitors()
    there.page.goto(here.page.url)
    expect(there.page.locator(".poke path.forecast")).to_have_attribute("d", moved)
    there.settled()
