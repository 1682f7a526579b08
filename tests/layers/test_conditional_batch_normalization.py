"""The layer with a gamma and a beta for each class, against NumPy float64."""

import keras
import numpy as np
import pytest

from evenbatch.errors import InvalidArgument
from evenbatch.kernels import reference
from evenbatch.layers import BatchNormalization, ConditionalBatchNormalization

BACKEND = keras.backend.backend()
CLASSES = 4
SHAPES = [((12, 3), -1), ((12, 5, 3), -1), ((12, 3, 5), 1), ((12, 4, 4, 3), -1), ((12, 3, 2, 2), -3)]
shapes = pytest.mark.parametrize(("shape", "axis"), SHAPES)
compiled_by_torch = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
compiled = pytest.mark.parametrize(
    "how",
    [
        # What PyTorch does by default is eager, where a label that is no class is an error.
        *([] if BACKEND == "torch" else [pytest.param({}, id="default")]),
        pytest.param({"jit_compile": True}, id="compiled", marks=pytest.mark.slow),
    ],
)


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def drawn(shape):
    rng = np.random.default_rng(0)
    return rng.normal(2, 3, shape).astype("float32"), rng.integers(0, CLASSES, shape[0]).astype("int32")


def made(shape, axis=-1, **arguments):
    """A layer with weights that nobody would guess, and these."""
    layer = ConditionalBatchNormalization(CLASSES, axis=axis, momentum=0.75, **arguments)
    layer.build([shape, shape[:1]])
    weights = [np.random.default_rng(1).uniform(0.5, 1.5, w.shape).astype("float32") for w in layer.weights]
    layer.set_weights(weights)
    return layer, weights


def by_class(x, labels, gamma, beta, axis, batch):
    """The oracle: row by row with the gamma and beta of its class."""
    rows = [
        reference.normalize(x[i : i + 1], batch.mean, batch.variance, gamma[k], beta[k], axis, 1e-3)
        for i, k in enumerate(labels)
    ]
    return np.concatenate(rows)


@shapes
def test_each_row_is_scaled_and_shifted_by_its_class(shape, axis):
    x, labels = drawn(shape)
    layer, (gamma, beta, *_) = made(shape, axis)
    expected = by_class(x, labels, gamma, beta, axis, reference.moments(x, axis))
    np.testing.assert_allclose(numbers(layer([x, labels], training=True)), expected, atol=2e-5)


@shapes
def test_inference_takes_the_moving_statistics(shape, axis):
    x, labels = drawn(shape)
    layer, (gamma, beta, mean, variance) = made(shape, axis)
    expected = by_class(x, labels, gamma, beta, axis, reference.Statistics(1, mean, variance))
    np.testing.assert_allclose(numbers(layer([x, labels])), expected, rtol=1e-5, atol=2e-5)


@shapes
def test_the_statistics_are_those_of_the_plain_layer(shape, axis):
    x, labels = drawn(shape)
    conditional, plain = ConditionalBatchNormalization(CLASSES, axis=axis), BatchNormalization(axis=axis)
    conditional([x, labels], training=True)
    plain(x, training=True)
    for found, expected in zip(conditional.get_weights()[2:], plain.get_weights()[2:], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("given", ["alone", "in a list", "in a tuple"])
def test_a_mask_keeps_positions_out_of_the_statistics(given):
    x, labels = drawn((12, 5, 3))
    mask = np.random.default_rng(2).random((12, 5)) < 0.6
    layer, (gamma, beta, *_) = made(x.shape)
    passed = {"alone": mask, "in a list": [mask, None], "in a tuple": (mask, None)}[given]
    y = numbers(layer([x, labels], training=True, mask=passed))
    expected = by_class(x, labels, gamma, beta, -1, reference.masked_moments(x, mask, -1))
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_the_mask_of_the_outputs_is_that_of_the_inputs():
    mask = np.ones((12, 5), bool)
    assert ConditionalBatchNormalization(CLASSES).compute_mask([None, None], [mask, None]) is mask


def test_a_list_of_no_masks_is_no_mask():
    x, labels = drawn((12, 5, 3))
    found, expected = (numbers(made(x.shape)[0]([x, labels], training=True, mask=m)) for m in ([None, None], None))
    np.testing.assert_array_equal(found, expected)


def test_a_mask_that_does_not_fit_is_named():
    x, labels = drawn((12, 5, 3))
    with pytest.raises(InvalidArgument, match=r"mask must have the shape .*received the shape \(12, 9\)"):
        ConditionalBatchNormalization(CLASSES)([x, labels], training=True, mask=np.ones((12, 9), bool))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "int8"])
def test_labels_may_be_a_column_of_any_integers(dtype):
    x, labels = drawn((12, 3))
    layer, _ = made(x.shape)
    found = numbers(layer([x, labels.astype(dtype)[:, None]]))
    np.testing.assert_array_equal(found, numbers(layer([x, labels])))


