"""The presets a person chooses from, as validated recipes.

``published`` is the paper's own schedule, so that a result can be compared with it. ``balanced`` and ``quick`` are ours
("modern" in the design): AdamW, warm-up and cosine, averaged weights, gradient clipping, and early stopping on the
averaged weights. Their settings were chosen on validation windows (see docs/results/).
"""

from core.training.spec import Preset, Recipe

BALANCED = Recipe(name="balanced")
QUICK = BALANCED.model_copy(update={"name": "quick", "epochs": 3, "patience": 2, "batch_size": 256})

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
    )
}


def preset(name: Preset, model: str = "crossscalenet") -> Recipe:
    """The recipe of this preset for this architecture. Raises KeyError for an unknown preset."""
    return PUBLISHED.get(model, BALANCED) if name == "published" else {"quick": QUICK, "balanced": BALANCED}[name]
