"""The ways in which Keras runs a layer: rematerialized, in other precisions, frozen, nested, compiled or eagerly."""

from functools import cache

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.kernels import reference

OURS, THEIRS = eb.BatchNormalization, keras.layers.BatchNormalization
BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(2, 3, (32, 6)).astype("float32")
Y = np.random.default_rng(1).normal(size=(32, 2)).astype("float32")
STEPS = {"default": {}, "eager": {"run_eagerly": True}, "compiled": {"jit_compile": True}}
# What Keras does by default there, so that asking for it is nothing new.
STEPS.pop({"jax": "compiled", "torch": "eager"}.get(BACKEND), None)
each_way = pytest.mark.parametrize("how", [pytest.param(STEPS[k], marks=pytest.mark.slow, id=k) for k in STEPS])
each_other_way = pytest.mark.parametrize(
    "how", [pytest.param(STEPS[k], marks=pytest.mark.slow, id=k) for k in STEPS if k != "default"]
)
MODES = ["full", "activations", "larger_than", "list_of_layers", None]
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's own interface")
# PyTorch's compiler looks at the gradients of everything, with either layer.
compiled_by_torch = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
each_layer = pytest.mark.parametrize("layer", [OURS, THEIRS], ids=["ours", "Keras"])


def model_of(layer, around=lambda norm: norm, **settings):
    """A network with the same initial weights whichever the layer is; `around` puts the layer into another."""
    start = keras.initializers.GlorotUniform
    inputs = keras.Input((6,))
    x = keras.layers.Dense(8, "relu", kernel_initializer=start(seed=1))(inputs)
    x = around(layer(momentum=0.9, name="norm", **settings))(x)
    return keras.Model(inputs, keras.layers.Dense(2, kernel_initializer=start(seed=2), dtype="float32")(x))


def stepped(model, steps=1, **how):
    """All weights after some steps of training: of gradient descent, so that they tell of the gradients."""
    model.compile(keras.optimizers.SGD(0.1), "mse", **how)
    for _ in range(steps):
        model.train_on_batch(X, Y)
    return model.get_weights()


def remat_model(layer, mode):
    """The network, built where layers are rematerialized. The model itself is not."""
    start = keras.initializers.GlorotUniform
    inputs = keras.Input((6,))
    with keras.RematScope(mode=mode, output_size_threshold=4, layer_names=["norm"]):
        first = keras.layers.Dense(8, "relu", kernel_initializer=start(seed=1))
        norm, last = layer(momentum=0.9, name="norm"), keras.layers.Dense(2, kernel_initializer=start(seed=2))
    return keras.Model(inputs, last(norm(first(inputs))))


def assert_close(found, expected, tolerance=2e-6):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def numbers(x):
    """An array that NumPy computes with: it does not know bfloat16."""
    wide = keras.backend.standardize_dtype(x.dtype) == "float64"
    return keras.ops.convert_to_numpy(keras.ops.cast(x, "float64" if wide else "float32"))


# Under rematerialization a forward pass runs again for its gradient. Keras' layer then follows one batch twice, and it
# fails where a graph traces `training` with the inputs: on JAX, and on TensorFlow unless run eagerly. There, Keras'
# Dense layer fails too, so under "full" and "larger_than" TensorFlow is asked for eager steps alone.
GRAPHS = [("default", "full"), ("default", "larger_than"), ("compiled", "full"), ("compiled", "larger_than")]
REFUSED = GRAPHS if BACKEND == "tensorflow" else []
REMAT = [("default", mode) for mode in MODES if ("default", mode) not in REFUSED]
REMAT += [pytest.param(how, "list_of_layers", marks=pytest.mark.slow) for how in STEPS if how != "default"]
REMAT += [("eager", "full")] if BACKEND == "tensorflow" else []


@cache
def plain_step():
    return stepped(remat_model(THEIRS, None))


@compiled_by_torch
@pytest.mark.parametrize(("how", "mode"), REMAT)
def test_a_rematerialized_step_is_the_step_of_keras_layer_that_is_not(how, mode):
    assert_close(stepped(remat_model(OURS, mode), **STEPS[how]), plain_step())


