"""Training learns, can be closed at any event, resumes where it was, and repeats itself with the same seed."""

import numpy as np
import pytest
import torch

from core.data.series import Series
from core.errors import UserError
from core.training.events import Cancelled, Checkpointed, EpochDone, Finished, Pretrained, Progress, Started, from_json
from core.training.loop import TrainingState, make_model, train
from core.training.spec import Recipe
from tests.conftest import sine_series


def last_weights(events):
    return [e.weights for e in events if isinstance(e, Checkpointed) and e.weights is not None][-1]


def test_learns_a_wave_and_tells_what_happened(waves, small_spec):
    spec = small_spec(waves, recipe=Recipe(name="test", epochs=6, batch_size=32, learning_rate=5e-3, patience=6))
    events = list(train(spec, waves))
    assert isinstance(events[0], Started) and isinstance(events[-1], Finished)
    epochs = [e for e in events if isinstance(e, EpochDone)]
    assert [e.epoch for e in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].validation_loss < epochs[0].validation_loss * 0.8
    assert len(epochs[-1].scale_weights) == 3
    assert len(epochs[-1].example["forecast"]) == spec.horizon
    best = min(epochs, key=lambda e: e.validation_loss)
    assert events[-1].best_epoch == best.epoch


@pytest.mark.parametrize("loss", ["mae", "decayed mae", "huber"])
def test_the_training_loss_is_told_as_mse_whatever_is_minimised(waves, small_spec, loss):
    """It stands beside the validation MSE on one axis."""
    told = {}
    for kind in ("mse", loss):
        recipe = Recipe(name="test", epochs=1, batch_size=64, learning_rate=1e-7, warmup=0, ema=0, loss=kind)
        events = list(train(small_spec(waves, recipe=recipe), waves))
        told[kind] = next(e for e in events if isinstance(e, EpochDone)).train_loss
    assert told[loss] == pytest.approx(told["mse"], rel=1e-3)


def test_of_many_windows_an_epoch_takes_others_every_time(waves, small_spec):
    recipe = Recipe(name="test", epochs=2, batch_size=16, windows=50, patience=2)
    events = list(train(small_spec(waves, recipe=recipe), waves))
    started = events[0]
    assert started.train_windows > 150 and started.batches == 4  # 50 windows, the last batch smaller
    assert [e.epoch for e in events if isinstance(e, EpochDone)] == [1, 2]

    seen = []

    class Spy:
        gaps = False

        def __len__(self):
            return 203

        def batch(self, index):
            seen.append(index)
            return torch.zeros(len(index), 24, 1), torch.zeros(len(index), 8, 1)

    spec = small_spec(waves, recipe=recipe)
    state = TrainingState(make_model(spec), recipe, 203, "cpu")
    state.step = lambda *_: torch.zeros(())
    for epoch in (1, 2):
        list(state.run_epoch(epoch, Spy(), (0,)))
    epochs = [torch.cat(seen[:4]).sort().values, torch.cat(seen[4:]).sort().values]
    for index in epochs:  # one of each of 50 equal stretches
        assert ((index + 0.5) * 50 / 203).round().sub(torch.arange(50) + 0.5).abs().max() <= 1
        assert len(index) == 50 and index[0] >= 0 and index[-1] < 203
    assert not torch.equal(*epochs)


def test_the_same_seed_gives_the_same_weights(waves, small_spec):
    one, other, different = (last_weights(train(small_spec(waves, seed=s), waves)) for s in (1, 1, 2))
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert not all(torch.equal(one[k], different[k]) for k in one)


def test_resume_ends_where_an_unbroken_training_ends(waves, small_spec):
    """A killed worker costs time, not accuracy: weights, moments, average, schedule and random order go on."""
    spec = small_spec(waves, recipe=Recipe(name="test", epochs=4, batch_size=64, patience=4))
    unbroken = last_weights(train(spec, waves))
    saved = None
    for event in train(spec, waves):
        if isinstance(event, Checkpointed) and event.epoch == 2:
            saved = event.resume
            break
    resumed = list(train(spec, waves, saved))
    assert isinstance(resumed[0], Started) and resumed[0].resumed_from == 2
    assert [e.epoch for e in resumed if isinstance(e, EpochDone)] == [3, 4]
    weights = last_weights(resumed)
    assert all(torch.equal(weights[k], unbroken[k]) for k in unbroken)


