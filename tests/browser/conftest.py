"""A server and a Chromium for all browser tests of this folder, and a fresh visitor for each.

The home holds a run that is trained already, for the tests that only look. No test may leave an error on the
browser's console.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from core.training.spec import Recipe
from tests.browser import prepared
from tests.browser.dashboard import Server, Visitor, chromium, visit


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


# scope "package": the browser's event loop must be gone before the tests of other folders run


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="package")
def trained(home: Path) -> prepared.Trained:
    """A finished run on seven variates with hostile names. Trained before the server takes the home."""
    recipe = Recipe(name="quick", epochs=2, batch_size=256)
    return prepared.train(home, prepared.weather(2000), recipe, lookback=96, horizon=24)


@pytest.fixture(scope="package")
def server(home: Path, trained: prepared.Trained) -> Iterator[Server]:
    server = Server(home)
    server.start()
    yield server
    server.stop()
    server.end_workers()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture
def visitors(browser: Browser, server: Server) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors, each with a browser context of their own; at the end none may have anything to complain about."""
    with ExitStack() as open_doors:
        yield lambda **about: open_doors.enter_context(visit(browser, server, **about))
    server.end_workers()  # a test that failed must not leave its training before the next one's


@pytest.fixture
def visitor(visitors: Callable[..., Visitor]) -> Visitor:
    return visitors()
