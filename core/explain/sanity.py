"""Does a map speak of this model? Three comparisons of a run's maps with maps that should, or should not, be like them
(saliency.md): with fresh weights, with uniform attention, and with other seeds; and whether a map keeps what it
promises, and holds still (infidelity and sensitivity, ``faithfulness``).

Fresh weights, Adebayo et al. 2018: the same architecture that has learnt nothing; a map that hardly changes explains
the architecture. Uniform attention, Jain & Wallace 2019, Wiegreffe & Pinter 2019: a map that hardly changes does not
come from the attention. Other seeds: a map that changes much is an accident of the training.

What is compared is |map| per step, window by window, by rank (Spearman). ``sanity`` asks the models, the rest is
numbers. How the error changes with uniform attention is ``relevance``'s, and is read from the run's card.

Shape suffixes: B windows, L look-back, C variates.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from core.data.series import Series
from core.errors import UserError
from core.evaluate.run import LoadedRun
from core.explain import faithfulness
from core.explain.attribution import BATCH, PATCH, StepMap, intrinsic, others_of, step_maps_of, whole_windows
from core.explain.methods.contract import Probe, Question
from core.explain.methods.registry import method
from core.explain.scores import Interval, summary
from core.models.contract import Forecaster
from core.models.registry import configure
from core.training.loop import make_model
from core.training.spec import Spec

WINDOWS = 32
STRICT = 8  # of them infidelity and sensitivity are asked about: both ask a model many times
DRAWS = 3  # of fresh weights
FLAT = 1e-5  # a map whose values differ by less than this share of the largest is flat: rounding ranks nothing
MUCH, LITTLE = 0.5, 0.2  # rank correlations from which a map is called the architecture's, and up to which not (ours)


@dataclass(frozen=True)
class Kept:
    """How much of a map a comparison leaves: the mean rank correlation over windows with its 95 % bootstrap interval.

    ``correlation`` is None where there is none: ``flat`` of the ``windows`` had a flat map on one side or both, and
    where nothing was compared ``reason`` says why.
    """

    correlation: Interval | None = None
    flat: int = 0
    windows: int = 0
    reason: str = ""

    @property
    def text(self) -> str:
        """What a cell of the table says."""
        if self.correlation is None:
            return self.reason or "flat"
        mean, low, high = self.correlation
        note = f", flat in {self.flat} of {self.windows}" if self.flat else ""
        return f"{mean:.2f} ({low:.2f} to {high:.2f}{note})"


@dataclass(frozen=True)
class Row:
    """One map. ``reading`` is True for a reading of the model's own attention, False for an attribution method.
    ``infidelity`` and ``sensitivity`` are those of ``faithfulness``; None for a reading, which promises no change."""

    name: str
    title: str
    reading: bool
    fresh: Kept
    uniform: Kept
    seeds: Kept
    infidelity: Interval | None = None
    sensitivity: Interval | None = None


@dataclass(frozen=True)
class Sanity:
    """``uniform`` and ``permuted`` are the changes of the MSE (0.01 = 1 % worse) with that attention, from the run's
    card; None where the card has none. ``draws`` fresh models and ``others`` runs of other seeds were compared."""

    rows: tuple[Row, ...]
    uniform: float | None
    permuted: float | None
    draws: int
    others: int
    sentence: str

    def table(self) -> list[dict[str, str]]:
        """One line a map, in words and numbers, ready to be shown."""
        return [
            {
                "Map": row.title,
                "Fresh weights": row.fresh.text,
                "Uniform attention": row.uniform.text,
                "Other seeds": row.seeds.text,
                "Infidelity": in_words(row.infidelity),
                "Sensitivity": in_words(row.sensitivity),
            }
            for row in self.rows
        ]

    def report(self) -> dict[str, Any]:
        """All of it for JSON."""
        return asdict(self)


def sanity(
    run: LoadedRun,
    series: Series,
    question: Question,
    names: Sequence[str],
    windows: int = WINDOWS,
    draws: int = DRAWS,
    others: Sequence[LoadedRun] = (),
) -> Sanity:
    """Compares the maps of ``names`` (attribution methods) and of the model's own attention over evenly spaced test
    windows. ``others`` are runs that differ from this one in the seed alone. The same answer for the same arguments.

    Raises UserError for a question or a method that does not exist, for a run that differs in more than its seed, and
    where no test window is whole.
    """
    for other in others:
        if not only_seed_differs(run.spec, other.spec):
            raise UserError(
                "A run to compare seeds with differs in more than its seed. Choose runs of the same settings and data."
            )
    can, x_BLC, chance = run.model.capabilities, whole_windows(run, series, windows), others_of(run, series)
    fresh = [] if can.fitted else [fresh_model(run, draw) for draw in range(draws)]
    without = [cast(Forecaster, Answers(run.model, "uniform"))] if can.attention else []
    others_of_kind = {"fresh": fresh, "uniform": without, "seeds": [other.model for other in others]}
    own: dict[str, list[StepMap]] = {}
    found: dict[tuple[str, str, int], list[np.ndarray]] = {}
    for x in x_BLC.split(BATCH):
        trained = maps_of(run, x, question, names, chance, 0)
        for name, one in trained.items():
            own.setdefault(name, []).append(one)
        for kind, models in others_of_kind.items():
            for draw, model in enumerate(models, start=1):
                for name, one in maps_of(replace(run, model=model), x, question, names, chance, draw).items():
                    ranks_B = rank_correlation(trained[name].values_BL, one.values_BL)
                    found.setdefault((name, kind, draw), []).append(ranks_B)

    def kept(name: str, kind: str, reason: str) -> Kept:
        return kept_of([np.concatenate(parts) for key, parts in found.items() if key[:2] == (name, kind)], reason)

    strict = Probe(run.model, x_BLC[:STRICT], question, chance, PATCH)
    rows = [
        Row(
            name,
            parts[0].title,
            parts[0].signed_BLC is None,
            kept(name, "fresh", "no random weights: fitted"),
            kept(name, "uniform", "is the attention itself" if parts[0].signed_BLC is None else "no attention"),
            kept(name, "seeds", "no other seed"),
            **({} if parts[0].signed_BLC is None else promises(strict, name)),
        )
        for name, parts in own.items()
    ]
    about = run.card.get("relevance") or {}
    told = sentence(rows, can.fitted)
    return Sanity(tuple(rows), about.get("uniform"), about.get("permuted"), len(fresh), len(others), told)


class Answers(nn.Module):
    """A model that always answers with this attention; what a ``Probe`` needs of one, but it cannot be traced."""

    def __init__(self, model: Forecaster, attention: Any) -> None:
        super().__init__()
        self.model, self.shape, self.attention = model, model.shape, attention

    def forward(self, x_BLC: Tensor) -> Tensor:
        return self.model(x_BLC, attention=self.attention)


def fresh_model(run: LoadedRun, draw: int) -> Forecaster:
    """The run's architecture with random weights, which are not those that its own training began with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.spec.seed + 1 + draw)
        return make_model(run.spec).eval().requires_grad_(False)


