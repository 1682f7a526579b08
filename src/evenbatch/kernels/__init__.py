"""Arrays in, arrays out: the arithmetic of batch normalization, natively on each backend.

Every backend's module defines the same five functions, with the same signatures::

    normalize_batch(x, gamma, beta, axis, epsilon) -> y, Statistics      training: by the batch's own moments
    normalize(x, mean, variance, gamma, beta, axis, epsilon) -> y        by given moments
    inference(x, mean, variance, gamma, beta, axis, epsilon) -> y        by given moments that are constants
    moments(x, axis) -> Statistics
    masked_moments(x, mask, axis) -> Statistics                          of the positions that the mask leaves in

and on top of them, in `slices`, three for batches that are normalized slice by slice::

    normalize_slices(x, gamma, beta, axis, epsilon, size) -> y, Statistics
    normalize_masked_slices(x, mask, gamma, beta, axis, epsilon, size) -> y, Statistics
    merged(parts) -> Statistics                                          of all values, from those of parts of them

`x` is a float tensor of rank 2 or more and `axis` the one of its channels. Everything else has the shape (channels,);
gamma and beta may be None. Statistics are float32, or float64 for float64 inputs; `y` has the dtype of `x`.
Slices are `size` rows of the first axis, which is not the one of the channels; the last takes what is left over too. Of
slices, as of any parts, Statistics have one axis more, in front: moments of shape (parts, channels), and as the count a
tuple of ints where the shape is known, else an array of shape (parts,).
Gradients flow to x, gamma and beta, and twice where they are asked for twice. None are promised through the statistics
that `normalize_batch` returns beside `y` (JAX has them), nor to the moments of `inference`.

One formula on every backend: subtract before scaling, accumulate in float32 or wider, the biased variance.
`reference.py` is the oracle that all of them are tested against.
"""

from evenbatch import backend
from evenbatch.kernels.statistics import Statistics

_CHOSEN = backend.chosen()
if _CHOSEN == "tensorflow":
    from evenbatch.kernels.slices.tensorflow import merged, normalize_masked_slices, normalize_slices
    from evenbatch.kernels.tensorflow import inference, masked_moments, moments, normalize, normalize_batch
elif _CHOSEN == "jax":
    from evenbatch.kernels.jax import inference, masked_moments, moments, normalize, normalize_batch
    from evenbatch.kernels.slices.jax import merged, normalize_masked_slices, normalize_slices
else:
    from evenbatch.kernels.slices.torch import merged, normalize_masked_slices, normalize_slices
    from evenbatch.kernels.torch import inference, masked_moments, moments, normalize, normalize_batch

__all__ = [
    "Statistics",
    "inference",
    "masked_moments",
    "merged",
    "moments",
    "normalize",
    "normalize_batch",
    "normalize_masked_slices",
    "normalize_slices",
]
