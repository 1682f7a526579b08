"""A study's page: its figures and numbers as one HTML file that opens without a network."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evenbatch import files
from evenbatch.report import drawing, headline, reading, style, tables
from evenbatch.report.figures import Figure, draw
from evenbatch.report.reading import StudyFiles
from evenbatch.report.sentences import MISSING, count, listing, number

HERE = Path(__file__).parent
MOST_OPEN_ROWS = 24  # a longer table of trials starts folded


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
        sizes=f"{count(len(study.arms), 'arm')} × {count(len(study.seeds), 'seed')} × {count(study.epochs, 'epoch')}",
        answers=headline.answers(study),
        caveat=headline.caveat(study),
        arms_table=tables.arms_table(study),
        pair_tables=tables.pair_tables(study),
        trials_table=trials,
        trials_open=len(trials.rows) <= MOST_OPEN_ROWS,
        groups=[
            Group(name, list(of)) for name, of in groupby(figures, lambda figure: figure.group)
        ],
        charts={figure.name: figure.spec("container") for figure in figures},
        themes={"light": style.config(style.LIGHT), "dark": style.config(style.DARK)},
        card=card(study),
        weights=shared_weights(study),
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
    )


def title(study: StudyFiles) -> str:
    """What was trained, on what."""
    recipe = str(study.spec["recipe"]).split("@")[0].rsplit(".", 1)[-1]
    return f"{recipe} on {study.spec['data']['name']}"


def card(study: StudyFiles) -> list[tuple[str, str]]:
    """All that somebody needs who wants to run the study again."""
    spec, record, data = study.spec, study.record, study.spec["data"]
    sizes = f"{number(data['train'])} training, {number(data['val'])} validation, {number(data['test'])} test examples"
    shape = " × ".join(map(str, data["input_shape"]))
    return [
        ("Command", record.get("command") or MISSING),
        ("Recipe", spec["recipe"]),
        ("Options", _settings(spec["options"]) or "none"),
        ("Data", f"{data['name']}: {sizes}, inputs {shape}, {data['classes']} classes"),
        ("Data SHA-256", data["sha256"]),
        ("Seeds", ", ".join(map(str, study.seeds))),
        *(
            (f"Arm “{arm['name']}”", _settings({k: v for k, v in arm.items() if k != "name"}))
            for arm in spec["arms"]
        ),
        (
            "Training",
            _settings({key: spec[key] for key in ("optimizer", "epochs", "batch_size", "threads")}),
        ),
        (
            "Device",
            listing(sorted({trial.record.get("device") or "" for trial in study.trials} - {""}))
            or MISSING,
        ),
        ("Backend", spec["backend"]),
        ("Versions", ", ".join(f"{name} {version}" for name, version in spec["versions"].items())),
        ("Git commit", _commit(record.get("git"))),
        ("Created", record.get("created") or MISSING),
    ]


def shared_weights(study: StudyFiles) -> list[str]:
    """A sentence for each pair on how far its arms began from the same weights."""
    return [
        f"“{pair['arm']}” and “{pair['baseline']}” have {pair['equal_initial_weights']['of']} initial weight "
        f"arrays in common by name; {pair['equal_initial_weights']['equal']} of them began with the same values."
        for pair in study.summary["pairs"]
    ]


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def _commit(git: Any) -> str:
    if isinstance(git, dict):
        return _settings(git)
    return str(git) if git else MISSING


def _files(folder: Path, figure: Figure) -> tuple[Path, Path, Path]:
    drawn = folder / "figures" / figure.name
    return (
        drawn.with_suffix(".svg"),
        drawn.with_suffix(".png"),
        folder / "data" / f"{figure.name}.csv",
    )
