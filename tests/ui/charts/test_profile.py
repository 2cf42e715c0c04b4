"""Pictures of a profile obey the schema, and hostile names stay text."""

import numpy as np
import pytest

from core.data.profile import profile
from core.ui.charts import profile as charts
from core.ui.theme import COLORS
from tests.conftest import sine_series


@pytest.mark.parametrize("scheme", list(COLORS))
def test_pictures_obey_the_schema(scheme: str) -> None:
    series = sine_series(variates=14)
    series.values[50:100, 1] = np.nan
    found = profile(series)
    for draw in (charts.ties, charts.absent):
        draw(found, COLORS[scheme]).chart(COLORS[scheme])
    pairs = charts.ties(found, COLORS[scheme]).tables["ties"]
    assert len(pairs) == charts.DRAWN * (charts.DRAWN - 1) / 2
    missing = charts.absent(found, COLORS[scheme]).tables["absent"]
    assert set(missing["variate"]) == {"load b"}
    assert (
        missing.loc[missing["share"] == 1, "from"].min() >= 50 and missing.loc[missing["share"] == 1, "to"].max() <= 100
    )
