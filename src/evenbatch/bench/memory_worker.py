"""The process that trains one stack for one step and prints the bytes it took, as JSON on standard output.

Libraries, thread pools and the traced step are there before counting begins: a small stack has trained before. What is
counted is one step of the large one, over what was in use just before it.
"""

import json
import sys
from typing import Any

import keras

from evenbatch.bench import backends, resident
from evenbatch.bench.model_cases import compile_model
from evenbatch.bench.plan import MODES, MemoryCase
from evenbatch.bench.tensors import CLASSES, labels, policy, values
from evenbatch.layers import BatchNormalization

_NORMALIZATIONS = {"ours": BatchNormalization, "keras": keras.layers.BatchNormalization, "without": None}


def stack(case: MemoryCase, arm: str) -> keras.Model:
    """Convolution, normalization, relu, as often as the case says; then the mean over the image and softmax."""
    normalization = _NORMALIZATIONS[arm]
    x = inputs = keras.Input((case.size, case.size, case.channels))
    for _ in range(case.depth):
        x = keras.layers.Conv2D(case.filters, 3, padding="same", use_bias=normalization is None)(x)
        x = normalization()(x) if normalization else x
        x = keras.layers.Activation("relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(CLASSES, activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs)


def peak_bytes(case: MemoryCase, arm: str, dtype: str) -> int:
    """The most bytes in use during one step, less those in use before it."""
    keras.config.set_dtype_policy(policy(dtype))
    backend = backends.load(keras.backend.backend())
    backend.wait(_step(backend, case, arm, batch=2)())
    step = _step(backend, case, arm, batch=case.batch)
    before = backend.start_peak()
    if before is not None:
        backend.wait(step())
        return backend.peak() - before
    before = resident.start()
    backend.wait(step())
    return resident.peak() - before


def _step(backend: backends.Backend, case: MemoryCase, arm: str, *, batch: int) -> Any:
    model = stack(case, arm)
    compile_model(model, "momentum")
    x = values((batch, case.size, case.size, case.channels))
    return backend.model_training(model, x, labels(batch), MODES[keras.backend.backend()][0])


def main() -> None:
    """Reads the case from the command line."""
    case, arm, dtype = json.loads(sys.argv[1])
    sys.stdout.write(f"{json.dumps(peak_bytes(MemoryCase(**case), arm, dtype))}\n")


if __name__ == "__main__":
    main()
