"""The words of the field in a sentence each, and the links that lead from every page to those it uses."""

import streamlit as st

TERMS: dict[str, str] = {
    "attention": "Weights by which a model mixes what it has read: each query spreads one unit over the keys. A "
    "weight says how much of a value is passed on, not how much the forecast depends on it.",
    "AUPRC": "Area under the curve of precision over recall: how well a map ranks the true steps above the others. 1 "
    "is perfect; a map that is the same everywhere has the share of true steps.",
    "baseline": "What stands in the place of a value that is taken away (a window's mean, zero, the last value); or a "
    "forecast that learns nothing, which a model must beat.",
    "contribution": "What one step of one variate adds to the forecast, at the factors that this window produced. All "
    "of them, and a rest, sum to the forecast exactly.",
    "distractor": "An input that carries nothing about the target, and is there to mislead.",
    "faithfulness": "Whether the forecast changes where a map says that it would: steps are taken away in the map's "
    "order.",
    "gradient": "How much the forecast would move for a small change of each value.",
    "horizon": "How many steps are forecast.",
    "lag": "A distance back in time: what happened so many steps before.",
    "look-back": "The steps that a model sees before it forecasts.",
    "MSE": "Mean squared error; here of z-scored values, so that 1 is what the mean of the training part would have.",
    "occlusion": "Take a step away, and see how far the forecast moves.",
    "patch": "Neighbouring steps that a model reads as one piece; its attention cannot tell them apart.",
    "saliency": "A map of what mattered for one forecast. Each method has a meaning of its own.",
    "scale": "One resolution of the series: averaged over 1, 2, 4, 8 ... steps.",
    "seasonal naive": "The last season, repeated: the forecast that every model must beat.",
    "uniform attention": "The same weight for every key. Where the error stays as it was, the weights explain nothing.",
    "variate": "One column of values over time.",
    "window": "A look-back and the horizon after it.",
}


def show() -> None:
    """All terms, in the order of the alphabet, each with a link of its own (``?lesson=glossary&term=patch``)."""
    wanted = st.query_params.get("term")
    if wanted is not None and wanted not in TERMS:
        st.info(f"There is no entry for that term. {len(TERMS)} others follow.", icon=":material/info:")
    for term in sorted(TERMS, key=str.lower):
        with st.container(border=term == wanted, gap="xsmall", key=f"term-{term.replace(' ', '-').lower()}"):
            st.markdown(f"**{term}**  \n{TERMS[term]}")


ON_PAGES: dict[str, tuple[str, ...]] = {  # by the title of the page
    "Data": ("variate", "lag", "look-back", "horizon"),
    "Train": ("look-back", "horizon", "scale", "patch"),
    "Forecast": ("horizon", "window", "MSE", "seasonal naive"),
    "Scales": ("scale", "patch", "contribution"),
    "Attention": ("saliency", "attention", "contribution", "occlusion", "gradient", "faithfulness"),
    "Studies": ("AUPRC", "attention", "uniform attention"),
    "Models": ("attention", "scale", "variate"),
}


def foot(title: str) -> None:
    """At the foot of a page, a quiet way to the entries of its terms."""
    terms = ON_PAGES.get(title, ())
    if not terms:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="terms"):
        st.markdown(":small[:gray[Terms]]", width="content")
        for term in terms:
            query = {"lesson": "glossary", "term": term}
            st.page_link("pages/lesson.py", label=term, query_params=query, help=TERMS[term])