def test_closing_the_generator_ends_it(waves, small_spec):
    running = train(small_spec(waves), waves)
    next(running)
    running.close()
    with pytest.raises(StopIteration):
        next(running)


def test_stops_early_when_validation_no_longer_improves(waves, small_spec):
    recipe = Recipe(name="test", epochs=50, batch_size=64, learning_rate=0.5, schedule="constant", patience=2, ema=0)
    last = list(train(small_spec(waves, recipe=recipe), waves))[-1]
    assert last.stopped_early and last.epochs_run < 50
    assert last.epochs_run - last.best_epoch == 2


def test_published_schedule_halves_every_epoch_from_the_second(waves, small_spec):
    recipe = Recipe(name="test", schedule="halving", warmup=0, learning_rate=1e-4, batch_size=64, epochs=4)
    state = TrainingState(make_model(small_spec(waves)), recipe, 130, "cpu")
    rates = []
    for epoch in range(4):
        state.steps = epoch * state.batches
        rates.append(state.learning_rate())
    assert rates == [1e-4, 0.5e-4, 0.25e-4, 0.125e-4]


def test_only_targets_are_forecast_and_scored(waves, small_spec):
    spec = small_spec(waves, variates=waves.variates[:2], targets=(waves.variates[2],))
    assert spec.withheld == (2,) and spec.target_index == (2,)
    events = list(train(spec, waves))
    example = next(e for e in events if isinstance(e, EpochDone)).example
    assert example["target"] == waves.variates[2]
    assert not np.any(example["lookback"])


def test_too_few_rows_are_refused_with_what_would_work(small_spec, waves):
    spec = small_spec(waves, lookback=300, horizon=96)
    with pytest.raises(UserError, match=r"nearest that works: look-back \d+"):
        next(train(spec, waves))


def test_missing_values_are_refused_with_their_place(small_spec, waves):
    values = waves.values.copy()
    values[41, 1] = np.nan
    holed = Series(waves.name, waves.times, values, waves.variates)
    with pytest.raises(UserError, match=r"'load b' has 1 missing .* row 42"):
        next(train(small_spec(waves), holed))


def test_a_fitted_model_is_one_epoch_without_steps(waves, small_spec):
    spec = small_spec(waves, model="seasonal_naive", config={})
    events = list(train(spec, waves))
    assert [type(e) for e in events if not isinstance(e, Progress)] == [Started, EpochDone, Checkpointed, Finished]
    assert events[0].batches == 0 and events[-1].best_epoch == 1
    # waves of 24 steps with noise of deviation 0.1 on a deviation of 0.71: a season ago errs by twice that variance
    assert events[-3].validation_loss == pytest.approx(2 * 0.01 / 0.5, rel=0.25)


def test_pretraining_comes_first_and_leaves_its_mark(small_spec):
    long = sine_series(900)
    recipe = Recipe(name="test", epochs=1, batch_size=64, pretrain_epochs=2, ema=0)
    about = {"model": "scalefusion", "lookback": 64, "horizon": 8, "config": {}}
    events = list(train(small_spec(long, recipe=recipe, **about), long))
    kinds = [type(e) for e in events if not isinstance(e, Progress)]
    assert kinds == [Started, Pretrained, Pretrained, EpochDone, Checkpointed, Finished]
    losses = [e.loss for e in events if isinstance(e, Pretrained)]
    assert losses[1] < losses[0]


def test_a_frozen_encoder_learns_in_pretraining_only(small_spec):
    long = sine_series(900)
    recipe = Recipe(name="test", epochs=2, batch_size=64, pretrain_epochs=1, ema=0.9, weight_decay=0.1)
    about = {"model": "scalefusion", "lookback": 64, "horizon": 8, "config": {"encoder": "frozen"}}
    kept = [e.resume for e in train(small_spec(long, recipe=recipe, **about), long) if isinstance(e, Checkpointed)]
    changed = {k for k, v in kept[0].items() if k.startswith("model.") and not torch.equal(v, kept[1][k])}
    assert changed and all("head" in k for k in changed), "what is frozen is not even decayed"


