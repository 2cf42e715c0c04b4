"""Any view is a link: what is chosen stands in the URL, follows the reader, and forgets what no longer applies."""

from streamlit.testing.v1 import AppTest


def at(script, **query: str) -> AppTest:
    test = AppTest.from_function(script)
    test.query_params.update(query)
    test.run()
    assert not test.exception
    return test


def test_a_changed_run_forgets_its_window_and_a_changed_dataset_its_run():
    def script():
        from core.ui import state

        state.put(run="b")

    assert at(script, dataset="d", run="a", window="7", scale="1").query_params == {"dataset": "d", "run": "b"}

    def other():
        from core.ui import state

        state.put(dataset="e")

    assert at(other, dataset="d", run="a", window="7").query_params == {"dataset": "e"}


def test_the_same_run_keeps_its_window():
    def script():
        from core.ui import state

        state.put(run="a", step=3)

    assert at(script, run="a", window="7").query_params == {"run": "a", "window": "7", "step": "3"}


def test_a_bare_url_gets_back_what_the_session_had_chosen():
    def script():
        from core.ui import state

        state.restore()

    test = at(script, dataset="d", run="a")
    test.query_params.clear()
    test.run()
    assert test.query_params == {"dataset": "d", "run": "a"}
    test.query_params.clear()
    test.query_params["run"] = "shared"
    test.run()
    assert test.query_params == {"run": "shared"}


def test_a_page_takes_back_only_what_it_follows():
    def script():
        from core.ui import state

        state.restore(("dataset",))

    test = at(script, dataset="d", run="a")
    test.query_params.clear()
    test.run()
    assert test.query_params == {"dataset": "d"}


def test_what_was_put_away_does_not_come_back():
    def script():
        from core.ui import state

        state.restore()
        state.put(run=None)
        state.restore()

    assert at(script, dataset="d", run="a", window="7").query_params == {"dataset": "d"}


def test_numbers_from_a_url_are_held_within_their_bounds():
    def script():
        import streamlit as st

        from core.ui import state

        st.text(str([state.number(name, 5, 0, 9) for name in ("window", "step", "scale")]))

    assert at(script, window="99", step="<script>").text[0].value == "[9, 5, 5]"


def test_a_link_to_another_page_takes_the_choices_along():
    def script():
        import streamlit as st

        from core.ui import state

        st.text(str(state.params(run="b")))

    assert at(script, dataset="d", run="a", window="7").text[0].value == "{'dataset': 'd', 'run': 'b'}"
