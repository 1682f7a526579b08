"""Options that take a little more than typer to read."""

import json
from collections.abc import Iterable
from typing import Any

from evenbatch.errors import InvalidArgument


def key_values(texts: Iterable[str]) -> dict[str, Any]:
    """`["l2=1e-4", "placement=after"]` as `{"l2": 1e-4, "placement": "after"}`: JSON values, anything else as text."""
    found: dict[str, Any] = {}
    for text in texts:
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
