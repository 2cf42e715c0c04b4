"""The lesson as a class meets it: from a link to the first answer on a server that has started, to the first poke, and
from the release of a dragged point to the picture."""

import tempfile
import time
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from core.data.edits import Edit, apply
from core.lesson import pretrained
from core.lesson.answer import answer
from core.lesson.models import SHIPPED
from tests.benchmarks.maps import timed
from tests.benchmarks.poke import POKES, Row, drags, row
from tests.browser.dashboard import Server, Visitor, chromium, visit

MODEL, TIMES, VISITS = "crossscalenet-syn5", 31, 5


def measure() -> list[Row]:
    return [*server(), *browser()]


def server() -> list[Row]:
    """What the page computes for a poke, on one thread as the page does."""
    import torch

    torch.set_num_threads(1)
    run, series, one = pretrained.load(MODEL), pretrained.series_of(MODEL), SHIPPED[MODEL]
    lookback = run.window(series, one.window).lookback

    def poke() -> None:
        changed = apply(lookback, run.spec.columns, [Edit(kind="shift", variate="x1", start=31, stop=38, value=1.0)])
        answer(run, series, MODEL, one.window, one.step, changed)

    how = f"{SHIPPED[MODEL].title}: edit, forecast, scales, maps"
    return [row("**Server: a poke of stop 4**", [timed(poke, TIMES) * 1e3], "under 60 ms", how)]


def browser() -> list[Row]:
    first, poked, rows = [], [], []
    with sync_playwright() as playwright:
        window = chromium(playwright)
        for _ in range(VISITS):
            with tempfile.TemporaryDirectory(prefix="scalescope-") as home:
                dashboard = Server(Path(home), bounded=False)
                dashboard.start()
                try:
                    with visit(window, dashboard) as visitor:
                        first.append(_opened(visitor))
                        poked.append(_first_poke(visitor))
                finally:
                    dashboard.stop()
        how = f"a fresh server each time, {VISITS} times, torch not imported before"
        rows.append(row("**Link to stop 2 until its sentence and pictures stand**", first, "under 3,000 ms", how))
        how = "then to stop 4 by Page down twice, a field filled and applied: until the forecast has moved"
        rows.append(row("**The first poke after it**", poked, "under 6,000 ms", how))
        with tempfile.TemporaryDirectory(prefix="scalescope-") as home:
            dashboard = Server(Path(home), bounded=False)
            dashboard.start()
            try:
                with visit(window, dashboard) as visitor:
                    visitor.open("lesson", lesson=4)
                    drawn, idle = zip(*drags(visitor, charts=1), strict=True)
            finally:
                dashboard.stop()
        how = f"{POKES} drags of a point"
        rows.append(row("**Stop 4: release to forecast drawn**", drawn, "under 250 ms", how))
        rows.append(row("Stop 4: release to script ended", idle, "", how))
        window.close()
    return rows


def _opened(visitor: Visitor) -> float:
    begun = time.perf_counter()
    visitor.page.goto(f"{visitor.server.url}/lesson?lesson=2")
    expect(visitor.page.get_by_text("looks most at the steps")).to_be_visible()
    visitor.charts(least=3)
    return (time.perf_counter() - begun) * 1e3


def _first_poke(visitor: Visitor) -> float:
    page = visitor.page
    for stop in ("3 Reveal", "4 Poke"):
        page.keyboard.press("PageDown")
        expect(page.get_by_role("heading", level=2, name=stop)).to_be_visible()
    for field, value in (("from", "31"), ("to", "37")):
        box = visitor.keyed(f"lesson-{field}").locator("input")
        box.fill(value)
        box.press("Tab")
    visitor.settled()
    begun = time.perf_counter()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("The rule itself would move y")).to_be_visible()
    return (time.perf_counter() - begun) * 1e3
