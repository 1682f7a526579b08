"""How PyTorch's native kernels are fed."""

import keras
import numpy as np
import pytest
import torch

from evenbatch.kernels import torch as own


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
