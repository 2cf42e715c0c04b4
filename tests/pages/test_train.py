"""Train explains what cannot work before it starts, starts real jobs, and shows the same job after any interruption."""

import time

import numpy as np
import pytest

from core.data.card import Audit, DatasetCard
from core.data.series import Series
from core.models.crossscalenet import Config
from core.models.registry import architectures
from core.training.events import Failed
from core.training.spec import Recipe
from tests.conftest import sine_series
from tests.pages.conftest import sound, words


def keep(series):
    from core.ui import resources

    card = DatasetCard.of(series, Audit(rows=len(series), step="1 hour", start="2024-01-01", end="2024-01-17"))
    return resources.store().add_dataset(series, card)


@pytest.fixture
def small(app):
    """The Train page with a small dataset, a window of 24 + 6 and one epoch."""
    app()
    at = app("train", dataset=keep(sine_series()))
    dataset = at.query_params["dataset"]
    at.number_input(key=f"lookback-{dataset}").set_value(24)
    at.number_input(key=f"horizon-{dataset}").set_value(6)
    at.number_input(key="recipe-quick-epochs").set_value(1)
    return sound(at.run())


def wait(at, state: str):
    """Rerun the page, as its fragment does, until the job is in this state."""
    from core.ui import resources

    deadline = time.time() + 60
    while resources.jobs().status(at.query_params["run"]).state != state:
        assert time.time() < deadline, resources.jobs().log(at.query_params["run"])
        time.sleep(0.1)
    return sound(at.run())


def buttons(at) -> list[str]:
    return [button.label for button in at.button]


def test_without_a_dataset_the_next_step_is_a_link(app):
    at = sound(app("train"))
    assert "no dataset to train on" in words(at)
    assert at.page_link[0].value == "Bring one, or choose a sample"


def test_every_option_of_model_and_recipe_has_a_widget(small):
    keys = {widget.key for kind in ("number_input", "selectbox", "toggle") for widget in small.get(kind)}
    for prefix, fields in (("model-crossscalenet-quick", Config.model_fields), ("recipe-quick", Recipe.model_fields)):
        for name, field in fields.items():
            if field.title and name not in ("scales", "factor", "patch", "pretrain_epochs"):
                assert f"{prefix}-{name}" in keys
    assert {"scale-crossscalenet-scales", "scale-crossscalenet-factor", "scale-crossscalenet-patch"} <= keys


def measured(at):
    """The page with its cost, which is measured in the background."""
    deadline = time.time() + 60
    while at.metric[0].value == "…":
        assert time.time() < deadline
        time.sleep(0.1)
        at.run()
    return sound(at)


def choose(at, name: str):
    """Press the card of an architecture, or its place in a short list."""
    family = architectures()[name].family
    if family == "paper":
        at.button(key=f"choose-{name}").click()
    else:
        at.radio(key=f"choose-{family}").set_value(name)
    return sound(at.run())


@pytest.mark.parametrize("name", list(architectures()))
def test_every_architecture_can_be_chosen_with_its_form_its_pictures_and_a_spec_that_builds(app, name):
    app()
    kind = architectures()[name]
    at = choose(app("train", dataset=keep(sine_series(rows=1200))), name)
    assert at.query_params["model"] == name
    assert " ".join(kind.summary.split()) in words(at)
    keys = {widget.key for part in ("number_input", "selectbox", "toggle", "text_input") for widget in at.get(part)}
    for field, about in kind.Config.model_fields.items():
        if about.title:
            assert {f"scale-{name}-{field}", f"model-{name}-quick-{field}"} & keys, field
    assert ("recipe-quick-epochs" in keys) != kind.capabilities.fitted
    assert not at.warning
    assert not at.button(key="train").disabled
    at.radio(key="train-view").set_value("Data flow").run()
    assert not sound(at).warning


def test_a_link_names_an_architecture_and_an_unknown_one_is_said(app):
    app()
    dataset = keep(sine_series())
    at = sound(app("train", dataset=dataset, model="casa"))
    assert at.button(key="train") and "convolutional" in words(at)
    at = sound(app("train", dataset=dataset, model="crosscalenet"))
    assert "no architecture called" in words(at)
    assert "no architecture called" in words(sound(at.run())), "it stays until another is chosen"
    assert at.number_input(key="scale-crossscalenet-scales")


