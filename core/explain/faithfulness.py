"""How far a forecast follows a map, where no truth is known (saliency.md): steps are taken away in the map's order, and
the forecast of the model itself is the judge.

A step that is taken away becomes the question's baseline, in all variates. Changes are |f(x) - f(changed x)| of the
step ahead in question (over all steps their sum), in units of the change when the whole window is taken away, so that
models compare. Sources: comprehensiveness and sufficiency DeYoung 2020 (ERASER), in their regression form; deletion and
insertion Petsiuk 2018 (arXiv 1806.07421); cumulative differences Jang 2025 (arXiv 2506.05035), here at every 5 % and
not at every step (ours); infidelity and maximal sensitivity Yeh 2019, by captum.

Shape suffixes: B windows, L look-back, K numbers of steps, N examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.stats import rankdata

from core.explain.methods.contract import Method, Probe

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)
HEADLINE = 0.1  # the share of steps that sentences speak of
DRAWS = 10  # random orders that a map is compared with


def counts(lookback: int) -> np.ndarray:
    """Numbers of steps taken away: none, those of ``FRACTIONS``, every 5 %, all."""
    return np.unique([0, *(count(f, lookback) for f in FRACTIONS), *np.linspace(0, lookback, 21).astype(int)])


def count(fraction: float, lookback: int) -> int:
    """Whole steps, at least one."""
    return max(int(lookback * fraction), 1)


@dataclass(frozen=True)
class Curves:
    """What B windows' forecasts do along an order of their steps, at ``steps_K`` steps: ``deletion_BK`` with so many
    of the first taken away, ``insertion_BK`` with only so many of the first kept; ``signed_BK`` and ``last_BK`` are the
    forecasts themselves while the first, and the last, are taken away. All in units of ``whole_B``, the change without
    the whole window; NaN where that is zero."""

    steps_K: np.ndarray
    deletion_BK: np.ndarray
    insertion_BK: np.ndarray
    signed_BK: np.ndarray
    last_BK: np.ndarray
    whole_B: np.ndarray

    @property
    def lookback(self) -> int:
        return int(self.steps_K[-1])

    def at(self, fraction: float) -> int:
        """The column of this share of the steps."""
        return int(np.searchsorted(self.steps_K, count(fraction, self.lookback)))

    @cached_property
    def comprehensiveness_B(self) -> np.ndarray:
        """Mean change without the first 1, 5, 10, 20, 50 %: high where the map is right."""
        return self.deletion_BK[:, [self.at(f) for f in FRACTIONS]].mean(1)

    @cached_property
    def sufficiency_B(self) -> np.ndarray:
        """Mean change with only the first 1, 5, 10, 20, 50 % kept: low where the map is right."""
        return self.insertion_BK[:, [self.at(f) for f in FRACTIONS]].mean(1)

    @cached_property
    def deletion_B(self) -> np.ndarray:
        """Area under the deletion curve: high where the map is right."""
        return np.asarray(np.trapezoid(self.deletion_BK, self.steps_K / self.lookback, axis=1))

    @cached_property
    def insertion_B(self) -> np.ndarray:
        """Area under the curve of what is still missing while steps come back: low where the map is right."""
        return np.asarray(np.trapezoid(self.insertion_BK, self.steps_K / self.lookback, axis=1))

    @cached_property
    def cpd_B(self) -> np.ndarray:
        """Cumulative prediction difference, the first taken away first, up to half of the steps: high is right."""
        return self._travelled(self.signed_BK)

    @cached_property
    def cpp_B(self) -> np.ndarray:
        """Cumulative prediction preservation, the last taken away first, up to half of the steps: low is right."""
        return self._travelled(self.last_BK)

    def _travelled(self, values_BK: np.ndarray) -> np.ndarray:
        return np.abs(np.diff(values_BK[:, : self.at(0.5) + 1], axis=1)).sum(1)

    def scores(self) -> list[dict[str, float]]:
        """One dictionary a window, by the names of ``SCORES``."""
        columns = {name: getattr(self, f"{name}_B") for name in SCORES}
        return [{name: float(values[b]) for name, values in columns.items()} for b in range(len(self.whole_B))]


# name: (title, whether more is better)
SCORES: dict[str, tuple[str, bool]] = {
    "comprehensiveness": ("comprehensiveness", True),
    "sufficiency": ("sufficiency", False),
    "deletion": ("deletion area", True),
    "insertion": ("insertion area", False),
    "cpd": ("cumulative difference", True),
    "cpp": ("cumulative preservation", False),
}


def curves(probe: Probe, map_BL: np.ndarray) -> Curves:
    """Along the order of a map, the largest first; equal values in the order of time."""
    order_BL = np.argsort(-np.abs(map_BL), axis=1, kind="stable")
    rank_BL = np.argsort(order_BL, axis=1)
    steps_K = counts(rank_BL.shape[1])
    first_BKL = rank_BL[:, None] < steps_K[:, None]
    last_BKL = rank_BL[:, None] >= rank_BL.shape[1] - steps_K[:, None]
    whole_B = probe.change(np.ones((len(rank_BL), 1, rank_BL.shape[1]), bool))[0][:, 0]
    # a model that does not react at all has no scale to measure by
    unit_B1 = np.where(whole_B > 0, whole_B, np.nan)[:, None]
    deletion_BK, signed_BK = probe.change(first_BKL)
    insertion_BK, _ = probe.change(~first_BKL)
    _, last_BK = probe.change(last_BKL)
    return Curves(
        steps_K, deletion_BK / unit_B1, insertion_BK / unit_B1, signed_BK / unit_B1, last_BK / unit_B1, whole_B
    )


def random_curves(probe: Probe, draws: int = DRAWS) -> Curves:
    """The same along random orders, the mean of several, drawn by the question's seed."""
    draw = np.random.default_rng(probe.question.seed)
    B, L = probe.x_BLC.shape[:2]
    found = [curves(probe, draw.random((B, L))) for _ in range(draws)]
    names = ("deletion_BK", "insertion_BK", "signed_BK", "last_BK")
    means = {name: np.mean([getattr(one, name) for one in found], axis=0) for name in names}
    return Curves(found[0].steps_K, **means, whole_B=found[0].whole_B)


