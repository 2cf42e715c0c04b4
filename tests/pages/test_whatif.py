"""The what-if of the Forecast and the Attention page, driven by its fields, on runs that a real worker trained."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.data.edits import Edit, apply, read, write
from core.data.series import Series
from core.evaluate.run import LoadedRun
from core.settings import settings
from core.training.spec import Recipe
from tests.browser import prepared
from tests.conftest import sine_series
from tests.pages.conftest import sound, words

APP = str(Path(__file__).parents[2] / "app.py")
PAGES = ("forecast", "attention")
SMALL: dict[str, Any] = {"lookback": 32, "horizon": 8}
Home = tuple[Path, dict[str, prepared.Trained]]


def holes() -> Series:
    """The last steps of the series have gaps in one variate, its future too."""
    series = sine_series()
    values = series.values.copy()
    values[-20:-15, 0] = np.nan
    return replace(series, name="holes", values=values)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a model of scales, one whose target is withheld, and one that reads windows with missing steps."""
    home, recipe = tmp_path_factory.mktemp("whatif"), Recipe(epochs=1, batch_size=64)
    scales = {"config": {"scales": 3, "patch": 8, "width": 8}}
    kinds: dict[str, tuple[Series, dict[str, Any]]] = {
        "scales": (sine_series(), scales),
        "withheld": (sine_series(seed=1), scales | {"variates": ("load a", "load b"), "targets": ("load c",)}),
        "missing": (holes(), {"model": "s2tx", "lookback": 48}),
    }
    return home, {
        kind: prepared.train(home, series, recipe, **SMALL | about) for kind, (series, about) in kinds.items()
    }


