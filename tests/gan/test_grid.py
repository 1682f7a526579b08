import numpy as np
import pytest
from PIL import Image

from evenbatch.gan import grid


def test_images_stand_in_rows_with_a_gap_enlarged_by_a_whole_number():
    images = np.stack([np.full((28, 28, 1), value, "float32") for value in np.linspace(-1, 1, 16)])
    sheet = grid.grid(images)
    side = 4 * 28 + 3 * grid.GAP
    factor = sheet.shape[0] // side
    assert sheet.shape == (factor * side, factor * side)
    assert sheet.shape[1] >= grid.LEAST_PIXELS
    small = sheet[::factor, ::factor]
    assert small[0, 0] == 0
    assert small[-1, -1] == 255
    assert (small[28:30] == 255).all()
    assert small[0, 30] == round(255 / 15)


def test_colours_are_kept_and_what_is_no_number_is_grey():
    images = np.full((2, 4, 4, 3), -1, "float32")
    images[0, ..., 0] = 1
    images[1] = np.nan
    sheet = grid.grid(images)
    assert sheet[0, 0].tolist() == [255, 0, 0]
    assert sheet[0, -1].tolist() == [128, 128, 128]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_film_shows_every_grid(tmp_path, channels):
    pages = []
    for number in range(3):
        pages.append(tmp_path / f"{number}.png")
        grid.write_png(pages[-1], np.full((4, 8, 8, channels), number / 2 - 0.5, "float32"))
    grid.write_animation(tmp_path / "film.gif", pages)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3
        assert film.info["loop"] == 0
