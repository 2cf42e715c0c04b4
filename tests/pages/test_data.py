"""Data: an upload is confirmed before it is stored, problems are sentences, and nothing stored is lost."""

import gzip

import numpy as np
import pytest

from core.data.card import Audit, DatasetCard
from tests.conftest import sine_series
from tests.pages.conftest import sound, words

GOOD = "when,load,temperature\n" + "".join(
    f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00,{i % 7},{20 + i % 5}\n" for i in range(200)
)


def upload(at, name: str, content: bytes | str):
    content = content.encode() if isinstance(content, str) else content
    at.file_uploader[0].upload(name, content)
    return sound(at.run())


def stored():
    from core.ui import resources

    return resources.store().datasets()


def keep(series):
    from core.ui import resources

    card = DatasetCard.of(series, Audit(rows=len(series), step="1 hour", start="2024-01-01", end="2024-01-17"))
    return resources.store().add_dataset(series, card)


def test_a_csv_becomes_a_dataset_with_a_card(app):
    at = upload(app("data"), "load of a house.csv", GOOD)
    assert at.text_input(key="new-name").value == "load of a house"
    assert list(at.dataframe[0].value.iloc[0])[1:] == ["2024-01-01 00:00", "0", "20"]
    assert stored() == []  # nothing is kept before it is confirmed
    at.button(key="add").click().run()
    card = stored()[0]
    assert (card.name, card.rows, card.variates) == ("load of a house", 200, ["load", "temperature"])
    assert card.time_column == "when"
    assert sound(at).query_params["dataset"] == card.id
    assert "200 rows" in words(at)


def test_what_was_uploaded_does_not_stay_in_the_folder(app, home):
    at = upload(app("data"), "a.csv", GOOD)
    assert len(list((home / "uploads").iterdir())) == 1
    at.button(key="leave").click().run()
    assert list((home / "uploads").iterdir()) == []
    assert stored() == []


def test_several_files_of_one_shape_become_one_dataset(app, home):
    lines = GOOD.splitlines(keepends=True)
    at = app("data")
    at.file_uploader[0].upload("house 2.csv", "".join([lines[0], *lines[101:]]).encode())
    at.file_uploader[0].upload("house 1.csv", "".join(lines[:101]).encode())
    sound(at.run())
    assert "2 files of one shape" in words(at)
    assert len(list((home / "uploads").iterdir())) == 1
    at.button(key="add").click().run()
    assert (stored()[0].rows, stored()[0].variates) == (200, ["load", "temperature"])


def test_units_under_the_header_stay_with_the_card(app):
    lines = GOOD.splitlines(keepends=True)
    at = upload(app("data"), "a.csv", "".join([lines[0], ",MW,°C\n", *lines[1:]]))
    at.button(key="add").click().run()
    assert stored()[0].units == {"load": "MW", "temperature": "°C"}


def test_a_date_in_three_columns_is_confirmed_as_one(app):
    rows = "".join(f"2024,1,{1 + i},{i % 7}\n" for i in range(28))
    at = upload(app("data"), "a.csv", "year,month,day,load\n" + rows)
    assert [row[0] for row in at.dataframe[0].value.to_numpy()] == [f"2024-01-0{day} 00:00:00" for day in (1, 2, 3)]
    at.button(key="add").click().run()
    assert (stored()[0].variates, stored()[0].step) == (["load"], "1 day")


def test_a_packed_file_is_unpacked_and_the_card_says_so(app, home):
    at = upload(app("data"), "load.csv.gz", gzip.compress(GOOD.encode()))
    assert "load.csv.gz was unpacked (gzip)." in words(at)
    assert len(list((home / "uploads").iterdir())) == 1
    at.button(key="add").click().run()
    card = stored()[0]
    assert (card.name, card.source, card.rows) == ("load", "load.csv.gz", 200)
    assert card.audit.count("unpacked") == 1
    assert list((home / "uploads").iterdir()) == []


