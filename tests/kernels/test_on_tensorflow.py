"""Which of TensorFlow's ways is taken."""

import numpy as np
import pytest
import tensorflow as tf
import ways

from evenbatch import kernels
from evenbatch.kernels import reference
from evenbatch.kernels import tensorflow as own
from evenbatch.kernels.slices import tensorflow as slices

LARGE = (16, 32, 32, 16)


def operations(shape, jit_compile=None):
    """Types of the ops of a training step's graph."""
    step = ways.gradients(ways.normalize_batch(-1, 1e-3))
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    ones, zeros = np.ones(shape[-1], "float32"), np.zeros(shape[-1], "float32")
    graph = tf.function(step, jit_compile=jit_compile).get_concrete_function(*map(tf.constant, (x, x, ones, zeros)))
    return {node.op for node in graph.graph.as_graph_def().node}


def test_a_large_tensor_in_a_graph_takes_the_fused_op():
    assert "FusedBatchNormV3" in operations(LARGE)


def test_a_small_tensor_in_a_graph_does_not():
    assert "FusedBatchNormV3" not in operations((32, 64))


def test_under_xla_the_one_pass_op_is_never_taken():
    assert "FusedBatchNormV3" not in operations(LARGE, jit_compile=True)


def test_a_function_inside_a_compiled_one_is_under_xla_too():
    found = []

    @tf.function
    def inner(x):
        found.append(own._under_xla())
        return x

    tf.function(lambda x: inner(x), jit_compile=True)(tf.zeros(()))
    inner(tf.zeros((1,)))
    assert found == [True, False]


@pytest.mark.parametrize(("mean", "distrusted"), [(0.0, False), (2.0, False), (1e3, True)])
def test_the_fused_op_is_distrusted_where_the_mean_is_far(mean, distrusted):
    assert bool(own._distrusted(tf.constant([0.0, mean]), tf.ones(2), 16_384, 1e-3)) is distrusted


def test_the_moments_alone_and_normalization_by_them_take_it_too():
    def step(x):
        batch = kernels.moments(x, -1)
        return tf.gradients(kernels.normalize(x, batch.mean, batch.variance, None, None, -1, 1e-3) ** 2, x)

    for jit_compile in (None, True):
        graph = tf.function(step, jit_compile=jit_compile).get_concrete_function(tf.TensorSpec(LARGE)).graph
        found = {node.op for node in graph.as_graph_def().node}
        assert {"FusedBatchNormV3", "FusedBatchNormGradV3"} <= found or jit_compile
        assert "FusedBatchNormV3" not in found or not jit_compile


def test_a_batch_that_turns_out_to_be_large_is_as_exact_as_one_that_is_known_to_be():
    x = (1e4 + np.random.default_rng(0).normal(size=(12_544, 4, 4, 8))).astype("float32")
    run = tf.function(
        lambda x: kernels.normalize_batch(x, None, None, -1, 1e-3)[0], input_signature=[tf.TensorSpec((None, 4, 4, 8))]
    )
    expected = reference.normalize_batch(x, np.ones(8), np.zeros(8), -1, 1e-3)[0]
    np.testing.assert_allclose(run(x), expected, atol=1e-3)


def test_the_variance_of_the_whole_is_known_where_the_batch_is_not():
    x = np.random.default_rng(0).normal(size=LARGE).astype("float32")
    run = tf.function(
        lambda x: kernels.normalize_batch(x, None, None, -1, 1e-3)[1],
        input_signature=[tf.TensorSpec((None, *LARGE[1:]))],
    )
    np.testing.assert_allclose(run(x).variance, x.astype("float64").var((0, 1, 2)), rtol=1e-5)
    assert np.asarray(run(x).count) == x.size // LARGE[-1]


@pytest.mark.parametrize("shape", [(9, 3), (11, 4, 5, 3)])
def test_large_slices_are_normalized_one_by_one_in_eager_mode(monkeypatch, shape):
    monkeypatch.setattr("evenbatch.kernels.slices.tensorflow._WORTH_A_TURN", 0)
    taken, one_by_one = [], slices._one_by_one
    monkeypatch.setattr(slices, "_one_by_one", lambda *given: taken.append(1) or one_by_one(*given))
    x = np.random.default_rng(0).normal(2, 3, shape).astype("float32")
    gamma, beta = np.full(3, 1.5, "float32"), np.full(3, 0.5, "float32")
    y, parts = kernels.normalize_slices(tf.constant(x), tf.constant(gamma), tf.constant(beta), -1, 1e-3, 4)
    expected = reference.normalize_slices(x, gamma, beta, -1, 1e-3, 4)
    batches = [reference.moments(x[part], -1) for part in reference.slices(len(x), 4)]
    assert taken
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(parts.mean, [batch.mean for batch in batches], rtol=1e-5)
