"""Learning rates that warm up, and optimizers under float16, in one process. On two: test_training_mixed.py."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tfcass import OptionError, training

SGD = keras.optimizers.SGD


@pytest.fixture
def several_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were several: what is made then is looked at, not run."""
    monkeypatch.setattr(training.ranks, "horovod", lambda: object())


@pytest.fixture
def mixed_float16():
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy("float32")


def rates(schedule, steps) -> list[float]:
    return [float(schedule(step)) for step in steps]


def test_the_rate_grows_from_that_of_one_rank_to_that_of_all() -> None:
    rate = training.LinearScaling(0.5, size=5, warmup_steps=10)

    assert rates(rate, [0, 5, 10, 11, 1000]) == pytest.approx([0.5, 1.5, 2.5, 2.5, 2.5])


def test_without_warm_up_the_rate_is_that_of_all_at_once() -> None:
    assert rates(training.LinearScaling(0.5, size=4), [0, 9]) == pytest.approx([2.0, 2.0])


def test_one_rank_keeps_its_rate() -> None:
    assert rates(training.LinearScaling(0.5, size=1, warmup_steps=10), [0, 5, 20]) == pytest.approx([0.5] * 3)


def test_a_schedule_is_scaled_at_each_of_its_steps() -> None:
    steps = keras.optimizers.schedules.PiecewiseConstantDecay([20, 30], [1.0, 0.1, 0.01])
    rate = training.LinearScaling(steps, size=3, warmup_steps=10)

    assert rates(rate, [0, 5, 10, 25, 40]) == pytest.approx([1.0, 2.0, 3.0, 0.3, 0.03])


def test_a_model_saved_with_it_goes_on_with_the_same_rates(tmp_path: Path) -> None:
    cosine = keras.optimizers.schedules.CosineDecay(0.5, 20)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(SGD(training.LinearScaling(cosine, size=2, warmup_steps=4)), "mse")
    model.fit(np.zeros((6, 2)), np.zeros((6, 1)), batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")

    again = keras.models.load_model(tmp_path / "model.keras")

    assert int(again.optimizer.iterations) == 6
    assert float(again.optimizer.learning_rate) == pytest.approx(2 * float(cosine(6)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate=0.0 is neither a positive number nor a Keras schedule"),
        ({"learning_rate": "cosine"}, "learning_rate='cosine' is neither"),
        ({"size": 0}, "size=0 is not at least 1; pass shard.size"),
        ({"warmup_steps": -1}, "warmup_steps=-1 is not a number of steps"),
    ],
)
def test_rates_that_are_none_are_refused(options, message) -> None:
    with pytest.raises(OptionError, match=message):
        training.LinearScaling(**{"learning_rate": 0.1, "size": 2, **options})


def test_under_float16_the_loss_is_scaled_in_one_process_too(mixed_float16) -> None:
    optimizer = training.distributed_optimizer(SGD(0.1))

    assert type(optimizer) is keras.optimizers.LossScaleOptimizer
    assert float(optimizer.scale_loss(1.0)) > 1
    given = keras.optimizers.LossScaleOptimizer(SGD(0.1))
    assert training.distributed_optimizer(given) is given


def test_under_float16_ranks_average_before_they_look_for_infinities(mixed_float16, several_ranks) -> None:
    optimizer = training.distributed_optimizer(SGD(0.1), scale_learning_rate=True)

    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert type(optimizer) is not keras.optimizers.LossScaleOptimizer
    assert type(optimizer.inner_optimizer) is SGD
    assert float(optimizer.learning_rate) == pytest.approx(0.1)  # Times one: Horovod knows of one rank here.


def test_a_loss_scale_around_an_optimizer_that_averages_is_refused(several_ranks) -> None:
    too_late = keras.optimizers.LossScaleOptimizer(training.distributed_optimizer(SGD(0.1)))
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(too_late, "mse", jit_compile=False)
    callback = training.BroadcastInitialState()
    callback.set_model(model)

    with pytest.raises(OptionError, match="call distributed_optimizer once"):
        training.distributed_optimizer(too_late)
    with pytest.raises(OptionError, match="set the policy mixed_float16 before distributed_optimizer"):
        callback.check_optimizer()


def test_a_schedule_cannot_be_scaled_by_the_flag(several_ranks) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)

    with pytest.raises(OptionError, match="scale a schedule with training.LinearScaling"):
        training.distributed_optimizer(SGD(schedule), scale_learning_rate=True)


def test_an_optimizer_that_has_trained_is_refused(several_ranks) -> None:
    optimizer = SGD(0.1)
    optimizer.build([keras.Variable(1.0)])

    with pytest.raises(OptionError, match="pass a new one, and restore its state with Checkpoint"):
        training.distributed_optimizer(optimizer)
