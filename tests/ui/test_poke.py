"""The component by itself: what the browser is given, long windows, and that fields and picture speak of one window."""

import json
from typing import Any

import numpy as np
from streamlit.testing.v1 import AppTest


def page() -> None:
    import numpy as np
    import streamlit as st

    from core.data.edits import apply
    from core.ui import poke

    steps = st.session_state["steps"]
    window = np.sin(np.arange(steps, dtype=np.float32) / 10)[:, None]
    edits = poke.controls("it", window, ["load"], "load")
    changed = apply(window, ["load"], edits)
    poke.poke(
        "it",
        changed[:, 0],
        changed[-5:, 0] + 1,
        original_L=window[:, 0],
        before_H=window[-5:, 0] + 1,
        label="load",
        unit="kW",
        large=st.session_state["large"],
    )


def opened(steps: int, large: bool = False) -> AppTest:
    at = AppTest.from_function(page, default_timeout=30)
    at.session_state["steps"], at.session_state["large"] = steps, large
    at.run()
    assert not at.exception
    return at


def drawn(at: AppTest) -> dict[str, Any]:
    assert not at.exception
    return json.loads(at.get("bidi_component")[0].proto.json)


def test_the_browser_gets_the_window_and_no_ghost_of_it_before_an_edit() -> None:
    data = drawn(opened(50, large=True))
    np.testing.assert_allclose(data["past"], np.sin(np.arange(50) / 10), atol=1e-6)
    assert (data["label"], data["unit"], data["large"], data["first"]) == ("load", "kW", True, 0)
    assert data["original"] is None and data["before"] is None and data["truth"] is None
    assert data["selection"] is None


def test_chosen_steps_are_marked_and_a_refused_edit_is_drawn_back() -> None:
    at = opened(50)
    at.number_input(key="it-from").set_value(10)
    at.number_input(key="it-to").set_value(19).run()
    first = drawn(at)
    assert first["selection"] == [10, 20]
    at.button_group(key="it-kind").set_value("shock").run()
    at.button(key="it-apply").click().run()
    assert "A shock is at one step" in at.error[0].value.replace("\\", "")
    assert drawn(at)["past"] == first["past"]
    assert drawn(at)["turn"] > first["turn"], "without it the browser would not draw anew"


def test_of_a_long_window_a_stretch_is_drawn_and_steps_keep_their_numbers() -> None:
    at = opened(2500)
    data = drawn(at)
    assert len(data["past"]) == 1000 and data["first"] == 1500
    at.number_input(key="it-from").set_value(100)
    at.number_input(key="it-to").set_value(199).run()
    at.button(key="it-apply").click().run()
    data = drawn(at)
    assert data["original"] is None, "the edit lies outside the stretch"
    assert data["selection"] is None
    at.slider(key="it-stretch").set_value(50).run()
    data = drawn(at)
    assert data["first"] == 50 and data["selection"] == [50, 150]
    moved = np.array(data["past"]) - np.array(data["original"])
    assert np.flatnonzero(np.abs(moved) > 1e-6).tolist() == list(range(50, 150))


def test_a_shorter_window_takes_no_steps_of_a_longer_one() -> None:
    at = opened(2500)
    at.number_input(key="it-from").set_value(2000)
    at.number_input(key="it-to").set_value(2100).run()
    at.session_state["steps"] = 60
    at.run()
    assert at.number_input(key="it-from").value is None
    assert drawn(at)["selection"] is None and len(drawn(at)["past"]) == 60
