"""The real path in a real browser: a CSV becomes a forecast with its scales and its attention, and nothing is lost.

Every wait is for something that was not there before. Times are not tested here; see ``tests/benchmarks``.
"""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import expect

from tests.browser import prepared
from tests.browser.dashboard import Server, Visitor
from tests.browser.steps import bring, number, state, train

Visitors = Callable[..., Visitor]


# -- what a run left behind ------------------------------------------------------------------------------------------


def worker(server: Server, run: str) -> psutil.Process:
    """The process that trains this run."""
    about = json.loads((server.home / "data" / "runs" / run / "worker.json").read_text())
    return psutil.Process(about["process"])


def said(server: Server, run: str, kind: str) -> list[dict]:
    """What the run's events of this kind say."""
    lines = (server.home / "data" / "runs" / run / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def long_training(visitor: Visitor, dataset: str) -> str:
    """A training that would take minutes, with its first epoch done."""
    visitor.open("train", dataset=dataset)
    run = train(visitor, lookback=48, horizon=12, epochs=3000)
    visitor.chart("Training and validation loss")
    expect(state(visitor)).to_contain_text("Training")
    return run


def view(visitor: Visitor) -> dict[str, object]:
    """What a person would say the page shows: the address, the bar, the picture's sentence."""
    bar = visitor.keyed("context")
    return {
        "query": visitor.query,
        "bar": bar.inner_text(),
        "numbers": bar.locator("input").evaluate_all("fields => fields.map(field => field.value)"),
        "picture": visitor.chart("attention of scale").get_attribute("aria-label"),
    }


# -- the path ---------------------------------------------------------------------------------------------------------


def walk(visitor: Visitor, file: Path, first_row: str, lookback: int, horizon: int) -> None:
    """From the empty-handed Start page to the attention map, with one refresh on the way."""
    page = visitor.page
    visitor.open()
    page.get_by_role("button", name="Bring a file").click()
    expect(visitor.heading("Data")).to_be_visible()
    bring(visitor, file)
    rows = page.get_by_test_id("stDataFrame").first.locator("canvas tr")
    expect(rows).to_have_count(4)  # the header and three rows
    expect(rows.nth(1)).to_contain_text(first_row)
    expect(page.get_by_text("Time column", exact=True)).to_be_visible()
    visitor.keyed("add").get_by_role("button").click()
    expect(visitor.keyed("to-train")).to_be_visible()
    visitor.charts(least=5)  # the whole, and four variates
    dataset = visitor.query["dataset"]

    visitor.keyed("to-train").get_by_role("button").click()
    expect(visitor.heading("Train")).to_be_visible()
    run = train(visitor, lookback, horizon)
    page.reload()
    expect(state(visitor)).to_be_visible()
    assert visitor.query == {"dataset": dataset, "run": run}
    visitor.chart("Training and validation loss")
    expect(state(visitor)).to_contain_text("Finished")
    expect(page.get_by_text("Test MSE, z-scored")).to_be_visible()

    state(visitor).get_by_role("link", name="Forecast").click()
    expect(visitor.heading("Forecast")).to_be_visible()
    visitor.charts(least=4 + 6)  # the window, all windows, by step, by variate; the other six variates
    visitor.follow("Scales")
    visitor.charts(least=2 * 4 + 1)  # contribution and weight of each scale, and the sum
    visitor.chart("sum to the forecast")
    visitor.follow("Attention")
    picture = visitor.chart("Contributions, strongest")
    expect(picture.locator("path[aria-label*='weight']").first).to_be_attached()
    assert (visitor.query["dataset"], visitor.query["run"]) == (dataset, run)


def test_a_csv_becomes_a_forecast_with_its_scales_and_its_attention(visitor: Visitor, tmp_path: Path):
    """Seven hourly variates, among them names that a careless page would run, format or drop a table for."""
    file = prepared.csv(prepared.weather(), tmp_path / "weather.csv")
    walk(visitor, file, "2024-01-01 00:00", lookback=48, horizon=12)


def test_etth1_from_upload_to_attention(visitor: Visitor, shared: Path):
    walk(visitor, shared / "data" / "ETTh1.csv", "2016-07-01 00:00", lookback=48, horizon=12)


def test_names_from_a_file_are_only_text(visitor: Visitor, trained: prepared.Trained):
    """``<img src=x onerror=alert(1)>`` as a column name: a dialog, or an image from it, would be code of a stranger."""
    for page in ("start", "data", "train", "forecast", "scales", "attention"):
        asked = {"dataset": trained.dataset} | ({"run": trained.run} if page not in ("data", "train") else {})
        visitor.open("" if page == "start" else page, **({} if page == "start" else asked))
        if page in ("forecast", "scales", "attention"):
            visitor.open(page, **asked, variate=prepared.IMAGE)
            expect(visitor.page.get_by_role("combobox", name="Variate")).to_have_value(prepared.IMAGE)
        assert visitor.page.locator("img[src='x']").count() == 0


# -- charts answer the hand -------------------------------------------------------------------------------------------


def test_a_brushed_span_and_a_clicked_cell_are_told_in_words(visitor: Visitor, trained: prepared.Trained):
    visitor.open("attention", dataset=trained.dataset, run=trained.run, branch="patch")
    marks = visitor.chart("Patch attention of scale 3")
    told = visitor.keyed("attention-told")
    expect(told).to_contain_text("Strongest:")
    first, last = (marks.locator(f"path[aria-label^='from: {step};']").first.bounding_box() for step in (32, 47))
    assert first and last
    visitor.page.mouse.move(first["x"] + 2, first["y"] + 60)
    visitor.page.mouse.down()
    visitor.page.mouse.move(last["x"] - 2, last["y"] + 60, steps=6)
    visitor.page.mouse.up()
    expect(told).to_contain_text("Steps 32 to 46 hold")
    expect(visitor.page.get_by_label("Mark from step")).to_have_value("32")
    expect(visitor.page.get_by_label("to step", exact=True)).to_have_value("46")

    cell = marks.locator("path[aria-label*='Steps 16 to 31 look at 64 to 79']").last
    cell.click()
    expect(told).to_contain_text("Steps 16 to 31 look at 64 to 79, weight")
    expect(told).to_contain_text("Steps 32 to 46 hold")
    expect(visitor.page.get_by_role("combobox", name="Cell: asks")).to_have_value("16–31")


def test_a_brushed_span_is_taken_away(visitor: Visitor, trained: prepared.Trained):
    visitor.open("attention", dataset=trained.dataset, run=trained.run)
    marks = visitor.chart("Contributions, strongest")
    told = visitor.keyed("attention-told")
    expect(told).to_contain_text("are the forecast")
    first, last = (marks.locator(f"path[aria-label^='from: {step};']").first.bounding_box() for step in (20, 47))
    assert first and last
    visitor.page.mouse.move(first["x"] + 2, first["y"] + 60)
    visitor.page.mouse.down()
    visitor.page.mouse.move(last["x"] - 2, last["y"] + 60, steps=6)
    visitor.page.mouse.up()
    expect(told).to_contain_text("Steps 20 to 46 hold")
    visitor.page.get_by_text("Take the marked steps away").click()
    expect(told).to_contain_text("Without steps 20 to 46 the forecast")
    expect(visitor.page.get_by_text("How far to believe it")).to_be_visible()


def test_a_click_on_the_strip_of_errors_chooses_that_window(visitor: Visitor, trained: prepared.Trained):
    visitor.open("forecast", dataset=trained.dataset, run=trained.run, window=3)
    box = visitor.chart("Error over").bounding_box()
    assert box
    visitor.page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.4)
    field = visitor.page.get_by_label(re.compile("^Window, 1 to"))
    expect(field).not_to_have_value("3")
    visitor.settled()
    assert visitor.query["window"] == field.input_value() != "3"


