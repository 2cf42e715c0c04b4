"""The Inspect pages on a run that a real worker trained: what they show, what they say where there is nothing to show,
and that a link opens the same view."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.data.card import Audit, DatasetCard
from core.settings import settings
from core.training.spec import Recipe, Spec, Split
from tests.conftest import sine_series
from tests.pages.conftest import sound, words

APP = str(Path(__file__).parents[2] / "app.py")
PAGES = ("forecast", "scales", "attention")
TRUTH = {"target": "load c", "lags": [9, 10, 11], "features": [0], "weights": [[1, 1, 1]]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A home folder with one dataset and one finished run: (folder, dataset id, run id)."""
    from core.jobs.queue import Jobs
    from core.settings import Settings
    from core.store.store import Store

    home = tmp_path_factory.mktemp("inspect") / "home"
    place = Settings(home=home, threads=1)
    place.runs.mkdir(parents=True)
    store = Store(place.database, place.uploads)
    jobs = Jobs(place, store)
    series = sine_series()
    audit = Audit(rows=len(series), step="1 hour", start=str(series.times[0]), end=str(series.times[-1]))
    dataset = store.add_dataset(series, DatasetCard.of(series, audit).model_copy(update={"truth": TRUTH}))
    spec = Spec(
        dataset=dataset,
        config={"scales": 3, "patch": 8, "width": 8},
        lookback=32,
        horizon=8,
        variates=series.variates,
        targets=series.variates,
        split=Split.of(series),
        recipe=Recipe(epochs=2, batch_size=64),
        device="cpu",
        threads=1,
    )
    run = jobs.submit(spec, series, "first [run](x)")
    until = time.monotonic() + 120
    while jobs.active() and time.monotonic() < until:
        time.sleep(0.2)
    while "relevance" not in (store.run(run).card or {}) and time.monotonic() < until:
        time.sleep(0.2)
    assert store.run(run).state == "finished"
    jobs.close()
    store.close()
    return home, dataset, run


