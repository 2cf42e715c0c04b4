"""The dashboard's entry point: page set-up, navigation and the live jobs in the side bar. No logic.

``streamlit run app.py`` runs this file on every rerun, before the page.
"""

from pathlib import Path

import streamlit as st

# before everything else is imported: the browser draws its frame once, in the right width
st.set_page_config(page_title="Scalescope", page_icon="assets/icon.svg", layout="wide", initial_sidebar_state=232)

from core.ui import boot, live, theme  # noqa: E402
from core.ui.lesson import glossary  # noqa: E402

st.html(Path("assets/contrast.css"))
st.logo(f"assets/logo-{theme.appearance()}.svg", size="medium", icon_image="assets/icon.svg")
chosen = boot.navigate()
with boot.problems(chosen.title):
    live.side_bar()
    chosen.run()
    glossary.foot(chosen.title)
boot.warm_up()
