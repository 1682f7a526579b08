"""What one training of a GAN came to: the `summary.json` of `evenbatch train gan`."""

from pathlib import Path
from typing import Any

from evenbatch import files
from evenbatch.study import store
from evenbatch.study.spec import Specification


def generator_summary(folder: Path, spec: Specification) -> dict[str, Any]:
    """A JSON value.

    `last` and `best` are rows of `history.csv`: the last that was measured, and the one of the smallest distance by the
    statistics that the training is about; None where nothing was. `class_shares` is what the judge takes the images
    of `last` for. `yardstick` has the judge with its accuracies, the number of images, and the floor and the ceiling
    of the distances.

    Raises:
        StorageError: a file of the directory is missing or damaged.
    """
    record = files.read_json(folder / "trial.json")
    rows = files.read_csv(folder / "history.csv")
    statistics = spec.adversarial.statistics if spec.adversarial is not None else "moving"
    measured = [row for row in rows if row[f"frechet_{statistics}"] is not None]
    return {
        "format": store.FORMAT,
        "task": "adversarial",
        "data": spec.data.name,
        "statistics": statistics,
        "outcome": record["outcome"],
        "epochs": record["epochs"],
        "collapsed": record["collapsed"],
        "class_shares": record["class_shares"],
        "last": measured[-1] if measured else None,
        "best": min(measured, key=lambda row: row[f"frechet_{statistics}"], default=None),
        "yardstick": record["yardstick"],
        "timing": record["timing"],
        "measure_seconds": sum(row["measure_seconds"] or 0 for row in rows),
    }