@pytest.mark.parametrize(("dtype", "classes"), [("uint8", 256), ("uint8", 300), ("int8", 200), ("int16", 70_000)])
def test_a_small_dtype_of_labels_does_not_wrap_the_number_of_classes_around(dtype, classes):
    x, labels = drawn((12, 3))
    found = numbers(ConditionalBatchNormalization(classes)([x, (labels + 60).astype(dtype)], training=True))
    expected, _ = reference.normalize_batch(x, np.ones(3), np.zeros(3), -1, 1e-3)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_symbolic_input_of_the_default_dtype_is_told_what_to_do():
    with pytest.raises(InvalidArgument, match=r"received the dtype float32; .*keras.Input\(\(\), dtype='int32'\)"):
        ConditionalBatchNormalization(CLASSES)([keras.Input((4,)), keras.Input((1,))])


def test_inputs_by_name_are_told_what_they_are():
    with pytest.raises(InvalidArgument, match="received a dict of 2; call the layer as"):
        ConditionalBatchNormalization(CLASSES).build({"x": (12, 3), "labels": (12,)})


@pytest.mark.parametrize(("arguments", "names"), [({"center": False}, ["gamma"]), ({"scale": False}, ["beta"])])
def test_without_one_of_both_the_other_is_left(arguments, names):
    x, labels = drawn((12, 3))
    layer, (table, *_) = made(x.shape, **arguments)
    ones, zeros = np.ones((CLASSES, 3)), np.zeros((CLASSES, 3))
    gamma, beta = (table, zeros) if names == ["gamma"] else (ones, table)
    expected = by_class(x, labels, gamma, beta, -1, reference.moments(x, -1))
    assert [w.name for w in layer.weights][:1] == names
    np.testing.assert_allclose(numbers(layer([x, labels], training=True)), expected, atol=2e-5)


def test_without_both_it_only_normalizes():
    x, labels = drawn((12, 3))
    y = ConditionalBatchNormalization(CLASSES, center=False, scale=False)([x, labels], training=True)
    expected, _ = reference.normalize_batch(x, np.ones(3), np.zeros(3), -1, 1e-3)
    np.testing.assert_allclose(numbers(y), expected, atol=2e-5)


def test_gamma_and_beta_have_a_row_for_each_class():
    layer = ConditionalBatchNormalization(7)
    layer.build([(None, 8, 8, 3), (None,)])
    assert [w.shape for w in layer.weights] == [(7, 3), (7, 3), (3,), (3,)]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_row_is_scaled_before_it_is_rounded(policy):
    x, labels = drawn((12, 3))
    layer, (gamma, beta, *_) = made(x.shape, dtype=policy)
    compute = keras.DTypePolicy(policy).compute_dtype
    x = numbers(keras.ops.cast(keras.ops.cast(x, compute), "float32"))
    exact = by_class(x, labels, gamma, beta, -1, reference.moments(x, -1)).astype("float32")
    y = layer([x, labels], training=True)
    # One rounding: half a unit in the last place, and a little for float32.
    unit = 2.0 ** (-11 if compute == "float16" else -8)
    np.testing.assert_allclose(numbers(keras.ops.cast(y, "float32")), exact, rtol=1.02 * unit, atol=1e-5)


def stepped(**how):
    """Gamma and beta after one step of gradient descent on `sum(y * target)`, and those of the oracle."""
    x, labels = drawn((12, 5, 3))
    target = np.random.default_rng(2).normal(size=x.shape).astype("float32")
    inputs = keras.Input(x.shape[1:]), keras.Input((), dtype="int32")
    model = keras.Model(inputs, ConditionalBatchNormalization(CLASSES)(list(inputs)))
    model.compile(keras.optimizers.SGD(1.0), lambda t, y: keras.ops.sum(t * y, axis=(1, 2)), **how)
    model.fit([x, labels], target, batch_size=12, shuffle=False, verbose=0)
    normalized, _ = reference.normalize_batch(x, np.ones(3), np.zeros(3), -1, 1e-3)
    found = model.layers[-1].get_weights()[:2]
    sums = [[(part[labels == k] / 12).sum((0, 1)) for k in range(CLASSES)] for part in (target * normalized, target)]
    return found, [1 - np.array(sums[0]), -np.array(sums[1])]


