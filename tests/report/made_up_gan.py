"""Adversarial studies that were never trained: histories, verdicts of a judge, and small pictures."""

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from evenbatch import files

JUDGE = "cd" * 32
ARMS: dict[str, dict[str, Any]] = {
    "batch": {},
    "none": {"normalize": "none"},
    "no training flag": {"options": {"step": "untrained"}},
    "mixed batch": {"options": {"step": "mixed"}},
    "frozen discriminator": {"options": {"step": "frozen"}},
}
PAIRS = [("batch", "none"), *((trap, "batch") for trap in list(ARMS)[2:])]
TENDS_TO = {"batch": 12.0, "none": 20.0, "mixed batch": 35.0, "frozen discriminator": 120.0}  # any other arm: 60
START = 200.0
FLOOR = {"frechet": 0.8, "kernel": 0.001, "kernel_low": -0.002, "kernel_high": 0.004, "cross_frechet": 0.9}
FLOOR |= {"classes": 10, "entropy": 0.999, "confidence": 0.97, "nearest": 1.0, "diversity": 1.0}
CEILING = {"frechet": 310.0, "kernel": 12.0, "kernel_low": 11.0, "kernel_high": 13.0, "cross_frechet": 290.0}
CEILING |= {"classes": 2, "entropy": 0.2, "confidence": 0.6, "nearest": 3.0, "diversity": 0.1}
MEASURED_EVERY = 2
WAYS = ("moving", "batch", "recalibrated")
COLUMNS = (
    *("epoch", "d_loss", "g_loss"),
    *(f"{kind}_{way}" for kind in ("frechet", "kernel", "cross_frechet") for way in WAYS),
    *("classes", "entropy", "confidence", "nearest", "diversity", "seconds", "measure_seconds"),
)


def specification(arms: list[str], pairs: list[tuple[str, str]], seeds: int, epochs: int) -> dict[str, Any]:
    settings = {"normalize": "batch", "initial_scale": 1.0, "learning_rate": 1e-4, "options": {}}
    return {
        "recipe": "gan",
        "options": {"noise": 100},
        "arms": [{"name": arm, **settings, **ARMS.get(arm, {})} for arm in arms],
        "pairs": [{"arm": arm, "baseline": baseline} for arm, baseline in pairs],
        "seeds": list(range(seeds)),
        "data": {
            "name": "made-up",
            "sha256": "ab" * 32,
            "train": 1000,
            "val": 500,
            "test": 0,
            "input_shape": [28, 28, 1],
            "classes": 10,
            "majority": 1 / 10,
        },
        "epochs": epochs,
        "batch_size": 10,
        "optimizer": "adam",
        "threads": 1,
        "versions": {"python": "3.11", "evenbatch": "0"},
        "backend": "tensorflow",
        "adversarial": {
            "beta_1": 0.5,
            "ema": 0.999,
            "statistics": "moving",
            "measure_every": MEASURED_EVERY,
            "samples": 500,
            "resize": None,
            "judge": JUDGE,
        },
    }


def history(arm: str, seed: int, epochs: int, collapsed: int | None = None) -> list[dict[str, Any]]:
    """Distances that fall to the arm's level; moving statistics lag behind; images are alike from `collapsed` on."""
    rows = []
    for epoch in range(1, epochs + 1):
        alike = collapsed is not None and epoch >= collapsed
        row = {"epoch": epoch, "d_loss": 1.2 - 0.03 * seed, "g_loss": 0.8 + 0.1 * seed + 0.05 * (epoch % 2)}
        measured = epoch % MEASURED_EVERY == 0 or epoch == epochs
        if measured:
            level = 150.0 if alike else TENDS_TO.get(arm, 60.0) * (1 + 0.03 * seed)
            row |= _verdict(arm, level + (START - level) * 0.6**epoch, epoch, alike)
        rows.append({**row, "seconds": 1.0 + 0.01 * seed, "measure_seconds": 0.5 if measured else None})
    return rows


def _verdict(arm: str, distance: float, epoch: int, alike: bool) -> dict[str, float]:
    lag = 0.0 if arm == "none" else 0.8 * 0.8**epoch
    ways = {"moving": distance * (1 + lag), "batch": distance, "recalibrated": distance * (1 - lag / 10)}
    return {
        **{f"frechet_{way}": value for way, value in ways.items()},
        **{f"kernel_{way}": value / 30 for way, value in ways.items()},
        **{f"cross_frechet_{way}": value * 0.9 for way, value in ways.items()},
        "classes": 1 if alike else 10,
        "entropy": 0.01 if alike else 0.97,
        "confidence": 0.9,
        "nearest": 0.9,
        "diversity": 0.01 if alike else 0.8,
    }


def write_trial(folder: Path, arm: str, seed: int, outcome: str, epochs: int) -> None:
    """A trial that finished, collapsed half-way, or diverged in its second epoch or its first; or failed."""
    collapsed = max(1, epochs // 2) if outcome == "collapsed" else None
    rows = [] if outcome == "failed" else history(arm, seed, epochs, collapsed)
    if outcome == "diverged":
        rows = rows[:2]
        rows[-1] |= {name: math.nan for name in COLUMNS[1:-2]}
    ran = bool(rows)
    verdict = {"judge": JUDGE, "accuracy": 0.98, "cross_accuracy": 0.97, "samples": 500, "floor": FLOOR}
    times = {"step_seconds": 0.02 if len(rows) > 1 else None, "train_seconds": 9.0, "trial_seconds": 12.0}
    record = {
        "arm": arm,
        "seed": seed,
        "outcome": "finished" if outcome == "collapsed" else outcome,
        "epochs": len(rows),
        "error": None if ran else "ValueError: <script>fail()</script> & <b>bold</b>",
        "parameters": 1234 if ran else None,
        "test": None,
        "initial_weights": {},
        "device": "CPU" if ran else None,
        "collapsed": collapsed,
        "yardstick": {**verdict, "ceiling": CEILING} if ran else None,
        "timing": times if ran else None,
    }
    where = folder / "trials" / f"{arm}-s{seed}"
    files.write_json(where / "trial.json", record)
    if ran:
        files.write_csv(where / "history.csv", rows, COLUMNS)
    for row in rows:
        files.write_bytes(where / "grids" / f"epoch-{row['epoch']:03}.png", picture(seed))


def picture(seed: int) -> bytes:
    """A PNG of 16 × 16 grey pixels (https://www.w3.org/TR/png-3/)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16)).astype("uint8")
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