def test_an_ambiguous_date_order_is_asked_with_both_readings(app):
    text = "day,load\n" + "".join(f"0{1 + i % 9}/0{2 + i % 7}/2020,{i}\n" for i in range(40))
    at = upload(app("data"), "days.csv", text)
    question = at.radio(key="new-order")
    assert question.value is None
    assert at.button(key="add").disabled
    question.set_value("day first").run()
    assert "1 February 2020" in at.dataframe[0].value.to_string()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "empty"),
        ("header.csv", b"when,load\n", "header"),
        ("book.xlsx", b"PK\x03\x04" + b"\0" * 200, "but is damaged"),
        ("model.csv", b"\x80\x04\x95" + b"\0" * 200, "pickle"),
        ("words.csv", b"a,b\nx,y\nz,w\n", "no numeric column"),
    ],
)
def test_a_file_that_is_no_series_gets_a_sentence(app, name, content, says):
    at = upload(app("data"), name, content)
    assert says in words(at)
    assert stored() == []


def test_hostile_column_names_are_shown_as_they_are_and_do_nothing(app):
    evil = ['"; drop table datasets; --', "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))"]
    quoted = ",".join('"' + name.replace('"', '""') + '"' for name in evil)
    text = f"when,{quoted}\n" + "".join(f"2024-01-01 {i:02d}:00,{i},{i},{i}\n" for i in range(24))
    at = upload(app("data"), "<b>evil</b>.csv", text)
    at.button(key="add").click().run()
    assert stored()[0].variates == evil
    raw = "\n".join(element.value for element in sound(at).markdown)
    assert "<b>" not in raw
    assert "](javascript" not in raw


def test_a_sample_is_one_click_and_not_doubled(app):
    at = app("data")
    at.button(key="sample-co2").click().run()
    at.button(key="sample-co2").click().run()
    sound(at)
    assert [card.kind for card in stored()] == ["sample"]
    assert at.query_params["dataset"] == stored()[0].id


# -- a series whose rule is known -------------------------------------------------------------------------------------


@pytest.fixture
def rule(app):
    at = app("data")
    return sound(at.button(key="sample-rule").click().run())


def own(at, lags: str):
    at.selectbox(key="rule-set").select(0).run()
    return sound(at.text_input(key="rule-lags").set_value(lags).run())


def test_a_set_is_stored_with_its_truth_and_not_doubled(rule):
    assert r"\sum_{l=71}^{77}" in rule.latex[0].value
    assert "x1 and x2 enter at the 7 lags 71 to 77, each with weight 1/14." in words(rule)
    assert "keep y's own past out of the model" in words(rule)
    rule.button(key="add-rule").click().run()
    card = stored()[0]
    assert (card.kind, card.name, card.source) == ("sample", "SYN5", "SYN5, known lags")
    assert card.truth["weights"] == [[1 / 14] * 7] * 2
    assert sound(rule).query_params["dataset"] == card.id
    rule.button(key="sample-rule").click().run()
    rule.button(key="add-rule").click().run()
    assert [card.id for card in stored()] == [sound(rule).query_params["dataset"]]


def test_every_setting_reaches_the_series(rule):
    rule.selectbox(key="rule-set").select(6).run()
    rule.number_input(key="rule-length").set_value(1000)
    rule.number_input(key="rule-noise-6").set_value(0.2)
    rule.number_input(key="rule-autocorrelation").set_value(0.5)
    rule.number_input(key="rule-seed").set_value(4)
    rule.toggle(key="rule-alternating").set_value(True)
    rule.toggle(key="rule-current").set_value(True).run()
    rule.button(key="add-rule").click().run()
    from core.data.synthetic import syn
    from core.ui import resources

    sound(rule)
    series = resources.store().series(stored()[0].id)
    same = syn(6, length=1000, noise=0.2, alternating=True, seed=4)
    assert (series.fingerprint, series.truth) == (same.fingerprint, same.truth)
    assert series.name == "SYN6, noise 0.2, autocorrelation 0.5, alternating signs, same step, 1,000 steps, seed 4"


def test_an_own_rule_is_written_and_stored(rule):
    at = own(rule, "3-5, 9")
    at.multiselect(key="rule-features").set_value([4]).run()
    assert "x4 enters at the 4 lags L = 3 to 5, 9, each with weight 1/4." in words(at)
    at.button(key="add-rule").click().run()
    truth = stored()[0].truth
    assert (truth["features"], truth["lags"]) == (["x4"], [3, 4, 5, 9])
    at.button(key="sample-rule").click().run()
    assert at.text_input(key="rule-lags").value == "3-5, 9"  # the rule is still there to go on from


