import keras
import numpy as np
import pytest

from evenbatch.callbacks import EpochCallback, StepCallback

X, Y = np.zeros((10, 3), "float32"), np.zeros((10, 1), "float32")


def fitted(*callbacks, epochs=3, **settings):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=5, epochs=epochs, verbose=0, callbacks=list(callbacks), **settings)


def test_every_epoch_becomes_a_row_with_its_metrics():
    rows, begun = [], []
    fitted(EpochCallback(begun.append, lambda row: not rows.append(row)), validation_data=(X, Y))
    assert begun == [0, 1, 2]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[0].keys() == {"epoch", "loss", "val_loss", "seconds"}
    assert all(row["seconds"] > 0 for row in rows)


def test_the_seconds_of_an_epoch_leave_validation_out():
    ticks = iter([10.0, 13.0])
    callback = EpochCallback(lambda epoch: None, lambda row: not rows.append(row), clock=lambda: next(ticks))
    rows = []
    callback.on_epoch_begin(0)
    callback.on_test_begin()
    callback.on_epoch_end(0, {"loss": 1.0})
    assert rows == [{"epoch": 1, "loss": 1.0, "seconds": pytest.approx(3.0)}]


def test_training_stops_where_a_row_says_so():
    rows = []

    def second_is_the_last(row):
        rows.append(row)
        return row["epoch"] < 2

    fitted(EpochCallback(lambda epoch: None, second_is_the_last), epochs=9)
    assert len(rows) == 2


def test_every_step_is_handed_on():
    steps = []
    fitted(StepCallback(lambda: steps.append(1)), epochs=2)
    assert len(steps) == 4
