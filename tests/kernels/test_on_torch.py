"""How PyTorch's native kernels are fed."""

import keras
import numpy as np
import pytest
import torch

from evenbatch.kernels import reference
from evenbatch.kernels import torch as own
from evenbatch.kernels.slices import torch as slices


def test_a_convolution_s_output_is_taken_without_a_copy():
    x = keras.layers.Conv2D(4, 3)(np.ones((2, 8, 8, 3), "float32"))
    assert own._channels_second(x, -1)[0].data_ptr() == x.data_ptr()


def test_planes_are_taken_without_a_copy():
    x = torch.ones((2, 4, 8, 8)).movedim(1, -1)  # as pooling leaves it: channels last, in planes in memory
    assert own._channels_second(x, -1)[0].data_ptr() == x.data_ptr()


@pytest.mark.parametrize("count", [50_000, 200_704, 1009 * 32, 7])
def test_parts_are_of_one_size(count):
    assert count % own._parts(count, 8) == 0


@pytest.mark.parametrize("count", [5003, 20_011])
def test_a_prime_number_of_rows_is_exact_too(count):
    x = np.random.default_rng(0).normal(3, 1, (count, 8)).astype("float32")
    _, batch = own.normalize_batch(torch.tensor(x), None, None, -1, 1e-3)
    np.testing.assert_allclose(batch.variance, x.astype("float64").var(0), rtol=3e-6)


def test_forward_mode_reaches_large_tensors():
    from torch.autograd import forward_ad

    x, tangent = torch.randn(2000, 20), torch.randn(2000, 20)
    with forward_ad.dual_level():
        y, _ = own.normalize_batch(forward_ad.make_dual(x, tangent), None, None, -1, 1e-3)
        found = forward_ad.unpack_dual(y).tangent
    expected = torch.func.jvp(lambda x: (x - x.mean(0)) / (x.var(0, correction=0) + 1e-3).sqrt(), (x,), (tangent,))[1]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_batch_of_large_batches_is_normalized_one_by_one():
    x = torch.randn(3, 2000, 20)
    found = torch.func.vmap(lambda x: own.normalize_batch(x, None, None, -1, 1e-3)[0])(x)
    torch.testing.assert_close(found, torch.stack([own.normalize_batch(one, None, None, -1, 1e-3)[0] for one in x]))


def test_slices_that_no_native_kernel_joins_are_normalized_one_by_one():
    """As on CUDA, whose kernels are those of the framework."""
    x = np.random.default_rng(0).normal(2, 3, (11, 4, 5, 3)).astype("float32")
    gamma, beta = np.full(3, 1.5, "float32"), np.full(3, 0.5, "float32")
    y, mean, variance = slices._one_by_one(*map(torch.tensor, (x, gamma, beta)), 3, 1e-3, 4)
    expected = reference.normalize_slices(x, gamma, beta, -1, 1e-3, 4)
    batches = [reference.moments(x[part], -1) for part in reference.slices(len(x), 4)]
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(mean, [batch.mean for batch in batches], rtol=1e-5)
    np.testing.assert_allclose(variance, [batch.variance for batch in batches], rtol=1e-5)
