"""What came out of one training of a GAN, in a terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from evenbatch.report.sentences import count, number
from evenbatch.study.spec import STATISTICS


def print_generator(folder: Path, summary: dict[str, Any]) -> None:
    """The outcome, distances by all three kinds of statistics between their marks, and where to look."""
    film, averaged = folder / "grids" / "animation.gif", folder / "averaged_generator.keras"
    generator, how = (averaged, "") if averaged.exists() else (folder / "generator.keras", _statistics(summary))
    more = f"evenbatch sample {generator}{how} --out grid.png"
    is_of_use = summary["outcome"] == "finished"
    lines = [
        f"{summary['outcome']} after {count(summary['epochs'], 'epoch')}.",
        *_distances(summary),
        *([f"Images: {film.parent}, as a film {film}"] if film.exists() else []),
        *([f"Generator: {generator}; more images: {more}"] if is_of_use else []),
    ]
    for line in lines:
        Console(highlight=False).print(escape(line), soft_wrap=True)


def _statistics(summary: dict[str, Any]) -> str:
    return "" if summary["statistics"] == "moving" else f" --statistics {summary['statistics']}"


def _classes(summary: dict[str, Any]) -> list[str]:
    """What the judge takes the last images for."""
    shares = summary["class_shares"]
    if not shares:
        return []
    return [f"To the judge they are {', '.join(f'{name} {share:.0%}' for name, share in shares.items())}."]


def _distances(summary: dict[str, Any]) -> list[str]:
    from evenbatch.gan.yardstick import collapsed

    last, best, how = summary["last"], summary["best"], summary["statistics"]
    if last is None:
        return ["Nothing was measured before it diverged."]
    yardstick, kinds = summary["yardstick"], STATISTICS
    by_kind = ", ".join(f"{number(last[f'frechet_{kind}'])} by {kind} statistics" for kind in kinds)
    floor, ceiling = (yardstick[mark]["frechet"] for mark in ("floor", "ceiling"))
    since = summary["collapsed"]
    return [
        f"Fréchet distance at epoch {last['epoch']}: {by_kind}; the least {best[f'frechet_{how}']:.2f} at epoch "
        f"{best['epoch']}.",
        f"Fresh real images have {floor:.2f} (the floor), noise {ceiling:.2f} (the ceiling), in the features of judge "
        f"{yardstick['judge'][:12]}, which tells {yardstick['accuracy']:.1%} of held-out images apart; sets of "
        f"{yardstick['samples']} images.",
        *_classes(summary),
        *([f"It collapsed: since epoch {since} its images hardly differ."] if since is not None else []),
        *(["Its images hardly differ yet."] if since is None and collapsed(last) else []),
    ]