@pytest.mark.parametrize("mode", MODES)
def test_a_rematerialized_layer_has_the_same_outputs(mode):
    found, expected = remat_model(OURS, mode)(X, training=True), remat_model(THEIRS, None)(X, training=True)
    np.testing.assert_allclose(numbers(found), numbers(expected), rtol=1e-5, atol=1e-6)


@on_tensorflow
@pytest.mark.parametrize(("how", "mode"), GRAPHS)
@each_layer
def test_keras_rematerializes_no_dense_layer_in_a_graph_of_tensorflow(layer, how, mode):
    with pytest.raises(ValueError, match="supports keywords arguments only when eager"):
        stepped(remat_model(layer, mode), **STEPS[how])


# The unit roundoff of the dtype that the outputs are rounded to, and of the weights' and of the arithmetic.
POLICIES = {
    "mixed_float16": (2**-11, 2**-22),
    "mixed_bfloat16": (2**-8, 2**-22),
    "float16": (2**-11, 2**-10),
    "bfloat16": (2**-8, 2**-7),
    "float64": (2**-22, 2**-22),
}
policies = pytest.mark.parametrize("policy", POLICIES)


@pytest.fixture(autouse=True)
def doubles(request):
    """Lets JAX have float64 where a test asks for it."""
    if BACKEND == "jax" and "float64" in request.node.name:
        import jax

        with jax.enable_x64(True):
            yield
    else:
        yield


@policies
def test_a_policy_gives_outputs_and_weights_of_the_dtypes_of_keras_layer(policy):
    ours, theirs = OURS(dtype=policy), THEIRS(dtype=policy)
    found, expected = (
        [keras.backend.standardize_dtype(t.dtype) for t in (layer(X, training=True), *layer.weights)]
        for layer in (ours, theirs)
    )
    assert found == expected


@policies
def test_a_policy_gives_the_outputs_of_the_oracle(policy):
    x = keras.ops.cast(X, keras.DTypePolicy(policy).compute_dtype)
    expected, _ = reference.normalize_batch(numbers(x), np.ones(6), np.zeros(6), -1, 1e-3)
    found = numbers(OURS(dtype=policy)(x, training=True))
    np.testing.assert_allclose(found, expected, rtol=2 * POLICIES[policy][0], atol=2e-6)


@policies
def test_a_policy_gives_the_moving_statistics_of_keras_layer(policy):
    ours, theirs = OURS(dtype=policy), THEIRS(dtype=policy)
    for layer in (ours, theirs):
        layer(X, training=True)
    tolerance = 2 * POLICIES[policy][1]
    found, expected = ([numbers(w) for w in layer.non_trainable_variables] for layer in (ours, theirs))
    assert_close(found, expected, tolerance)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_step_under_a_policy_equals_keras_step(policy):
    found, expected = (stepped(model_of(layer, dtype=policy)) for layer in (OURS, THEIRS))
    assert_close(found, expected, 4 * POLICIES[policy][0])


def frozen_steps(layer):
    model = model_of(layer)
    model.get_layer("norm").trainable = False
    return stepped(model, 2)


def toggled_steps(layer):
    model = model_of(layer)
    stepped(model)
    model.get_layer("norm").trainable = False
    stepped(model)
    model.get_layer("norm").trainable = True
    return stepped(model)


def test_a_frozen_layer_normalizes_by_the_moving_statistics_in_training():
    layer = OURS(trainable=False)
    x = X[:4]
    np.testing.assert_allclose(numbers(layer(x, training=True)), x / np.sqrt(1.001), rtol=1e-6)


@pytest.mark.parametrize("steps", [frozen_steps, toggled_steps])
def test_freezing_does_in_training_what_it_does_with_keras_layer(steps):
    assert_close(steps(OURS), steps(THEIRS))


def test_a_layer_frozen_and_recompiled_keeps_its_weights():
    model = model_of(OURS)
    stepped(model)
    before = model.get_layer("norm").get_weights()
    model.get_layer("norm").trainable = False
    stepped(model)
    assert_close(model.get_layer("norm").get_weights(), before, 0)