def test_the_lags_of_an_own_rule_are_drawn_on_a_strip(visitor: Visitor, trained: prepared.Trained):
    visitor.open("data", dataset=trained.dataset)
    page, lags = visitor.page, visitor.page.get_by_label("Lags", exact=True)
    page.get_by_text("Samples", exact=True).click()
    visitor.keyed("sample-rule").get_by_role("button").click()
    rule = page.get_by_role("combobox", name="Rule")
    rule.click()
    rule.fill("Own")
    page.get_by_role("option", name="Own rule").click()
    visitor.chart("Lags 48-57 are in the rule")
    strip = visitor.keyed("rule-strip")

    def middle(lag: int) -> tuple[float, float]:
        box = strip.locator(f"path[aria-label^='lag {lag},']").bounding_box()
        assert box
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def draw(first: int, last: int) -> None:
        page.mouse.move(*middle(first))
        page.mouse.down()
        page.mouse.move(*middle(last), steps=6)
        page.mouse.up()

    draw(80, 71)
    expect(lags).to_have_value("48-57, 71-80")
    visitor.settled()
    draw(60, 52)  # not all of it is chosen yet
    expect(lags).to_have_value("48-60, 71-80")
    visitor.settled()
    draw(62, 46)
    expect(lags).to_have_value("46-62, 71-80")
    visitor.settled()
    page.mouse.click(*middle(5))
    expect(lags).to_have_value("5, 46-62, 71-80")
    visitor.settled()
    draw(80, 71)
    expect(lags).to_have_value("5, 46-62")
    visitor.keyed("add-rule").get_by_role("button").click()
    expect(visitor.keyed("to-train")).to_be_visible()
    visitor.charts(least=5)
    expect(visitor.page.get_by_test_id("stMain")).to_contain_text("own rule, lags 5, 46-62 of x0 and x2")


