"""The season of the seasonal naive. Every forecast is shown beside that baseline, so it should be a strong one."""

from core.data.season import ROWS, repeating_lag
from core.data.series import Series
from core.training.spec import Spec


def season(series: Series, spec: Spec) -> int:
    """Steps, 1 to the look-back, whose repetition errs least over the horizon on the targets' training rows."""
    stop = min(spec.split.train, len(series))
    return repeating_lag(series.part(spec.targets, max(stop - ROWS, 0), stop), spec.lookback, spec.horizon)
