"""Numbers as plain English. Accuracies are shares in [0, 1]; a missing number is an en dash."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MISSING = "–"
SPACE = "\u00a0"  # a number and its unit stay on one line
Number = float | None
Format = Callable[[Number], str]


def percent(value: Number) -> str:
    """A share in percent with one decimal: `97.5 %`."""
    return MISSING if value is None else f"{_plain(100 * value, 1)}{SPACE}%"


def level(value: Number) -> str:
    """A threshold in whole percent: `54 %`."""
    return MISSING if value is None else f"{value:.0%}".replace("%", f"{SPACE}%")


def points(value: Number) -> str:
    """A difference of shares in percentage points, unsigned: `87.5 points`."""
    return MISSING if value is None else f"{_plain(abs(100 * value), 1)}{SPACE}points"


def signed_points(value: Number) -> str:
    """A difference of shares in percentage points, with its sign and without its unit: `+87.5`."""
    return MISSING if value is None else _signed(100 * value, 1)


def number(value: Number) -> str:
    """Three significant digits: `0.0276`, `2.30`, `28,610`."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−") if abs(value) < 1e7 else f"{value:.2e}".replace("-", "−")
    rounded = float(f"{value:.3g}")  # 999.9 is 1,000
    return number(rounded) if abs(rounded) >= 1000 else f"{value:#.3g}".rstrip(".").replace("-", "−")


def signed_number(value: Number) -> str:
    """Three significant digits with a sign."""
    return number(value) if value is None or value <= 0 else f"+{number(value)}"


def magnitude(value: Number) -> str:
    """Three significant digits without a sign."""
    return number(value if value is None else abs(value))


def tally(value: Number) -> str:
    """A number of things, which a median may put between two: `10`, `9.5`."""
    return MISSING if value is None else f"{value:g}"


def times(value: Number) -> str:
    """A ratio: `1.11 times`."""
    return MISSING if value is None else f"{value:.2f}{SPACE}times"


def milliseconds(value: Number) -> str:
    """Seconds in milliseconds: `1.63 ms`."""
    return MISSING if value is None else f"{number(1000 * value)}{SPACE}ms"


def epochs(value: Number) -> str:
    """An epoch number, which a median may put between two: `10`, `10.5`."""
    return MISSING if value is None else f"{value:g}"


def p_value(value: Number) -> str:
    """A p with two significant digits, three from 0.1: `0.031`, `0.125`, `< 0.001`."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.3g}"


def p_equals(value: float) -> str:
    """A p with its relation: `p = 0.031`, `p < 0.001`."""
    text = p_value(value)
    relation = "" if text.startswith("<") else "= "
    return f"p {relation}{text}".replace(" ", SPACE)


def interval(ends: Sequence[float] | None, form: Format) -> str:
    """The two ends of an interval in one format: `86.6 to 88.4`."""
    return MISSING if ends is None else f"{form(ends[0])} to {form(ends[1])}"


def count(n: int, word: str) -> str:
    """A number of things: `1 seed`, `6 seeds`."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def listing(parts: Sequence[str]) -> str:
    """Parts as prose: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def quoted(name: str) -> str:
    """The name of an arm, set off from the sentence around it."""
    return f"“{name}”"


def losses(name: str, arm: Mapping[str, Any]) -> list[str]:
    """How many trials of an arm's summary ended without a result: `“a” diverged with 2 of 6 seeds`."""
    return [text for word in ("diverged", "failed") for text in event(name, arm, word)]


def event(name: str, arm: Mapping[str, Any], word: str) -> list[str]:
    """What befell trials of an arm, where it befell any: `“a” collapsed with 2 of 6 seeds`."""
    return [f"{quoted(name)} {word} with {arm[word]} of {count(arm['trials'], 'seed')}"] if arm[word] else []


def _plain(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def _signed(value: float, digits: int) -> str:
    text = _plain(value, digits)
    return text if text.startswith("−") or float(text) == 0 else f"+{text}"
