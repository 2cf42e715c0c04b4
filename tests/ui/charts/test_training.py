"""Curves show every epoch once, with the best marked."""

from core.training.events import EpochDone
from core.ui.charts.training import example_chart, loss_chart, losses, weight_chart
from core.ui.theme import COLORS


def epoch(number: int, validation: float) -> EpochDone:
    example = {"lookback": [0.0, 1.0], "truth": [1.0], "forecast": [0.9], "target": "y"}
    return EpochDone(0.0, number, 3, 0.5, validation, False, 1.0, 1e-3, 100.0, 2.0, [0.7, 0.6], example)


def test_the_best_epoch_is_marked_once():
    table = losses([epoch(1, 0.9), epoch(2, 0.4), epoch(3, 0.6)], now=(3.5, 0.3))
    best = table[table["best"]]
    assert (best["epoch"].tolist(), best["part"].tolist()) == ([2.0], ["validation"])
    assert table[table["part"] == "training"]["epoch"].tolist() == [1.0, 2.0, 3.0, 3.5]


def test_the_spec_does_not_change_as_epochs_come_in():
    """A changed spec would make the browser draw the chart anew: it would flicker once an epoch."""

    def shape(epochs):
        for chart in (loss_chart(epochs, 3, COLORS["dark"]), weight_chart(epochs, 3, COLORS["dark"])):
            spec = chart.to_dict()
            spec.pop("datasets")
            yield str([layer.pop("data", None) and layer for layer in spec["layer"]]), str(spec["config"])

    assert list(shape([epoch(1, 0.9)])) == list(shape([epoch(1, 0.9), epoch(2, 0.4)]))


def test_the_example_shows_observed_and_forecast_around_now():
    spec = example_chart(epoch(1, 0.9).example, COLORS["light"]).to_dict()
    rows = max(spec["datasets"].values(), key=len)
    assert [(row["step"], row["kind"]) for row in rows] == [
        (-1, "observed"),
        (0, "observed"),
        (1, "observed"),
        (1, "forecast"),
    ]


def test_a_withheld_history_is_not_drawn_as_observed():
    """It enters the model as zeros; drawn, they looked like a flat past that nobody had measured."""
    example = {"lookback": [0.0, 0.0], "truth": [1.0], "forecast": [0.9], "target": "y"}
    spec = example_chart(example, COLORS["light"]).to_dict()
    rows = max(spec["datasets"].values(), key=len)
    assert [row["step"] for row in rows] == [1, 1]
