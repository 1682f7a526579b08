"""The learning curve of one training by epoch, in two panels.

Of a classifier: loss and accuracy, training and validation. Of a GAN: both losses, and the distances by each kind of
statistics.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt

from evenbatch import files
from evenbatch.errors import StorageError
from evenbatch.report import drawing, style
from evenbatch.report.figures.figure import ROWS
from evenbatch.report.reading import Row


@dataclass(frozen=True)
class Panel:
    """One quantity, and the column of `history.csv` for each of its lines."""

    quantity: str
    columns: Mapping[str, str]
    axis: alt.Axis
    scale: alt.Scale

    def chart(self, epochs: int, *, marked: bool) -> alt.Chart:
        """The panel; `marked` where few epochs have a value."""
        parts = list(self.columns)
        legend = style.arm_legend(parts)
        dashes = alt.Scale(domain=parts, range=style.DASHES[: len(parts)])
        chart: alt.Chart = (
            alt.Chart(width=330, height=230)
            .transform_filter(f"datum.quantity === '{self.quantity}'")
            .mark_line(strokeWidth=2.4, point=marked)
            .encode(
                x=style.epoch_axis(epochs),
                y=alt.Y("value:Q", axis=self.axis, scale=self.scale, title=self.quantity),
                color=alt.Color("part:N", legend=legend, title=None).scale(domain=parts),
                strokeDash=alt.StrokeDash("part:N", legend=legend, title=None, scale=dashes),
            )
        )
        return chart


NUMBERS = alt.Axis(format="~g")
CLASSIFIER = (
    Panel("loss", {"training": "loss", "validation": "val_loss"}, NUMBERS, alt.Scale(zero=True)),
    Panel(
        "accuracy",
        {"training": "accuracy", "validation": "val_accuracy"},
        alt.Axis(format="%"),
        alt.Scale(domain=[0, 1]),
    ),
)
GAN = (
    Panel("loss", {"generator": "g_loss", "discriminator": "d_loss"}, NUMBERS, alt.Scale(zero=True)),
    Panel(
        "Fréchet distance",
        {kind: f"frechet_{kind}" for kind in ("moving", "batch", "recalibrated")},
        alt.Axis(format="~g", tickCount=6),
        alt.Scale(type="log", nice=False),
    ),
)


def write(folder: Path) -> Path:
    """Draws `history.csv` of a directory into `learning-curve.svg` and `.png`; returns the PNG."""
    source = folder / "history.csv"
    history = files.read_csv(source)
    panels = GAN if history and "d_loss" in history[0] else CLASSIFIER
    columns = ["epoch", *(column for panel in panels for column in panel.columns.values())]
    missing = [column for column in columns if not history or column not in history[0]]
    if missing:
        raise StorageError(f"cannot read {source}: it has no rows with {', '.join(missing)}")
    png = folder / "learning-curve.png"
    drawing.save(spec(history, panels), folder / "learning-curve.svg", png)
    return png


def rows(history: list[Row], panels: tuple[Panel, ...] = CLASSIFIER) -> list[Row]:
    """A row for each epoch and line that has a value."""
    return [
        {"part": part, "epoch": row["epoch"], "quantity": panel.quantity, "value": row[column]}
        for row in history
        for panel in panels
        for part, column in panel.columns.items()
        if row[column] is not None
    ]


def spec(history: list[Row], panels: tuple[Panel, ...] = CLASSIFIER) -> dict[str, Any]:
    """The panels as Vega-Lite JSON."""
    epochs, drawn = max(row["epoch"] for row in history), rows(history, panels)
    chart = alt.hconcat(
        *(panel.chart(epochs, marked=_measured(drawn, panel) < 3) for panel in panels),
        data=ROWS,
        title=f"Learning curve over {epochs} epoch{'s' if epochs > 1 else ''}",
        spacing=28,
    ).resolve_scale(color="independent", strokeDash="independent")
    described: dict[str, Any] = chart.to_dict(validate=False)
    del described["config"]  # whoever draws it brings the theme
    return {**described, "datasets": {"rows": drawn}}


def _measured(drawn: list[Row], panel: Panel) -> int:
    """How many epochs have a value of a panel."""
    return len({row["epoch"] for row in drawn if row["quantity"] == panel.quantity})