def test_a_copied_link_shows_the_same_view_in_another_browser(visitors: Visitors, trained: prepared.Trained):
    here = visitors()
    variate = prepared.HOSTILE[1]
    here.open("attention", dataset=trained.dataset, run=trained.run, variate=variate, branch="patch")
    number(here.page.get_by_label(re.compile("^Window, 1 to")), 17)
    here.page.wait_for_url(re.compile("window=17"))
    here.settled()
    here.keyed("attention-scale").locator("input, [role=combobox]").first.click()
    here.page.get_by_role("option", name=re.compile("^2 ·")).click()
    here.page.wait_for_url(re.compile("scale=2"))
    here.settled()
    here.page.get_by_role("button", name="Copy link").click()
    expect(here.page.get_by_role("button", name="Copied")).to_be_visible()
    link = here.page.evaluate("navigator.clipboard.readText()")

    there = visitors()
    there.page.goto(link)
    there.chart("Patch attention of scale 2")
    there.settled()
    assert there.query["variate"] == variate
    assert (there.query["window"], there.query["scale"]) == ("17", "2")
    assert view(there) == view(here)


# -- trainings that do not run to their end ---------------------------------------------------------------------------


def test_cancel_keeps_the_best_weights(visitor: Visitor, server: Server, trained: prepared.Trained):
    run = long_training(visitor, trained.dataset)
    visitor.keyed("cancel").get_by_role("button").click()
    expect(state(visitor)).to_contain_text("Cancelled")
    assert said(server, run, "cancelled")[-1]["best_epoch"] >= 1
    state(visitor).get_by_role("link", name="Forecast").click()
    expect(visitor.heading("Forecast")).to_be_visible()
    visitor.chart("the forecast runs from")
    assert visitor.query["run"] == run