def test_published_settings_propose_their_look_back_and_keep_one_that_was_typed(app):
    app()
    dataset = keep(sine_series(rows=4000))
    at = choose(app("train", dataset=dataset), "s2tx")
    field = f"lookback-{dataset}"
    assert at.number_input(key=field).value == 96
    at.radio(key="preset").set_value("published").run()
    assert at.number_input(key=field).value == 672
    assert "672 steps is the look-back of the published runs" in words(sound(at))
    at.radio(key="preset").set_value("quick").run()
    assert at.number_input(key=field).value == 96
    at.number_input(key=field).set_value(120).run()
    at.radio(key="preset").set_value("published").run()
    assert at.number_input(key=field).value == 120
    at.button(key="use-lookback").click().run()
    assert sound(at).number_input(key=field).value == 672


def test_a_long_look_back_of_ours_is_proposed_where_the_rows_are_there(app):
    app()
    for rows, proposed in ((4000, 336), (2000, 96)):
        dataset = keep(sine_series(rows=rows))
        at = sound(choose(app("train", dataset=dataset), "dlinear"))
        assert at.radio(key="preset").value != "published"
        assert at.number_input(key=f"lookback-{dataset}").value == proposed


def test_the_nearest_that_works_is_one_press_away(small):
    field = f"lookback-{small.query_params['dataset']}"
    small.number_input(key=field).set_value(390).run()
    small.button(key="use-nearest").click().run()
    assert not sound(small).warning
    assert small.number_input(key=field).value < 390
    small.number_input(key="scale-crossscalenet-scales").set_value(6)
    small.number_input(key="scale-crossscalenet-factor").set_value(8).run()
    small.button(key="use-nearest").click().run()
    assert not sound(small).warning


def test_all_costs_are_measured_when_asked_for(small):
    small.button(key="measure-all").click().run()
    deadline = time.time() + 120
    while "being measured" in words(sound(small)):
        assert time.time() < deadline
        time.sleep(0.3)
        small.run()
    papers = [name for name, kind in architectures().items() if kind.family == "paper"]
    assert words(small).count("measured here") + words(small).count("Not at this window") == len(papers)


def test_the_cost_is_estimated(small):
    measured(small)
    labels = [metric.label for metric in small.metric]
    assert labels == ["Parameters", "Memory, about", "Time, at most about"]
    assert int(small.metric[0].value.replace(",", "")) > 1000


def test_a_window_that_does_not_fit_is_explained_and_cannot_be_started(small):
    small.number_input(key=f"lookback-{small.query_params['dataset']}").set_value(390).run()
    assert "The nearest that works" in words(sound(small))
    assert small.button(key="train").disabled


def test_scales_that_do_not_fit_are_explained_and_cannot_be_started(small):
    small.number_input(key="scale-crossscalenet-factor").set_value(8)
    small.number_input(key="scale-crossscalenet-scales").set_value(6).run()
    assert len(sound(small).warning) == 1
    assert small.button(key="train").disabled


def test_missing_values_are_explained(app):
    app()
    series = sine_series()
    values = series.values.copy()
    values[10, 0] = np.nan
    at = app("train", dataset=keep(Series("holes", series.times, values, series.variates)))
    assert "missing or infinite" in words(sound(at))
    assert at.button(key="train").disabled


def test_a_known_truth_withholds_the_history_of_the_target(app):
    from core.data.samples import SAMPLES
    from core.ui import resources

    app()
    at = app("train", dataset=resources.store().add_dataset(*SAMPLES["syn5"].open()))
    dataset = at.query_params["dataset"]
    assert at.multiselect(key=f"targets-{dataset}").value == ["y"]
    assert "y" not in at.multiselect(key=f"inputs-{dataset}").value


