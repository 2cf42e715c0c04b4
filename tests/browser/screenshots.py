"""``python -m tests.browser.screenshots``: every page to ``docs/screenshots/<page>-<width>-<light|dark>.png``.

Data, Train, Forecast and Scales show ETTh1 where the benchmark series lie beside the checkout, else generated waves;
Attention shows SYN5, whose truth is known, Studies what was measured of SYN1 to SYN8, Models an architecture at its
usual shapes, Lesson its fifth stop. Look at each of them after a
change of a page.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from core.data.read import parse, sniff
from core.data.series import Series
from core.training.recipes import preset
from tests.browser import prepared
from tests.browser.dashboard import NARROW, ROOT, WIDE, Server, Visitor, chromium, visit

PLACE = ROOT / "docs" / "screenshots"
TALLEST = 3200  # pixels of one picture
MOST = 400_000  # bytes of one picture


def main() -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scalescope-") as temporary:
        home = Path(temporary)
        real = prepared.train(home, load(), preset("quick"))
        known = secret(home)
        answers = home / "data" / "studies"
        answers.mkdir(parents=True)
        shutil.copy(ROOT / "docs" / "results" / "saliency.jsonl", answers)
        server = Server(home)
        server.start()
        try:
            with sync_playwright() as playwright:
                browser = chromium(playwright)
                with visit(browser, server) as visitor:
                    visitor.open()  # a fresh server gives its first visitor a wider side bar
                for size in (WIDE, NARROW):
                    for scheme in ("light", "dark"):
                        with visit(browser, server, size=size, scheme=scheme) as visitor:
                            take(visitor, real, known, size, scheme)
                browser.close()
        finally:
            server.stop()


def load() -> Series:
    """ETTh1, or waves where it is not here."""
    file = ROOT.parent / "shared" / "data" / "ETTh1.csv"
    if not file.exists():
        return prepared.weather(8000, tuple(f"load {letter}" for letter in "abcdefg"))
    return parse(file, sniff(file, file.name).choice, "ETTh1")[0]


def secret(home: Path) -> prepared.Trained:
    """A model of SYN5's y from its features, as the Train page would set it."""
    series = prepared.secret_lags(10_000)
    features = tuple(name for name in series.variates if name != "y")
    return prepared.train(home, series, preset("balanced"), variates=features, targets=("y",), horizon=24)


def take(visitor: Visitor, real: prepared.Trained, known: prepared.Trained, size: tuple[int, int], scheme: str) -> None:
    """One picture of every page."""
    dataset, run, window = {"dataset": real.dataset}, {"run": real.run}, {"window": 1200}
    pages = (
        ("start", "", {}, 0),
        ("data", "data", dataset, 5),
        ("train", "train", dataset, 1),
        ("training", "train", dataset | run, 3),
        ("forecast", "forecast", dataset | run | window, 10),
        ("scales", "scales", dataset | run | window, 9),
        ("attention", "attention", {"dataset": known.dataset, "run": known.run, "window": 800}, 1),
        ("studies", "studies", {"study": "saliency"}, 2),
        ("models", "models", {"model": "crossscalenet"}, 1),
        ("lesson", "lesson", {"lesson": 5}, 2),
    )
    for name, page, asked, charts in pages:
        visitor.page.set_viewport_size({"width": size[0], "height": size[1]})
        visitor.open(page, **asked)
        visitor.charts(charts)
        visitor.settled()
        stretch(visitor, size)
        visitor.charts(charts)
        visitor.settled()
        file = PLACE / f"{name}-{size[0]}-{scheme}.png"
        visitor.page.screenshot(path=file, animations="disabled", caret="hide")
        print(f"{file.relative_to(ROOT)} {file.stat().st_size // 1000} kB", flush=True)
        if file.stat().st_size > MOST:
            sys.exit(f"{file.name} is larger than {MOST // 1000} kB. Make the picture smaller.")


def stretch(visitor: Visitor, size: tuple[int, int]) -> None:
    """Make the window as tall as its page: as long as charts and tables come in, the page grows with it."""
    tall, before = size[1], 0
    while tall != before:
        visitor.page.set_viewport_size({"width": size[0], "height": tall})
        visitor.settled()
        visitor.page.wait_for_timeout(300)
        needed = visitor.page.evaluate("document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
        tall, before = min(max(needed, tall), TALLEST), tall


if __name__ == "__main__":
    main()