@pytest.mark.parametrize(
    ("lags", "says"),
    [
        ("48-5o", "'48-5o', is neither a whole number nor a span"),
        ("", "No lag is named"),
        ("0", "not in the past"),
        ("600", "longer than half the series"),
        ("<b>1</b>", "'<b>1</b>'"),
    ],
)
def test_bad_lags_get_a_sentence_and_nothing_is_stored(rule, lags, says):
    rule.number_input(key="rule-length").set_value(1000)
    at = own(rule, lags)
    assert says in words(at)
    assert at.button(key="add-rule").disabled
    assert at.latex.len == 0
    at.text_input(key="rule-lags").set_value("7").run()
    assert not sound(at).error
    assert not at.button(key="add-rule").disabled
    assert stored() == []


def test_a_rule_needs_a_feature(rule):
    at = own(rule, "7")
    at.multiselect(key="rule-features").set_value([]).run()
    assert "No feature matters in this rule" in words(sound(at))


def test_a_rule_can_be_left_and_an_upload_takes_its_place(rule):
    rule.button(key="leave-rule").click().run()
    assert [button.key for button in rule.button if button.key == "add-rule"] == []
    rule.button(key="sample-rule").click().run()
    at = upload(rule, "load.csv", GOOD)
    assert not at.latex
    at.button(key="add").click().run()
    assert [card.kind for card in stored()] == ["upload"]
    assert "200 rows" in words(sound(at))


def test_the_card_of_a_known_series_shows_its_rule(app):
    from core.data.samples import SAMPLES
    from core.ui import resources

    app()
    at = sound(app("data", dataset=resources.store().add_dataset(*SAMPLES["syn8"].open())))
    assert r"\sum_{l=48}^{57}" in at.latex[0].value
    assert "x0 and x2 enter at the 10 lags 48 to 57, each with weight 1/40." in words(at)
    assert "lags 48-57, 71-77" in at.table[0].value.to_string().replace("\\", "")


def test_a_new_dataset_is_the_one_that_is_shown(app):
    """The list kept its old choice, because a keyed widget outlives its index: adding a second set showed the first."""
    app()
    keep(sine_series())
    at = upload(app("data"), "second.csv", GOOD)
    at.button(key="add").click().run()
    assert at.selectbox(key="dataset").value == next(card.id for card in stored() if card.name == "second")


def test_the_link_decides_which_dataset_is_shown_and_the_list_writes_the_link(app):
    """Two datasets of one name were one option to Streamlit, which tells options apart by their text."""
    app()
    one, other = keep(sine_series()), keep(sine_series(seed=1))
    at = sound(app("data", dataset=one))
    assert at.selectbox(key="dataset").value == one
    at.selectbox(key="dataset").select(other).run()
    assert at.query_params["dataset"] == other


def test_a_link_to_a_deleted_dataset_says_so(app):
    app()
    keep(sine_series())
    assert "not stored here" in words(sound(app("data", dataset="gone")))


def test_findings_are_listed_with_count_and_first_place(app):
    text = GOOD.replace("2024-01-02 03:00,6", "2024-01-02 03:00,n/a")
    assert "n/a" in text
    at = upload(app("data"), "holes.csv", text)
    table = at.table[0].value
    assert table["count"].tolist() == ["1", "1"]
    assert "row 29, load: 'n/a'" in table["first places"][0].replace("\\", "")


def test_missing_values_are_filled_as_chosen(app):
    text = GOOD.replace("2024-01-02 03:00,6", "2024-01-02 03:00,")
    at = upload(app("data"), "holes.csv", text)
    at.selectbox(key="new-fill").select("linear").run()
    at.button(key="add").click().run()
    from core.ui import resources

    series = resources.store().series(stored()[0].id)
    assert np.isfinite(series.values).all()
    assert stored()[0].repairs


