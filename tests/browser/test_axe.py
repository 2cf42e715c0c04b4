"""axe-core on every page, light and dark: no serious or critical finding in what is ours. What is Streamlit's or Vega's
own markup stands in ``THEIRS``, each with its reason."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser import prepared
from tests.browser.dashboard import Visitor

PAGES = (
    *("start", "data", "train", "forecast", "scales", "attention", "studies", "models"),
    *(f"lesson?lesson={stop}" for stop in range(1, 7)),
    *(f"lesson?lesson={room}" for room in ("train", "inside", "teacher", "glossary")),
)
# rule, a part of the element's path or text, and why it is not ours to mend
THEIRS: tuple[tuple[str, str, str], ...] = (
    ("list", "stSidebarNavItems", "Streamlit's navigation puts a heading among the items of its list"),
    ("listitem", "stSidebarNav", "the items of that list"),
    ("listitem", '<li class="st-emotion-cache', "the items of that list"),
    ("svg-img-alt", "role-mark", "Vega gives its groups of marks a role, and no name to those that hold no mark"),
    ("svg-img-alt", '<path d="M', "Vega's brush before anything is brushed"),
)


def theirs(rule: str, node: dict[str, Any]) -> bool:
    where = f"{node['target']} {node['html']}"
    return any(rule == known and part in where for known, part, _ in THEIRS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_finding(
    visitors: Callable[..., Visitor], trained: prepared.Trained, scheme: Literal["light", "dark"]
):
    visitor, found = visitors(scheme=scheme), []
    for page in PAGES:
        name, _, query = page.partition("?")
        asked = dict(part.split("=") for part in query.split("&")) if query else {}
        if name in ("forecast", "scales", "attention"):
            asked |= {"dataset": trained.dataset, "run": trained.run}
        visitor.open("" if name == "start" else name, **asked)
        visitor.page.wait_for_timeout(300)
        for violation in Axe().run(visitor.page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found += [
                    f"{page}: {violation['id']} {node['target']} {node['html'][:220]}: {node['failureSummary']}"
                    for node in violation["nodes"]
                    if not theirs(violation["id"], node)
                ]
    assert not found, "\n".join(found)
