"""`eb.compare`: a study from its question to its report."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenbatch import files
from evenbatch.datasets import Dataset, Inputs
from evenbatch.study import run as runner
from evenbatch.study.design import design
from evenbatch.study.spec import Arm, Plan
from evenbatch.study.summary import summarize


@dataclass(frozen=True)
class Study:
    """A study on disk, all of its trials complete."""

    folder: Path

    def summary(self) -> dict[str, Any]:
        """Every number of the study, as `summary.json` has them (see `evenbatch.study.summary.summarize`)."""
        found: dict[str, Any] = files.read_json(self.folder / "summary.json")
        return found

    def report(self) -> Path:
        """The path of `report.html`, drawn anew from the directory's files, with its figures and their data."""
        from evenbatch.report import write

        return write(self.folder)


def compare(
    recipe: str | Callable[..., Any] = "sigmoid",
    *,
    data: str | Path | Dataset = "digits",
    arms: Mapping[str, Arm | bool | str | Callable[[], Any]] | None = None,
    pairs: Iterable[tuple[str, str]] | None = None,
    seeds: int | Iterable[int] = 6,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    options: Mapping[str, Any] | None = None,
    preset: str | None = None,
    inputs: Inputs = "image",
    threads: int = 1,
    jobs: int | None = None,
    out: str | Path | None = None,
    force: bool = False,
    watcher: runner.Watcher | None = None,
) -> Study:
    """Trains every arm with every seed, and summarizes and draws what differs.

    Both arms of a pair share batch order and, where layers have the same names and shapes, initial weights. Trials run
    in worker processes. A study that was stopped goes on where it was, inside a trial too; one that is complete is not
    run again.

    Args:
        recipe: A name of `evenbatch.recipes.RECIPES`, or a function of (input_shape, classes, normalize) that returns a
            Keras model whose output is a probability for each class; `normalize` is what the arm says.
        data: `"digits"`, `"mnist"`, `"cifar10"`, the path of an `.npz` file, or a `Dataset`.
        arms: Named arms, each an `Arm`, True (with), False (without), or a function that returns a new normalization
            layer. By default `{"with": True, "without": False}`; for "gan" `evenbatch.study.adversarial.ARMS`, in which
            an arm may also be a name of `evenbatch.recipes.gan.NORMALIZATIONS`.
        pairs: Which arms are compared, as (arm, baseline); by default every arm with the last one, for "gan" with
            "batch", and that with "none".
        seeds: How many seeds, or the seeds themselves. Six or more make a difference testable at 0.05.
        epochs: Epochs of a trial; by default the recipe's, as for `batch_size` and `learning_rate` (10, 32 and 1e-3
            with Adam for a function).
        batch_size: Examples in a batch.
        learning_rate: Learning rate of every arm that has none of its own.
        options: Keyword arguments for the recipe, such as `{"l2": 1e-4}`.
        preset: Named settings of the recipe, which the other arguments go before: "quick" for "gan".
        inputs: What a function is fed: "image" (height, width, channels) or "vector" (features,). A named recipe knows.
        threads: Threads of each trial. They are part of the specification, since they change the last bits.
        jobs: Trials under way at a time; by default as many as there are cores for.
        out: The study's directory; by default `runs/RECIPE-DATA`.
        force: Whether to replace a study that the directory holds.
        watcher: Who is told of progress; by default nobody.

    Returns:
        The study, with `summary()` and `report()`; both are written already.

    Raises:
        InvalidArgument: an argument is outside what is allowed.
        InvalidData: the data cannot be used.
        StudyConflict: the directory holds something else, or another process writes to it.
        StudyFailed: every trial failed.
        StorageError: a file could not be written.
    """
    plan = design(
        recipe,
        data=data,
        arms=arms,
        pairs=pairs,
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        options=options,
        preset=preset,
        threads=threads,
        inputs=inputs,
    )
    folder = Path(out) if out is not None else _default_folder(plan)
    runner.run(plan, folder, jobs=jobs, force=force, watcher=watcher or runner.Silent(), record=runner.provenance())
    files.write_json(folder / "summary.json", summarize(folder))
    study = Study(folder)
    study.report()
    return study


def _default_folder(plan: Plan) -> Path:
    """Where a study goes that was given no directory."""
    recipe = plan.spec.recipe.split("@")[0].rsplit(".", 1)[-1]
    return Path("runs") / f"{recipe}-{plan.spec.data.name}"
