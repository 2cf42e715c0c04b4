"""A poke: how long the server takes to answer a changed window, and the browser from the release to the picture.

Server: an edit applied, the forecast with its trace, and what each step adds, of one window; weights and series are
random. Browser: points of a real window dragged with the mouse on the Forecast and Attention pages. ETTh1 where it lies
beside the checkout.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from core.data.edits import Edit, apply
from core.data.series import Series
from core.evaluate.run import LoadedRun
from core.explain.methods.adds_up import contributions
from core.explain.methods.contract import Probe, Question
from core.training.device import resolve_threads
from core.training.recipes import preset, preset_lookback
from tests.benchmarks.maps import random_run, timed
from tests.browser import prepared
from tests.browser.dashboard import Server, Visitor, chromium, visit
from tests.browser.screenshots import load

MODELS = ("crossscalenet", "s2tx", "scalefusion", "casa", "patchtst")
TIMES, POKES = 31, 30

# From the release of the button until the forecast's line is another one and has been painted; and until the script
# has ended.
ARM = """() => {
    const app = document.querySelector('[data-testid="stApp"]');
    const line = () => [...document.querySelectorAll('*')].map(e => e.shadowRoot?.querySelector('path.forecast'))
        .find(Boolean);
    const place = line(), before = place.getAttribute('d');
    window.poked = new Promise((done, failed) => {
        setTimeout(failed, 30000, new Error('The forecast did not move within 30 s.'));
        addEventListener('pointerup', event => {
            let drawn = 0, idle = 0;
            const end = () => { if (drawn && idle) done([drawn - event.timeStamp, idle - event.timeStamp]); };
            new MutationObserver((_, watch) => {
                if (place.getAttribute('d') === before) return;
                watch.disconnect();
                requestAnimationFrame(() => setTimeout(() => { drawn = performance.now(); end(); }));
            }).observe(place, {attributes: true, attributeFilter: ['d']});
            const rest = () => {
                if (drawn && app.dataset.testScriptState === 'notRunning') { idle = performance.now(); end(); }
                else setTimeout(rest, 4);
            };
            rest();
        }, {capture: true, once: true});
    });
}"""

Row = dict[str, object]


def measure() -> list[Row]:
    """One row per measure: what, median and 95th percentile, the aim, how it was taken."""
    return [*server(), *browser()]


def server() -> list[Row]:
    torch.set_num_threads(resolve_threads(0))
    return [one for name in MODELS for one in _answers(*random_run(name, preset_lookback("published", name)))]


def _answers(run: LoadedRun, series: Series) -> Iterator[Row]:
    lookback = run.window(series, 0).lookback
    column, steps = len(run.spec.columns) - 1, np.linspace(0, run.spec.horizon - 1, 4).astype(int)
    edit = Edit(kind="shift", variate=run.spec.columns[0], start=10, stop=20, value=1.0)

    def answer() -> None:
        run.trace(apply(lookback, run.spec.columns, [edit]))

    def strip() -> None:
        changed = run.normalised(apply(lookback, run.spec.columns, [edit]))
        contributions(Probe(run.model, changed, Question(column, 0)), [int(s) for s in steps])

    how = f"look-back {run.spec.lookback}, horizon {run.spec.horizon}, {len(run.spec.columns)} variates"
    yield row(f"**{run.model.title}: edit, forecast and trace**", [timed(answer, TIMES) * 1e3], "under 60 ms", how)
    yield row(f"{run.model.title}: contributions, 4 steps ahead", [timed(strip, TIMES) * 1e3], "", how)


def browser() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="scalescope-") as temporary, sync_playwright() as playwright:
        home = Path(temporary)
        trained = prepared.train(home, load(), preset("quick"))
        dashboard, window = Server(home, bounded=False), chromium(playwright)
        dashboard.start()
        rows: list[Row] = []
        try:
            for page in ("forecast", "attention"):
                with visit(window, dashboard) as visitor:
                    visitor.open(page, dataset=trained.dataset, run=trained.run, window=100)
                    visitor.page.get_by_text("What if: change this window").click()
                    drawn, idle = zip(*drags(visitor, charts=2), strict=True)
                how = f"{POKES} drags of a point, CrossScaleNet on 7 variates"
                title = page.capitalize()
                rows.append(row(f"**{title} page: release to forecast drawn**", drawn, "under 250 ms", how))
                rows.append(row(f"{title} page: release to script ended", idle, "", how))
        finally:
            dashboard.stop()
            window.close()
    return rows


def drags(visitor: Visitor, charts: int) -> Iterator[tuple[float, float]]:
    """Milliseconds from the release to the new forecast painted, and to the script's end, of one drag after another."""
    page = visitor.page
    plot = page.locator(".poke .plot")
    plot.wait_for()
    visitor.charts(charts)
    page.wait_for_timeout(3000)
    for i in range(POKES + 3):
        visitor.settled()
        page.wait_for_timeout(300)
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        line = page.locator(".poke path.line").get_attribute("d") or ""
        x, y = (float(part) for part in re.findall(r"[ML]([\d.]+),([\d.]+)", line)[20 + (i * 7) % 70])
        if not box:
            raise RuntimeError("The picture is not there.")
        x, y = box["x"] + x, box["y"] + y
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x, y + (24 if i % 2 else -24), steps=4)
        page.evaluate(ARM)
        page.mouse.up()
        found = page.evaluate("window.poked")
        if i >= 3:  # the first calls are not counted
            yield found[0], found[1]


def row(measure: str, times: Sequence[float], aim: str, how: str) -> Row:
    median, late = np.percentile(np.array(times), [50, 95])
    return {
        "measure": measure,
        "median, ms": f"{median:.0f}" if median >= 10 else f"{median:.1f}",
        "p95, ms": f"{late:.0f}" if len(times) > 1 else "",
        "aim": aim,
        "how": how,
    }
