import keras
import numpy as np
import pytest

from evenbatch.datasets import Part
from evenbatch.study.batches import Labelled, order

PART = Part(np.arange(10, dtype="float32")[:, None], np.arange(10, dtype="int32"))


def seen(epochs):
    """What a model is fed in these epochs, batch by batch, as `fit` sees it."""

    class Spy(keras.layers.Layer):
        def call(self, x):
            return x

    rows = []

    class Watch(keras.Model):
        def __init__(self):
            super().__init__()
            self.spy = Spy()
            self.weight = self.add_weight(shape=(), initializer="zeros")

        def call(self, x):
            return self.spy(x) * self.weight

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            rows.append(keras.ops.convert_to_numpy(x)[:, 0].astype(int).tolist())
            assert keras.ops.convert_to_numpy(y).tolist() == rows[-1]
            return keras.ops.sum(y_pred)

    model = Watch()
    model.compile("sgd", run_eagerly=True, jit_compile=False)
    feed = Labelled(PART, 4, 7).feed(epochs)
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: feed.begin(epoch))
    settings = {"epochs": epochs.stop, "initial_epoch": epochs.start, "shuffle": False, "verbose": 0}
    model.fit(**feed.arguments, **settings, callbacks=[begin])
    return rows


@pytest.mark.filterwarnings("ignore")
def test_fit_is_fed_each_epoch_in_the_order_of_seed_and_epoch():
    rows = seen(range(2, 4))
    expected = [chunk.tolist() for e in (2, 3) for chunk in np.split(order(7, e, 10), [4, 8])]
    assert rows[-6:] == expected


def test_an_order_is_a_permutation_that_depends_on_seed_and_epoch():
    orders = [order(seed, epoch, 50) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    for found in orders:
        assert sorted(found) == list(range(50))
    assert len({found.tobytes() for found in orders}) == 3
    np.testing.assert_array_equal(order(0, 1, 50), orders[1])


def test_batches_come_in_that_order_on_this_backend():
    feed = Labelled(PART, 4, 7).feed(range(1, 3))
    x = feed.arguments["x"]
    if keras.backend.backend() == "tensorflow":
        found = [batch.numpy()[:, 0].astype(int).tolist() for batch, _ in x]
    else:
        found = []
        for epoch in (1, 2):
            feed.begin(epoch)
            found += [x[i][0][:, 0].astype(int).tolist() for i in range(len(x))]
    assert found == [chunk.tolist() for e in (1, 2) for chunk in np.split(order(7, e, 10), [4, 8])]
