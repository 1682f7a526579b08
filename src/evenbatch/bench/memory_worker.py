"""The process that trains one model for one step and prints the bytes it took, as JSON on standard output.

Libraries, thread pools and the traced step are there before counting begins: a small batch has been trained on before.
What is counted is one step on the large one, over what was in use just before it.
"""

import json
import sys

import keras

from evenbatch.bench import backends, file_cases, resident
from evenbatch.bench.interleave import Call
from evenbatch.bench.model_cases import compile_model
from evenbatch.bench.plan import MODES, FileCase, MemoryCase
from evenbatch.bench.tensors import CLASSES, labels, policy, values
from evenbatch.layers import BatchNormalization

_WARM = MemoryCase(batch=2, size=8, channels=3, filters=4, depth=1, processes=1)
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


def peak_bytes_of_stack(case: MemoryCase, arm: str, dtype: str) -> int:
    """The most bytes in use during one step of a stack, less those in use before it."""
    keras.config.set_dtype_policy(policy(dtype))
    backend = backends.load(keras.backend.backend())
    backend.wait(_step_of_stack(backend, case, arm, batch=2)())
    return _peak_bytes(backend, _step_of_stack(backend, case, arm, batch=case.batch))


def peak_bytes_of_file(case: FileCase, arm: str) -> int:
    """The most bytes in use while the model in a file is loaded and trains for a step, less those in use before.

    Not of the step alone: what loading and exchanging had, and gave back to the process, would hide a part of it.
    """
    backend = backends.load(keras.backend.backend())
    backend.wait(_step_of_stack(backend, _WARM, arm, batch=2)())

    def step() -> object:
        given = file_cases.load(case)
        model = file_cases.with_layer(given, arm, case)
        return backend.model_training(model, *file_cases.batch(given, case, case.batch_size), _mode())()

    return _peak_bytes(backend, step)


def _step_of_stack(backend: backends.Backend, case: MemoryCase, arm: str, *, batch: int) -> Call:
    model = stack(case, arm)
    compile_model(model, "momentum")
    x = values((batch, case.size, case.size, case.channels))
    return backend.model_training(model, x, labels(batch), _mode())


def _mode() -> str:
    return MODES[keras.backend.backend()][0]


def _peak_bytes(backend: backends.Backend, step: Call) -> int:
    before = backend.start_peak()
    if before is not None:
        backend.wait(step())
        return backend.peak() - before
    before = resident.start()
    backend.wait(step())
    return resident.peak() - before


def main() -> None:
    """Reads the case from the command line."""
    kind, case, arm, dtype = json.loads(sys.argv[1])
    found = (
        peak_bytes_of_file(FileCase(**case), arm)
        if kind == FileCase.__name__
        else peak_bytes_of_stack(MemoryCase(**case), arm, dtype)
    )
    sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
