"""The lesson: every stop and room, what a link may hold, votes, the gallery's answers, and the way back to a model that
is gone."""

import shutil

import pytest

from core.lesson import pretrained
from core.ui.lesson import gallery, guide
from core.ui.lesson.votes import MOST, Votes
from tests.pages.conftest import sound, words


def lesson(app, **query):
    return sound(app("lesson", **query))


@pytest.mark.parametrize("stop", range(1, 7))
def test_every_stop_has_its_idea_its_action_and_numbers(app, stop):
    at = lesson(app, lesson=str(stop))
    about = guide.STOPS[stop - 1]
    assert about.idea in words(at) and about.action in words(at)
    assert at.get("vega_lite_chart") and not at.error
    assert at.button(key="lesson-back").disabled == (stop == 1) and at.button(key="lesson-next").disabled == (stop == 6)


@pytest.mark.parametrize("room", guide.ROOMS)
def test_every_room_opens_and_leads_back(app, room):
    at = lesson(app, lesson=room)
    assert guide.ROOMS[room][0] in words(at)
    assert not at.error
    sound(at.button(key="lesson-next").click().run())
    assert at.query_params["lesson"] == "1"


def test_next_and_back_walk_through_all_stops(app):
    at = lesson(app)
    for stop in range(2, 7):
        sound(at.button(key="lesson-next").click().run())
        assert at.query_params["lesson"] == str(stop) and guide.STOPS[stop - 1].idea in words(at)
    sound(at.button(key="lesson-back").click().run())
    assert at.query_params["lesson"] == "5"


@pytest.mark.parametrize(
    ("query", "said", "shown"),
    [
        ({"lesson": "9"}, "no stop '9': it has stops 1 to 6. Stop 6 is shown", 5),
        ({"lesson": "0"}, "Stop 1 is shown", 0),
        ({"lesson": "<b>x</b>"}, "no stop '<b>x</b>'", 0),
        ({"lesson": "2", "hide": "vote,nix"}, "nothing called 'nix' to hide", 1),
        ({"lesson": "2", "present": "yes"}, "present is neither 0 nor 1", 1),
        ({"lesson": "5", "model": "gpt"}, "no model 'gpt'", 4),
        ({"lesson": "2", "window": "99999"}, "no window 99,999: it goes from 1 to", 1),
        ({"lesson": "3", "window": "x"}, "'x' is no window", 2),
        ({"lesson": "5", "step": "0"}, "no step ahead 0", 4),
        ({"lesson": "6", "case": "gpt"}, "no case 'gpt'", 5),
        ({"lesson": "glossary", "term": "gpt"}, "no entry for that term", None),
    ],
)
def test_a_link_with_nonsense_opens_the_nearest_view_and_says_so(app, query, said, shown):
    at = lesson(app, **query)
    assert said in words(at)
    if shown is not None:
        assert guide.STOPS[shown].idea in words(at)


def test_a_link_hides_what_a_teacher_leaves_out(app):
    keys = {widget.key for widget in lesson(app, lesson="1").text_input}
    assert "lesson-marks-typed" in keys
    at = lesson(app, lesson="1", hide="vote,rooms")
    assert "lesson-marks-typed" not in {widget.key for widget in at.text_input}
    assert not [button for button in at.button if str(button.key).startswith("lesson-room")]


def test_marks_are_counted_scored_and_taken_back(app):
    at = lesson(app, lesson="1")
    sound(at.text_input(key="lesson-marks-typed").set_value("59-65").run())
    assert "You marked 7 of 96 steps" in words(at)
    sound(at.button(key="lesson-count").click().run())
    assert "1 vote on this server" in words(at) and at.text_input(key="lesson-marks-typed").value == ""
    sound(at.text_input(key="lesson-marks-typed").set_value("1-10").run())
    assert "2 votes on this server" in words(at) and "2 readers have voted" in words(at)
    sound(at.text_input(key="lesson-marks-typed").set_value("nonsense").run())
    assert "is neither a whole number nor a span" in words(at)
    at.button(key="lesson-next").click().run()
    sound(at.button(key="lesson-next").click().run())
    sound(at.toggle(key="reveal-shown").set_value(True).run())
    assert "71 to 77" in words(at) and "the class" in words(at)


