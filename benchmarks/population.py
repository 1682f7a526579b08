"""What population statistics are good for: validation accuracy early in a training, by three kinds of statistics.

*Moving*: the averages that training leaves, with a momentum of 0.99. *Batch*: those of each batch of the validation
itself, which needs batches and makes an example's result depend on its neighbours. *Population*: `eb.recalibrate` on
training data. All three are of the same weights, at the same step of the same training, so that seeds are paired.

    python benchmarks/population.py RECIPE --data FILE [--steps 50 100 500] [--seeds 3]

Prints a Markdown table: means over seeds, and from the lowest to the highest in brackets.
"""

import argparse
import sys
import time
from typing import Any

import keras
import numpy as np

import evenbatch as eb
from evenbatch import datasets, recipes

EXAMPLES = 5_000
"""Training examples that the population statistics are those of."""
KINDS = ("moving", "batch", "population")


def main() -> None:
    arguments = _arguments()
    recipe = recipes.get(arguments.recipe)
    data = datasets.load(arguments.data, recipe.inputs)
    found: dict[tuple[int, str], list[float]] = {}
    seconds = []
    for seed in range(arguments.seeds):
        for step, accuracies, took in trained(recipe, data, sorted(arguments.steps), seed):
            seconds.append(took)
            for kind, accuracy in accuracies.items():
                found.setdefault((step, kind), []).append(accuracy)
    sys.stdout.write(_table(arguments, data, found, seconds))


def trained(recipe: Any, data: Any, steps: list[int], seed: int) -> Any:
    """Trains a network; gives at each of these steps the accuracies and the seconds of a recalibration."""
    keras.utils.set_random_seed(seed)
    model = recipe(data.input_shape, data.classes)
    rates = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    optimizer = rates.get(recipe.optimizer, lambda rate: keras.optimizers.SGD(rate, momentum=0.9))
    model.compile(optimizer(recipe.learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    batches, done = _batches(data.train, recipe.batch_size, seed), 0
    for step in steps:
        for _ in range(step - done):
            model.train_on_batch(*next(batches))
        done = step
        start = time.perf_counter()
        population = eb.recalibrate(model, data.train.x[_some(data.train, seed)], batch_size=250, verbose=False)
        took = time.perf_counter() - start
        yield (
            step,
            {
                "moving": _accuracy(lambda x, model=model: model.predict_on_batch(x), data.val),
                "batch": _accuracy(_by_batches(model), data.val),
                "population": _accuracy(lambda x, model=population: model.predict_on_batch(x), data.val),
            },
            took,
        )


def _batches(part: Any, size: int, seed: int) -> Any:
    draw = np.random.default_rng(seed)
    while True:
        order = draw.permutation(len(part))
        for begin in range(0, len(part) - size + 1, size):
            chosen = order[begin : begin + size]
            yield part.x[chosen], part.y[chosen]


def _some(part: Any, seed: int) -> Any:
    return np.random.default_rng(seed + 1000).permutation(len(part))[:EXAMPLES]


def _by_batches(model: Any) -> Any:
    """The model by the statistics of each batch; what training keeps of them is put aside."""

    def run(x: Any) -> Any:
        with keras.StatelessScope():
            return keras.ops.convert_to_numpy(model(x, training=True))

    return run


def _accuracy(run: Any, part: Any, size: int = 250) -> float:
    right = sum(
        int((np.argmax(run(part.x[i : i + size]), axis=-1) == part.y[i : i + size]).sum())
        for i in range(0, len(part), size)
    )
    return right / len(part)


def _table(arguments: Any, data: Any, found: dict[tuple[int, str], list[float]], seconds: list[float]) -> str:
    lines = [
        f"{arguments.recipe} on {data.name}, {keras.backend.backend()}, {arguments.seeds} seeds; recalibrated on "
        f"{min(EXAMPLES, len(data.train)):,} examples in {np.median(seconds):.1f} s",
        "",
        "| steps | " + " | ".join(KINDS) + " | population − moving |",
        "|---|" + "---|" * (len(KINDS) + 1),
    ]
    for step in sorted(arguments.steps):
        cells = [_cell(found[step, kind]) for kind in KINDS]
        differences = np.subtract(found[step, "population"], found[step, "moving"])
        lines.append(f"| {step} | {' | '.join(cells)} | {_cell(list(differences), '+')} |")
    return "\n".join([*lines, ""])


def _cell(values: list[float], sign: str = "") -> str:
    mean, low, high = (f"{100 * value:{sign}.1f}" for value in (np.mean(values), min(values), max(values)))
    return f"{mean} % ({low} … {high})"


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 100, 500])
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
