"""How quick the pages stay while a model trains, measured in the browser: from the hand to the page at rest.

A training with the settings a server has by default runs all the while. Needs ETTh1.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from playwright.sync_api import Locator, expect, sync_playwright

from core.training.recipes import preset
from core.training.spec import Spec
from tests.browser import prepared
from tests.browser.dashboard import Server, Visitor, chromium, visit
from tests.browser.screenshots import load
from tests.browser.steps import state, train

TIMES = 10  # reruns of each kind
APP = Path(__file__).parents[2] / "app.py"

# The clock starts with the hand's event. "idle": the script has ended; "drawn": what was asked is drawn too.
# ``line()`` is the first line drawn on the page, ``before`` what it was.
ARM = """asked => {
    const app = document.querySelector('[data-testid="stApp"]');
    const line = () => document.querySelector('svg.marks .mark-line path')?.getAttribute('d');
    const before = line(), there = new Function('line', 'before', `return ${asked}`);
    window.rerun = new Promise((done, failed) => {
        setTimeout(failed, 30000, new Error('The page did not answer within 30 s.'));
        addEventListener('click', event => {
            let idle = 0;
            const watch = new MutationObserver(() => {
                if (app.dataset.testScriptState === 'notRunning') idle = performance.now();
            });
            watch.observe(app, {attributes: true, attributeFilter: ['data-test-script-state']});
            const look = () => {
                if (idle && there(line, before) && app.dataset.testScriptState === 'notRunning'
                        && !document.querySelector('[data-stale="true"]')) {
                    watch.disconnect();
                    done([idle - event.timeStamp, performance.now() - event.timeStamp]);
                } else setTimeout(look, 8);
            };
            look();
        }, {capture: true, once: true});
    });
}"""

Row = dict[str, object]


def measure() -> list[Row]:
    """One row per page, and one over all: reruns, median and 95th percentile in ms until idle and until drawn in the
    browser, and of the server's own part, the script."""
    rows, scripts = browser(), server()
    blank: Row = {"script alone: median, ms": "", "script alone: p95, ms": ""}
    return [row | scripts.get(str(row["page"]), blank) for row in rows]


def server() -> dict[str, Row]:
    """The script's part of a rerun, without a browser: the whole app under AppTest, beside a training worker."""
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.testing.v1 import AppTest

    made = PagesManager.__init__

    def remembers(self, *arguments, **named) -> None:
        """A server remembers that the navigation was declared; AppTest forgets it before every run."""
        made(self, *arguments, **named)
        PagesManager.uses_pages_directory = False

    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="scalescope-") as temporary:
        home = Path(temporary)
        trained = prepared.train(home, load(), preset("quick"))
        os.environ["SCALESCOPE_HOME"] = str(home / "data")
        PagesManager.__init__ = remembers  # type: ignore[method-assign]
        from core.ui import boot, resources

        spec = Spec.model_validate(resources.store().run(trained.run).spec)
        endless = spec.recipe.model_copy(update={"epochs": 3000, "patience": 1000})
        series = resources.series(trained.dataset)
        busy = resources.jobs().submit(spec.model_copy(update={"recipe": endless}), series, "busy")
        try:
            boot.warm_up()
            while not resources.jobs().status(busy).epoch:
                time.sleep(0.2)
            for name in ("forecast", "scales", "attention"):
                at = AppTest.from_file(str(APP), default_timeout=60)
                at.run()
                at.switch_page(f"pages/{name}.py")
                for i in range(3 * TIMES):
                    at.query_params.update({"dataset": trained.dataset, "run": trained.run, "window": str(100 + i)})
                    begun = time.perf_counter()
                    at.run()
                    if i >= TIMES // 2:
                        found.setdefault(f"{name.capitalize()}, next window", []).append(time.perf_counter() - begun)
        finally:
            resources.jobs().delete(busy, stop=True)
            resources.jobs().close()
            resources.store().close()
            PagesManager.__init__ = made  # type: ignore[method-assign]
    found["**all**"] = [seconds for values in found.values() for seconds in values]
    shares = {page: np.percentile(values, [50, 95]) * 1e3 for page, values in found.items()}
    return {
        page: {"script alone: median, ms": round(median), "script alone: p95, ms": round(late)}
        for page, (median, late) in shares.items()
    }


