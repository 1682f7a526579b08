"""DistributedDataParallel on PyTorch: gradient accumulation under `no_sync()`, and ranks that see no row."""

import keras
import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="DistributedDataParallel is PyTorch's"),
]
# Of a Dense layer, gamma and beta, a Dense layer with a bias, and the moving mean and variance.
ARRAYS = 7


@pytest.mark.parametrize("ranks", [2, 4])
def test_accumulated_gradients_are_those_of_one_process_on_every_rank(start, tmp_path, ranks):
    path = tmp_path / "found.npz"
    start("ddp_worker.py", ranks, path)
    found = np.load(path)
    assert len(found.files) == (ranks + 1) * ARRAYS
    for i in range(ARRAYS):
        one = found[f"{ranks}/{i}"]
        assert np.abs(one).max() > 1e-3
        for rank in range(ranks):
            np.testing.assert_allclose(found[f"{rank}/{i}"], one, rtol=0, atol=2e-6 * max(np.abs(one).max(), 1))
            np.testing.assert_array_equal(found[f"{rank}/{i}"], found[f"0/{i}"])