def only_seed_differs(one: Spec, other: Spec) -> bool:
    """Whether two runs are of the same settings and data, with two seeds. Where and with how many threads they ran, and
    what their recipe is called, does not count; an option left at its default counts as written out."""

    def about(spec: Spec) -> dict[str, Any]:
        found = spec.model_dump(mode="json", exclude={"seed", "dataset", "device", "threads"})
        found["recipe"].pop("name")
        return found | {"config": configure(spec.model, spec.config).model_dump(mode="json")}

    return one.seed != other.seed and about(one) == about(other)


def maps_of(
    run: LoadedRun, x_BLC: Tensor, question: Question, names: Sequence[str], others: Tensor, draw: int
) -> dict[str, StepMap]:
    """The readings of the attention and the maps of these methods by name. The control draws anew for every ``draw``;
    baselines and SmoothGrad's noise stay what they are."""
    found = [] if isinstance(run.model, Answers) else intrinsic(run, x_BLC, question.variate)
    again = replace(question, seed=question.seed + draw)
    for asked, some in ((question, [n for n in names if n != "random"]), (again, [n for n in names if n == "random"])):
        found += step_maps_of(Probe(run.model, x_BLC, asked, others, PATCH), some) if some else []
    return {one.name: one for one in found}


def rank_correlation(one_BL: np.ndarray, other_BL: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of every row, B; NaN where one of the two is flat.

    >>> rank_correlation(np.array([[1, 2, 3], [1, 1, 1]]), np.array([[2, 4, 9], [1, 2, 3]]))
    array([ 1., nan])
    """
    told = ~(flat(one_BL) | flat(other_BL))
    found = np.full(len(one_BL), np.nan)
    ranks = [rankdata(values[told], axis=1) for values in (one_BL, other_BL)]
    one, other = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    size = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    found[told] = (one * other).sum(axis=1) / size
    return found


def flat(map_BL: np.ndarray) -> np.ndarray:
    """Whether a map ranks no step above another, B."""
    return np.ptp(map_BL, axis=1) <= FLAT * np.abs(map_BL).max(axis=1)


def promises(probe: Probe, name: str) -> dict[str, Interval | None]:
    """Infidelity and sensitivity of a method over the windows of a probe; None where nothing happens."""
    known = method(name)
    values_BLC = known.attribute(probe).numpy()
    by_window = {
        "infidelity": faithfulness.infidelity(probe, values_BLC, known.per_unit),
        "sensitivity": faithfulness.sensitivity(probe, known),
    }
    return {
        kind: summary([{kind: value} for value in found_B])[kind] if np.isfinite(found_B).any() else None
        for kind, found_B in by_window.items()
    }


def in_words(value: Interval | None) -> str:
    """What a cell of the table says."""
    return "" if value is None else f"{value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f})"


def kept_of(found: Sequence[np.ndarray], reason: str) -> Kept:
    """From the correlations of every comparison (B each): their mean by window, then over the windows."""
    if not found:
        return Kept(reason=reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN, as it should be
        by_window_B = np.nanmean(np.stack(found), axis=0)
    none = int(np.isnan(by_window_B).sum())
    mean = summary([{"rank": value} for value in by_window_B])["rank"] if none < len(by_window_B) else None
    return Kept(mean, none, len(by_window_B))


def sentence(rows: Sequence[Row], fitted: bool) -> str:
    """What a person reads: of the first map what becomes of it with fresh weights."""
    if fitted:
        return "This model is fitted in closed form. It has no random weights that its maps could be compared with."
    if not rows:
        return "There is no map to compare."
    row = rows[0]
    name = f"the {row.name} map" if row.reading else f'the map "{row.title}"'
    if row.fresh.correlation is None:
        if row.fresh.reason:
            return "There are no fresh weights to compare with."
        return (
            f"{name[0].upper()}{name[1:]} is flat with fresh weights or with the trained ones: nothing can be compared."
        )
    kept = row.fresh.correlation[0]
    begun = f"With fresh weights {name} keeps rank correlation {kept:.2f} with the trained one"
    if kept >= MUCH:
        return f"{begun}: it says more about the architecture than about this model."
    if kept > LITTLE:
        return f"{begun}: part of it is the architecture's, not this model's."
    return f"{begun}: it depends on what this model has learnt."