def times_random(curves: Curves, control: Curves, fraction: float = HEADLINE) -> float:
    """How many times as much the forecast changes without the first 10 % as without 10 % at random; NaN where nothing
    changes at random."""
    reacts_B = curves.whole_B > 0
    own, other = (float(c.deletion_BK[reacts_B, c.at(fraction)].sum()) for c in (curves, control))
    return own / other if other > 0 else float("nan")


@dataclass(frozen=True)
class Agreement:
    """``rank`` is the Spearman correlation of two maps, ``overlap`` the share of the top 10 % of steps that they have
    in common: both n x n in the order of ``names``, NaN beside a flat map."""

    names: tuple[str, ...]
    rank: np.ndarray
    overlap: np.ndarray

    def between(self, one: str, other: str) -> float:
        return float(self.rank[self.names.index(one), self.names.index(other)])


def agreement(maps: Mapping[str, np.ndarray]) -> Agreement:
    """Of maps over the same steps, L each."""
    names = tuple(maps)
    # below a millionth of the largest lies rounding, which has no rank
    values = [np.round(v / max(v.max(), 1e-30), 6) for v in (np.abs(np.asarray(maps[n], float)) for n in names)]
    top = count(HEADLINE, len(values[0])) if values else 0
    rank, overlap = (np.full((len(names), len(names)), np.nan) for _ in range(2))
    for i, a in enumerate(values):
        for j, b in enumerate(values):
            if np.ptp(a) > 0 and np.ptp(b) > 0:
                rank[i, j] = np.corrcoef(rankdata(a), rankdata(b))[0, 1]
                overlap[i, j] = (_top(a, top) * _top(b, top)).sum() / top
    return Agreement(names, rank, overlap)


