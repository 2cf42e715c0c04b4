"""The presets a person chooses from: a validated recipe each, and what it changes in the architecture's options.

``published`` is the paper's own schedule, so that a result can be compared with it. ``balanced`` and ``quick`` are ours
("modern" in the design): AdamW, warm-up and cosine, averaged weights, gradient clipping, early stopping on the averaged
weights, and a loss in which far, noisier steps weigh less. Their settings were chosen on validation windows
(docs/results/recipe.md).
"""

from typing import Any

from core.training.spec import Preset, Recipe

BALANCED = Recipe(name="balanced", loss="decayed mae", epochs=20, patience=5)
QUICK = Recipe(name="quick", loss="decayed mae", learning_rate=2e-3, batch_size=64, epochs=4, patience=2)

PUBLISHED = {
    # models.md, CrossScaleNet: Adam 1e-4 halved every epoch from the second, MSE, batch 32, 20 epochs, patience 3
    "crossscalenet": Recipe(
        name="published",
        optimizer="adam",
        learning_rate=1e-4,
        schedule="halving",
        warmup=0,
        weight_decay=0,
        batch_size=32,
        epochs=20,
        patience=3,
        ema=0,
        clip=0,
        loss="mse",
    )
}

OURS: dict[str, dict[str, Any]] = {"crossscalenet": {"head_dropout": 0.1}}


def preset(name: Preset, model: str = "crossscalenet") -> Recipe:
    """The recipe of this preset for this architecture. Raises KeyError for an unknown preset."""
    return PUBLISHED.get(model, BALANCED) if name == "published" else {"quick": QUICK, "balanced": BALANCED}[name]


def preset_options(name: Preset, model: str = "crossscalenet") -> dict[str, Any]:
    """What this preset changes in the architecture's config; the rest keeps its defaults."""
    return {} if name == "published" else dict(OURS.get(model, {}))