def test_repairs_are_offered_done_when_chosen_and_taken_back(app):
    text = GOOD.replace("2024-01-02 03:00,6", "2024-01-02 03:00,-9999").replace(
        "2024-01-03 05:00,4", "2024-01-03 05:00,90"
    )
    at = upload(app("data"), "codes.csv", text)
    assert {box.key for box in at.selectbox if box.key and box.key.startswith("repair-")} == {
        "repair-stand_in -9999",
        "repair-outliers",
    }
    assert "before and after" not in words(at).lower() and not at.get("vega_lite_chart")
    at.selectbox(key="repair-stand_in -9999").select_index(1).run()
    at.selectbox(key="repair-outliers").select_index(1).run()
    assert len(sound(at).get("vega_lite_chart")) == 2
    at.selectbox(key="repair-outliers").select_index(0).run()
    at.button(key="add").click().run()
    from core.ui import resources

    card = stored()[0]
    values = resources.store().series(card.id).values[:, 0]
    assert np.isnan(values).sum() == 1 and np.nanmax(values) == 90
    assert card.choice and card.choice["missing_values"] == [-9999] and card.choice["outliers"] == "keep"
    assert any("-9999" in repair for repair in card.repairs)


def test_data_are_brought_to_a_step(app):
    at = upload(app("data"), "a.csv", GOOD)
    at.selectbox(key="new-step").select("1 day").run()
    at.selectbox(key="new-aggregate").select("sum").run()
    at.button(key="add").click().run()
    card = stored()[0]
    assert (card.rows, card.step) == (9, "1 day") and "200 rows became 9" in card.repairs[0]


def test_a_long_table_becomes_variates_and_can_be_read_otherwise(app):
    long = "id,when,load\n" + "".join(
        f"{u},2024-01-{1 + i:02d},{i * k}\n" for k, u in ((1, "A"), (2, "B")) for i in range(20)
    )
    at = upload(app("data"), "long.csv", long)
    assert at.selectbox(key="new-series").value == 1
    assert "A long table" in words(at)
    at.button(key="add").click().run()
    assert stored()[0].variates == ["A", "B"]


def test_what_could_not_be_read_is_there_to_download(app):
    text = GOOD.replace("2024-01-02 03:00,6", "2024-01-02 03:00,n/a") + "Total,7,8\n"
    at = upload(app("data"), "holes.csv", text)
    labels = [each.proto.label for each in at.get("download_button")]
    assert labels == ["Repairs (JSON)", "What could not be read (CSV)"]


def test_a_query_gives_a_table_a_chart_and_a_file(app):
    app()
    id = keep(sine_series())
    at = app("data", dataset=id)
    at.button(key=f"run-{id}").click().run()
    assert "400 rows, in" in words(sound(at))
    assert list(at.dataframe[-1].value.columns) == ["time", "load a", "load b"]
    assert at.selectbox(key=f"across-{id}").options[0] == "time"
    at.text_area(key=f"sql-{id}").set_value("SELECT count(*) AS n FROM data")
    at.button(key=f"run-{id}").click().run()
    assert at.dataframe[-1].value["n"].tolist() == [400] and "1 row, in" in words(sound(at))


def test_a_query_that_may_not_be_asked_is_a_sentence(app):
    app()
    id = keep(sine_series())
    at = app("data", dataset=id)
    at.text_area(key=f"sql-{id}").set_value("DROP TABLE data")
    at.button(key=f"run-{id}").click().run()
    assert "only a SELECT is run here" in words(sound(at))
    at.text_area(key=f"sql-{id}").set_value('SELECT * FROM data WHERE "load a" > 99')
    at.button(key=f"run-{id}").click().run()
    assert "The query gave no rows." in words(sound(at))


def test_every_kind_of_value_is_shown(app):
    app()
    id = keep(sine_series())
    at = app("data", dataset=id)
    at.text_area(key=f"sql-{id}").set_value(
        "SELECT {'a': 1} AS s, [1, 2] AS l, INTERVAL 3 MONTH AS i, 'x'::BLOB AS b, DATE 'infinity' AS far, NULL AS n, "
        "sum(1) AS total, TIME '10:00' AS clock, now() AS t, uuid() AS u, 1 AS u"
    )
    at.button(key=f"run-{id}").click().run()
    shown = at.dataframe[-1].value
    assert "1 row, in" in words(sound(at))
    assert list(shown.columns) == ["s", "l", "i", "b", "far", "n", "total", "clock", "t", "u", "u (2)"]
    assert float(shown["total"][0]) == 1.0