def _top(values: np.ndarray, most: int) -> np.ndarray:
    """How far each step belongs to the largest: 1 above the border, an even share of what is left on it."""
    border = np.sort(values)[::-1][most - 1]
    above, level = values > border, values == border
    return above + level * (most - above.sum()) / level.sum()


def sentence(title: str, agreed: float, times: float, reference: str = "occlusion") -> str:
    """What a map on screen carries; without a reference it is compared with none.

    For example: "On this window the attention ranks the steps almost as occlusion does
    (rank correlation 0.81); deleting its top 10 % changes the forecast 3.2 times as much as deleting 10 % at random."
    """
    if not reference:
        ranks = f"On this window {title} stands alone"
    elif not np.isfinite(agreed):
        ranks = f"On this window {title} cannot be ranked beside {reference}: one of them is the same at every step"
    else:
        grades = (
            (0.8, "almost as"),
            (0.5, "much as"),
            (0.2, "a little as"),
            (-0.2, "unlike"),
            (-np.inf, "contrary to"),
        )
        how = next(word for least, word in grades if agreed >= least)
        does = f"{reference} does" if how.endswith("as") else f"what {reference} says"
        ranks = f"On this window {title} ranks the steps {how} {does} (rank correlation {agreed:.2f})"
    if not np.isfinite(times):
        return f"{ranks}; deleting steps changes nothing, so that there is nothing to be right about."
    compared = f"{times:.1f} times as much as" if times >= 1.05 or times <= 0.95 else "just as much as"
    return f"{ranks}; deleting its top 10 % changes the forecast {compared} deleting 10 % at random."


def infidelity(
    probe: Probe, values_BLC: np.ndarray, per_unit: bool = False, draws: int = 20, taken: float = 0.1
) -> np.ndarray:
    """B each: what the map's promise for random values taken away misses of what happens, squared, as a share of what
    happens, squared: 0 is right, 1 says nothing; NaN where nothing happens. ``per_unit``: the map's values are slopes
    (``Method.per_unit``). Each value is taken away with the chance ``taken``. Yeh 2019, by captum, with its optimal
    scaling; taking away in place of noise, and the share, are ours, so that slopes and parts of a forecast compare.
    """
    from captum.metrics import infidelity as by_captum

    base_NLC = probe.baseline_BLC.repeat_interleave(draws, 0)

    def without(x_NLC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        taken_NLC = (torch.rand(x_NLC.shape) < taken).to(x_NLC)
        change_NLC = taken_NLC * (x_NLC - base_NLC)
        return change_NLC if per_unit else taken_NLC, x_NLC - change_NLC

    def missed(values: torch.Tensor, normalize: bool) -> np.ndarray:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(probe.question.seed)
            found = by_captum(
                probe.value,
                without,
                probe.x_BLC,
                values,
                additional_forward_args=(probe.rows_B,),
                n_perturb_samples=draws,
                normalize=normalize,
            )
        return found.detach().numpy()

    values = torch.from_numpy(np.asarray(values_BLC, np.float32))
    happens_B = missed(torch.zeros_like(values), False)
    promised = missed(values, True) if values.any() else happens_B
    return np.divide(promised, happens_B, out=np.full(len(happens_B), np.nan), where=happens_B > 0)


def sensitivity(probe: Probe, method: Method, draws: int = 5, radius: float = 0.02) -> np.ndarray:
    """B each: by how much the map changes at most, relative to its size, when the window is changed by at most
    ``radius``; low is right. Yeh 2019, by captum."""
    from captum.metrics import sensitivity_max

    def explain(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        return (method.attribute(probe.about(inputs[0])),)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(probe.question.seed)
        found = sensitivity_max(
            explain,
            (probe.x_BLC,),
            perturb_radius=radius,
            n_perturb_samples=draws,
            max_examples_per_batch=len(probe.x_BLC),
        )
    return found.detach().numpy()


def together(found: Sequence[Curves]) -> Curves:
    """Several batches of windows as one."""
    names = ("deletion_BK", "insertion_BK", "signed_BK", "last_BK", "whole_B")
    return Curves(found[0].steps_K, **{name: np.concatenate([getattr(one, name) for one in found]) for name in names})
