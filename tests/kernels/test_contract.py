"""What every backend offers, and the oracle by hand."""

import importlib
import inspect

import keras
import numpy as np
import pytest
import ways

from evenbatch import kernels
from evenbatch.kernels import reference

NAMES = {
    "evenbatch.kernels": ("inference", "masked_moments", "moments", "normalize", "normalize_batch"),
    "evenbatch.kernels.slices": ("merged", "normalize_masked_slices", "normalize_slices"),
}


@pytest.mark.parametrize(("package", "name"), [(package, name) for package in NAMES for name in NAMES[package]])
def test_every_kernel_has_the_signature_that_the_package_promises(package, name):
    promised = next(line.strip() for line in kernels.__doc__.splitlines() if line.strip().startswith(f"{name}("))
    own = importlib.import_module(f"{package}.{ways.BACKEND}")
    arguments = promised[len(name) + 1 : promised.index(")")].split(", ")
    assert list(inspect.signature(getattr(own, name)).parameters) == arguments
    assert getattr(kernels, name) is getattr(own, name)


def test_the_package_offers_these_and_no_others():
    assert sorted(kernels.__all__) == sorted(["Statistics", *(name for names in NAMES.values() for name in names)])


@pytest.mark.parametrize("axis", [-1, 1])
def test_no_gamma_and_no_beta_are_ones_and_zeros(axis):
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(8, 4, 4)).astype("float32"))
    ones, zeros = keras.ops.ones(4), keras.ops.zeros(4)
    bare, _ = kernels.normalize_batch(x, None, None, axis, 1e-3)
    full, _ = kernels.normalize_batch(x, ones, zeros, axis, 1e-3)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(bare), keras.ops.convert_to_numpy(full))


def test_the_oracle_gives_the_numbers_of_a_hand_calculation():
    y, batch = reference.normalize_batch([[1.0], [2.0], [6.0]], [2.0], [1.0], -1, 1.0)
    assert (batch.count, batch.mean.item(), batch.variance.item()) == (3, 3.0, 14 / 3)
    np.testing.assert_allclose(y.ravel(), 1 + 2 * np.array([-2, -1, 3]) / np.sqrt(17 / 3))