@pytest.fixture
def place(trained: tuple[Path, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The trained home, copied, so that a test may damage it."""
    home = tmp_path / "home"
    shutil.copytree(trained[0], home)
    yield from _opened(home, monkeypatch)


@pytest.fixture
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield from _opened(tmp_path / "home", monkeypatch)


def _opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SCALESCOPE_HOME", str(home))
    monkeypatch.setenv("SCALESCOPE_WARM_UP", "0")
    settings.cache_clear()
    st.cache_resource.clear()
    yield home
    st.cache_resource.clear()
    settings.cache_clear()


def page(name: str, **query: object) -> AppTest:
    """The app, opened at this page with these choices in the URL."""
    at = AppTest.from_file(APP, default_timeout=60)
    for key, value in query.items():
        at.query_params[key] = str(value)
    return at.switch_page(f"pages/{name}.py").run()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_without_any_run_says_the_next_step(empty_place: Path, name: str) -> None:
    at = page(name)
    sound(at)
    assert "No run yet" in words(at)


@pytest.mark.parametrize("name", PAGES)
def test_a_bare_address_shows_a_run_and_becomes_a_whole_link(place: Path, trained: tuple, name: str) -> None:
    at = page(name)
    assert not sound(at).error
    found = {key: value[0] if isinstance(value, list) else value for key, value in at.query_params.items()}
    assert (found["dataset"], found["run"]) == trained[1:]
    assert found["variate"] == "load c"
    assert int(found["window"]) == at.number_input(key="context-window").value


@pytest.mark.parametrize("name", PAGES)
def test_a_link_opens_the_same_view_in_a_fresh_session(place: Path, trained: tuple, name: str) -> None:
    first = page(name, run=trained[2], window=7, variate="load b")
    again = page(name, **{k: v[0] if isinstance(v, list) else v for k, v in first.query_params.items()})
    for at in (first, again):
        assert at.number_input(key="context-window").value == 7
        assert at.selectbox(key="context-variate").value == "load b"
    assert words(first) == words(again)


@pytest.mark.parametrize("name", PAGES)
def test_the_future_beyond_the_data_can_be_looked_at(place: Path, trained: tuple, name: str) -> None:
    at = page(name, run=trained[2], window="future")
    assert not sound(at).error
    assert at.number_input(key="context-window").value is None


@pytest.mark.parametrize("nonsense", ["0", "99999", "-3", "abc", "1.5", "<img src=x>"])
def test_nonsense_in_the_address_becomes_a_window(place: Path, trained: tuple, nonsense: str) -> None:
    at = page("attention", run=trained[2], window=nonsense, variate=nonsense, step=nonsense, scale=nonsense)
    assert not sound(at).error


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("run", ["gone", "../../etc", '"; drop table runs; --'])
def test_a_link_to_an_unknown_run_says_so_and_offers_another(place: Path, name: str, run: str) -> None:
    at = page(name, run=run)
    sound(at)
    assert "is not stored here" in words(at)
    assert at.selectbox(key="context-run").value is None


@pytest.mark.parametrize("name", PAGES)
def test_a_damaged_checkpoint_is_named_and_the_app_goes_on(place: Path, trained: tuple, name: str) -> None:
    (place / "runs" / trained[2] / "checkpoint.safetensors").write_bytes(b"not a model")
    at = page(name, run=trained[2])
    sound(at)
    assert len(at.error) == 1
    (place / "runs" / trained[2] / "checkpoint.safetensors").unlink()
    at.run()
    sound(at)
    assert "model file of this run is missing" in words(at)


def test_forecast_gives_errors_on_both_scales_and_all_variates(place: Path, trained: tuple) -> None:
    at = page("forecast", run=trained[2], window=3)
    table = at.dataframe[0].value
    assert list(table.columns[1:]) == ["MSE, z-scored", "MAE, z-scored", "MSE, own units", "MAE, own units"]
    assert {"load c, this window", "load c, all windows", "all variates, all windows"} <= set(table.iloc[:, 0])
    assert [at.button(key=f"small-{i}").label for i in (0, 1)] == ["load a", "load b"]
    at.button(key="small-0").click().run()
    assert at.selectbox(key="context-variate").value == "load a"


def test_baselines_are_switched_on_beside_the_forecast(place: Path, trained: tuple) -> None:
    at = page("forecast", run=trained[2], window=3)
    switch = at.button_group(key="baselines")
    assert switch.value == ["seasonal naive"]
    assert list(switch.options) == ["seasonal naive", "naive", "drift", "AutoETS", "AutoTheta"]
    rows = list(at.dataframe[0].value.iloc[:, 0])
    assert "seasonal naive, this window" in rows and "AutoETS, this window" not in rows
    assert {f"{name}, all variates and windows" for name in ("naive", "drift", "AutoETS", "AutoTheta")} <= set(rows)
    switch.set_value(["AutoETS"]).run()
    sound(at)
    rows = list(at.dataframe[0].value.iloc[:, 0])
    assert "AutoETS, this window" in rows and "seasonal naive, this window" not in rows
    switch.set_value([]).run()
    sound(at)
    assert not [row for row in at.dataframe[0].value.iloc[:, 0] if "naive, this window" in row]


def test_a_run_from_before_the_baselines_still_shows_what_needs_no_file(place: Path, trained: tuple) -> None:
    (place / "runs" / trained[2] / "baselines.safetensors").unlink()
    at = page("forecast", run=trained[2], window=3)
    sound(at)
    assert list(at.button_group(key="baselines").options) == ["seasonal naive", "naive", "drift"]


@pytest.mark.parametrize("wanted", ["worst", "best"])
def test_worst_and_best_windows_are_those_of_the_errors(place: Path, trained: tuple, wanted: str) -> None:
    from core.evaluate.run import LoadedRun

    mse = LoadedRun.open(place / "runs" / trained[2]).errors(sine_series()).mse
    index = mse.argmax() if wanted == "worst" else mse.argmin()
    at = page("forecast", run=trained[2], window=3)
    at.menu_button(key="context-goto").set_value(wanted).run()
    assert at.number_input(key="context-window").value == index + 1


def test_scales_sum_to_the_forecast_and_can_be_moved_and_reset(place: Path, trained: tuple) -> None:
    at = page("scales", run=trained[2], window=3)
    assert "sum to the forecast within" in words(at)
    at.toggle(key="scales-parts").set_value(True).run()
    at.toggle(key="scales-by-hand").set_value(True).run()
    sliders = at.slider
    learned = [s.value for s in sliders]
    sliders[0].set_value(0.1).run()
    sound(at)
    assert "what if" in words(at)
    next(b for b in at.button if b.label == "Reset").click().run()
    assert [s.value for s in at.slider] == learned
    assert "→" not in words(at)


def test_attention_says_first_whether_it_matters(place: Path, trained: tuple) -> None:
    at = page("attention", run=trained[2], window=3, branch="patch")
    assert "attention" in words(at).split("Mark")[0]
    assert "made uniform" in words(at)
    assert "together" in words(at)
    assert "The horizon is 8 steps" in words(at)  # few keys: near even by construction


def test_the_first_map_adds_up_to_the_forecast(place: Path, trained: tuple) -> None:
    at = page("attention", run=trained[2], window=3, step=2)
    said = re.search(
        r"2 steps ahead, contributions of (\S+) and a rest of (\S+) \(.*\) are the forecast, (\S+)\. ", words(at)
    )
    assert said, words(at)
    added, rest, whole = (float(text.replace("−", "-").rstrip(".")) for text in said.groups())
    assert added + rest == pytest.approx(whole, abs=0.02 * (abs(added) + abs(rest)))
    assert "of their size passes through attention" in words(at)
    at.selectbox(key="attention-scale").set_value(1).run()
    at.selectbox(key="attention-source").set_value("load a").run()
    sound(at)
    assert at.query_params["source"] in ("load a", ["load a"])


def test_every_map_carries_what_the_forecast_says_of_it(place: Path, trained: tuple) -> None:
    at = page("attention", run=trained[2], window=3)
    for title in ("Published attention", "Corrected attention", "Contributions", "Occlusion"):
        assert f"**{title}.** On this window the " in words(at)
    assert "times as much as" in words(at) and "rank correlation" in words(at)
    table = at.dataframe[0].value
    assert list(table["map"]) == ["Published attention", "Corrected attention", "Contributions", "Occlusion"]
    at.multiselect(key="attention-methods-crossscalenet-True").set_value(["gradient"]).run()
    sound(at)
    assert list(at.dataframe[0].value["map"]) == ["Gradient"] and "stands alone" in words(at)
    at.toggle(key="attention-together").set_value(True).run()
    at.selectbox(key="attention-baseline").set_value("last").run()
    sound(at)


def test_a_marked_span_can_be_taken_away(place: Path, trained: tuple) -> None:
    at = page("attention", run=trained[2], window=3)
    assert at.toggle(key="attention-take").disabled
    at.number_input(key="span-from").set_value(4).run()
    at.number_input(key="span-to").set_value(31).run()
    at.toggle(key="attention-take").set_value(True).run()
    sound(at)
    assert "Without steps 4 to 31 the forecast" in at.text[0].value
    assert "without marked" in at.get("vega_lite_chart")[0].proto.spec


def test_sanity_is_one_button_one_table_one_sentence(place: Path, trained: tuple) -> None:
    at = page("attention", run=trained[2], window=3)
    at.button(key="sanity").click().run()
    sound(at)
    assert "With fresh weights the published map" in words(at)
    assert "uniform attention changes the error by" in words(at).lower()
    assert "0 runs of other seeds" in words(at)


def test_a_model_that_ignores_its_window_is_said_to(place: Path, trained: tuple) -> None:
    """Weights that are all zero, those of the window's own normalisation too."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = place / "runs" / trained[2] / "checkpoint.safetensors"
    with safe_open(str(path), "pt") as file:
        weights, about = {name: file.get_tensor(name) * 0 for name in file.keys()}, file.metadata()  # noqa: SIM118
    save_file(weights, str(path), about)
    at = page("attention", run=trained[2], window=3)
    sound(at)
    assert "does not react to this window" in words(at)
    at.button(key="sanity").click().run()
    sound(at)


def test_another_window_stands_beside(place: Path, trained: tuple) -> None:
    at = page("attention", run=trained[2], window=3)
    before = len(at.get("vega_lite_chart"))
    at.radio(key="beside-kind").set_value("another window").run()
    at.number_input(key="beside-window").set_value(7).run()
    sound(at)
    assert len(at.get("vega_lite_chart")) == before + 1
    assert "window 7 of" in words(at)
    at.radio(key="beside-kind").set_value("another run").run()
    sound(at)
    assert "no other run" in words(at)


def test_attention_fields_do_what_the_mouse_does(place: Path, trained: tuple) -> None:
    at = page("attention", run=trained[2], window=3, branch="patch")
    at.number_input(key="span-from").set_value(4).run()
    at.number_input(key="span-to").set_value(11).run()
    assert "Steps 4 to 11 hold" in at.text[0].value
    at.selectbox(key="cell-asks").set_value(1).run()
    at.selectbox(key="cell-answers").set_value(2).run()
    assert at.text[0].value.startswith("Steps 8 to 15 look at 16 to 23, weight")
    at.selectbox(key="attention-scale").set_value(1).run()
    at.radio(key="attention-branch").set_value("local").run()
    sound(at)
    assert at.query_params["scale"] in ("1", ["1"]) and at.query_params["branch"] in ("local", ["local"])


def test_known_lags_belong_to_the_variate_they_make(place: Path, trained: tuple) -> None:
    """A band of true lags under another variate would be a lie."""

    def bands(variate: str) -> str:
        return page("attention", run=trained[2], window=3, variate=variate).get("vega_lite_chart")[0].proto.spec

    assert "true lags" in bands("load c")
    assert "true lags" not in bands("load a")


def test_marked_steps_are_still_marked_on_another_scale(place: Path, trained: tuple) -> None:
    at = page("attention", run=trained[2], window=3)
    at.number_input(key="span-from").set_value(4).run()
    at.number_input(key="span-to").set_value(11).run()
    at.selectbox(key="attention-scale").set_value(1).run()
    assert "Steps 4 to 11 hold" in at.text[0].value
    assert "4.01" in at.get("vega_lite_chart")[0].proto.spec


def test_a_model_of_one_scale_has_no_map_and_the_page_says_why(place: Path, trained: tuple) -> None:
    """One scale is a valid configuration, and its Attention page must not draw a map that does not exist."""
    from core.evaluate.run import LoadedRun
    from core.models.contract import Shape
    from core.models.registry import build
    from core.training import checkpoint

    folder = place / "runs" / trained[2]
    spec = LoadedRun.open(folder).spec
    config = spec.config | {"scales": 1}
    card = json.loads((folder / "card.json").read_text())
    card["spec"]["config"], card["relevance"] = config, {}
    weights = build(spec.model, config, Shape(spec.lookback, spec.horizon, len(spec.columns))).state_dict()
    checkpoint.save(folder, dict(weights), card)
    at = page("attention", run=trained[2])
    assert not sound(at).error
    assert "There is no attention to draw" in words(at)
    assert "contributions of" in words(at)
