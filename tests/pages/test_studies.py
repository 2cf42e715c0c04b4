"""Studies shows what can be asked, runs it in the background, and answers from what is finished."""

import json
import shutil
from pathlib import Path

import pytest

from core.settings import settings
from core.studies.runner import Runner
from core.studies.study import studies
from tests.pages.conftest import sound, words

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture
def measured(app) -> Runner:
    """The home holds what was measured for the saliency study."""
    folder = settings().studies
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(RESULTS / "saliency.jsonl", folder)
    return Runner(folder)


@pytest.mark.parametrize("name", list(studies()))
def test_every_study_says_what_it_asks_and_what_it_takes(app, name):
    at = sound(app("studies", study=name))
    assert studies()[name].question in words(at) and "Not run yet" in words(at)
    assert at.query_params["study"] == name
    assert at.button(key="start").label == "Run it"


def test_an_unknown_study_shows_the_first(app):
    assert sound(app("studies", study="nix")).query_params["study"] == next(iter(studies()))


def test_an_answer_is_a_sentence_a_figure_and_a_table(app, measured):
    at = sound(app("studies", study="saliency"))
    assert studies()["saliency"].sentence(measured.finished("saliency")) in words(at)
    assert len(at.get("vega_lite_chart")) == 2 and "Contributions" in list(at.dataframe[0].value["map"])
    assert "start" not in [button.key for button in at.button]
    at.button(key="forget").click().run()
    assert "Not run yet" in words(sound(at)) and not (measured.folder / "saliency.jsonl").exists()


def test_cells_of_an_older_form_of_a_study_do_not_count(app, measured):
    lines = (measured.folder / "saliency.jsonl").read_text().splitlines()
    older = json.loads(lines[0])
    older["spec"]["recipe"]["epochs"] += 1
    (measured.folder / "saliency.jsonl").write_text("\n".join([json.dumps(older), *lines[1:3]]) + "\n")
    at = sound(app("studies", study="saliency"))
    assert f"From 2 of {len(lines)} trainings" in words(at)
    assert at.button(key="start").label == "Go on"
    assert {"SYN2", "SYN3"} <= set(at.dataframe[0].value.columns) and "SYN1" not in at.dataframe[0].value.columns
