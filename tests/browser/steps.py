"""What a person does on the Data and Train pages: bring a file, fill a field, press Train. Benchmarks do it too."""

import re
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.dashboard import Visitor


def bring(visitor: Visitor, file: Path) -> None:
    """Choose a file in the Data page's uploader, and nothing more."""
    place = visitor.keyed("upload")
    if not place.locator("details[open]").count():  # closed, it may hold its content hidden
        place.get_by_text("Upload a file").click()
    place.locator("input[type=file]").set_input_files(file)


def state(visitor: Visitor) -> Locator:
    """The bar of one training, which names its state."""
    return visitor.keyed("job-bar")


def train(visitor: Visitor, lookback: int, horizon: int, epochs: int | None = None) -> str:
    """Press Train on the form that is open, with small windows, and return the run's id."""
    page = visitor.page
    number(page.get_by_label("Horizon, steps"), horizon)
    number(page.get_by_label("Look-back, steps"), lookback)
    visitor.chart(f"scales of the last {lookback} steps")
    visitor.settled()
    if epochs:
        page.get_by_text("Advanced", exact=True).click()
        for label, value in (("Patience", 1000), ("Epochs", epochs)):
            number(page.get_by_label(label, exact=True), value)
            visitor.settled()
    visitor.keyed("train").get_by_role("button").click()
    expect(state(visitor)).to_be_visible()
    visitor.page.wait_for_url(re.compile(r"run="))
    return visitor.query["run"]


def number(field: Locator, value: int) -> None:
    field.fill(str(value))
    field.press("Enter")
