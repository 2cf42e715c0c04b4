"""The teacher's page: what the lesson is for, what to expect and to answer, and a worksheet to print."""

import streamlit as st

from core.data.lags import write_lags
from core.lesson.models import SHIPPED
from core.ui import theme, widgets
from core.ui.charts import lesson as charts
from core.ui.lesson import answers, gallery, guide, stops

GOALS = (
    "Say what an attention weight is, and what it is not.",
    "Judge a saliency map by what happens when the window is changed, and by a known truth.",
    "Name three ways in which a convincing map can mislead.",
)
LINKS = (
    ("?lesson=1&present=1", "for a projector: large type, no side bar"),
    ("?lesson=3&hide=rooms", "a stop without the ways to the rooms"),
    ("?lesson=1&hide=vote", "without the vote"),
    ("?lesson=6&case=leak", "one case of the gallery"),
)


def show() -> None:
    minutes = sum(stop.minutes for stop in guide.STOPS)
    st.markdown(
        f"About {minutes:.0f} minutes for the six stops, twice that with discussion. No network is needed, and "
        "nothing is stored of what a class marks."
    )
    st.markdown("**After it, one can**  \n" + "  \n".join(GOALS))
    st.markdown("**Stop by stop**")
    st.table(
        [
            {
                "stop": f"{i} {stop.title}",
                "ask": stop.ask,
                "expected": stop.expected,
                "common misconception": stop.mistaken,
            }
            for i, stop in enumerate(guide.STOPS, 1)
        ],
        hide_index=True,
        border="horizontal",
    )
    _figures()
    st.markdown("**Links that leave something out**")
    for link, about in LINKS:
        st.markdown(f"`{link}`  {about}")
    widgets.note(
        "On several devices: start the server with an address that they can reach (`streamlit run app.py "
        "--server.address 0.0.0.0`) and open the same link; votes of one server are counted together."
    )
    st.download_button(
        "Worksheet (HTML, to print)",
        worksheet(),
        "scalescope-worksheet.html",
        "text/html",
        icon=":material/print:",
        on_click="ignore",
    )


def _figures() -> None:
    """Two figures with captions, to be saved from their menus (picture or data)."""
    answer = answers.of(stops.MODEL, step=stops.STEP)
    st.markdown("**Figures**")
    st.altair_chart(
        charts.inputs(answer.lookback, answer.variates, answer.target, answer.truth, theme.colors()),
        key="figure-inputs",
        alt="The window of the lesson",
    )
    widgets.note(
        f"Figure 1. The window of the first stop: five inputs, and {answer.target}, which follows "
        f"{' and '.join(answer.causes)} of {write_lags(answer.lags, to=' to ')} steps before."
    )
    maps = {one.name: one.values for one in answer.maps if one.name != "Corrected attention"}
    numbers = {name: f"{answer.auprc(values):.2f}" for name, values in maps.items()}
    st.altair_chart(
        charts.strips(maps, len(answer.forecast), theme.colors(), true=answer.true_steps, numbers=numbers),
        key="figure-maps",
        alt="Four maps of one window beside the true steps",
    )
    widgets.note(
        f"Figure 2. Where four methods say that {SHIPPED[answer.model].title} looked for the forecast "
        f"{answer.step + 1} steps ahead; framed, the true steps. Right: the AUPRC of each, {answer.chance:.2f} for a "
        "map that is the same everywhere."
    )


def worksheet() -> str:
    """One page to print: a line for every question of the stops and the gallery. All of it is our own text."""
    from html import escape

    stops = "".join(
        f"<h2>{i} {escape(stop.title)}</h2><p>{escape(stop.ask)}</p><div class='line'></div><div class='line'></div>"
        for i, stop in enumerate(guide.STOPS, 1)
    )
    rows = "".join(
        f"<tr><td>{escape(case.title)}</td><td>{escape(case.question)}</td><td></td></tr>" for case in gallery.CASES
    )
    back = "".join(f"<td>{n}</td>" for n in range(96, 0, -8))
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Attention saliency: worksheet</title><style>"
        "body{font:12pt/1.4 sans-serif;max-width:180mm;margin:12mm auto;color:#1c1f22}h1{font-size:18pt}h2{"
        "font-size:13pt;margin:10mm 0 2mm}.line{border-bottom:.3mm solid #888;height:9mm}table{border-collapse:"
        "collapse;width:100%}"
        "td,th{border:.3mm solid #888;padding:2mm;text-align:left;vertical-align:top}.strip td{text-align:center;"
        "height:9mm}@media print{h2{break-after:avoid}tr{break-inside:avoid}}</style></head><body>"
        "<h1>Where should a forecaster look?</h1><p>Mark the steps back that you would look at.</p>"
        f"<table class='strip'><tr>{back}</tr></table>{stops}<h2>Break it</h2>"
        f"<table><tr><th>Case</th><th>Question</th><th>Your answer</th></tr>{rows}</table></body></html>"
    )