def browser() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="scalescope-") as temporary, sync_playwright() as playwright:
        home = Path(temporary)
        trained = prepared.train(home, load(), preset("quick"))
        dashboard, window = Server(home, bounded=False), chromium(playwright)
        dashboard.start()
        try:
            with visit(window, dashboard) as visitor:
                visitor.open("train", dataset=trained.dataset)
                busy = train(visitor, lookback=96, horizon=96, epochs=3000)
                visitor.chart("Training and validation loss")
                found: dict[str, list[tuple[float, float]]] = {}
                for page, idle_and_drawn in reruns(visitor, trained):
                    found.setdefault(page, []).append(idle_and_drawn)
                visitor.open("train", run=busy)
                expect(state(visitor)).to_contain_text("Training")  # it ran all the while
        finally:
            dashboard.stop()
            dashboard.end_workers()
            window.close()
    every = [value for values in found.values() for value in values]
    return [row(page, values) for page, values in found.items()] + [row("**all**", every)]


def row(page: str, values: list[tuple[float, float]]) -> Row:
    idle, drawn = zip(*values, strict=True)
    about: Row = {"page": page, "reruns": len(values)}
    for name, times in (("idle", idle), ("drawn", drawn)):
        median, late = np.percentile(times, [50, 95])
        about |= {f"{name}: median, ms": round(median), f"{name}: p95, ms": round(late)}
    return about


def reruns(visitor: Visitor, trained: prepared.Trained) -> Iterator[tuple[str, tuple[float, float]]]:
    """What a hand does on each page, with the milliseconds until the page rests."""
    page, of_run = visitor.page, {"dataset": trained.dataset, "run": trained.run}
    for name in ("forecast", "scales", "attention"):
        visitor.open(name, **of_run, window=100)
        visitor.charts(1)
        for i in range(TIMES):
            asked = f"location.search.includes('window={101 + i}') && line() && line() !== before"
            yield f"{name.capitalize()}, next window", timed(visitor, plus(visitor, "Window, 1 to"), asked)
    visitor.open("train", dataset=trained.dataset)
    visitor.charts(1)
    for i in range(TIMES):
        asked = f"""document.querySelector('[aria-label*="the last {97 + i} steps"]')"""
        yield "Train, another look-back", timed(visitor, plus(visitor, "Look-back"), asked)
    visitor.open("data", dataset=trained.dataset)
    for i in range(TIMES // 2):
        visitor.charts(5)
        box = page.get_by_test_id("stMultiSelect")
        gone = "document.querySelectorAll('[data-testid=\"stVegaLiteChart\"]').length === 4"
        yield "Data, one variate fewer", timed(visitor, box.get_by_role("button", name="Remove").last, gone)
        visitor.open("data", dataset=trained.dataset)
        if i == 0:
            visitor.charts(5)
    navigation = page.get_by_test_id("stSidebarNav")
    for i in range(TIMES):
        title = ("Start", "Forecast", "Data", "Attention", "Scales")[i % 5]
        asked = f"document.querySelector('h1')?.textContent === '{title}'"
        yield "Another page", timed(visitor, navigation.get_by_role("link", name=title, exact=True), asked)


def plus(visitor: Visitor, label: str) -> Locator:
    field = visitor.page.get_by_test_id("stNumberInput").filter(has=visitor.page.get_by_label(label))
    return field.get_by_role("button", name="Increment")


def timed(visitor: Visitor, target: Locator, asked: str) -> tuple[float, float]:
    """Click, and milliseconds until the page is idle, and until ``asked`` (JavaScript) holds too."""
    visitor.settled()
    visitor.page.evaluate(ARM, asked)
    target.click()
    idle, drawn = visitor.page.evaluate("window.rerun")
    return idle, drawn
