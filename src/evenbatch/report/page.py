"""A study's page: its figures and numbers as one HTML file that opens without a network."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evenbatch import files
from evenbatch.report import card, drawing, headline, reading, samples, style, tables
from evenbatch.report.figures import Figure, draw
from evenbatch.report.reading import StudyFiles
from evenbatch.report.sentences import count

HERE = Path(__file__).parent
MOST_OPEN_ROWS = 24  # a longer table of trials starts folded
MOST_OPEN_PAIRS = 3  # of more pairs all but the first start folded


@dataclass(frozen=True)
class Group:
    """Figures under one heading that are read the same way."""

    title: str
    figures: list[Figure]

    @property
    def how_to_read(self) -> str:
        """The sentence that all of them share."""
        return self.figures[0].how_to_read


def write(folder: Path) -> Path:
    """Writes the page, the figures and their data; returns the path of the page."""
    study = reading.read(folder)
    figures = draw(study)
    for figure in figures:
        svg, png, csv = _files(folder, figure)
        drawing.save(figure.static_spec(), svg, png)
        files.write_csv(csv, figure.rows, figure.columns)
    page = folder / "report.html"
    files.write_text(page, render(study, figures, drawing.script()))
    return page


def render(study: StudyFiles, figures: list[Figure], script: str) -> str:
    """The page as HTML, with the charts' descriptions and the script that draws them in it."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    trials = tables.trials_table(study)
    return environment.get_template("page.html.jinja").render(
        title=title(study),
        arms=study.arms,
        sizes=sizes(study),
        answers=headline.answers(study),
        scale=headline.scale(study),
        caveats=headline.caveats(study),
        adversarial=study.adversarial,
        samples=samples.rows(study),
        course=samples.course(study),
        arms_table=tables.arms_table(study),
        pair_tables=tables.pair_tables(study),
        fold_pairs=len(study.summary["pairs"]) > MOST_OPEN_PAIRS,
        trials_table=trials,
        trials_open=len(trials.rows) <= MOST_OPEN_ROWS,
        groups=[Group(name, list(of)) for name, of in groupby(figures, lambda figure: figure.group)],
        charts={figure.name: figure.page_spec() for figure in figures},
        themes={"light": style.config(style.LIGHT), "dark": style.config(style.DARK)},
        card=card.entries(study),
        weights=card.shared_weights(study),
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
    )


def title(study: StudyFiles) -> str:
    """What was trained, on what."""
    recipe = str(study.spec["recipe"]).split("@")[0].rsplit(".", 1)[-1]
    side = (study.spec.get("adversarial") or {}).get("resize")
    resized = f", resized to {side}×{side}" if side else ""
    return f"{recipe} on {study.spec['data']['name']}{resized}"


def sizes(study: StudyFiles) -> str:
    """How large the study is."""
    parts = ((len(study.arms), "arm"), (len(study.seeds), "seed"), (study.epochs, "epoch"))
    return " × ".join(count(n, word) for n, word in parts)


def _files(folder: Path, figure: Figure) -> tuple[Path, Path, Path]:
    drawn = folder / "figures" / figure.name
    return (
        drawn.with_suffix(".svg"),
        drawn.with_suffix(".png"),
        folder / "data" / f"{figure.name}.csv",
    )
