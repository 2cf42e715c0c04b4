"""From an upload to the first heatmap in a real browser, one explanation, and a server's start. Needs ETTh1."""

import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, expect, sync_playwright

from core.data.series import Series
from core.evaluate.run import LoadedRun
from core.explain.saliency import corrected, published
from tests.browser.dashboard import ROOT, Server, chromium, visit
from tests.browser.steps import bring, state

ETTH1 = ROOT.parent / "shared" / "data" / "ETTh1.csv"
STARTS, EXPLANATIONS = 5, 50

Row = dict[str, object]


def measure() -> list[Row]:
    """One row per measure: what, the value with its unit, the aim, and how it was taken."""
    with tempfile.TemporaryDirectory(prefix="scalescope-") as temporary, sync_playwright() as playwright:
        browser = chromium(playwright)
        home = Path(temporary)
        rows, run = upload_to_heatmap(browser, home / "path")
        rows += explaining(run)
        rows += start(browser, home)
        browser.close()
        return rows


def upload_to_heatmap(browser: Browser, home: Path) -> tuple[list[Row], Path]:
    """The analyst's path with every default, and the folder of the run it made."""
    server = Server(home, bounded=False)
    server.start()
    try:
        with visit(browser, server) as visitor:
            visitor.open("data")
            marks = [time.perf_counter()]
            bring(visitor, ETTH1)
            visitor.keyed("add").get_by_role("button").click()
            expect(visitor.keyed("to-train")).to_be_visible()
            visitor.charts(least=5)
            marks.append(time.perf_counter())
            visitor.keyed("to-train").get_by_role("button").click()
            visitor.keyed("train").get_by_role("button").click()
            expect(state(visitor)).to_contain_text("Finished")
            marks.append(time.perf_counter())
            state(visitor).get_by_role("link", name="Attention").click()
            picture = visitor.chart("Contributions, strongest")
            expect(picture.locator("path[aria-label*='weight']").first).to_be_attached()
            marks.append(time.perf_counter())
            run = home / "data" / "runs" / visitor.query["run"]
    finally:
        server.stop()
    stages = ("upload to dataset drawn", "Train page to finished, scored", "Attention page to heatmap drawn")
    rows: list[Row] = [
        {"measure": stage, "value": f"{after - before:.1f} s", "aim": "", "how": "real browser, every default, quick"}
        for stage, before, after in zip(stages, marks, marks[1:], strict=False)
    ]
    whole = f"{marks[-1] - marks[0]:.1f} s"
    return [
        *rows,
        {"measure": "**upload of ETTh1 to first heatmap**", "value": whole, "aim": "under 40 s", "how": "their sum"},
    ], run


def explaining(run: Path) -> list[Row]:
    """One window's trace with both saliency maps, as the Attention page takes them."""
    series, opened = Series.read(run / "series"), LoadedRun.open(run)
    count, times = opened.count(series), []
    for i in range(EXPLANATIONS + 3):
        lookback = opened.window(series, i * 7 % count).lookback
        begun = time.perf_counter()
        trace = opened.trace(lookback)
        published(trace), corrected(trace)
        times.append(time.perf_counter() - begun)
    value = f"{median(times[3:]) * 1e3:.1f} ms"
    return [
        {
            "measure": "**explaining one window**",
            "value": value,
            "aim": "under 50 ms",
            "how": f"median of {EXPLANATIONS}; trace, published, corrected",
        }
    ]


def start(browser: Browser, home: Path) -> list[Row]:
    """From the start of the process to the first page drawn, over an empty home."""
    times = []
    for i in range(STARTS):
        server = Server(home / f"start-{i}", bounded=False)
        begun = time.perf_counter()
        server.start()
        try:
            with visit(browser, server) as visitor:
                visitor.open()
                times.append(time.perf_counter() - begun)
        finally:
            server.stop()
    return [
        {
            "measure": "**server start to first page**",
            "value": f"{median(times):.1f} s",
            "aim": "under 4 s",
            "how": f"median of {STARTS}, {min(times):.1f} to {max(times):.1f}; files in the page cache",
        }
    ]
