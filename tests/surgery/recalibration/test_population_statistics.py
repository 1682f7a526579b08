"""`eb.recalibrate`: every layer gets the statistics of what it will be given in inference."""

import keras
import models
import numpy as np
import oracle
import pytest

import evenbatch as eb
from evenbatch.errors import UnsupportedModel
from evenbatch.surgery.recalibration import replay

layers = keras.layers
THEIRS, OURS = layers.BatchNormalization, eb.BatchNormalization
CIRCULAR = ("shared",)  # a layer of it is applied to what came of its own outputs


def recalibrated(model, data, **options):
    return eb.recalibrate(model, data, verbose=False, **options)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(1.0, 2.0, shape).astype("float32")


def deep(norm=THEIRS, depth=4, **arguments):
    """Dense layers, each followed by a normalization and a function that is not straight."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((5,))
    for i in range(depth):
        x = layers.Dense(6)(x)
        x = layers.Activation("tanh")(norm(name=f"norm_{i}", **arguments)(x))
    return models.filled(keras.Model(inputs, layers.Dense(2)(x)))


def of(model):
    return [oracle.kept(layer) for layer in oracle.norms(model).values()]


def assert_same(one, other, tolerance=1e-6):
    for found, expected in zip(of(one), of(other), strict=True):
        oracle.assert_equal_statistics(found, expected, tolerance)


PLAIN = [name for name in models.KINDS if name not in CIRCULAR]


@pytest.mark.parametrize(("kind", "norm"), [*((kind, THEIRS) for kind in PLAIN), ("residual", OURS), ("wrapped", OURS)])
def test_every_layer_has_the_statistics_of_its_inputs_in_inference(kind, norm):
    model = models.filled(models.KINDS[kind](norm))
    x = models.inputs_of(model, 23)
    new = recalibrated(model, x, batch_size=7, frozen=True)
    expected = oracle.met(new, x)
    assert set(expected) == set(oracle.norms(new))
    for path, layer in oracle.norms(new).items():
        tolerance = 2e-3 if "bfloat16" in str(layer.compute_dtype) else 5e-5
        oracle.assert_equal_statistics(oracle.kept(layer), expected[path], tolerance)


def test_the_given_model_is_left_as_it_was(kind):
    model = models.filled(kind(THEIRS))
    before, x = [np.array(keras.ops.convert_to_numpy(v.value)) for v in model.variables], models.inputs_of(model)
    losses = len(model.losses)
    recalibrated(model, x, dropout=True)
    assert len(model.losses) == losses
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), value)


def test_nothing_but_the_statistics_is_another_in_the_new_model(kind):
    model = models.filled(kind(THEIRS))
    new = recalibrated(model, models.inputs_of(model), dropout=True, frozen=True)
    moving = {id(v) for layer in oracle.norms(new).values() for v in (layer.moving_mean, layer.moving_variance)}
    for old, variable in zip(model.variables, new.variables, strict=True):
        if id(variable) not in moving:
            np.testing.assert_array_equal(
                keras.ops.convert_to_numpy(variable.value), keras.ops.convert_to_numpy(old.value)
            )


def test_a_chain_by_hand_in_float64():
    model, x = deep(), draw(200, 5)
    new = recalibrated(model, x, batch_size=32)
    value = x.astype("float64")
    weights = [oracle.numbers(weight.value) for weight in new.weights]
    for i in range(4):
        kernel, bias, gamma, beta, mean, variance = weights[6 * i : 6 * i + 6]
        value = value @ kernel + bias
        oracle.assert_equal_statistics((mean, variance), (value.mean(axis=0), value.var(axis=0)), 2e-6)
        value = np.tanh(gamma * (value - value.mean(axis=0)) / np.sqrt(value.var(axis=0) + 1e-3) + beta)


@pytest.mark.parametrize("sizes", [[50], [1] * 50, [1, 3, 46], [20, 20, 10]])
def test_the_statistics_do_not_depend_on_how_the_data_are_divided(sizes):
    model, x = deep(), draw(50, 5)
    new = recalibrated(model, np.split(x, np.cumsum(sizes)[:-1]))
    assert_same(new, recalibrated(model, x, batch_size=50))


def test_one_pass_over_one_batch_gives_the_statistics_that_training_meets():
    model, x = deep(), draw(64, 5)
    trained = deep(momentum=0.0)
    trained.set_weights(model.get_weights())
    trained(x, training=True)
    assert_same(recalibrated(model, x, batch_size=64, one_pass=True), trained, 1e-5)


def test_one_pass_weighs_batches_by_their_counts():
    model, x = deep(depth=1), draw(64, 5)
    assert_same(recalibrated(model, [x[:60], x[60:]], one_pass=True), recalibrated(model, x))


def test_in_one_pass_a_frozen_layer_that_is_told_to_be_taken_is_normalized_by_the_batch():
    model, x = deep(), draw(64, 5)
    expected = recalibrated(model, x, batch_size=64, one_pass=True)
    model.trainable = False
    assert_same(recalibrated(model, x, batch_size=64, one_pass=True, frozen=True), expected)


def dropping(seed=3):
    inputs = keras.Input((5,))
    x = layers.Dropout(0.5, seed=seed)(inputs)
    return keras.Model(inputs, THEIRS(name="norm")(x))


def test_dropout_is_off_unless_it_is_asked_for():
    x = np.ones((4000, 5), "float32")
    off, on = (recalibrated(dropping(), x, dropout=dropout).get_layer("norm") for dropout in (False, True))
    np.testing.assert_allclose(off.moving_variance, 0, atol=1e-6)
    np.testing.assert_allclose(on.moving_variance, 1.0, atol=0.05)  # 2² / 2 - 1²


def test_values_far_from_0_are_as_exact_as_near_it():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, THEIRS()(inputs))
    x = (1e4 + np.random.default_rng(0).normal(size=(3000, 3))).astype("float32")
    new = recalibrated(model, x, batch_size=100)
    true = x.astype("float64")
    mean, variance = of(new)[0]
    # What float32 holds of a number of 1e4 is 5e-4 of a deviation.
    np.testing.assert_allclose(mean, true.mean(axis=0), rtol=0, atol=1e-3)
    np.testing.assert_allclose(variance, true.var(axis=0), rtol=1e-3)


def test_statistics_that_are_no_number_are_replaced():
    model, x = deep(), draw(40, 5)
    expected = recalibrated(model, x)
    for layer in oracle.norms(model).values():
        layer.moving_mean.assign(np.full(6, np.nan))
        layer.moving_variance.assign(np.full(6, np.nan))
    new, report = recalibrated(model, x, return_report=True)
    assert_same(new, expected)
    assert {one.mean_moved for one in report.layers} == {None}


def test_a_layer_in_a_chain_with_itself_takes_its_calls_one_after_another_and_is_said():
    inputs, norm = keras.Input((3,)), THEIRS(name="norm")
    model = keras.Model(inputs, norm(keras.ops.exp(norm(inputs))))
    norm.moving_mean.assign(np.full(3, np.nan))
    x = draw(100, 3).astype("float64")
    new, report = recalibrated(model, x, return_report=True)
    inner = np.exp((x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3))
    both = np.concatenate([x, inner])
    oracle.assert_equal_statistics(of(new)[0], (both.mean(axis=0), both.var(axis=0)))
    assert any("applied to what came of its own outputs" in line for line in report.sentences())


def test_a_layer_with_two_inputs_has_the_statistics_of_both_together():
    a, b, norm = keras.Input((3,), name="a"), keras.Input((3,), name="b"), THEIRS()
    model = keras.Model([a, b], layers.Add()([norm(a), norm(b)]))
    x = {"a": draw(30, 3), "b": 5 + draw(30, 3, seed=1)}
    both = np.concatenate([x["a"], x["b"]]).astype("float64")
    oracle.assert_equal_statistics(of(recalibrated(model, x))[0], (both.mean(axis=0), both.var(axis=0)))


def test_a_mask_is_honoured():
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(inputs)
    model = keras.Model(inputs, THEIRS()(x))
    tokens = np.random.default_rng(0).integers(0, 9, (20, 5))
    rows = oracle.numbers(model.layers[1].embeddings.value)[tokens[tokens > 0]]
    oracle.assert_equal_statistics(of(recalibrated(model, tokens))[0], (rows.mean(axis=0), rows.var(axis=0)))


def test_a_layer_that_is_masked_altogether_keeps_its_statistics():
    inputs = keras.Input((5,), dtype="int32")
    model = keras.Model(inputs, THEIRS(name="norm")(layers.Embedding(9, 4, mask_zero=True)(inputs)))
    new, report = recalibrated(model, np.zeros((4, 5), "int32"), return_report=True)
    np.testing.assert_array_equal(new.get_layer("norm").moving_variance, np.ones(4))
    assert [one.done for one in report.layers] == ["kept"]


def test_renorm_is_corrected_by_the_same_statistics():
    model, x = deep(OURS, 1, renorm=True), draw(50, 5)
    layer = recalibrated(model, x).get_layer("norm_0")
    np.testing.assert_allclose(layer.renorm_mean, layer.moving_mean)
    deviation = np.sqrt(oracle.numbers(layer.moving_variance.value) + 1e-3)
    np.testing.assert_allclose(layer.renorm_stddev, deviation, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_stddev, deviation, rtol=1e-5)


def test_what_debias_counts_is_complete():
    layer = recalibrated(deep(OURS, 1, debias=True), draw(50, 5)).get_layer("norm_0")
    np.testing.assert_array_equal(layer.moving_weight, [1, 1])


def test_a_layer_of_slices_has_the_statistics_of_all_rows():
    ghost, plain, x = deep(eb.GhostBatchNormalization, virtual_batch_size=4), deep(), draw(50, 5)
    assert_same(recalibrated(ghost, x), recalibrated(plain, x))


def test_a_conditional_layer_has_the_statistics_of_all_classes():
    image, label = keras.Input((3,), name="x"), keras.Input((), dtype="int32", name="label")
    model = keras.Model([image, label], eb.ConditionalBatchNormalization(4)([image, label]))
    x, labels = draw(40, 3), np.arange(40) % 4
    for data in [(x, labels), {"x": x, "label": labels}, ((x, labels), labels)]:
        found = of(recalibrated(model, data, batch_size=7))[0]
        oracle.assert_equal_statistics(found, (x.astype("float64").mean(axis=0), x.astype("float64").var(axis=0)))


def test_frozen_layers_keep_their_statistics_unless_told_otherwise():
    model, x = deep(), draw(40, 5)
    model.get_layer("norm_1").trainable = False
    before = oracle.kept(model.get_layer("norm_1"))
    new, report = recalibrated(model, x, return_report=True)
    np.testing.assert_array_equal(oracle.kept(new.get_layer("norm_1")), before)
    assert "norm_1 (BatchNormalization) kept: it is frozen (trainable=False)." in report.sentences()
    assert len(recalibrated(model, x, frozen=True, return_report=True)[1].recalibrated()) == 4


class Own(THEIRS):
    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=training, mask=mask)


class Named(THEIRS):
    """No code of its own that could matter."""


def test_a_subclass_with_a_call_of_its_own_is_kept_and_said_and_one_without_is_not():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Named(name="named")(Own(name="own")(inputs)))
    _, report = recalibrated(model, draw(20, 3), dropout=True, return_report=True)
    assert [(one.path, one.done) for one in report.layers] == [("own", "kept"), ("named", "recalibrated")]
    assert "own (Own) kept: it is a subclass of Keras' layer, with code of its own." in report.sentences()


def test_training_goes_on_with_the_optimizer_where_it_was():
    model, x, y = deep(), draw(32, 5), draw(32, 2, seed=1)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.train_on_batch(x, y)
    new = recalibrated(model, x)
    for one, other in zip(new.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other))
    found, expected = (one.train_on_batch(x, y) for one in (new, model))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_after_an_average_of_weights_the_statistics_are_those_of_the_average():
    model, x, y = deep(), draw(64, 5), draw(64, 2, seed=1)
    model.compile(keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9), "mse")
    model.fit(x, y, epochs=2, verbose=0)  # which puts the averages in at its end
    new = recalibrated(model, x)
    for path, expected in oracle.met(new, x).items():
        oracle.assert_equal_statistics(oracle.kept(oracle.norms(new)[path]), expected, 5e-5)


@pytest.mark.parametrize("memory", [0, 5000, 2**30], ids=["nothing", "some batches", "all"])
def test_what_is_kept_from_stage_to_stage_changes_nothing(monkeypatch, memory):
    model, x = models.filled(models.residual(THEIRS)), draw(23, 8, 8, 3)
    expected = recalibrated(model, x, batch_size=23, frozen=True)
    monkeypatch.setattr(replay, "MEMORY", memory)
    assert_same(recalibrated(model, x, batch_size=4, frozen=True), expected, 1e-5)


class Counted(layers.Layer):
    """Counts its calls."""

    runs = 0

    def call(self, x):
        Counted.runs += 1
        return x + 0.0


def test_where_all_is_kept_every_layer_is_run_once_for_a_batch(monkeypatch):
    inputs = x = keras.Input((3,))
    for _ in range(4):
        x = THEIRS()(Counted()(x))
    model = keras.Model(inputs, x)
    runs = {}
    for memory in (replay.MEMORY, 0):
        monkeypatch.setattr(replay, "MEMORY", memory)
        Counted.runs = 0
        recalibrated(model, draw(10, 3), batch_size=5)
        runs[memory] = Counted.runs
    # The calls that make the copy are among them, as many in both.
    assert runs[0] - runs[2**30] == 2 * (10 - 4)


def test_the_report_says_how_far_the_statistics_have_moved():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, THEIRS(name="norm", epsilon=0)(inputs))
    x = np.array([[8.0], [12.0]], "float32")  # mean 10, variance 4, where 0 and 1 were
    _, report = recalibrated(model, x, return_report=True)
    (layer,) = report.layers
    assert (layer.count, layer.mean_moved, layer.variance_ratio) == (2, 5.0, (4.0, 4.0))
    assert report.sentences() == [
        "1 batch normalization layer recalibrated on 2 examples in 1 batch; 1 stage.",
        "The means moved most at norm, by 5 standard deviations.",
    ]


def test_layers_that_are_computed_again_for_a_gradient_are_not_hidden():
    found = []
    for mode in ("full", None):
        with keras.RematScope(mode):
            inputs = keras.Input((5,))
            block = models.Block(layers.Dense(4), THEIRS(), [THEIRS()])
            model = models.filled(keras.Model(inputs, THEIRS()(block(inputs))))
        found.append(recalibrated(model, draw(20, 5)))
    assert_same(*found)


class Mapped(layers.Layer):
    """Calls its normalization in a function that every backend traces."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = THEIRS(name="norm")

    def build(self, shape):
        self.norm.build((None, shape[-1]))

    def compute_output_shape(self, shape):
        return shape

    def call(self, x, training=None):
        if isinstance(x, keras.KerasTensor):
            return keras.ops.zeros_like(x)
        return keras.ops.vectorized_map(lambda rows: self.norm(rows, training=training), x)


