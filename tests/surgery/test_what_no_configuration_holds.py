"""What a model has besides configurations and weights: carried, or refused, and never lost without a word."""

from collections import namedtuple

import keras
import models
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.errors import BrokenPromise, InvalidArgument, UnsupportedModel

layers = keras.layers
THEIRS = layers.BatchNormalization
BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, 3)).astype("float32")


def net(*between, **compiled):
    begin = [keras.Input((4,)), layers.Dense(4, use_bias=False, name="dense"), THEIRS(name="norm")]
    model = keras.Sequential([*begin, *between, layers.Dense(3)])
    if compiled:
        model.compile(**compiled)
    return model


def assert_same_step(new, model):
    if not model.compiled:
        for one in (new, model):
            one.compile(keras.optimizers.SGD(0.01), "mse")
    found, expected = (np.array(one.train_on_batch(X, Y)) for one in (new, model))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for one, other in zip(new.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


class GivesItselfAway(layers.Layer):
    """Its configuration holds its very layer."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        return {**super().get_config(), "inner": self.inner}


def test_a_configuration_that_gives_a_layer_away_does_not_tie_the_models_together():
    model = net(GivesItselfAway(layers.Dense(4)))
    new = eb.upgrade(model)
    assert not {id(v) for v in new.variables} & {id(v) for v in model.variables}
    assert_same_step(new, model)


def test_a_weight_that_a_call_takes_itself_is_refused():
    inputs, dense = keras.Input((4,)), layers.Dense(3, name="dense")
    tied = keras.ops.matmul(dense(THEIRS()(inputs)), keras.ops.transpose(dense.kernel))
    model = keras.Model(inputs, tied)
    if BACKEND == "torch":  # elsewhere the graph holds the weight's value, which no training moves
        with pytest.raises(UnsupportedModel, match="a call takes the weight"):
            eb.upgrade(model)
    tied = keras.ops.einsum("ij,kj->ik", dense(THEIRS()(inputs)), dense.kernel)
    with pytest.raises(UnsupportedModel, match="a call takes the weight dense/kernel itself"):
        eb.upgrade(keras.Model(inputs, tied))


def test_a_regularizer_that_was_put_upon_a_weight_later_is_kept():
    model = net()
    model.get_layer("dense").kernel.regularizer = keras.regularizers.L2(0.5)
    model.get_layer("norm").gamma.constraint = keras.constraints.NonNeg()
    new = eb.upgrade(model)
    assert isinstance(new.get_layer("norm").gamma.constraint, keras.constraints.NonNeg)
    assert_same_step(new, model)


class WithScale(keras.Model):
    """Keeps a number that its step reads, and that no configuration has."""

    def __init__(self, *args, scale=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.scale = scale

    def compute_loss(self, *args, **kwargs):
        return self.scale * super().compute_loss(*args, **kwargs)


def test_numbers_and_names_that_a_model_was_given_are_kept():
    inputs = keras.Input((4,))
    model = WithScale(inputs, layers.Dense(3)(THEIRS(name="norm")(inputs)), scale=3.0)
    model.class_names = ["cat", "dog", "emu"]
    model.get_layer("norm").tag = "first"
    new = eb.upgrade(model)
    assert (new.scale, list(new.class_names), new.get_layer("norm").tag) == (3.0, ["cat", "dog", "emu"], "first")
    assert_same_step(new, model)


def test_autocast_is_kept():
    inputs = keras.Input((4,), dtype="float32")
    x = THEIRS(name="norm", dtype="mixed_bfloat16", autocast=False)(inputs)
    model = keras.Model(inputs, layers.Dense(3, dtype="mixed_bfloat16", autocast=False, name="dense")(x))
    new = eb.upgrade(model)
    assert (new.get_layer("norm").autocast, new.get_layer("dense").autocast) == (False, False)


def test_a_call_that_was_replaced_on_the_object_is_refused():
    model = net()
    norm = model.get_layer("norm")
    norm.call = lambda x, training=None, mask=None: type(norm).call(norm, x, training=False)
    with pytest.raises(UnsupportedModel, match=r"norm: call\(\) of this layer was replaced on the object itself"):
        eb.upgrade(keras.Sequential([keras.Input((4,)), layers.Dense(4), norm]))


def test_paths_are_kept_so_that_what_chooses_by_them_chooses_the_same():
    model = models.subclassed(THEIRS)
    assert [v.path for v in eb.upgrade(model).weights] == [v.path for v in model.weights]


def test_exceptions_from_weight_decay_are_kept_within_optimizers_too():
    inner = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    model = net()
    inner.exclude_from_weight_decay([model.get_layer("dense").kernel])
    model.compile(keras.optimizers.LossScaleOptimizer(inner), "mse")
    assert_same_step(eb.upgrade(model), model)


def test_a_loss_that_is_not_scaled_stays_so():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), THEIRS()])
    model.compile("sgd", "mse", auto_scale_loss=False)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        new = eb.upgrade(model)
    finally:
        keras.config.set_dtype_policy(before)
    assert type(new.optimizer) is type(model.optimizer)
    assert new.dtype_policy.name == model.dtype_policy.name == "float32"


class HidesIt(layers.Layer):
    """Reaches its normalization by an attribute and by a closure."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        norm = THEIRS(name="norm")
        self.norm = norm
        self.function = lambda x, training: norm(x, training=training)

    def build(self, shape):
        self.norm.build(shape)

    def call(self, x, training=None):
        return self.function(x, training)


def test_a_layer_that_is_reached_by_a_closure_too_is_found_though_weights_are_equal():
    inputs = keras.Input((4,))
    with pytest.raises(BrokenPromise, match="an output of the new model differs"):
        eb.upgrade(keras.Model(inputs, HidesIt()(inputs)))


def test_a_model_within_keeps_its_compile_state():
    inner = net(optimizer=keras.optimizers.Adam(0.01), loss="mse")
    inner.train_on_batch(X, Y)
    inputs = keras.Input((4,))
    outer = keras.Model(inputs, inner(inputs))
    new = eb.upgrade(outer).layers[1]
    assert new.compiled
    assert int(new.optimizer.iterations) == 1
    assert_same_step(new, inner)


def test_what_was_set_after_compiling_is_kept():
    model = net(optimizer="sgd", loss="mse")
    model.run_eagerly, model.steps_per_execution = True, 3
    new = eb.upgrade(model)
    assert (new.run_eagerly, new.steps_per_execution) == (True, 3)


def test_the_losses_of_the_last_call_stay_with_the_given_model():
    model = net(layers.ActivityRegularization(l2=1.0), THEIRS(activity_regularizer=keras.regularizers.L2(0.5)))
    model(X)
    before = [float(keras.ops.convert_to_numpy(loss)) for loss in model.losses]
    eb.upgrade(model)
    assert [float(keras.ops.convert_to_numpy(loss)) for loss in model.losses] == before != []


def test_a_layer_that_was_never_used_is_exchanged_unbuilt():
    model = models.functional_subclass(THEIRS)
    model.spare = THEIRS(name="spare")
    new = eb.upgrade(model)
    assert (type(new.spare), new.spare.built) == (eb.BatchNormalization, False)


@pytest.mark.filterwarnings("ignore:.*makes its normalization in its own constructor")
def test_a_wrapper_around_a_class_that_nobody_registered_is_upgraded():
    class Own(layers.Layer):
        def __init__(self, norm, **kwargs):
            super().__init__(**kwargs)
            self.norm = norm

        def build(self, shape):
            if not self.norm.built:
                self.norm.build(shape)

        def call(self, x):
            return self.norm(x)

        def compute_output_shape(self, shape):
            return shape

        def get_config(self):
            return {**super().get_config(), "norm": keras.saving.serialize_keras_object(self.norm)}

        @classmethod
        def from_config(cls, config):
            return cls(keras.saving.deserialize_keras_object(config.pop("norm")), **config)

    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, layers.TimeDistributed(Own(THEIRS()))(inputs))
    new = eb.upgrade(model)
    assert type(new.layers[1].layer.norm) is eb.BatchNormalization


