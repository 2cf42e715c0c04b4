"""The numbers of a run over all test windows, as they stand in its card and on the command line's last line."""

from typing import Any

import numpy as np

from core.data.series import Series
from core.evaluate.run import LoadedRun


def metrics(run: LoadedRun, series: Series) -> dict[str, Any]:
    """MSE and MAE on the z-scored scale (the benchmarks' own) and in the data's units, beside the seasonal naive.

    In the data's units the mean over variates means little where their units differ; ``by_variate`` has each.
    """
    errors = run.errors(series)
    return {
        "mse": float(np.nanmean(errors.mse)),
        "mae": float(np.nanmean(errors.mae)),
        "mse_original": float(np.nanmean(errors.mse_original_by_variate)),
        "mae_original": float(np.nanmean(errors.mae_original_by_variate)),
        "naive_mse": errors.naive_mse,
        "naive_mae": errors.naive_mae,
        "season": run.season,
        "windows": len(errors.mse),
        "windows_total": errors.total,
        "by_variate": {
            name: {"mse": float(mse), "mae": float(mae), "mse_original": float(mse_o), "mae_original": float(mae_o)}
            for name, mse, mae, mse_o, mae_o in zip(
                run.spec.targets,
                errors.mse_by_variate,
                errors.mae_by_variate,
                errors.mse_original_by_variate,
                errors.mae_original_by_variate,
                strict=True,
            )
        },
    }
