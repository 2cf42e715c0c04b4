"""A real dashboard and a real browser in front of it: the server as a process, Debian's Chromium, and one visitor.

Shared by the browser tests, the screenshots and the benchmarks. Nothing is asserted here beside what every visit
promises: the server answers, and no page says an error on the console.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import psutil
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Locator, Page, Playwright, expect

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
]
PORT = "--server.port"
WIDE, NARROW = (1440, 900), (390, 844)
PATIENCE = 40_000  # ms; a condition comes or it does not, however busy the machine is

expect.set_options(timeout=PATIENCE)

# What Streamlit itself puts on the console, each with its reason; nothing of ours.
IGNORED = (
    # at an address below "/" its front end asks there for the server first, and finds it one level up
    r"404 \(Not Found\) .*/(start|data|train|forecast|scales|attention|studies|lesson|models)"
    r"/_stcore/(health|host-config)$",
)


class Server:
    """``streamlit run app.py`` over a home folder, on a free port.

    ``bounded``: one thread a library and a worker, so that tests share cores; a benchmark takes what people get.
    """

    def __init__(self, home: Path, bounded: bool = True) -> None:
        self.home, self.bounded = home, bounded
        home.mkdir(parents=True, exist_ok=True)
        self.log = home / "server.log"
        self.port = _free_port()
        self._process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it is healthy. Raises RuntimeError with its log where it does not come up."""
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "SCALESCOPE_THREADS": "1"}
        home = {"SCALESCOPE_HOME": str(self.home / "data")}
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", f"{PORT}={self.port}"],
                cwd=ROOT,
                env=os.environ | home | (threads if self.bounded else {}),
                stdout=out,
                stderr=out,
            )
        end = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as answer:  # noqa: S310
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"The server did not come up. Its log:\n{self.said()}")

    def stop(self) -> None:
        """Ends it by its process id and waits until it is gone."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None

    def end_workers(self) -> None:
        """Ends trainings that are still under way: they outlive their server on purpose."""
        for note in (self.home / "data" / "runs").glob("*/worker.json"):
            try:
                process = psutil.Process(json.loads(note.read_text())["process"])
                if str(note.parent) in process.cmdline():
                    process.kill()
                    process.wait(10)
            except psutil.Error:
                continue

    def restart(self) -> None:
        """The same home and port behind a new process: nothing is left of any session."""
        self.stop()
        self.start()

    def said(self, lines: int = 80) -> str:
        """The end of its log, without what DuckDB's bindings say about themselves at the end of a process."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        own = [line for line in text.splitlines() if not re.match(r"nanobind:| - leaked| - \.\.\. skipped", line)]
        return "\n".join(own[-lines:])


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]


def chromium(playwright: Playwright) -> Browser:
    """Debian's Chromium, headless. Raises RuntimeError that names the install where it is absent."""
    if not CHROMIUM.exists():
        raise RuntimeError(
            f"The browser tests need {CHROMIUM}, which is not there. `make test` installs it; by hand on Debian or "
            "Ubuntu: sudo apt-get install chromium."
        )
    return playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)


class Visitor:
    """One person with one browser of their own (cookies, storage, colour scheme), who notes every complaint."""

    def __init__(
        self,
        browser: Browser,
        server: Server,
        size: tuple[int, int] = WIDE,
        scheme: Literal["light", "dark"] = "light",
    ) -> None:
        self.server = server
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            reduced_motion="reduce",
            timezone_id="UTC",
            permissions=["clipboard-read", "clipboard-write"],
        )
        self.context.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        self.page.on("dialog", self._dialog)

    def _console(self, message: ConsoleMessage) -> None:
        said = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and not any(re.search(known, said) for known in IGNORED):
            self.complaints.append(f"console error on {self.page.url}: {said}")

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()

    def leave(self) -> None:
        self.context.close()

    # -- moving ------------------------------------------------------------------------------------------------------

    def open(self, page: str = "", **query: object) -> None:
        """Go to a page by its address and wait until it is drawn."""
        asked = f"?{urlencode(query)}" if query else ""
        self.page.goto(f"{self.server.url}/{page}{asked}")
        self.settled()

    def follow(self, title: str) -> None:
        """Click a page in the navigation and wait until it is drawn."""
        link = self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True)
        link.click()
        expect(self.heading(title)).to_be_visible()
        self.settled()

    def heading(self, title: str) -> Locator:
        return self.page.get_by_role("heading", level=1, name=title, exact=True)

    def settled(self) -> None:
        """Wait until the page's run is over: a heading is there, and nothing on it is left over or still to come."""
        self.page.wait_for_function(
            """() => {
                const app = document.querySelector('[data-testid="stApp"]');
                return app && app.dataset.testScriptState === 'notRunning'
                    && app.dataset.testConnectionState === 'CONNECTED'
                    && document.querySelector('h1')
                    && !document.querySelector('[data-stale="true"], [data-testid="stSpinner"]');
            }"""
        )

    # -- what is on the page -----------------------------------------------------------------------------------------

    def keyed(self, key: str) -> Locator:
        """The widget, container or selectable chart that our pages draw under this key."""
        return self.page.locator(f".st-key-{key}")

    def chart(self, says: str) -> Locator:
        """Wait until the chart whose text alternative contains ``says`` has marks, and return it."""
        found = self.page.locator(f'[data-testid="stVegaLiteChart"][aria-label*={json.dumps(says)}]').first
        expect(found.locator("svg.marks .role-mark path, canvas.marks").first).to_be_attached()
        return found

    def charts(self, least: int) -> int:
        """Wait until the page has at least so many charts and each of them has marks; return how many there are."""
        self.page.wait_for_function(
            """least => {
                const all = [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')];
                return all.length >= least
                    && all.every(one => one.querySelector('svg.marks .role-mark path, canvas.marks'));
            }""",
            arg=least,
        )
        return self.page.get_by_test_id("stVegaLiteChart").count()

    @property
    def query(self) -> dict[str, Any]:
        """What the address names."""
        return dict(parse_qsl(urlsplit(self.page.url).query))


@contextmanager
def visit(browser: Browser, server: Server, **about: Any) -> Iterator[Visitor]:
    """A visitor who leaves at the end and must have had nothing to complain about."""
    visitor = Visitor(browser, server, **about)
    try:
        yield visitor
        assert not visitor.complaints, "\n".join(visitor.complaints)
    except (AssertionError, Error) as failed:
        failed.add_note(f"The server's log:\n{server.said()}")
        raise
    finally:
        visitor.leave()
