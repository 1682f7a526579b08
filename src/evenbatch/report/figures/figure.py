"""What a figure is: a chart, the rows it draws, and the words that go with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import altair as alt

from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import SPACE

Chart: TypeAlias = alt.Chart | alt.LayerChart


ROWS = alt.NamedData("rows")  # told of no data at all, Altair gives each layer an empty set


@dataclass(frozen=True)
class Figure:
    """One chart and its words.

    Args:
        name: Name of its files.
        group: Heading that it stands under; figures of one group share it and `how_to_read`.
        title: What it shows, without the study's name.
        key: What lines, bands and marks stand for, with the number of seeds.
        chart: The chart without data, title and width, which whoever draws it adds.
        columns: Columns of the CSV.
        rows: What is plotted: the chart's data and, unchanged, the CSV.
        how_to_read: A sentence on reading a figure of this kind.
        what_it_shows: A sentence on what this one shows, made from the numbers.
    """

    name: str
    group: str
    title: str
    key: str
    chart: Chart
    columns: tuple[str, ...]
    rows: list[Row]
    how_to_read: str
    what_it_shows: str

    @property
    def alt_text(self) -> str:
        """What somebody who cannot see the chart is told."""
        return f"{self.title}. {self.key}. {self.what_it_shows}"

    @cached_property
    def _described(self) -> dict[str, Any]:
        """The chart as Vega-Lite JSON with its data; a row leaves out what it has no value for."""
        values = [{k: v for k, v in row.items() if v is not None} for row in self.rows]
        # The tests validate it; doing so here again would be a fifth of the report's time.
        spec = self.chart.properties(data=ROWS).to_dict(validate=False)
        del spec["config"]  # whoever draws it brings the theme
        fit = {"type": "fit-x", "contains": "padding"}
        return {
            **spec,
            "datasets": {"rows": values},
            "description": self.alt_text,
            "autosize": fit,
        }

    def page_spec(self) -> dict[str, Any]:
        """The chart for the page: as wide as its place, which has the title and the key."""
        return {**self._described, "width": "container"}

    def static_spec(self, width: int = 640) -> dict[str, Any]:
        """The chart for a file that stands alone: with title and key."""
        title = {"text": self.title, "subtitle": wrapped(self.key)}
        return {**self._described, "width": width, "title": title}


def banded(rows: list[Row]) -> bool:
    """Whether any row has a band: a layer with nothing to draw upsets the axis that it shares."""
    return any(row.get("low") is not None for row in rows)


def stacked(*layers: alt.Chart, height: int) -> alt.LayerChart:
    """Layers over one another, the first lowest."""
    return alt.LayerChart(layer=list(layers), height=height)


def wrapped(text: str, columns: int = 108) -> list[str]:
    """Lines of at most `columns` characters, unless a word is longer."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        lines = [*lines[:-1], longer] if len(longer) <= columns else [*lines, word]
    return lines


def layer(kind: str) -> alt.Chart:
    """A layer that draws the rows of one kind."""
    drawn: Any = alt.Chart().transform_filter(f"datum.kind === '{kind}'")
    chart: alt.Chart = drawn
    return chart


def numbered(name: str, index: int, of: Sequence[object]) -> str:
    """The name of the index-th of several figures of a kind; a single one has no number."""
    return name if len(of) == 1 else f"{name}-{index + 1}"


def seeds_phrase(study: StudyFiles) -> str:
    """How many seeds an arm has."""
    n = len(study.seeds)
    return f"n = {n} {'seed' if n == 1 else 'seeds'} an arm".replace(" ", SPACE)
