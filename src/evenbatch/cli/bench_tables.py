"""What `evenbatch bench` found, as tables on standard output."""

import os
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_NAMES = {"ours": "ours", "keras": "Keras", "native": "native", "without": "without"}
_NATIVE = {
    "tensorflow": "FusedBatchNormV3 and its gradient, without moving statistics.",
    "torch": "torch.nn.functional.batch_norm on the channels-last view.",
}
_DASH = "–"
_WIDTH_OF_A_FILE = 100


def print_result(result: dict[str, Any]) -> None:
    """The machine, a table for each part, and how to read them."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_A_FILE
    for line in _machine(result):
        console.print(escape(line), soft_wrap=True)
    for part, draw in (("layers", _layers), ("models", _models)):
        for mode in dict.fromkeys(row["mode"] for row in result[part]):
            console.print(f"\n[bold]{part.capitalize()}, {result['dtype']}, {mode}")
            rows = [row for row in result[part] if row["mode"] == mode]
            table = draw(rows, spreads=True)
            # Where there is no room for everything, the spreads go, and no digit of a number does.
            needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
            console.print(table if needed <= console.width else draw(rows, spreads=False))
    for memory in _memories(result):
        console.print(f"\n[bold]{escape(_memory_title(memory))}")
        console.print(_memory(memory))
    console.print()
    for line in _reading(result):
        console.print(escape(line))


def _machine(result: dict[str, Any]) -> list[str]:
    device, versions = result["device"], result["versions"]
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    speed = f"{result['copy_bytes_per_second'] / 1e9:.0f} GB/s"
    threads = f"{device['threads']} thread{'' if device['threads'] == 1 else 's'}"
    return [f"{device['name']} ({device['kind'].upper()}), {threads}, copies {speed}", names]


def _layers(rows: list[dict[str, Any]], *, spreads: bool) -> Table:
    arms = [arm for arm in ("ours", "keras", "native") if any(arm in row["seconds"] for row in rows)]
    native = "native" in arms
    headings = [*(f"{_NAMES[arm]}\nms" for arm in arms), _ratio_heading("Keras/ours", spreads)]
    table = _table(["shape", ""], [*headings, *(["ours/\nnative"] if native else []), "× floor,\nin this order"])
    for row in rows:
        cells = ["×".join(map(str, row["shape"])) if row["phase"] == "training" else "", row["phase"]]
        cells += [_milliseconds(row, arm) for arm in arms]
        cells += [_ratio(row["keras_over_ours"], spreads)]
        cells += [_ratio(row.get("ours_over_native"), spread=False)] if native else []
        table.add_row(*cells, _over_floor(row, arms))
    return table


def _models(rows: list[dict[str, Any]], *, spreads: bool) -> Table:
    ratios = [_ratio_heading(name, spreads) for name in ("Keras/ours", "ours/without")]
    table = _table(["model", "batch", ""], ["ours\nms", "Keras\nms", "without\nms", *ratios])
    for row in rows:
        cells = [row["model"], str(row["batch_size"])] if row["phase"] == "training" else ["", ""]
        cells += [row["phase"], *(_milliseconds(row, arm) for arm in ("ours", "keras", "without"))]
        cells += [_ratio(row.get(name), spreads) for name in ("keras_over_ours", "ours_over_without")]
        table.add_row(*cells)
    return table


def _memories(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What was measured of memory: the stack, and the models in files."""
    return [*([result["memory"]] if result["memory"] else []), *result["memory_of_files"]]


def _memory_title(memory: dict[str, Any]) -> str:
    if "model" in memory:
        return f"Peak memory of loading {memory['model']} and a training step, batch {memory['batch_size']}"
    stack = memory["stack"]
    shape = "×".join(str(stack[name]) for name in ("batch", "size", "size", "filters"))
    return f"Peak memory of a training step of {stack['depth']} × (convolution, layer, relu) on {shape}"


def _memory(memory: dict[str, Any]) -> Table:
    table = _table([""], ["MiB", "middle half", "to ours"])
    ours = memory["arms"]["ours"]["bytes"]
    for name, arm in memory["arms"].items():
        found = arm["bytes"]
        if not found:
            table.add_row(_NAMES[name], _DASH, _DASH, _DASH)
            continue
        low, middle, high = (f"{found[name] / 2**20:.0f}" for name in ("low", "median", "high"))
        compared = f"{found['median'] / ours['median']:.2f}" if ours and ours["median"] else _DASH
        table.add_row(_NAMES[name], middle, f"{low}–{high}", compared)
    return table


def _reading(result: dict[str, Any]) -> list[str]:
    """What the words in the tables mean, and what could not be measured."""
    passes, lines = result["passes"], []
    if result["layers"] or result["models"]:
        lines.append(f"Medians of {result['rounds']} interleaved rounds; in brackets the middle half of them.")
    if result["layers"]:
        lines.append(
            f"Floor: {passes['training']} passes over the tensor in training, {passes['inference']} in inference, at "
            "the speed of copying; none for a tensor that may stay in cache."
        )
    if any("native" in row["seconds"] for row in result["layers"]):
        lines.append(f"Native: {_NATIVE[result['backend']]}")
    errors = [error for memory in _memories(result) for error in memory["errors"].items()]
    return lines + [f"Memory of {_NAMES[arm]} was not measured: {reason}" for arm, reason in errors]


def _table(left: list[str], right: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in left:
        table.add_column(heading, overflow="fold")
    for heading in right:
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _ratio_heading(name: str, spread: bool) -> str:
    return f"{name}\n(middle half)" if spread else name


def _milliseconds(row: dict[str, Any], arm: str) -> str:
    found = row["seconds"].get(arm)
    return _three_digits(1000 * found["median"]) if found else _DASH


def _over_floor(row: dict[str, Any], arms: list[str]) -> str:
    found = row["over_floor"]
    return "/".join(f"{found[arm]:.1f}" if arm in found else _DASH for arm in arms) if found else _DASH


def _ratio(found: dict[str, Any] | None, spread: bool) -> str:
    if not found:
        return _DASH
    return f"{found['median']:.2f}" + (f" ({found['low']:.2f}–{found['high']:.2f})" if spread else "")


def _three_digits(value: float) -> str:
    """0.123, 1.23, 12.3, 123."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"
