"""The yardstick on small images, with judges whose weights are drawn and not trained."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from evenbatch.datasets import Part, prepare
from evenbatch.errors import InvalidArgument, InvalidData
from evenbatch.gan.yardstick import Yardstick, collapsed, columns
from evenbatch.gan.yardstick.judge import Classifier, Judge
from evenbatch.gan.yardstick.network import network
from evenbatch.gan.yardstick.training import _initial

MARKS = {
    *("frechet", "kernel", "kernel_low", "kernel_high", "cross_frechet"),
    *("classes", "entropy", "confidence", "nearest", "diversity"),
}


def drawn(normalized, seed):
    rng = np.random.default_rng(seed)
    weights = network((8, 8, 1), 3, normalized=normalized).get_weights()
    return Classifier((8, 8, 1), 3, normalized, tuple(_initial(weight, rng) for weight in weights), 0.9)


@pytest.fixture(scope="module")
def dataset():
    """Stripes at three places, with noise."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    x = rng.normal(0.3, 0.1, (240, 8, 8)) + 0.3 * (np.arange(8) % 3 == y[:, None])[:, :, None]
    found = prepare("stripes", {"x_train": np.clip(x, 0, 1).astype("float32"), "y_train": y}, "image")
    return replace(found, train=Part(2 * found.train.x - 1, found.train.y), val=Part(2 * found.val.x - 1, found.val.y))


@pytest.fixture(scope="module")
def judge():
    return Judge(drawn(True, 1), drawn(False, 2))


@pytest.fixture(scope="module")
def yardstick(dataset, judge):
    return Yardstick(dataset, judge, samples=40)


def noise(yardstick, seed=5):
    return np.random.default_rng(seed).uniform(-1, 1, yardstick._shape).astype("float32")


def test_floor_and_ceiling_have_every_mark(yardstick):
    assert set(yardstick.floor) == set(yardstick.ceiling) == MARKS
    assert all(np.isfinite(list(mark.values())).all() for mark in (yardstick.floor, yardstick.ceiling))


@pytest.mark.parametrize("distance", ["frechet", "kernel", "cross_frechet"])
def test_held_out_images_are_nearer_than_noise(yardstick, distance):
    assert 3 * yardstick.floor[distance] < yardstick.ceiling[distance]


def test_the_floor_of_the_kernel_distance_is_nothing_within_its_interval(yardstick):
    assert yardstick.floor["kernel_low"] < 0 < yardstick.floor["kernel_high"]
    assert yardstick.ceiling["kernel_low"] > 0


def test_held_out_images_are_as_far_from_the_training_images_as_they_are(yardstick):
    assert yardstick.floor["nearest"] == 1.0


def test_a_set_is_as_large_as_the_smallest_part_allows(dataset, judge):
    assert Yardstick(dataset, judge, samples=1000).samples == len(dataset.val) == 48
    assert Yardstick(dataset, judge, samples=10).samples == 10


def test_a_row_has_the_columns_in_order(yardstick):
    row = yardstick.measure({"moving": noise(yardstick, 1), "batch": noise(yardstick, 2)})
    assert list(row) == columns(["moving", "batch"]) == [
        *("frechet_moving", "frechet_batch", "kernel_moving", "kernel_batch"),
        *("kernel_low_moving", "kernel_low_batch", "kernel_high_moving", "kernel_high_batch"),
        *("cross_frechet_moving", "cross_frechet_batch"),
        *("classes", "entropy", "confidence", "nearest", "diversity"),
    ]  # fmt: skip


def test_each_mode_is_measured_by_itself(yardstick):
    one, other = noise(yardstick, 1), noise(yardstick, 2)
    row = yardstick.measure({"moving": one, "batch": other})
    assert row["frechet_moving"] == yardstick.measure({"moving": one})["frechet_moving"]
    assert row["frechet_batch"] == yardstick.measure({"moving": other})["frechet_moving"]
    assert row["diversity"] == yardstick.measure({"moving": one})["diversity"]


def test_the_same_array_is_measured_once(yardstick, monkeypatch):
    calls, judged = [], Yardstick._judged
    monkeypatch.setattr(Yardstick, "_judged", lambda self, x, **k: calls.append(1) or judged(self, x, **k))
    images = noise(yardstick)
    row = yardstick.measure({"moving": images, "batch": images, "recalibrated": images})
    assert row["kernel_moving"] == row["kernel_batch"] == row["kernel_recalibrated"]
    assert len(calls) == 1


