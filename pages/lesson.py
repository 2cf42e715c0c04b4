"""Lesson: attention saliency in six stops, and the rooms beside them."""

import streamlit as st

from core.ui import boot, widgets
from core.ui.lesson import answers, glossary, guide, stops

heading = boot.page("Lesson", follows=())
guide.enlarge()
guide.say_unknown()
here = guide.place()
guide.steer(here)
if here.room:
    title, _, about = guide.ROOMS[here.room]
    st.header(title, anchor=False)
    widgets.note(about)
else:
    stop = guide.STOPS[here.stop]
    st.header(f"{here.stop + 1} {stop.title}", anchor=False)
    st.markdown(f"{stop.idea} **{stop.action}**")
with answers.or_offered():
    if not here.room:
        stops.show(here.stop)
    elif here.room == "glossary":
        glossary.show()
    elif here.room == "train":
        from core.ui.lesson import trying

        trying.show()
    elif here.room == "inside":
        from core.ui.lesson import inside

        inside.show()
    else:
        from core.ui.lesson import teacher

        teacher.show()
guide.rooms(here)
