import functools
import types

import pytest

import evenbatch as eb
from evenbatch.study.fingerprint import describe


def made(momentum):
    def layer():
        return eb.BatchNormalization(momentum=momentum)

    return layer


def with_default(momentum=0.9):
    return momentum


def compiled(source):
    """The function `build` of a module that was written as this source."""
    module = types.ModuleType("written")
    exec(compile(source, "written.py", "exec"), vars(module))
    return module.build


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (functools.partial(with_default, momentum=0.9), functools.partial(with_default, momentum=0.1)),
        (made(0.9), made(0.1)),
        (lambda: 1, lambda: 2),
        (compiled("def build(x=1): return x"), compiled("def build(x=2): return x")),
        (compiled("def build(x): return x.real"), compiled("def build(x): return x.imag")),
        (compiled("def helper(): return 1\ndef build(): return helper()"),
         compiled("def helper(): return 2\ndef build(): return helper()")),
        (compiled("def build(): return (lambda: 1)()"), compiled("def build(): return (lambda: 2)()")),
    ],
)  # fmt: skip
def test_a_function_that_does_something_else_has_another_digest(one, other):
    assert describe(one).split("@")[1] != describe(other).split("@")[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (made(0.9), made(0.9)),
        (functools.partial(made, momentum=0.9), functools.partial(made, momentum=0.9)),
        (compiled("def build(x): return x"), compiled("# a comment\n\n\ndef build(x):\n    # another\n    return x")),
        (eb.BatchNormalization, eb.BatchNormalization),
    ],
)
def test_the_same_function_elsewhere_has_the_same_digest(one, other):
    assert describe(one) == describe(other)


def test_the_name_is_the_functions_own():
    assert describe(with_default).startswith(f"{__name__}.with_default@")
    assert describe(functools.partial(with_default, 0.5)).startswith(f"{__name__}.with_default@")


def test_a_function_that_calls_itself_ends():
    assert "@" in describe(compiled("def build(n): return build(n - 1)"))