def test_more_noise_is_farther(yardstick, dataset):
    real, some = dataset.val.x[:40], np.random.default_rng(0).normal(size=(40, 8, 8, 1))
    rows = [yardstick.measure({"moving": real + share * some}) for share in (0.0, 0.2, 0.5, 1.0)]
    for distance in ("frechet_moving", "cross_frechet_moving"):
        assert np.all(np.diff([row[distance] for row in rows]) > 0)


def test_the_order_of_images_does_not_matter(yardstick):
    images = noise(yardstick)
    one, other = yardstick.measure({"moving": images}), yardstick.measure({"moving": images[::-1]})
    assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-4, abs=1e-6)


def test_copies_of_training_images_are_found(yardstick, dataset):
    assert yardstick.measure({"moving": dataset.train.x[40:80]})["nearest"] < 1e-3


def test_one_image_many_times_is_collapsed(yardstick, dataset):
    row = yardstick.measure({"moving": np.repeat(dataset.val.x[:1], 40, axis=0)})
    assert row["diversity"] < 1e-6
    assert row["classes"] == 1
    assert collapsed(row)


def test_real_images_are_not_collapsed(yardstick):
    assert not collapsed(yardstick.floor)


@pytest.mark.parametrize("row", [{"diversity": None}, {"diversity": float("nan")}, {}])
def test_what_was_not_measured_is_not_collapsed(row):
    assert not collapsed(row)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_that_are_not_finite_measure_as_nothing(yardstick, value):
    images = noise(yardstick)
    images[3, 2, 1, 0] = value
    row = yardstick.measure({"moving": images, "batch": images.copy()})
    assert list(row) == columns(["moving", "batch"])
    assert np.isnan(list(row.values())).all()


def test_a_mode_that_is_not_finite_leaves_the_others_alone(yardstick):
    row = yardstick.measure({"moving": np.full_like(noise(yardstick), np.nan), "batch": noise(yardstick)})
    assert np.isnan([row["frechet_moving"], row["diversity"]]).all()
    assert np.isfinite(row["frechet_batch"])


def test_values_beyond_the_range_are_no_trouble(yardstick):
    assert np.isfinite(list(yardstick.measure({"moving": 1e30 * noise(yardstick)}).values())).all()


def test_two_yardsticks_of_the_same_data_measure_the_same(yardstick, dataset, judge):
    again = pickle.loads(pickle.dumps(Yardstick(dataset, judge, samples=40)))
    assert again.describe() == yardstick.describe()
    assert again.measure({"moving": noise(yardstick)}) == yardstick.measure({"moving": noise(yardstick)})


def test_it_describes_itself_for_a_record(yardstick, judge):
    assert yardstick.describe() == {
        "judge": judge.sha256,
        "accuracy": 0.9,
        "cross_accuracy": 0.9,
        "samples": 40,
        "floor": yardstick.floor,
        "ceiling": yardstick.ceiling,
    }


@pytest.mark.parametrize("shape", [(39, 8, 8, 1), (40, 8, 8), (40, 8, 8, 3)])
def test_sets_of_another_size_are_refused(yardstick, shape):
    with pytest.raises(InvalidArgument, match=r"'moving' must have the shape \(40, 8, 8, 1\), received"):
        yardstick.measure({"moving": np.zeros(shape)})


def test_no_mode_at_all_is_refused(yardstick):
    with pytest.raises(InvalidArgument, match="at least one mode, received none"):
        yardstick.measure({})


@pytest.mark.parametrize("samples", [0, 2.5, True])
def test_samples_must_be_a_count(dataset, judge, samples):
    with pytest.raises(InvalidArgument, match="samples must be an integer of at least 1"):
        Yardstick(dataset, judge, samples)


def test_too_few_images_are_refused(dataset, judge):
    few = replace(dataset, val=Part(dataset.val.x[:2], dataset.val.y[:2]))
    with pytest.raises(InvalidData, match="at least 3 images to be compared, received 2"):
        Yardstick(few, judge)
