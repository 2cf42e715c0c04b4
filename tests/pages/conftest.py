"""The dashboard under AppTest: the real store, the real worker, a home folder of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from core.ui.boot import FAULT

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture
def app(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AppTest]]:
    """Opens the dashboard at a page with these query parameters; what the server holds is released afterwards."""
    import streamlit as st

    from core.ui import boot

    monkeypatch.chdir(APP.parent)
    monkeypatch.setattr(boot, "warm_up", lambda: None)  # its imports would go on after the test
    st.cache_resource.clear()
    made = PagesManager.__init__

    def remembers(self, *arguments, **named) -> None:
        """A server remembers that the navigation was declared; AppTest forgets it before every run."""
        made(self, *arguments, **named)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", remembers)

    def open_at(page: str = "", **query: str) -> AppTest:
        at = AppTest.from_file(str(APP), default_timeout=60)
        at.query_params.update(query)
        at.run()
        if page:
            at.switch_page(f"pages/{page}.py")
            at.query_params.update(query)
            at.run()
        return at

    yield open_at
    st.cache_resource.clear()


def sound(at: AppTest) -> AppTest:
    """The page came to its end: no exception, and no fault of ours caught on the way."""
    assert not at.exception
    assert FAULT not in [error.value for error in at.error]
    return at


def words(at: AppTest) -> str:
    """Everything the page says in text, Markdown's escapes taken out."""
    said = [*at.markdown, *at.text, *at.caption, *at.info, *at.warning, *at.error, *at.header]
    return "\n".join(str(element.value) for element in said).replace("\\", "")
