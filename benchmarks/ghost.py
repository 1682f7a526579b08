"""What slices cost: a training step of GhostBatchNormalization over one of BatchNormalization, by shape.

Output, new moving statistics and the gradients to inputs, gamma and beta, as in `evenbatch bench`; on TensorFlow in a
graph that does not know the batch, as in `fit`. `KERAS_BACKEND=jax python benchmarks/ghost.py`; with "compiled" behind
it, TensorFlow and PyTorch compile.
"""

import sys
from typing import Any

import keras

from evenbatch.bench import backends
from evenbatch.bench.interleave import Call, interleave
from evenbatch.bench.plan import Shape
from evenbatch.bench.spread import ratio, spread
from evenbatch.bench.tensors import values
from evenbatch.layers import BatchNormalization, GhostBatchNormalization

ROUNDS, SIZE = 25, 32
SHAPES: list[Shape] = [(64, 56, 56, 64), (128, 28, 28, 32), (80, 28, 28, 32), (256, 1024), (256, 64)]


def main() -> None:
    name = keras.backend.backend()
    mode = (
        "compiled" if name == "jax" or "compiled" in sys.argv[1:] else {"tensorflow": "graph", "torch": "eager"}[name]
    )
    backend = backends.load(name)
    for shape in SHAPES:
        layers = {"plain": BatchNormalization(), "ghost": GhostBatchNormalization(SIZE)}
        arms = {key: step(backend, layer, shape, mode) for key, layer in layers.items()}
        seconds = interleave(arms, backend.wait, rounds=ROUNDS)
        milliseconds = {key: round(1e3 * spread(seconds[key])["median"], 2) for key in arms}
        ratios = {key: round(value, 2) for key, value in ratio(seconds["ghost"], seconds["plain"]).items()}
        sys.stdout.write(f"{name} {mode} {shape}: {milliseconds} ms, ghost / plain {ratios}\n")


def step(backend: Any, layer: Any, shape: Shape, mode: str) -> Call:
    layer.build(shape)
    x, upstream = values(shape), values(shape, seed=1)
    if keras.backend.backend() == "tensorflow":
        return of_an_open_batch(layer, x, upstream, mode)
    return backend.layer_training(layer, x, upstream, mode)


def of_an_open_batch(layer: Any, x: Any, upstream: Any, mode: str) -> Call:
    import tensorflow as tf

    open_batch = tf.TensorSpec((None, *x.shape[1:]))

    def run(x: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return y, tape.gradient(y, [x, layer.gamma.value, layer.beta.value], upstream)

    compiled = mode == "compiled"
    graph = tf.function(run, autograph=False, jit_compile=compiled).get_concrete_function(open_batch, open_batch)
    return lambda: graph(x, upstream)


if __name__ == "__main__":
    main()