def test_what_is_known_in_advance_is_chosen_and_named_where_it_is_ignored(app):
    """A sample with a clock; DLinear forecasts each variate alone."""
    app()
    at = app("train", dataset=keep(sine_series()), model="itransformer")
    dataset = at.query_params["dataset"]
    at.number_input(key=f"lookback-{dataset}").set_value(24)
    at.number_input(key=f"horizon-{dataset}").set_value(6)
    columns = at.multiselect(key=f"targets-{dataset}").options
    at.multiselect(key=f"targets-{dataset}").set_value(columns[:1])
    at.multiselect(key=f"inputs-{dataset}").set_value(columns[:1])
    sound(at.multiselect(key=f"calendar-{dataset}").set_value(["hour", "holiday"]).run())
    assert "Holidays need a country" in words(at)
    at.selectbox(key=f"country-{dataset}").set_value("DE")
    sound(at.multiselect(key=f"known-{dataset}").set_value(columns[1:2]).run())
    assert "Holidays need a country" not in words(at) and "ignored" not in words(at)
    assert not at.button(key="train").disabled
    alone = choose(at, "dlinear")
    assert f"ignored: hour of the day, holidays, {columns[1]}." in words(alone)
    assert not alone.button(key="train").disabled


def test_a_training_runs_to_its_scores_and_its_link_shows_it_again(small, app):
    small.button(key="train").click().run()
    run = sound(small).query_params["run"]
    wait(small, "finished")
    assert "Loss per epoch" in words(small)
    assert "Test MSE, z-scored" in [metric.label for metric in small.metric]
    links = [link.value for link in small.page_link]
    at = links.index("Forecast")
    assert links[at : at + 3] == ["Forecast", "Scales", "Attention"]
    again = sound(app("train", run=run))
    assert [metric.value for metric in again.metric] == [metric.value for metric in small.metric]
    assert again.query_params["dataset"] == small.query_params["dataset"]
    again.button(key="new").click().run()
    assert "run" not in sound(again).query_params


def test_cancel_keeps_what_there_is_and_offers_to_resume(small):
    small.number_input(key="recipe-quick-epochs").set_value(5000)
    small.number_input(key="recipe-quick-patience").set_value(1000).run()
    small.button(key="train").click().run()
    assert "Cancel" in buttons(sound(small))
    small.button(key="cancel").click().run()
    wait(small, "cancelled")
    assert "Resume" in buttons(small)


def test_a_failed_training_says_why_and_can_be_tried_again_with_half_the_batch(small):
    from core.jobs.directory import JobDirectory
    from core.settings import settings
    from core.ui import resources

    small.button(key="train").click().run()
    wait(small, "finished")
    run = small.query_params["run"]
    directory = JobDirectory(settings().runs / run)
    directory.append(Failed(time.time(), "The machine ran out of memory. Try a smaller batch.", "Traceback"))
    resources.store().update_run(run, state="failed")
    sound(small.run())
    assert "ran out of memory" in words(small)
    batch = directory.spec().recipe.batch_size
    small.button(key="retry").click().run()
    assert sound(small).query_params["run"] != run
    new = JobDirectory(settings().runs / small.query_params["run"])
    assert new.spec().recipe.batch_size == batch // 2
    wait(small, "finished")


def test_a_link_to_no_run_says_so(app):
    app()
    keep(sine_series())
    at = app("train", run="20200101-000000000-abcdef")
    assert "There is no run" in words(sound(at))


def test_a_saved_model_is_used_and_a_pickle_is_refused(small, app):
    from core.settings import settings

    small.button(key="train").click().run()
    wait(small, "finished")
    saved = (settings().runs / small.query_params["run"] / "checkpoint.safetensors").read_bytes()
    at = app("train", dataset=small.query_params["dataset"])
    at.file_uploader(key="model-file").upload("model.pt", b"\x80\x04\x95" + b"\0" * 100)
    at.run()
    at.button(key="adopt").click().run()
    assert "pickle" in words(sound(at)).lower()
    at = app("train", dataset=small.query_params["dataset"])
    at.file_uploader(key="model-file").upload("model.safetensors", saved)
    at.run()
    at.button(key="adopt").click().run()
    assert sound(at).title[0].value == "Forecast"
    assert at.query_params["run"] != small.query_params["run"]
    assert list(settings().uploads.iterdir()) == []
