"""A name and a digest for a function of the user's, so that a changed function is another study.

The digest covers what the function does, not where it stands: its code and constants, defaults, the values it closes
over, the arguments of a `functools.partial`, and the functions of the same module that it calls.
"""

import functools
import hashlib
import types
from collections.abc import Callable, Iterator
from typing import Any


def describe(function: Callable[..., Any]) -> str:
    """Such as `"project.networks.build@1f0a3c5e7d9b"`."""
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    digest = hashlib.sha256("\n".join(_facts(function, set())).encode())
    return f"{getattr(inner, '__module__', '?')}.{name}@{digest.hexdigest()[:12]}"


def _facts(value: Any, seen: set[int]) -> Iterator[str]:
    """What a value does, line by line; each object once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, functools.partial):
        yield from _all((value.func, value.args, value.keywords), seen)
    elif isinstance(value, types.FunctionType):
        yield from _function(value, seen)
    elif isinstance(value, types.CodeType):
        yield value.co_code.hex()
        yield " ".join(value.co_names)
        yield from _all(value.co_consts, seen)
    elif isinstance(value, types.MethodType):
        yield from _all((value.__func__, value.__self__), seen)
    elif isinstance(value, type | types.ModuleType):
        yield f"{getattr(value, '__module__', '')}.{value.__name__}"
        if isinstance(value, type) and value.__module__.split(".")[0] not in ("keras", "evenbatch", "builtins"):
            yield from _all((v for v in vars(value).values() if isinstance(v, types.FunctionType)), seen)
    elif isinstance(value, tuple | list | set | frozenset):
        yield from _all(sorted(value, key=repr) if isinstance(value, set | frozenset) else value, seen)
    elif isinstance(value, dict):
        yield from _all((item for pair in value.items() for item in pair), seen)
    else:
        yield _plain(value)


def _all(values: Any, seen: set[int]) -> Iterator[str]:
    for value in values:
        yield from _facts(value, seen)


def _function(function: types.FunctionType, seen: set[int]) -> Iterator[str]:
    yield from _all((function.__code__, function.__defaults__, function.__kwdefaults__), seen)
    for cell in function.__closure__ or ():
        yield from _facts(cell.cell_contents, seen)
    for name in function.__code__.co_names:
        helper = function.__globals__.get(name)
        if getattr(helper, "__module__", None) == function.__module__:
            yield from _facts(helper, seen)


def _plain(value: Any) -> str:
    """A number, a text and the like by their value; an object without a text of its own by its type and state."""
    text = repr(value)
    if " at 0x" not in text:
        return f"{type(value).__qualname__} {text}"
    state = {name: repr(item) for name, item in sorted(vars(value).items())} if hasattr(value, "__dict__") else {}
    plain = {name: item for name, item in state.items() if " at 0x" not in item}
    return f"{type(value).__module__}.{type(value).__qualname__} {plain}"