def test_an_optimizer_of_other_variables_is_refused():
    model, head = net(), layers.Dense(2)
    head.build((None, 3))
    optimizer = keras.optimizers.Adam()
    optimizer.build([*model.trainable_variables, *head.trainable_variables])
    model.compile(optimizer, "mse")
    with pytest.raises(UnsupportedModel, match="Adam, has state for variables that are not in the model"):
        eb.upgrade(model)


def test_functions_that_nobody_registered_are_taken_as_they_are():
    def mine(y, prediction):
        return keras.ops.mean(keras.ops.abs(keras.ops.subtract(y, prediction)), -1)

    metrics = [mine, keras.metrics.MeanMetricWrapper(mine, name="wrapped")]
    model = net(layers.Dense(4, activation=lambda x: x * 2), optimizer="sgd", loss=mine, metrics=metrics)
    assert_same_step(eb.upgrade(model), model)


def test_a_learning_rate_of_the_users_is_taken_as_it_is():
    class Halving(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1 / (keras.ops.cast(step, "float32") + 1)

        def get_config(self):
            return {}

    model = net(optimizer=keras.optimizers.SGD(Halving()), loss="mse")
    assert_same_step(eb.upgrade(model), model)


Pair = namedtuple("Pair", ["first", "second"])


class InNamedTuple(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.both = Pair(layers.Dense(4, name="one"), THEIRS(name="two"))

    def build(self, shape):
        for one in self.both:
            one.build(shape)

    def call(self, x):
        return self.both.second(self.both.first(x))


@pytest.mark.filterwarnings("ignore:.*makes its normalization in its own constructor")
def test_layers_in_a_named_tuple_are_put_in_their_places():
    inputs = keras.Input((4,))
    new = eb.upgrade(keras.Model(inputs, InNamedTuple()(inputs)))
    assert type(new.layers[1].both.second) is eb.BatchNormalization


def test_the_state_of_a_recurrent_layer_is_carried():
    inputs = keras.Input(batch_shape=(2, 3, 4))
    model = keras.Model(inputs, THEIRS()(layers.GRU(3, stateful=True)(inputs)))
    x = X[:6].reshape(2, 3, 4)
    model.predict(x, verbose=0)
    new = eb.upgrade(model)
    np.testing.assert_allclose(new.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


def test_a_normalization_keeps_what_it_computes_with():
    normalization = layers.Normalization()
    normalization.adapt(X)
    model = keras.Sequential([keras.Input((4,)), normalization, THEIRS()])
    model.set_weights([2 * w for w in model.get_weights()])  # without finalize_state
    np.testing.assert_allclose(models.arrays(eb.upgrade(model)(X))[0], models.arrays(model(X))[0], rtol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow has strings, and tf.function")
def test_outputs_that_are_texts_are_compared_as_texts():
    inputs = keras.Input((4,))
    found = layers.StringLookup(vocabulary=["a", "b"], invert=True)(keras.ops.argmax(THEIRS()(inputs), -1))
    assert eb.upgrade(keras.Model(inputs, found), return_report=True)[1].largest_difference == 0.0


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow has strings, and tf.function")
def test_models_are_not_made_within_a_function():
    import tensorflow as tf

    with pytest.raises(InvalidArgument, match=r"models are made outside of tf.function"):
        tf.function(lambda: eb.upgrade(net()), autograph=False)()


def test_synchronized_is_true_or_false():
    with pytest.raises(InvalidArgument, match="synchronized must be True or False, received 'yes'"):
        eb.upgrade(net(), synchronized="yes")
