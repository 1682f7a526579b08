"""At hard inputs the errors against float64 are no larger than those of TensorFlow's two-pass formula."""

import numpy as np
import pytest
import ways

from evenbatch.kernels import reference

# Values per channel and |mean| / std -> the largest errors of that formula, as `tf.nn.moments` and its gradient in a
# graph on 2 CPU cores, 8 channels of normal values, 3 seeds: of y, mean, variance, and of the gradients to x, gamma and
# beta for normal upstream gradients.
TWO_PASS = {
    (256, 0): (6.5e-07, 2.2e-08, 2.3e-07, 5.6e-07, 8.8e-06, 6.6e-06),
    (256, 1e2): (2.1e-05, 1.5e-05, 1.7e-07, 1.0e-05, 7.4e-04, 6.6e-06),
    (256, 1e3): (1.8e-04, 1.4e-04, 9.5e-08, 1.8e-04, 1.4e-02, 6.6e-06),
    (256, 1e4): (2.6e-03, 1.8e-03, 2.9e-06, 8.5e-04, 7.5e-02, 6.6e-06),
    (50_000, 0): (4.7e-06, 1.8e-08, 2.1e-06, 4.7e-06, 1.1e-03, 1.2e-03),
    (50_000, 1e2): (2.2e-04, 2.1e-04, 3.0e-06, 1.7e-05, 1.4e-01, 1.2e-03),
    (50_000, 1e3): (1.4e-03, 1.4e-03, 3.4e-06, 2.4e-04, 2.4e00, 1.2e-03),
    (50_000, 1e4): (1.2e-02, 1.2e-02, 1.4e-04, 8.9e-04, 1.1e01, 1.2e-03),
    (200_704, 0): (2.4e-05, 2.7e-08, 8.4e-06, 2.0e-05, 4.0e-03, 3.5e-03),
    (200_704, 1e2): (3.7e-04, 3.5e-04, 8.7e-06, 2.2e-05, 7.3e-01, 3.5e-03),
    (200_704, 1e3): (3.0e-03, 3.0e-03, 9.1e-06, 1.5e-04, 6.1e00, 3.5e-03),
    (200_704, 1e4): (7.1e-02, 6.3e-02, 4.0e-03, 9.2e-03, 5.5e01, 3.5e-03),
}
# A mean of 0 costs nothing, and what is left is how the squares are summed: in one chain by the native kernels.
LARGEST_AT_ZERO, LARGEST = 2.5, 1.5


@pytest.mark.parametrize("way", [ways.normalize_batch, ways.moments_and_normalize])
@pytest.mark.parametrize(("count", "ratio"), TWO_PASS)
def test_errors_are_no_larger_than_those_of_two_passes(run, way, count, ratio):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(count, 8)) + ratio).astype("float32")
    dy = rng.normal(size=(count, 8)).astype("float32")
    ones, zeros = np.ones(8, "float32"), np.zeros(8, "float32")
    found = run(way(-1, 1e-3), x, ones, zeros)
    found += run(ways.gradients(way(-1, 1e-3)), dy, x, ones, zeros)
    y, batch = reference.normalize_batch(x, ones, zeros, -1, 1e-3)
    expected = (y, batch.mean, batch.variance, *reference.gradients(dy, x, ones, -1, 1e-3))
    errors = [float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True)]
    allowed = LARGEST if ratio else LARGEST_AT_ZERO
    assert (np.array(errors) <= 3e-7 + allowed * np.array(TWO_PASS[count, ratio])).all(), errors
