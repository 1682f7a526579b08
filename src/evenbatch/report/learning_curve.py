"""The learning curve of one trained model: training and validation, loss and accuracy, by epoch."""

from pathlib import Path
from typing import Any

import altair as alt

from evenbatch import files
from evenbatch.errors import StorageError
from evenbatch.report import drawing, style
from evenbatch.report.figures.figure import ROWS
from evenbatch.report.reading import Row

COLUMNS = ("epoch", "accuracy", "loss", "val_accuracy", "val_loss")
PARTS = {"training": "", "validation": "val_"}


def write(folder: Path) -> Path:
    """Draws `history.csv` of a directory into `learning-curve.svg` and `.png`; returns the PNG."""
    source = folder / "history.csv"
    history = files.read_csv(source)
    missing = [column for column in COLUMNS if not history or column not in history[0]]
    if missing:
        raise StorageError(f"cannot read {source}: it has no rows with {', '.join(missing)}")
    png = folder / "learning-curve.png"
    drawing.save(spec(history), folder / "learning-curve.svg", png)
    return png


def rows(history: list[Row]) -> list[Row]:
    """A row for each epoch and part that has a value of loss or accuracy."""
    return [
        {"part": part, "epoch": row["epoch"], "quantity": quantity, "value": row[prefix + quantity]}
        for row in history
        for part, prefix in PARTS.items()
        for quantity in ("loss", "accuracy")
        if row[prefix + quantity] is not None
    ]


def spec(history: list[Row]) -> dict[str, Any]:
    """The two panels as Vega-Lite JSON."""
    epochs = max(row["epoch"] for row in history)
    chart = alt.hconcat(
        _panel("loss", epochs, alt.Axis(format="~g"), alt.Scale(zero=True)),
        _panel("accuracy", epochs, alt.Axis(format="%"), alt.Scale(domain=[0, 1])),
        data=ROWS,
        title=f"Learning curve over {epochs} epoch{'s' if epochs > 1 else ''}",
        spacing=28,
    )
    drawn: dict[str, Any] = chart.to_dict(validate=False)
    del drawn["config"]  # whoever draws it brings the theme
    return {**drawn, "datasets": {"rows": rows(history)}}


def _panel(quantity: str, epochs: int, axis: alt.Axis, scale: alt.Scale) -> alt.Chart:
    parts = list(PARTS)
    legend = style.arm_legend(parts)
    dashes = alt.Scale(domain=parts, range=style.DASHES[:2])
    panel: alt.Chart = (
        alt.Chart(width=330, height=230)
        .transform_filter(f"datum.quantity === '{quantity}'")
        .mark_line(strokeWidth=2.4, point=epochs < 3)
        .encode(
            x=style.epoch_axis(epochs),
            y=alt.Y("value:Q", axis=axis, scale=scale, title=quantity),
            color=alt.Color("part:N", legend=legend, title=None).scale(domain=parts),
            strokeDash=alt.StrokeDash("part:N", legend=legend, title=None, scale=dashes),
        )
    )
    return panel
