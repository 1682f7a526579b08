"""`python worker.py REPLICAS FILE`: runs every case on one device and on that many replicas, and writes what they gave.

The backend is that of KERAS_BACKEND. A process of its own, because the number of devices is fixed when it starts.
"""

import importlib
import os
import sys
from typing import Any

import cases
import numpy as np


def layer_of(case: cases.Case, batch: cases.Batch) -> Any:
    """The case's layer, built, with the batch's gamma and beta."""
    import evenbatch as eb

    layer = getattr(eb, case.kind)(axis=case.axis, momentum=0.5, dtype=policy(case), **case.arguments)
    shape = (None, *batch.x.shape[1:])
    conditional = case.kind.startswith("Conditional")
    layer.build([shape, (None,)] if conditional else shape)
    for weight, values in ((layer.gamma, batch.gamma), (layer.beta, batch.beta)):
        if weight is not None:
            scale = np.linspace(0.5, 1.5, 4)[:, None] if conditional else 1.0
            weight.assign((values * scale).astype("float32"))
    return layer


def policy(case: cases.Case) -> str:
    return case.dtype if case.dtype in ("float32", "float64") else f"mixed_{case.dtype}"


def inputs_of(case: cases.Case, x: Any, labels: Any) -> Any:
    return [x, labels] if case.kind.startswith("Conditional") else x


def main() -> None:
    replicas, path = int(sys.argv[1]), sys.argv[2]
    name = os.environ["KERAS_BACKEND"]
    runner = importlib.import_module(f"on_{name}").Runner(replicas)
    found = {}
    for case in cases.of(name, replicas):
        batch = cases.batch(case)
        for where, results in (("one", [runner.on_one(case, batch)]), ("many", runner.on_many(case, batch))):
            for i, result in enumerate(results):
                found |= {f"{case.name}/{where}/{i}/{key}": np.asarray(value) for key, value in result.items()}
    if runner.writes:
        np.savez(path, **found)
    runner.end()


if __name__ == "__main__":
    main()