def test_the_true_marks_score_one(app):
    at = lesson(app, lesson="1")
    at.text_input(key="lesson-marks-typed").set_value("59-65").run()
    at.button(key="lesson-next").click().run()
    at.button(key="lesson-next").click().run()
    sound(at.toggle(key="reveal-shown").set_value(True).run())
    assert "your marks 1.00" in words(at) and "Of the 7 true steps you marked 7, with 7 marks." in words(at)


def test_votes_are_bounded_and_bad_steps_count_nowhere():
    votes = Votes()
    assert votes.put("q", "a", [1, 2, 500]) and votes.put("q", "b", [2])
    share, readers = votes.share("q", 4)
    assert readers == 2 and share.tolist() == [0, 0, 1.0, 0.5]
    votes.put("q", "b", [])
    assert votes.share("q", 4)[1] == 1
    for i in range(MOST):
        votes.put("q", str(i), [1])
    assert not votes.put("q", "one more", [1])
    for i in range(300):
        votes.put(f"question {i}", "a", [1])
    assert len(votes._of) <= 200


@pytest.mark.parametrize("case", gallery.CASES, ids=lambda case: case.name)
def test_every_case_answers_with_numbers_of_its_window(app, case):
    at = lesson(app, lesson="6", case=case.name)
    assert case.question in [radio.label for radio in at.radio]
    at.radio(key=f"case-answer-{case.name}").set_value(case.options[1]).run()
    sound(at.toggle(key=f"case-shown-{case.name}").set_value(True).run())
    told = " ".join(success.value.replace("\\", "") for success in at.success)
    assert f"No: {case.options[0].lower()}." in told and any(ch.isdigit() for ch in told) and "nan" not in told


def test_a_poke_by_fields_moves_the_forecast_as_the_rule_says(app):
    at = lesson(app, lesson="4")
    assert "Drag a point of an input" in words(at)
    at.number_input(key="lesson-from").set_value(31)
    at.number_input(key="lesson-to").set_value(37).run()
    sound(at.button(key="lesson-apply").click().run())
    said = next(text for text in words(at).split("\n") if "The rule itself would move y" in text)
    assert "moves by" in said and "59 to 65" in said
    sound(at.button(key="lesson-reset").click().run())
    assert "Drag a point of an input" in words(at)


def test_a_poke_without_a_value_is_refused_in_words(app):
    at = lesson(app, lesson="4")
    sound(at.button(key="lesson-apply").click().run())
    assert "No step is chosen" in words(at)


def test_another_model_and_step_are_compared(app):
    at = lesson(app, lesson="5")
    at.radio(key="compare-model").set_value("casa-syn5").run()
    assert at.query_params["model"] == "casa-syn5"
    sound(at.slider(key="compare-step").set_value(20).run())
    assert "Gradient finds the true steps best" in words(at)
    at.radio(key="compare-model").set_value("crossscalenet-syn1").run()
    assert "none of the steps that make y has happened yet" in words(sound(at)), "its lags reach 15 steps back"
    sound(at.slider(key="compare-step").set_value(13).run())
    assert "finds the true steps best" in words(at)


def test_depths_of_how_it_works(app):
    at = lesson(app, lesson="inside")
    for depth in ("One scale", "One cell"):
        at.segmented_control(key="inside-depth").set_value(depth)
        sound(at.run())
    assert "as in the map" in words(at)
    for model in ("s2tx-syn5", "casa-syn5", "scalefusion-waves"):
        at.segmented_control(key="inside").set_value(model)
        sound(at.run())


