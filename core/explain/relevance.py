"""Does the attention matter? Computed once per run after training on the test windows, shown before any heatmap.

Nothing is retrained: the trained model answers with its attention made uniform or permuted and with scales left out of
the head (saliency.md; Jain & Wallace 2019, Wiegreffe & Pinter 2019).
"""

from typing import Any

import numpy as np
import torch

from core.data.series import Series
from core.evaluate.run import LoadedRun

WINDOWS = (
    512  # evenly spaced over the test part: enough for a change of 0.1 %, quick enough to run after every training
)


@torch.inference_mode()
def relevance(run: LoadedRun, series: Series, windows: int = WINDOWS) -> dict[str, Any]:
    """Changes in MSE, relative to the whole model's on the same test windows.

    ``{"windows", "mse", "uniform", "permuted", "without_scale": [M], "without_attended", "shares": [M], "sentence"}``;
    the changes are fractions (0.01 = 1 % worse). Empty for a model without scales or attention.
    """
    if not run.model.capabilities.scales:
        return {}
    from core.explain.saliency import shares

    test, targets = run.test_windows(series), list(run.spec.target_index)
    index = torch.from_numpy(np.unique(np.linspace(0, len(test) - 1, min(windows, len(test))).astype(int)))
    totals: dict[str, float] = {}
    share, count = 0.0, 0
    for part in index.split(128):
        x_BLC, y_BHK = test.batch(part)
        trace = run.model.trace(x_BLC)
        parts_MBHK = torch.from_numpy(np.stack([s.contribution for s in trace.scales]))[..., targets]
        whole_BHK = torch.from_numpy(trace.forecast)[..., targets]
        answers = {"mse": whole_BHK}
        answers |= {f"scale {m}": whole_BHK - parts_MBHK[m] for m in range(len(parts_MBHK))}
        if len(parts_MBHK) > 1:
            answers["attended"] = whole_BHK - parts_MBHK[1:].sum(0)
            answers |= {use: run.model(x_BLC, attention=use)[..., targets] for use in ("uniform", "permuted")}
        for name, answer in answers.items():
            totals[name] = totals.get(name, 0.0) + float((answer - y_BHK).double().square().mean((1, 2)).sum())
        share = share + shares(trace).sum(axis=0)
        count += len(part)
    mse = totals["mse"] / count

    def change(name: str) -> float | None:
        return (totals[name] / count - mse) / mse if name in totals else None

    scales = len([name for name in totals if name.startswith("scale ")])
    found: dict[str, Any] = {
        "windows": count,
        "mse": mse,
        "uniform": change("uniform"),
        "permuted": change("permuted"),
        "without_scale": [change(f"scale {m}") for m in range(scales)],
        "without_scale_mse": [totals[f"scale {m}"] / count - mse for m in range(scales)],
        "without_attended": change("attended"),
        "shares": [float(v) for v in np.asarray(share) / count],
    }
    return found | {"sentence": sentence(found)}


def sentence(found: dict[str, Any]) -> str:
    """What a person reads first. A change under 0.5 % counts as none (ours)."""
    uniform, attended = found["uniform"], found["without_attended"]
    if uniform is None:
        return "This model has one scale and no attention. There is no attention map to show."
    if abs(uniform) < 0.005:
        change = f"by {uniform:+.2%}" if abs(uniform) >= 0.00005 else "by less than 0.01%"
        return (
            f"This model does not use its attention on this dataset: made uniform, the error changes {change}. "
            "The map below shows weights that do not matter."
        )
    if uniform < 0:
        return (
            f"The attention of this model hurts on this dataset: made uniform, the error falls by {-uniform:.1%}. "
            "Do not read the map below as a reason."
        )
    return (
        f"This model uses its attention: made uniform, the error rises by {uniform:.1%}; "
        f"without the attended scales it changes by {attended:+.1%}."
    )
