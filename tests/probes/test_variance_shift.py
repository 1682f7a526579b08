import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.probes.variance_shift import variance_shift


def net(rate):
    return keras.Sequential(
        [
            keras.Input((400,)),
            eb.BatchNormalization(name="before"),
            keras.layers.Dropout(rate),
            eb.BatchNormalization(name="behind"),
        ]
    )


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_dropout_straight_before_the_layer_shifts_by_the_formula_of_li_et_al(rate):
    """For N(0, 1) the ratio of the variances is what is kept: v / ((c² + v) / keep - c²) with c = 0, v = 1."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(0, 1, (4000, 400)).astype("float32")
    before, behind = variance_shift(net(rate), x)
    assert (before["layer"], before["dropout_before"]) == ("before", 0.0)
    assert (behind["layer"], behind["dropout_before"]) == ("behind", pytest.approx(rate))
    assert before["inference_over_training"] == pytest.approx(1.0, abs=1e-6)
    assert behind["inference_over_training"] == pytest.approx(1 - rate, abs=0.02)


def test_the_moving_variance_counts_as_it_was_when_asked():
    model = net(0.5)
    model.get_layer("before").set_weights([*model.get_layer("before").get_weights()[:3], np.full(400, 4.0)])
    x = np.random.default_rng(0).normal(0, 1, (1000, 400)).astype("float32")
    assert variance_shift(model, x)[0]["inference_over_moving"] == pytest.approx(0.25, abs=0.02)


def test_a_net_without_dropout_or_without_the_layer_has_nothing_to_tell():
    plain = keras.Sequential([keras.Input((4,)), eb.BatchNormalization()])
    only = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
    x = np.zeros((8, 4), "float32")
    assert variance_shift(plain, x) == []
    assert variance_shift(only, x) == []


def test_dropout_on_another_branch_is_not_before_a_layer():
    inputs = keras.Input((8,))
    dropped = eb.BatchNormalization(name="behind")(keras.layers.Dropout(0.5)(inputs))
    aside = eb.BatchNormalization(name="aside")(keras.layers.Dense(8)(inputs))
    rows = variance_shift(keras.Model(inputs, keras.layers.Add()([dropped, aside])), np.ones((4, 8), "float32"))
    assert {row["layer"]: row["dropout_before"] for row in rows} == {"behind": 0.5, "aside": 0.0}


def test_a_layer_that_is_used_twice_or_stands_in_a_model_within_is_left_out():
    inputs = keras.Input((8,))
    twice = eb.BatchNormalization(name="twice")
    inner = keras.Sequential([keras.Input((8,)), eb.BatchNormalization(name="within")])
    outputs = eb.BatchNormalization(name="once")(inner(twice(keras.layers.Dropout(0.5)(twice(inputs)))))
    assert [row["layer"] for row in variance_shift(keras.Model(inputs, outputs), np.ones((4, 8), "float32"))] == [
        "once"
    ]


def test_a_layer_that_takes_labels_too_is_left_out():
    inputs, labels = keras.Input((8,)), keras.Input((), dtype="int32")
    x = eb.ConditionalBatchNormalization(3)([keras.layers.Dropout(0.5)(inputs), labels])
    model = keras.Model([inputs, labels], eb.BatchNormalization(name="plain")(x))
    rows = variance_shift(model, [np.ones((4, 8), "float32"), np.arange(4) % 3])
    assert [row["layer"] for row in rows] == ["plain"]