def test_missing_steps_are_learnt_around_where_the_model_takes_them(waves, small_spec):
    values = waves.values.copy()
    values[40:60, 1] = np.nan  # in training
    values[300:306, 2] = np.nan  # in validation, as input and as truth
    holed = Series(waves.name, waves.times, values, waves.variates)
    recipe = Recipe(name="test", epochs=6, batch_size=32, learning_rate=5e-3, patience=6)
    about = {"model": "s2tx", "lookback": 48, "config": {}}
    epochs = [e for e in train(small_spec(holed, recipe=recipe, **about), holed) if isinstance(e, EpochDone)]
    assert all(np.isfinite([e.train_loss, e.validation_loss]).all() for e in epochs)
    assert epochs[-1].validation_loss < epochs[0].validation_loss * 0.8


def test_an_infinite_loss_is_told_in_words(waves, small_spec):
    """Finite values whose z-scores are not, in the validation part only."""
    values = waves.values.copy()
    values[281:320] = 3e38
    with pytest.raises(UserError, match="loss became infinite in epoch 1"):
        list(train(small_spec(waves), Series(waves.name, waves.times, values, waves.variates)))


def test_events_survive_their_file():
    for event in (Progress(1.0, 1, 2, 3, 0.5, 100.0), Cancelled(2.0, 3, 2), Checkpointed(1.0, 2, 0.5, {}, {})):
        assert from_json(event.to_json()) == event
    with pytest.raises(ValueError):
        from_json('{"kind": "epo')


def planned(rows: int = 700) -> Series:
    """Noise that follows a plan which is known in advance, and nothing else."""
    plan = np.random.default_rng(5).standard_normal((rows, 1)).astype(np.float32)
    times = sine_series(rows).times
    return Series("planned", times, np.hstack([plan, plan * 2 + 1]), ("plan", "sales"))


def best(spec, series):
    return min(e.validation_loss for e in train(spec, series) if isinstance(e, EpochDone))


@pytest.mark.parametrize(("model", "horizon"), [("itransformer", 8), ("itransformer", 20), ("crossscalenet", 8)])
def test_what_is_known_in_advance_is_used(small_spec, model, horizon):
    """A horizon beyond the look-back too: without the plan there is nothing to learn, with it most."""
    series = planned()
    about = {
        "model": model,
        "config": {"width": 32, "hidden": 32} if model == "itransformer" else {"scales": 2, "patch": 4},
        "lookback": 16,
        "horizon": horizon,
        "variates": ("sales",),
        "targets": ("sales",),
        "recipe": Recipe(name="test", epochs=15, batch_size=32, learning_rate=1e-2, patience=15),
    }
    assert best(small_spec(series, **about), series) > 0.8
    known = small_spec(series, **about, covariates={"known": ["plan"]})
    assert known.withheld == () and known.target_index == (0,)
    assert best(known, series) < 0.75


def test_covariates_that_cannot_be_used_are_named(small_spec):
    series = planned()
    spec = small_spec(series, model="dlinear", config={}, targets=("sales",), covariates={"calendar": ["hour"]})
    usable, said = spec.usable()
    assert not usable.covariates and "cannot reach it and are ignored: hour of the day." in said
    usable.check(series)
    with pytest.raises(UserError, match="ignored: hour of the day"):
        spec.check(series)


def test_a_withheld_target_stays_withheld_beside_covariates(small_spec):
    series = planned()
    spec = small_spec(
        series, variates=("plan",), targets=("sales",), covariates={"calendar": ["hour"], "known": ["plan"]}
    )
    assert spec.columns[:2] == ("plan", "sales") and spec.withheld == (1,) and spec.target_index == (1,)
    assert spec.needed == ("plan", "sales")
    assert spec.columns[2:] == ("hour of day, sine", "hour of day, cosine", "plan, 8 ahead")
