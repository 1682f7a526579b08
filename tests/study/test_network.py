import keras
import pytest

from evenbatch.errors import InvalidArgument
from evenbatch.study.network import check


def ending_with(*layers):
    return lambda input_shape, classes, normalize: keras.Sequential(
        [keras.Input(input_shape), *(make(classes) for make in layers)]
    )


def softmax(classes):
    return keras.layers.Dense(classes, activation="softmax")


class NotRegistered(keras.Model):
    def __init__(self, classes):
        super().__init__()
        self.dense = softmax(classes)

    def call(self, x):
        return self.dense(x)


def breaks(input_shape, classes, normalize):
    raise RuntimeError("its own error")


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda *_: 42, "recipe must return a Keras model, received int"),
        (ending_with(lambda classes: keras.layers.Dense(1)), r"of shape \(n, 3\), received shape \(n, 1\)"),
        (ending_with(keras.layers.Dense), r"must give probabilities.*end it with activation='softmax'"),
        (lambda shape, classes, normalize: NotRegistered(classes), "cannot be saved .*register_keras_serializable"),
    ],
)
def test_what_could_only_mislead_after_training_is_refused_before(small, build, sentence):
    with pytest.raises(InvalidArgument, match=sentence):
        check(build, "with", True, small())


@pytest.mark.parametrize("build", [ending_with(softmax), breaks])
def test_a_good_network_passes_and_one_that_raises_is_left_to_its_trials(small, build):
    check(build, "with", True, small())
