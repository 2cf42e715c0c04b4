"""What others report on the benchmark series: the papers' figures, and what their public code gave when it was run.

Test MSE and MAE on the z-scored scale by dataset, architecture and horizon, all at look-back 96. Papers: CASA's table
(arXiv 2505.02011) for CASA, SOFTS, iTransformer, PatchTST and DLinear on ETT; the MSE of TimeMixer (arXiv 2405.14616)
and LMSAutoTSF (arXiv 2412.06866) on ETT; LMSAutoTSF's table for Exchange. Public code: each model's own recipe, seed
2021, every test window, on two CPU cores (2026-11-20). No figure is known for what is not here.
"""

from dataclasses import dataclass

LOOKBACK = 96  # of every figure here


@dataclass(frozen=True)
class Figure:
    """One reported result; ``mae`` is None where only the MSE is known."""

    mse: float
    mae: float | None = None


HORIZONS = (96, 192, 336, 720)


def _figures(text: str) -> dict[int, Figure]:
    """ ".376/.397 .427/.424" as figures of the horizons 96, 192 and so on; "-" where none is known."""
    found = {}
    for horizon, figure in zip(HORIZONS, text.split(), strict=False):
        if figure != "-":
            mse, _, mae = figure.partition("/")
            found[horizon] = Figure(float(mse), float(mae) if mae else None)
    return found


PAPERS: dict[tuple[str, str], dict[int, Figure]] = {
    ("ETTh1", "casa"): _figures(".376/.397 .427/.424 .469/.445 .479/.468"),
    ("ETTh1", "softs"): _figures(".381/.399 .435/.431 .480/.452 .499/.488"),
    ("ETTh1", "itransformer"): _figures(".386/.405 .441/.436 .487/.458 .503/.491"),
    ("ETTh1", "patchtst"): _figures(".394/.406 .440/.435 .491/.462 .487/.479"),
    ("ETTh1", "dlinear"): _figures(".386/.400 .437/.432 .481/.459 .519/.516"),
    ("ETTh1", "timemixer"): _figures(".378 .440 .499 .549"),
    ("ETTh1", "lmsautotsf"): _figures(".383 .435 .469 .478"),
    ("ETTh2", "casa"): _figures(".290/.339 .366/.388 .416/.425 .420/.439"),
    ("ETTh2", "softs"): _figures(".297/.347 .373/.394 .410/.426 .411/.433"),
    ("ETTh2", "itransformer"): _figures(".297/.349 .380/.400 .428/.432 .427/.445"),
    ("ETTh2", "patchtst"): _figures(".288/.340 .376/.395 .440/.451 .436/.453"),
    ("ETTh2", "dlinear"): _figures(".333/.387 .477/.476 .594/.541 .831/.657"),
    ("ETTh2", "timemixer"): _figures(".292 .383 .439 .441"),
    ("ETTh2", "lmsautotsf"): _figures(".293 .368 .411 .432"),
    ("exchange_rate", "lmsautotsf"): _figures(".082 .174 .324 .834"),
    ("exchange_rate", "itransformer"): _figures(".098 .188 .337 .885"),
    ("exchange_rate", "dlinear"): _figures(".098 .186 .327 .749"),
    ("exchange_rate", "timemixer"): _figures(".088 .184 .376 .880"),
}

PUBLIC_CODE: dict[tuple[str, str], dict[int, Figure]] = {
    ("ETTh1", "casa"): _figures(".3822/.4046 .4274/.4284 .4745/.4512 .48765"),  # at 720: .4843-.4910, three seeds
    ("ETTh2", "casa"): _figures(".2969/.3474 .3753/.3976 .4230/.4336 .4299/.4464"),
    ("ETTh1", "crossscalenet"): _figures(".3993/.4086 .4427/.4300 .4812/.4468 .4892/.4724"),
    ("ETTh2", "crossscalenet"): _figures(".2958/.3448 .3857/.4006 .4322/.4405 .4501/.4591"),
    ("ETTh1", "lmsautotsf"): _figures(".3850/.3988"),
    ("ETTh2", "lmsautotsf"): _figures(".2889/.3416"),
    ("ETTh1", "itransformer"): _figures(".3858/.4045"),
    ("ETTh2", "itransformer"): _figures(".3003/.3492"),
    ("ETTh1", "timemixer"): _figures(".3892/.4033"),
    ("ETTh1", "dlinear"): _figures(".3962/.4108 - - .5126/.5104"),
    ("ETTh2", "dlinear"): _figures(".3414/.3953"),
}