@pytest.fixture
def place(runs: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    shutil.copytree(runs[0] / "data", tmp_path / "home")
    monkeypatch.setenv("SCALESCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCALESCOPE_WARM_UP", "0")
    settings.cache_clear()
    st.cache_resource.clear()
    yield tmp_path / "home"
    st.cache_resource.clear()
    settings.cache_clear()


def opened(runs: Home, page: str, kind: str = "scales", **query: object) -> AppTest:
    """The page with the section open."""
    at = AppTest.from_file(APP, default_timeout=60)
    for name, value in ({"run": runs[1][kind].run, "window": 3} | query).items():
        at.query_params[name] = str(value)
    at.switch_page(f"pages/{page}.py").run()
    at.session_state["whatif"] = True
    return sound(at.run())


def change(at: AppTest, kind: str, first: int | None, last: int | None, amount: float | None = None) -> AppTest:
    """Fill the fields and press Apply."""
    at.button_group(key="whatif-kind").set_value(kind).run()
    at.number_input(key="whatif-from").set_value(first)
    at.number_input(key="whatif-to").set_value(last)
    if kind != "mask":
        next(f for f in at.number_input if str(f.key).startswith(f"whatif-amount-{kind}")).set_value(amount)
    at.button(key="whatif-apply").click().run()
    return sound(at)


def drawn(at: AppTest) -> dict[str, Any]:
    """What the picture was given."""
    import json

    found = [e for e in at.get("bidi_component") if e.proto.component_name == "poke"]
    assert len(found) == 1
    return json.loads(found[0].proto.json)


def window_of(place: Path, runs: Home, kind: str, index: int) -> tuple[LoadedRun, np.ndarray]:
    run = LoadedRun.open(place / "runs" / runs[1][kind].run)
    series = Series.read(place / "runs" / runs[1][kind].run / "series")
    return run, run.window(series, index).lookback


@pytest.mark.parametrize("page", PAGES)
def test_the_section_is_closed_until_it_is_asked_for(place: Path, runs: Home, page: str) -> None:
    at = AppTest.from_file(APP, default_timeout=60)
    at.query_params["run"] = runs[1]["scales"].run
    at.switch_page(f"pages/{page}.py").run()
    assert not sound(at).error
    assert not [e for e in at.get("bidi_component") if e.proto.component_name == "poke"]


@pytest.mark.parametrize("page", PAGES)
def test_an_edit_by_the_fields_draws_the_models_own_answer_beside_the_old_one(
    place: Path, runs: Home, page: str
) -> None:
    at = opened(runs, page, variate="load b")
    before = drawn(at)
    assert before["original"] is None and before["before"] is None
    change(at, "shift", 4, 9, 2.5)
    after = drawn(at)
    run, lookback = window_of(place, runs, "scales", 2)
    edit = Edit(kind="shift", variate="load b", start=4, stop=10, value=2.5)
    changed = apply(lookback, run.spec.columns, [edit])
    np.testing.assert_allclose(after["past"], changed[:, 1], rtol=1e-5)
    np.testing.assert_allclose(after["forecast"], run.forecast(changed)[:, 1], rtol=1e-4, atol=1e-5)
    assert after["original"] == before["past"] and after["before"] == before["forecast"]
    assert after["forecast"] != before["forecast"]
    assert after["truth"] == before["truth"]
    assert "1 change. The last: steps 4 to 9 of load b shifted by 2.500." in words(at)
    assert "The forecast of load b moves by" in words(at)
    assert at.query_params["edits"] in (write([edit]), [write([edit])])


@pytest.mark.parametrize("page", PAGES)
def test_undo_and_reset_bring_the_old_forecast_back_exactly(place: Path, runs: Home, page: str) -> None:
    at = opened(runs, page)
    none = drawn(at)
    assert at.button(key="whatif-undo").disabled and at.button(key="whatif-reset").disabled
    one = drawn(change(at, "set", 20, 20, 3.0))
    two = drawn(change(at, "scale", 2, 12, -2.0))
    assert two["forecast"] != one["forecast"] != none["forecast"]
    at.button(key="whatif-undo").click().run()
    assert (drawn(at)["past"], drawn(at)["forecast"]) == (one["past"], one["forecast"])
    change(at, "mask", 0, 31)
    at.button(key="whatif-reset").click().run()
    last = drawn(sound(at))
    kept = ("past", "forecast", "before", "original", "truth")
    assert [last[name] for name in kept] == [none[name] for name in kept]
    assert "edits" not in at.query_params
    assert "Nothing is changed yet" in words(at)


def test_the_scales_parts_of_the_change_add_up_to_it(place: Path, runs: Home) -> None:
    at = opened(runs, "forecast")
    change(at, "shift", 10, 31, 4.0)
    table = next(d.value for d in at.dataframe if "change, forecast" in d.value)
    parts = [name for name in table if name.startswith("change, ") and name != "change, forecast"]
    assert parts == ["change, fine", "change, scale 1", "change, coarse", "change, rest"]
    np.testing.assert_allclose(table[parts].sum(axis=1), table["change, forecast"], atol=1e-4)
    np.testing.assert_allclose(table["forecast after"] - table["forecast before"], table["change, forecast"], atol=1e-5)
    assert table["change, forecast"].abs().max() > 0.1


def test_the_strip_of_contributions_follows_the_edit(place: Path, runs: Home) -> None:
    at = opened(runs, "attention", step=3)
    change(at, "shock", 30, 30, 8.0)
    strips = [c.proto for c in at.get("vega_lite_chart") if "Most is added" in c.proto.alt]
    assert len(strips) == 1
    assert "before from" in strips[0].alt and "after from step 30" in strips[0].alt


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (("shift", None, None, 1.0), "No step is chosen"),
        (("shift", 4, 9, None), "The amount is empty"),
        (("set", 4, 4, None), "The value is empty"),
        (("shock", 4, 9, 1.0), "A shock is at one step"),
        (("shift", 9, 4, 1.0), "run backwards"),
        (("scale", 4, 9, 1e300), "larger than"),
        (("set", 4, 4, 3e38), "no forecast for a window with numbers this large"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_picture_stays(place: Path, runs: Home, fields: tuple, said: str) -> None:
    at = opened(runs, "forecast")
    before = drawn(at)
    change(at, *fields)
    assert len(at.error) == 1 and said in at.error[0].value.replace("\\", "")
    assert drawn(at)["forecast"] == before["forecast"] and drawn(at)["past"] == before["past"]
    change(at, "shift", 4, 9, 1.0) if "this large" not in said else at.button(key="whatif-undo").click().run()
    assert not sound(at).error


def test_another_window_starts_without_edits_and_another_page_keeps_them(place: Path, runs: Home) -> None:
    at = opened(runs, "forecast")
    changed = drawn(change(at, "shift", 4, 9, 2.0))
    at.switch_page("pages/attention.py").run()
    at.session_state["whatif"] = True
    assert drawn(sound(at.run()))["forecast"] == changed["forecast"]
    at.number_input(key="context-window").set_value(5).run()
    assert drawn(sound(at))["original"] is None
    assert "edits" not in at.query_params


def test_a_link_brings_its_edits_and_opens_the_section(place: Path, runs: Home) -> None:
    text = write([Edit(kind="shift", variate="load a", start=4, stop=10, value=2.0)])
    at = AppTest.from_file(APP, default_timeout=60)
    for name, value in {"run": runs[1]["scales"].run, "window": "3", "edits": text}.items():
        at.query_params[name] = value
    at.switch_page("pages/attention.py").run()
    assert drawn(sound(at))["forecast"] != drawn(opened(runs, "attention"))["forecast"]
    found = at.query_params["edits"]
    assert read(found if isinstance(found, str) else found[0]) == read(text)


@pytest.mark.parametrize(
    "text",
    ["nonsense", "<img src=x>", "set~load%20a~3~4~inf", "set~gone~3~4~1.0", "set~load%20a~300~400~1.0", "!" * 500],
)
def test_a_link_with_nonsense_opens_the_window_as_it_is_and_says_so(place: Path, runs: Home, text: str) -> None:
    at = AppTest.from_file(APP, default_timeout=60)
    for name, value in {"run": runs[1]["scales"].run, "window": "3", "edits": text}.items():
        at.query_params[name] = value
    at.switch_page("pages/forecast.py").run()
    assert "The changes in this link are left out" in words(sound(at))
    assert drawn(at)["original"] is None
    assert "edits" not in at.query_params


@pytest.mark.parametrize("page", PAGES)
def test_the_future_beyond_the_data_can_be_changed_too(place: Path, runs: Home, page: str) -> None:
    at = opened(runs, page, window="future")
    before = drawn(at)
    assert before["truth"] is None
    assert drawn(change(at, "shift", 20, 31, 3.0))["forecast"] != before["forecast"]
    assert "mean absolute error" not in words(at)


@pytest.mark.parametrize("page", PAGES)
def test_a_withheld_target_is_not_offered_and_the_others_move_its_forecast(place: Path, runs: Home, page: str) -> None:
    at = opened(runs, page, "withheld")
    assert "load c is withheld" in words(at)
    box = next(b for b in at.selectbox if b.label == "Variate to change")
    assert list(box.options) == ["load a", "load b"]
    before = drawn(at)
    assert (before["label"], before["ahead"]) == ("load a", "load c")
    assert drawn(change(at, "shift", 20, 31, 3.0))["forecast"] != before["forecast"]


@pytest.mark.parametrize("page", PAGES)
def test_a_window_with_missing_steps_can_be_changed_and_filled(place: Path, runs: Home, page: str) -> None:
    at = opened(runs, page, "missing", window="future", variate="load a")
    past = drawn(at)["past"]
    gap = [i for i, value in enumerate(past) if value is None]
    assert len(gap) == 5
    assert "5 steps are missing" in words(at)
    assert drawn(change(at, "shift", 0, 31, 1.0))["past"][gap[0]] is None
    change(at, "shock", gap[0], gap[0], 1.0)
    assert re.search(r"is missing: there is no value to shock", words(at))
    filled = drawn(change(at, "mask", gap[0], gap[-1]))
    assert None not in filled["past"]
    assert not at.error