def test_values_that_are_hidden_in_a_trace_are_said():
    inputs = keras.Input((4, 3))
    with pytest.raises(UnsupportedModel, match=r"norm: the values that this layer is given are hidden") as caught:
        recalibrated(keras.Model(inputs, Mapped()(inputs)), draw(6, 4, 3))
    assert "\n" not in str(caught.value)


class WithLayerAside(keras.Model):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.aside = THEIRS(name="aside")
        self.aside.build((None, 5))


def test_a_layer_that_no_data_reach_is_said():
    inputs = keras.Input((5,))
    with pytest.raises(UnsupportedModel, match="aside is not called on the way from the inputs"):
        recalibrated(WithLayerAside(inputs, layers.Dense(3)(inputs)), draw(6, 5))


class Cell(layers.Layer):
    """A recurrent step of the user's, which a backend may run in a loop that it compiles."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size, self.norm = 3, THEIRS(name="norm")

    def build(self, shape):
        self.norm.build((None, shape[-1]))

    def call(self, x, states, training=None):
        return self.norm(x, training=training), states


def test_loops_of_recurrent_layers_are_run_where_their_values_are_seen():
    inputs = keras.Input((4, 3))
    x = draw(6, 4, 3)
    new = recalibrated(keras.Model(inputs, layers.RNN(Cell())(inputs)), x)
    rows = x.reshape(-1, 3).astype("float64")
    oracle.assert_equal_statistics(of(new)[0], (rows.mean(axis=0), rows.var(axis=0)))
