"""Everything that the lesson shows of one window of a shipped model, as plain arrays: computed live by ``answer``, or
read from the file that was stored with the model, without torch.

Shape suffixes: L look-back, C variates, H horizon, Q and K patches.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.series import Series

if TYPE_CHECKING:
    from core.evaluate.run import LoadedRun

CONTRIBUTIONS = "Contributions"
DIGITS = 4


@dataclass(frozen=True)
class Map:
    """``values`` (L,) are not negative. ``auprc`` is how well it ranks the true steps, NaN where none is known.
    ``signed`` is L x C, of the contributions alone."""

    name: str
    values: np.ndarray
    auprc: float
    signed: np.ndarray | None = None


@dataclass(frozen=True)
class Attention:
    """Weights Q x K between patches of one scale; ``spans`` are the steps [first, last) of each."""

    scale: int
    factor: int
    weights: np.ndarray
    queries: np.ndarray
    keys: np.ndarray

    @property
    def patch_steps(self) -> int:
        return int(np.ptp(self.keys[0]))


@dataclass(frozen=True)
class Part:
    """What one scale adds to the target's forecast, H in the data's units, and the model's own weight of it."""

    name: str
    weight: float
    contribution: np.ndarray


@dataclass(frozen=True)
class Answer:
    """``lookback`` L x C and ``forecast`` H in the data's units; ``truth`` H or None. ``weights`` L x C are the rule's
    for step ``step`` ahead (from 0), None where no rule is known. ``rest`` H is what belongs to no scale. ``deviation``
    is the target's in the training part; ``uniform`` how the test error changes with uniform attention."""

    model: str
    window: int
    step: int
    variates: tuple[str, ...]
    target: str
    lookback: np.ndarray
    forecast: np.ndarray
    truth: np.ndarray | None
    weights: np.ndarray | None
    lags: tuple[int, ...]
    causes: tuple[str, ...]
    maps: tuple[Map, ...]
    attention: tuple[Attention, ...]
    parts: tuple[Part, ...]
    rest: np.ndarray
    deviation: float
    chance: float
    ceiling: float
    uniform: float | None

    @property
    def column(self) -> int:
        """Of the target among the variates."""
        return self.variates.index(self.target)

    @property
    def true_steps(self) -> tuple[int, ...]:
        """Steps back that carry weight, rising."""
        if self.weights is None:
            return ()
        at = np.flatnonzero(np.abs(self.weights).sum(axis=1))
        return tuple(sorted(len(self.lookback) - int(p) for p in at))

    @property
    def error(self) -> float:
        """Root mean squared error of this window in deviations of the target; NaN without a truth."""
        if self.truth is None:
            return math.nan
        return float(np.sqrt(np.mean((self.forecast - self.truth) ** 2))) / self.deviation

    def map(self, name: str) -> Map | None:
        return next((one for one in self.maps if one.name == name), None)

    def auprc(self, values: np.ndarray) -> float:
        """Of any map of L non-negative values on this window; NaN where no rule is known."""
        return auprc(values, self.weights)

    def share_of(self, variate: str) -> float:
        """The share of a variate in the size of all contributions; NaN without them."""
        found = self.map(CONTRIBUTIONS)
        if found is None or found.signed is None or variate not in self.variates:
            return math.nan
        size = np.abs(found.signed).sum(axis=0)
        return float(size[self.variates.index(variate)] / max(size.sum(), 1e-12))

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=_plain, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Answer":
        """Raises ValueError, KeyError or TypeError for a text that is no answer."""
        raw = json.loads(text)
        maps = tuple(
            Map(
                m["name"],
                _array(m["values"]),
                _number(m["auprc"]),
                None if m["signed"] is None else _array(m["signed"]),
            )
            for m in raw["maps"]
        )
        attention = tuple(
            Attention(a["scale"], a["factor"], _array(a["weights"]), np.array(a["queries"]), np.array(a["keys"]))
            for a in raw["attention"]
        )
        parts = tuple(Part(p["name"], p["weight"], _array(p["contribution"])) for p in raw["parts"])
        return cls(
            model=str(raw["model"]),
            window=int(raw["window"]),
            step=int(raw["step"]),
            variates=tuple(raw["variates"]),
            target=str(raw["target"]),
            lookback=_array(raw["lookback"]),
            forecast=_array(raw["forecast"]),
            truth=_maybe(raw["truth"]),
            weights=_maybe(raw["weights"]),
            lags=tuple(raw["lags"]),
            causes=tuple(raw["causes"]),
            maps=maps,
            attention=attention,
            parts=parts,
            rest=_array(raw["rest"]),
            deviation=float(raw["deviation"]),
            chance=_number(raw["chance"]),
            ceiling=_number(raw["ceiling"]),
            uniform=raw["uniform"],
        )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.vectorize(lambda v: float(f"{v:.{DIGITS}g}"), otypes=[object])(value).tolist()
    return value.item()


