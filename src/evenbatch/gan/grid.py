"""Images side by side, as PNG, and grids one after the other, as GIF."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evenbatch import files

Array = np.ndarray[Any, np.dtype[Any]]
GAP = 2
LEAST_PIXELS = 320  # a grid of small images is enlarged to at least that width, by a whole number


def grid(images: Array) -> Array:
    """Images in [-1, 1], (n, height, width, 1 or 3), in rows of about √n: uint8 (height, width) or (height, width, 3).

    What is no number is drawn in the middle grey.
    """
    n, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, "uint8")
    for i, pixels in enumerate(to_bytes(images)):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = pixels
    factor = -(-LEAST_PIXELS // sheet.shape[1])
    sheet = sheet.repeat(factor, axis=0).repeat(factor, axis=1)
    return sheet[..., 0] if channels == 1 else sheet


def to_bytes(images: Array) -> Array:
    """Numbers in [-1, 1] as 0 … 255."""
    numbers = np.nan_to_num(np.asarray(images, "float32"), nan=0.0, posinf=1.0, neginf=-1.0)
    return np.asarray(np.clip(np.rint((numbers + 1) * 127.5), 0, 255), "uint8")


def write_png(path: Path, images: Array) -> None:
    """Writes a grid.

    Raises:
        StorageError: it could not be written.
    """
    stream = io.BytesIO()
    Image.fromarray(grid(images)).save(stream, "PNG")
    files.write_bytes(path, stream.getvalue())


def write_animation(path: Path, pages: Sequence[Path], milliseconds: int = 120) -> None:
    """Writes grids as one GIF that repeats, with a longer look at the last.

    Raises:
        StorageError: it could not be written.
    """
    frames = [_read(page) for page in pages]
    shown = [milliseconds] * (len(frames) - 1) + [10 * milliseconds]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=shown, loop=0)
    files.write_bytes(path, stream.getvalue())


def _read(page: Path) -> Image.Image:
    with Image.open(page) as image:
        return image.copy()
