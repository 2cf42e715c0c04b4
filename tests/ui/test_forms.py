"""A config class is all a form needs."""

from streamlit.testing.v1 import AppTest


def script():
    from typing import Literal

    import streamlit as st
    from pydantic import BaseModel, Field

    from core.ui import forms

    class Config(BaseModel):
        count: int = Field(4, gt=0, lt=7, title="Count", description="How many.", json_schema_extra={"unit": "steps"})
        share: float = Field(0.1, ge=0, lt=1, title="Share")
        rate: float = Field(1e-4, gt=0, le=1, title="Rate")
        kind: Literal["one", "two"] = Field("two", title="Kind")
        on: bool = Field(True, title="On")
        hidden: int = 3
        nested: list[int] = Field([], title="No widget for this")

    st.session_state.values = forms.fields(Config, "f", start={"share": 0.25}, skip=("on",))


def test_every_titled_field_becomes_its_widget():
    at = AppTest.from_function(script).run()
    assert not at.exception
    assert at.session_state["values"] == {"count": 4, "share": 0.25, "rate": 1e-4, "kind": "two"}
    count = at.number_input(key="f-count")
    assert (count.label, count.min, count.max, count.step) == ("Count, steps", 1, 6, 1)
    assert count.help == "How many."
    assert at.selectbox(key="f-kind").options == ["one", "two"]


def test_what_is_entered_comes_back():
    at = AppTest.from_function(script).run()
    at.number_input(key="f-count").set_value(6)
    at.number_input(key="f-rate").set_value(0.002)
    at.selectbox(key="f-kind").select("one").run()
    values = at.session_state["values"]
    assert (values["count"], values["rate"], values["kind"]) == (6, 0.002, "one")