def test_the_arithmetic_of_a_cell_gives_the_weight_of_the_map():
    from core.errors import UserError
    from core.lesson.arithmetic import cell

    run, found = pretrained.load("crossscalenet-syn5"), pretrained.stored("crossscalenet-syn5")
    assert found is not None
    for one in found.attention:
        for i, j in ((0, 0), (2, 4)):
            made = cell(run, found.lookback, one.scale, i, j)
            assert made.weight == pytest.approx(float(one.weights[i, j]), abs=2e-3)
            assert made.weights.sum() == pytest.approx(1)
    with pytest.raises(UserError, match="Choose 1 to 3"):
        cell(run, found.lookback, 0, 0, 0)
    with pytest.raises(UserError, match="6 patches"):
        cell(run, found.lookback, 1, 0, 9)


def test_a_model_that_is_gone_can_be_trained_here(app, tmp_path, monkeypatch):
    place = tmp_path / "pretrained"
    shutil.copytree(pretrained.FOLDER, place)
    for end in (".safetensors", ".answer.json", ".json"):
        (place / f"crossscalenet-syn5{end}").unlink()
    monkeypatch.setattr(pretrained, "FOLDER", place)
    at = lesson(app, lesson="2")
    assert "is missing. It can be trained here in about half a minute" in words(at)
    at.button(key="again-crossscalenet-syn5").click()
    sound(at.run(timeout=120))
    assert "looks most at the steps" in words(at)


@pytest.mark.parametrize("content", [None, b"noise" * 100])
def test_a_poke_whose_model_is_lost_offers_that_model(app, tmp_path, monkeypatch, content):
    place = tmp_path / "pretrained"
    shutil.copytree(pretrained.FOLDER, place)
    file = place / "crossscalenet-leak.safetensors"
    file.unlink() if content is None else file.write_bytes(content)
    (place / "crossscalenet-leak.answer.json").unlink()
    monkeypatch.setattr(pretrained, "FOLDER", place)
    at = lesson(app, lesson="6", case="leak")
    assert at.button(key="again-crossscalenet-leak")
    assert at.radio(key="lesson-case"), "the other cases can still be chosen"


def test_a_poke_without_its_model_offers_to_train_it(app, tmp_path, monkeypatch):
    """The stored answer still stands; only the first change needs the model itself."""
    place = tmp_path / "pretrained"
    shutil.copytree(pretrained.FOLDER, place)
    (place / "crossscalenet-syn5.safetensors").unlink()
    monkeypatch.setattr(pretrained, "FOLDER", place)
    at = lesson(app, lesson="4")
    assert "Drag a point of an input" in words(at)
    at.number_input(key="lesson-from").set_value(31)
    at.number_input(key="lesson-to").set_value(37).run()
    sound(at.button(key="lesson-apply").click().run())
    assert at.button(key="again-crossscalenet-syn5") and "is missing" in words(at)


def test_train_it_yourself_runs_a_real_job_to_its_map(app):
    import time

    from core.ui import resources

    at = lesson(app, lesson="train")
    at.text_input(key="try-lags").set_value("200").run()
    assert "Choose lags up to 96" in words(at) and at.button(key="try-train").disabled
    at.text_input(key="try-lags").set_value("20-24").run()
    sound(at.button(key="try-train").click().run())
    run, deadline = at.query_params["try"], time.time() + 120
    while resources.jobs().status(run).active and time.time() < deadline:
        time.sleep(0.2)
    sound(at.run())
    assert resources.jobs().status(run).state == "finished"
    assert "AUPRC of the true steps" in words(at)


def test_the_worksheet_asks_every_question_and_holds_no_script():
    from core.ui.lesson.teacher import worksheet

    page = worksheet()
    assert all(stop.title in page for stop in guide.STOPS) and "<script" not in page
    assert page.count("<tr><td>") >= len(gallery.CASES)