def test_a_slow_query_can_be_cancelled(app):
    app()
    id = keep(sine_series())
    at = app("data", dataset=id)
    at.text_area(key=f"sql-{id}").set_value(
        "SELECT sum(sin(a.range * b.range)) FROM range(1000000) a, range(1000000) b"
    )
    at.button(key=f"run-{id}").click().run()
    assert "Running for" in words(sound(at))
    asked = at.session_state[f"asked-{id}"]
    at.button(key=f"cancel-{id}").click().run()
    asked.thread and asked.thread.join(10)
    at.run()
    assert "The query was cancelled." in words(sound(at))


def test_a_file_that_comes_again_is_a_version_and_says_what_changed(app):
    at = upload(app("data"), "load.csv", GOOD)
    at.button(key="add").click().run()
    at = upload(app("data"), "load.csv", GOOD)
    assert "The same values are stored already: load, added" in words(at)
    later = GOOD.replace("2024-01-02 03:00,6", "2024-01-02 03:00,60") + "2024-01-09 08:00,1,20\n"
    at = upload(app("data"), "load.csv", later)
    assert "Version 2 of load" in words(at) and "1 row is new" in words(at)
    at.button(key="add").click().run()
    second, first = stored()
    assert (second.version, second.previous) == (2, first.id)
    assert any("1 value is different in load" in change for change in second.changes)
    assert first.version == 1 and len(stored()) == 2
    at = upload(app("data"), "load.csv", GOOD.replace("load", "wind").replace("temperature", "sun"))
    assert "Version" not in words(at), "another table that happens to have the same name"


def test_tags_are_kept_and_choose_datasets(app):
    app()
    one, other = keep(sine_series()), keep(sine_series(300))
    at = app("data", dataset=one)
    at.text_input(key=f"tags-{one}").set_value("plant, winter,plant ,")
    at.button(key="save-about").click().run()
    assert {card.id: card.tags for card in stored()} == {one: ["plant", "winter"], other: []}
    at.multiselect(key="tags-wanted").select("winter").run()
    assert len(sound(at).selectbox(key="dataset").options) == 1


def test_rename_and_describe(app):
    app()
    id = keep(sine_series())
    at = app("data", dataset=id)
    at.text_input(key=f"name-{id}").set_value("Waves of *mine*")
    at.text_area(key=f"text-{id}").set_value("Made for a test.")
    at.button(key="save-about").click().run()
    assert (stored()[0].name, stored()[0].description) == ("Waves of *mine*", "Made for a test.")
    assert "Made for a test." in words(sound(at))


def test_the_part_shown_can_be_chosen_without_a_mouse(app):
    app()
    id = keep(sine_series())
    at = app("data", dataset=id)
    at.slider(key=f"rows-{id}").set_range(100, 120).run()
    sound(at)


def test_deleting_asks_first_and_names_the_runs(app, home, small_spec):
    app()
    series = sine_series()
    id = keep(series)
    from core.ui import resources

    spec = small_spec(series, dataset=id)
    resources.store().add_run("20260101-000000000-abcdef", "run of waves", spec.model_dump_json(), "finished", home)
    at = app("data", dataset=id)
    at.button(key="delete").click().run()
    assert "run of waves" in words(sound(at))
    assert len(stored()) == 1


def test_the_profile_is_computed_when_it_is_opened_and_its_lengths_go_to_train(app):
    id_ = keep(sine_series())
    at = sound(app("data", dataset=id_))
    assert "For a first training" not in str([table.value for table in at.table])
    at.session_state[f"profile-{id_}"] = True
    at.run()
    sound(at)
    table = next(frame.value for frame in at.dataframe if "seasonal strength" in frame.value)
    assert list(table["season, steps"]) == [24] * len(table)
    assert "One season, of 24 steps" in words(at)
    at.button(key="train-suggested").click().run()
    sound(at)
    assert at.number_input(key=f"horizon-{id_}").value == 20  # 400 rows hold no more
    assert at.number_input(key=f"lookback-{id_}").value == 24


def test_the_profile_shows_where_values_are_missing(app):
    series = sine_series()
    series.values[50:100, 1] = np.nan
    id_ = keep(series)
    at = app("data", dataset=id_)
    before = len(at.get("vega_lite_chart"))
    at.session_state[f"profile-{id_}"] = True
    sound(at.run())
    assert "Missing values" in words(at) and len(at.get("vega_lite_chart")) == before + 2