@compiled_by_torch
@pytest.mark.parametrize(
    "how", [pytest.param({}, id="default"), pytest.param({"jit_compile": True}, id="compiled", marks=pytest.mark.slow)]
)
def test_the_gradients_of_a_class_are_those_of_its_rows(how):
    for found, expected in zip(*stepped(**how), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_gradient_of_the_inputs_is_that_of_the_paper():
    x, labels = drawn((12, 3))
    layer, (gamma, *_) = made(x.shape)
    dy = np.random.default_rng(3).normal(size=x.shape).astype("float32")
    expected, *_ = reference.gradients(dy * gamma[labels], x, np.ones(3), -1, 1e-3)
    np.testing.assert_allclose(gradient_of_inputs(layer, x, labels, dy), expected, atol=1e-5)


def gradient_of_inputs(layer, x, labels, dy):
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer([x, labels], training=True)
        return tape.gradient(y, x, dy).numpy()
    if BACKEND == "jax":
        import jax

        state = [[w.value for w in group] for group in (layer.trainable_variables, layer.non_trainable_variables)]
        return jax.grad(lambda x: (layer.stateless_call(*state, [x, labels], training=True)[0] * dy).sum())(x)
    import torch

    x = torch.tensor(x, requires_grad=True)
    (layer([x, torch.tensor(labels)], training=True) * torch.tensor(dy)).sum().backward()
    return x.grad.numpy()


def test_a_batch_without_rows_changes_nothing():
    layer, weights = made((0, 3))
    y = layer([np.zeros((0, 3), "float32"), np.zeros((0,), "int32")], training=True)
    assert tuple(y.shape) == (0, 3)
    for found, expected in zip(layer.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("label", [CLASSES, 99, -1])
def test_a_label_that_is_no_class_is_named_in_eager_mode(label, training):
    x, labels = drawn((12, 3))
    labels[5] = label
    with pytest.raises(InvalidArgument, match=f"labels must be from 0 to 3 where num_classes is 4, received {label};"):
        ConditionalBatchNormalization(CLASSES)([x, labels], training=training)


@compiled_by_torch
@compiled
@pytest.mark.parametrize(("label", "affine"), [(CLASSES, True), (-1, True), (CLASSES, False)])
def test_compiled_the_row_of_a_label_that_is_no_class_is_nan_and_no_other(label, affine, how):
    x, labels = drawn((12, 3))
    labels[5] = label
    inputs = keras.Input((3,)), keras.Input((), dtype="int32")
    model = keras.Model(inputs, ConditionalBatchNormalization(CLASSES, center=affine, scale=affine)(list(inputs)))
    model.compile("sgd", "mse", **how)
    found = np.isnan(model.predict([x, labels], verbose=0))
    np.testing.assert_array_equal(found, np.arange(12)[:, None] == np.full((1, 3), 5))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(12, "float32"), "labels must be integers, received the dtype float32"),
        (np.zeros(12, bool), "labels must be integers, received the dtype bool"),
        (np.zeros((12, 2), "int32"), r"labels must have the shape \(12,\) or \(12, 1\).* received the shape \(12, 2\)"),
        (np.zeros((12, 1, 1), "int32"), r"received the shape \(12, 1, 1\)"),
        (np.zeros(11, "int32"), r"labels must have the shape \(12,\).* received the shape \(11,\)"),
    ],
)
@pytest.mark.parametrize("built", [True, False])
def test_labels_that_do_not_fit_are_named(labels, message, built):
    x, right = drawn((12, 3))
    layer = ConditionalBatchNormalization(CLASSES)
    if built:
        layer([x, right])
    with pytest.raises(InvalidArgument, match=message):
        layer([x, labels])


def test_labels_that_do_not_fit_are_named_when_a_model_is_made_of_the_layer():
    with pytest.raises(InvalidArgument, match="labels must be integers, received the dtype float32"):
        ConditionalBatchNormalization(CLASSES)([keras.Input((3,)), keras.Input(())])


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_inputs_that_are_not_two_are_named(count, built):
    x, labels = drawn((12, 3))
    layer = ConditionalBatchNormalization(CLASSES)
    if built:
        layer([x, labels])
    with pytest.raises(InvalidArgument, match=r"inputs must be two tensors.*layer\(\[x, labels\]\)"):
        layer(x if count == 1 else [x, labels, labels])


def test_other_channels_than_the_layer_was_built_for_are_named():
    x, labels = drawn((12, 3))
    layer, _ = made(x.shape)
    with pytest.raises(InvalidArgument, match=r"2 axes and 3 channels at axis -1.*received the shape \(12, 2\)"):
        layer([x[:, :2], labels])


@pytest.mark.parametrize("value", [0, -1, 2.0, None, True, "10"])
def test_a_number_of_classes_that_is_none_is_named(value):
    with pytest.raises(InvalidArgument, match=f"num_classes must be an integer of at least 1, received {value!r}"):
        ConditionalBatchNormalization(value)


@pytest.mark.parametrize(("axis", "shape"), [(0, (12, 3)), (-3, (12, 5, 3))])
def test_the_first_axis_cannot_be_the_one_of_the_channels(axis, shape):
    with pytest.raises(InvalidArgument, match=f"axis must not be the first one .* received axis={axis}"):
        ConditionalBatchNormalization(CLASSES, axis=axis).build([shape, shape[:1]])


def test_debias_makes_one_batch_enough():
    x, labels = drawn((12, 3))
    layer = ConditionalBatchNormalization(CLASSES, debias=True)
    layer([x, labels], training=True)
    np.testing.assert_allclose(layer.moving_mean, x.mean(0), rtol=1e-5)
