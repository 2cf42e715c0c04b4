"""How variates move together, and where values are missing: tables and pictures of a ``core.data.profile.Profile``."""

from typing import Any

import pandas as pd

from core.data.profile import Profile
from core.ui.charts.picture import Picture, mark, quantity, tip
from core.ui.charts.tiles import tiles
from core.ui.theme import Colors

DRAWN = 12  # variates; more tiles could not be read
ROW = 18  # pixels of a variate in the map of what is missing


def ties(found: Profile, colors: Colors) -> Picture:
    """The correlation of the changes of every pair among the first ``DRAWN`` variates."""
    names = [one.name for one in found.variates[:DRAWN]]
    table = pd.DataFrame(
        [
            {"x": names[j], "y": names[i], "value": value, "told": f"{names[i]} and {names[j]}: {value:.2f}"}
            for i in range(len(names))
            for j in range(i)
            if (value := found.correlation[i][j]) is not None
        ],
        columns=pd.Index(["x", "y", "value", "told"]),
    )
    said = f"The variates move together {found.tied}." if found.tied else "No two variates can be compared."
    return Picture(tiles("ties", table, -1, 1, ".2f", colors, "correlation of changes"), {"ties": table}, said)


def absent(found: Profile, colors: Colors) -> Picture:
    """The share that is missing in each part of the rows, a row for each variate that misses any."""
    rows: list[dict[str, Any]] = []
    bins = len(found.absent[0]) if found.absent else 0
    for one, shares in zip(found.variates, found.absent, strict=False):
        if one.missing:
            for n, share in enumerate(shares):
                first, last = (round(found.rows * edge / bins) for edge in (n, n + 1))
                told = f"{one.name}, rows {first:,} to {last - 1:,}: {share:.1%} missing"
                rows.append({"variate": one.name, "from": first, "to": last, "share": share, "told": told})
    names = list(dict.fromkeys(row["variate"] for row in rows))
    place = {
        "x": quantity("from", title="row", axis={"format": ",d"}, scale={"domain": [0, found.rows], "nice": False}),
        "x2": {"field": "to"},
        "y": {"field": "variate", "type": "nominal", "title": None, "sort": names},
        "color": quantity(
            "share",
            title="missing",
            scale={"domain": [0, 1], "range": [colors.panel, colors.text]},
            legend={"format": ".0%", "orient": "top", "gradientLength": 120},
        ),
        "tooltip": tip(("told", " ")),
    }
    spec = {"layer": [mark("rect", "absent", place)], "height": {"step": ROW}}
    return Picture(spec, {"absent": pd.DataFrame(rows)}, f"Missing values of {len(names)} variates along the rows.")