def test_a_killed_worker_leaves_a_run_that_can_be_resumed(visitor: Visitor, server: Server, trained: prepared.Trained):
    run = long_training(visitor, trained.dataset)
    process = worker(server, run)
    os.kill(process.pid, signal.SIGKILL)
    expect(state(visitor)).to_contain_text("Interrupted")
    done = len(said(server, run, "epoch"))
    visitor.keyed("resume").get_by_role("button").click()
    expect(state(visitor)).to_contain_text("Training")
    expect(visitor.keyed("cancel")).to_be_visible()
    visitor.page.wait_for_function(
        "done => [...document.querySelectorAll('[data-testid=stMain] *')].some(e => "
        "!e.children.length && +(/^epoch (\\d+) of/.exec(e.textContent) || [])[1] > done)",
        arg=done,
    )
    attempts = said(server, run, "started")
    assert len(attempts) == 2
    assert attempts[1]["resumed_from"] >= 1
    visitor.keyed("cancel").get_by_role("button").click()
    expect(state(visitor)).to_contain_text("Cancelled")


def test_a_restarted_server_finds_its_training_and_its_links(
    visitors: Visitors, server: Server, trained: prepared.Trained
):
    """A deep link is the first thing the new server sees: Streamlit would run that page without ``app.py``."""
    here = visitors()
    run = long_training(here, trained.dataset)
    here.page.close()
    process = worker(server, run)
    server.restart()
    there = visitors()
    there.open("attention", dataset=trained.dataset, run=trained.run, window=5, branch="patch", scale=1, step=3)
    expect(there.heading("Attention")).to_be_visible()
    there.chart("Patch attention of scale 1")
    shown = {"dataset": trained.dataset, "run": trained.run, "window": "5", "scale": "1", "step": "3"}
    assert there.query.items() >= shown.items()
    expect(there.page.get_by_test_id("stSidebarNav")).to_contain_text("Attention")

    expect(there.keyed(f"side-{run}")).to_be_visible()
    there.keyed(f"side-{run}").get_by_role("link").click()
    expect(there.heading("Train")).to_be_visible()
    expect(state(there)).to_contain_text("Training")
    assert worker(server, run) == process
    there.keyed("cancel").get_by_role("button").click()
    expect(state(there)).to_contain_text("Cancelled")


# -- bad input --------------------------------------------------------------------------------------------------------

BAD_FILES = {
    "empty.csv": b"",
    "header.csv": b"date,load\n",
    "binary.csv": bytes(range(256)) * 40,
    "words.csv": b"date,load\n2024-01-01,much\n2024-01-02,little\n2024-01-03,none\n",
}


def test_a_bad_file_is_answered_with_a_sentence(visitor: Visitor, trained: prepared.Trained, tmp_path: Path):
    visitor.open("data", dataset=trained.dataset)
    alert = visitor.page.get_by_test_id("stAlert")
    before = ""
    for name, content in BAD_FILES.items():
        file = tmp_path / name
        file.write_bytes(content)
        bring(visitor, file)
        expect(alert).to_have_count(1)
        expect(alert).not_to_have_text(before or "-")
        before = alert.inner_text()
        assert re.search(r"[A-Z].{20,}\.", before), f"{name}: {before!r}"
        assert "Traceback" not in before
        visitor.settled()
        visitor.keyed("upload").get_by_role("button", name=re.compile("^Remove")).click()
        expect(alert).to_have_count(0)
    visitor.charts(least=5)
    visitor.open("forecast", dataset=trained.dataset, run=trained.run)
    visitor.chart("the forecast runs from")


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.pkl", b"\x80\x04\x95\x10\x00\x00\x00cos\nsystem\n"), ("model.safetensors", b"\x00" * 64)],
)
def test_a_file_that_is_no_model_is_refused(
    visitor: Visitor, trained: prepared.Trained, tmp_path: Path, name: str, content: bytes
):
    file = tmp_path / name
    file.write_bytes(content)
    visitor.open("train", dataset=trained.dataset)
    visitor.page.get_by_text("Load a saved model instead").click()
    visitor.keyed("load").locator("input[type=file]").set_input_files(file)
    visitor.keyed("adopt").get_by_role("button").click()
    alert = visitor.page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("pickle" if name.endswith("pkl") else "safetensors")
    expect(visitor.keyed("train").get_by_role("button")).to_be_enabled()
