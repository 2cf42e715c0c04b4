"""The dashboard's entry point: page set-up, navigation and the live jobs in the side bar. No logic.

``streamlit run app.py`` runs this file on every rerun, before the page.
"""

import streamlit as st

from core.ui import boot, live, theme

boot.set_up()
st.logo(f"assets/logo-{theme.appearance()}.svg", size="medium", icon_image="assets/icon.svg")
chosen = boot.navigate()
live.side_bar()
boot.run(chosen)