def _array(values: Sequence[Any]) -> np.ndarray:
    return np.array(values, np.float32)


def _maybe(values: Sequence[Any] | None) -> np.ndarray | None:
    return None if values is None else _array(values)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def auprc(values: np.ndarray, weights: np.ndarray | None) -> float:
    """How well a map of L values ranks the steps that carry weight (L x C); NaN where nothing is known."""
    from core.explain.scores import scores

    size = np.zeros(0) if weights is None else np.abs(weights).sum(axis=1)
    if not size.any() or size.all():
        return math.nan
    return float(scores(np.asarray(values, float), size)["auprc"])


def answer(
    run: "LoadedRun",
    series: Series,
    name: str,
    window: int,
    step: int,
    lookback: np.ndarray | None = None,
    occlusion: bool = False,
) -> Answer:
    """The model's answer about one test window; ``lookback`` (L x C) stands in the place of what was there, and then no
    truth is known. ``occlusion`` takes one forecast for every value, and is asked for apart. Raises UserError for a
    window or step that does not exist, and for values that are not finite."""
    from core.errors import UserError
    from core.explain.attribution import attribute, intrinsic
    from core.explain.methods.contract import Question
    from core.explain.scores import ceiling
    from core.explain.truth import true_weights

    spec = run.spec
    if not 0 <= step < spec.horizon:
        raise UserError(f"This model forecasts 1 to {spec.horizon} steps ahead; {step + 1} was asked for.")
    found = run.window(series, window)
    seen = found.lookback if lookback is None else np.asarray(lookback, np.float32)
    if seen.shape != found.lookback.shape or not np.isfinite(seen).all():
        raise UserError("The window holds an empty or infinite value. Write a number in its place, or undo the change.")
    target = spec.targets[0]
    column = spec.columns.index(target)
    trace, x_BLC = run.trace(seen), run.normalised(seen)
    rule = series.truth if series.truth and series.truth["target"] == target else None
    weights = true_weights(rule, spec.columns, spec.lookback, step) if rule else None
    if weights is not None and not weights.any():
        weights = None
    size = None if weights is None else np.abs(weights).sum(axis=1)

    maps = [Map(one.title, one.values, auprc(one.values, weights)) for one in intrinsic(run, x_BLC, column)]
    asked = ("adds_up", "gradient", "occlusion") if occlusion else ("adds_up", "gradient")
    for one in attribute(run, x_BLC, Question(column, step), asked):
        values = one.per_step_BL[0]
        signed = one.values_BLC[0] if one.method.title == CONTRIBUTIONS else None
        maps.append(Map(one.method.title, values, auprc(values, weights), signed))
    factor = {scale.scale: scale.factor for scale in trace.scales}
    return Answer(
        model=name,
        window=window,
        step=step,
        variates=spec.columns,
        target=target,
        lookback=seen,
        forecast=trace.forecast[0, :, column],
        truth=None if found.truth is None or lookback is not None else found.truth[:, column],
        weights=weights,
        lags=tuple(int(lag) for lag in rule["lags"]) if rule else (),
        causes=tuple(rule["features"]) if rule else (),
        maps=tuple(maps),
        attention=tuple(
            Attention(m.scale or 0, factor.get(m.scale or 0, 1), m.weights[0], m.query.spans, m.key.spans)
            for m in trace.maps
            if m.branch == "patch" and m.over_time
        ),
        parts=tuple(
            Part(scale.name or f"Scale {scale.scale}", float(scale.weight), scale.contribution[0, :, column])
            for scale in trace.scales
        ),
        rest=trace.rest[0, :, column],
        deviation=float(run.scaler.std[column]),
        chance=math.nan if size is None else float((size > 0).mean()),
        ceiling=math.nan if size is None else auprc(ceiling(size, 16), weights),
        uniform=(run.card.get("relevance") or {}).get("uniform"),
    )
