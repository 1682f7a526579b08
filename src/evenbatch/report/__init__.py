"""From a study's directory to a page, figures and the data behind them, without Keras.

::

    reading -> figures/ (a figure a file) -> page -> report.html, figures/, data/
               by_epoch, sentences, style
"""

from pathlib import Path

__all__ = ["write", "write_learning_curve"]


def write(folder: Path) -> Path:
    """Writes `report.html`, `figures/` and `data/` of a study from the files in its directory.

    Returns:
        The path of `report.html`: one file that opens without a network.

    Raises:
        StorageError: a file of the study is missing or damaged, or one could not be written.
    """
    from evenbatch.report import page

    return page.write(Path(folder))


def write_learning_curve(folder: Path) -> Path:
    """Writes `learning-curve.svg` and `.png` of one trained model from its `history.csv`.

    Returns:
        The path of the PNG.

    Raises:
        StorageError: `history.csv` is missing or damaged, or a file could not be written.
    """
    from evenbatch.report import learning_curve

    return learning_curve.write(Path(folder))