@pytest.mark.parametrize("trainable", [True, False])
def test_a_nested_model_trains_as_with_keras_layer(trainable):
    def nested(norm):
        inner = keras.Sequential([keras.Input((8,)), norm, keras.layers.Dense(8, kernel_initializer="identity")])
        inner.trainable = trainable
        return inner

    assert_close(*(stepped(model_of(layer, nested), 2) for layer in (OURS, THEIRS)))


def test_time_distributed_trains_as_with_keras_layer():
    def steps(layer):
        inputs = keras.Input((3, 2))
        outputs = keras.layers.Dense(2, kernel_initializer="ones")(
            keras.layers.Flatten()(keras.layers.TimeDistributed(layer(momentum=0.9))(inputs))
        )
        model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.SGD(0.01), "mse")
        model.train_on_batch(X.reshape(32, 3, 2), Y)
        return model.get_weights()

    assert_close(steps(OURS), steps(THEIRS))


@compiled_by_torch
@pytest.mark.parametrize("settings", [{}, {"debias": True}], ids=str)
@each_other_way
def test_fit_gives_the_same_numbers_however_it_runs(how, settings):
    def fitted(**how):
        model = model_of(OURS, **settings)
        model.compile(keras.optimizers.SGD(0.02), "mse", **how)
        model.fit(X, Y, batch_size=12, epochs=2, shuffle=False, verbose=0)  # 12, 12 and 8
        return model.get_weights()

    assert_close(fitted(**how), fitted(), 1e-5)


@compiled_by_torch
@each_way
def test_steps_give_the_numbers_of_keras_layer(how):
    assert_close(*(stepped(model_of(layer), 3, **how) for layer in (OURS, THEIRS)), 1e-5)


class Formula(THEIRS):
    """Keras' layer with the variance as it is written: in tf.nn.moments no gradient flows through its mean."""

    def _moments(self, inputs, mask):
        mean = keras.ops.mean(inputs, self._reduction_axes)
        return mean, keras.ops.mean(keras.ops.square(inputs - mean), self._reduction_axes)


@on_tensorflow
@pytest.mark.parametrize("jit", [False, True], ids=["graph", "XLA"])
def test_a_gradient_penalty_in_a_train_step_is_that_of_the_formula(jit):
    import tensorflow as tf

    class Penalized(keras.Model):
        def train_step(self, data):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
            with tf.GradientTape() as tape:
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    outputs = self(x, training=True)
                    score = tf.square(outputs)  # the sum of the outputs themselves does not depend on x
                penalty = tf.reduce_mean(tf.square(inner.gradient(score, x)))
                loss = tf.reduce_mean(tf.square(outputs - y)) + penalty
            self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
            return {"loss": loss}

    def steps(layer):
        plain = model_of(layer)
        return stepped(Penalized(plain.inputs, plain.outputs), jit_compile=jit)

    assert_close(steps(OURS), steps(Formula), 1e-5)


@on_tensorflow
def test_synchronized_statistics_of_one_replica_cost_no_collective():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        layer = OURS(synchronized=True)
        layer.build((None, 6))

    @tf.function
    def run(x):
        return strategy.run(lambda x: layer(x, training=True), (x,))

    graph = run.get_concrete_function(tf.TensorSpec((None, 6))).graph.as_graph_def()
    kinds = {node.op for function in (graph, *graph.library.function) for node in getattr(function, "node", function)}
    assert not [kind for kind in kinds if "Collective" in kind or "Reduce" in kind]


@pytest.mark.parametrize("settings", [{}, {"center": False}, {"renorm": True}], ids=str)
def test_a_model_counts_the_weights_that_it_has_with_keras_layer(settings):
    assert model_of(OURS, **settings).count_params() == model_of(THEIRS, **settings).count_params()


def test_debias_counts_two_weights_more():
    assert model_of(OURS, debias=True).count_params() == model_of(THEIRS).count_params() + 2


def test_the_summary_is_that_of_keras_layer():
    def summary(layer):
        keras.utils.clear_session()
        lines = []
        model_of(layer).summary(print_fn=lines.append, line_length=90)
        return lines

    assert summary(OURS) == summary(THEIRS)
