"""Options that several commands share, and those that take a little more than typer to read."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from evenbatch.errors import InvalidArgument

Data = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="digits, mnist, cifar10, or an .npz with x_train, y_train.")
]
Epochs = Annotated[int | None, typer.Option(metavar="N", help="Epochs of a trial. Default: the recipe's.")]
BatchSize = Annotated[int | None, typer.Option(metavar="N", help="Examples in a batch. Default: the recipe's.")]
LearningRate = Annotated[float | None, typer.Option(metavar="X", help="Learning rate. Default: the recipe's.")]
Preset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Settings for an occasion: for gan quick, which learns the digits in minutes."),
]
RecipeOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="An option of the recipe, such as l2=0.0001; may be repeated."),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Directory of the results. Default: under runs/.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the results that the directory holds.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]
Unsafe = Annotated[bool, typer.Option("--unsafe", help="Load Lambda layers: they run code that comes with the file.")]
Modules = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="A module to import first, which registers classes of the model."),
]


def key_values(texts: Iterable[str] | None) -> dict[str, Any]:
    """`["l2=1e-4", "placement=after"]` as `{"l2": 1e-4, "placement": "after"}`: JSON values, anything else as text."""
    found: dict[str, Any] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidArgument(f"--option must be KEY=VALUE, received {text!r}; such as --option l2=0.0001")
        if key in found:
            raise InvalidArgument(f"--option {key} is given twice; give it once")
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
