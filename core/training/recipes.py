"""The presets a person chooses from: a validated recipe each, and what it changes in the architecture's options.

``published`` is the paper's own schedule on the dataset of that name, so that a result can be compared with it; it
stands in the architecture's file. ``balanced`` and ``quick`` are ours ("modern" in the design): AdamW, warm-up and
cosine, averaged weights, gradient clipping, early stopping on the averaged weights, and a loss in which far, noisier
steps weigh less. Their settings were chosen on validation windows (docs/results/recipe.md); an architecture may change
fields of them (``ours_recipe``), its options (``ours``) and the look-back that they propose (``ours_lookback``).
"""

from typing import Any

from core.training.spec import Preset, Recipe

BALANCED = Recipe(name="balanced", loss="decayed mae", epochs=20, patience=5)
QUICK = Recipe(name="quick", loss="decayed mae", learning_rate=2e-3, batch_size=64, epochs=4, patience=2)


def preset(name: Preset, model: str = "crossscalenet", dataset: str = "") -> Recipe:
    """The recipe of this preset for this architecture; ``dataset`` is the series' name. Raises KeyError for an unknown
    preset, UserError for an unknown architecture."""
    from core.models.registry import architecture

    if name != "published":
        usual = {"quick": QUICK, "balanced": BALANCED}[name]
        return Recipe(**usual.model_dump() | dict(architecture(model).ours_recipe))
    own = _published(model, dataset)
    return Recipe(name="published", **own.recipe) if own else BALANCED


def preset_options(name: Preset, model: str = "crossscalenet", dataset: str = "") -> dict[str, Any]:
    """What this preset changes in the architecture's config; the rest keeps its defaults."""
    from core.models.registry import architecture

    if name != "published":
        return dict(architecture(model).ours)
    own = _published(model, dataset)
    return dict(own.config) if own else {}


def preset_lookback(name: Preset, model: str = "crossscalenet", dataset: str = "", rows: int | None = None) -> int:
    """What this preset proposes: the look-back of the paper's own runs, or ours for this architecture.

    ``rows`` are those of the training part. Ours stays within them: 96 where they are fewer than eight long look-backs,
    a quarter of them where even that is much. The paper's is never shortened.
    """
    from core.models.registry import architecture

    own = _published(model, dataset) if name == "published" else None
    if own:
        return own.lookback
    wanted = architecture(model).ours_lookback if name != "published" else 96
    if rows is None:
        return wanted
    return wanted if rows >= 8 * wanted else max(min(96, rows // 4), 2)


def _published(model: str, dataset: str):
    """The paper's settings on this dataset, on any other, or None where there are none."""
    from core.models.registry import architecture

    found = architecture(model).published
    return found.get(dataset, found.get(""))
