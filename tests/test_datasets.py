import zipfile

import numpy as np
import pytest

from evenbatch import datasets
from evenbatch.errors import InvalidArgument, InvalidData


def raw(**changes):
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.integers(0, 256, (40, 6, 6)).astype("uint8"), "y_train": np.arange(40) % 4}
    return {**arrays, **changes}


def saved(path, arrays):
    np.savez(path, **arrays)
    return path


def test_digits_are_the_1797_real_images():
    data = datasets.load("digits", "vector")
    assert (len(data.train), len(data.val), data.test, data.classes) == (1438, 359, None, 10)
    assert data.train.x.dtype == np.float32
    assert (data.train.x.min(), data.train.x.max()) == (0.0, 1.0)
    assert datasets.load("digits", "image").input_shape == (8, 8, 1)


def test_the_validation_split_is_fixed_and_takes_nothing_twice():
    first, second = (datasets.prepare("a", raw(), "vector") for _ in range(2))
    np.testing.assert_array_equal(first.val.x, second.val.x)
    assert len(first.train) + len(first.val) == 40
    rows = {row.tobytes() for row in np.concatenate([first.train.x, first.val.x])}
    assert len(rows) == 40


def test_a_file_with_its_own_validation_part_keeps_it(tmp_path):
    extra = {"x_val": np.zeros((5, 6, 6), "uint8"), "y_val": np.zeros(5, int)}
    data = datasets.load(saved(tmp_path / "f.npz", raw(**extra)), "vector")
    assert (data.name, len(data.train), len(data.val)) == ("f", 40, 5)


@pytest.mark.parametrize(
    ("x", "scale"),
    [
        (np.full((40, 6, 6), 255, "uint8"), 255),
        (np.full((40, 6, 6), 255.0), 255),
        (np.full((40, 6, 6), 255, "int64"), 255),
        (np.full((40, 6, 6), 0.5), 1),
        (np.full((40, 6, 6), -3.0), 1),
        (np.full((40, 36), 200.0), 1),
    ],
)
def test_pixels_are_scaled_to_the_unit_interval_and_other_numbers_stay(x, scale):
    data = datasets.prepare("a", raw(x_train=x), "vector")
    np.testing.assert_allclose(data.train.x.max(), x.max() / scale, rtol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [np.arange(40) % 4, (np.arange(40) % 4)[:, None], 10 + np.arange(40) % 4, np.array(list("abcd"))[np.arange(40) % 4],
     (np.arange(40) % 4).astype("float32")],
)  # fmt: skip
def test_labels_of_either_shape_and_any_values_become_codes(labels):
    data = datasets.prepare("a", raw(y_train=labels), "vector")
    assert data.classes == 4
    assert set(np.concatenate([data.train.y, data.val.y])) == {0, 1, 2, 3}
    assert data.train.y.dtype == np.int32


@pytest.mark.parametrize(
    ("shape", "inputs", "expected"),
    [((6, 6), "vector", (36,)), ((6, 6), "image", (6, 6, 1)), ((6, 6, 3), "image", (6, 6, 3)), ((9,), "vector", (9,))],
)
def test_examples_take_the_form_that_the_recipe_is_fed(shape, inputs, expected):
    assert datasets.prepare("a", raw(x_train=np.zeros((40, *shape), "uint8")), inputs).input_shape == expected


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x_train": np.zeros((40, 9))}, "this recipe needs images"),
        ({"x_train": np.full((40, 6, 6), np.nan)}, "x_train holds 1,440 values that are NaN"),
        ({"x_train": np.full((40, 6, 6), np.inf)}, "x_train holds 1,440 values that are NaN, infinite"),
        ({"x_train": np.full((40, 6, 6), 1e300)}, "beyond float32"),
        ({"x_train": np.zeros((0, 6, 6)), "y_train": np.zeros(0)}, "x_train must be a non-empty array"),
        ({"x_train": np.zeros(40)}, "x_train must be a non-empty array"),
        ({"x_train": np.zeros((40, 6, 6), complex)}, "x_train must hold real numbers, received dtype complex128"),
        ({"y_train": np.arange(39)}, r"y_train must hold one label for each of the 40 examples"),
        ({"y_train": np.eye(4)[np.arange(40) % 4]}, "one-hot labels become such by argmax"),
        ({"y_train": np.zeros(40, int)}, "y_train must hold at least two classes, received one alone: 0"),
        ({"y_train": np.linspace(0, 1, 40)}, "y_train must hold class labels"),
        ({"y_train": np.where(np.arange(40) % 2, np.inf, 1.0)}, "y_train must hold class labels"),
        ({"y_train": np.full(40, np.nan)}, "y_train must hold class labels"),
        ({"y_train": np.zeros(40, "datetime64[s]")}, r"received dtype datetime64\[s\]"),
        (
            {"x_val": np.zeros((5, 6, 6), "uint8"), "y_val": np.full(5, 9)},
            "y_val holds labels that y_train does not have: 9",
        ),
        ({"x_val": np.zeros((5, 7, 7), "uint8"), "y_val": np.zeros(5)}, r"x_val must hold examples of shape \(6, 6\)"),
        ({"x_val": np.zeros((5, 6, 6)), "y_val": np.zeros(5)}, "x_val must have the kind of numbers of x_train"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused_in_one_sentence(changes, sentence):
    with pytest.raises(InvalidData, match=sentence):
        datasets.prepare("a", raw(**changes), "image")


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x_train": np.zeros((4, 2))}, "lacks y_train; it holds x_train"),
        ({"images": np.zeros((4, 2))}, "lacks x_train and y_train; it holds images"),
        ({**raw(), "x_test": np.zeros((4, 6, 6), "uint8")}, "lacks y_test"),
        (
            raw(y_train=np.array([{}] * 40, dtype=object)),
            "y_train is an array of Python objects, which is never unpickled",
        ),
    ],
)
def test_a_file_that_lacks_what_is_needed_is_refused(tmp_path, arrays, sentence):
    with pytest.raises(InvalidData, match=sentence):
        datasets.load(saved(tmp_path / "f.npz", arrays), "vector")


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "f.npz"
    path.write_bytes(b"hello")
    with pytest.raises(InvalidData, match=r"is no \.npz file"):
        datasets.load(path, "vector")


def test_a_damaged_file_is_refused(tmp_path):
    path = saved(tmp_path / "f.npz", raw())
    content = bytearray(path.read_bytes())
    content[200:260] = b"x" * 60
    path.write_bytes(content)
    with pytest.raises(InvalidData, match="damaged"):
        datasets.load(path, "vector")


@pytest.mark.parametrize("content", [b"no array at all", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8'}"])
def test_a_member_that_is_no_array_is_refused(tmp_path, content):
    path = saved(tmp_path / "f.npz", {"y_train": np.arange(4)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", content)
    with pytest.raises(InvalidData, match=r"x_train is no array|x_train cannot be read"):
        datasets.load(path, "vector")


def test_a_damaged_compressed_file_is_refused(tmp_path):
    path = tmp_path / "f.npz"
    np.savez_compressed(path, **raw())
    content = bytearray(path.read_bytes())
    content[60:120] = b"x" * 60
    path.write_bytes(content)
    with pytest.raises(InvalidData, match="damaged"):
        datasets.load(path, "vector")


def test_a_name_that_no_file_can_have_is_refused():
    with pytest.raises(InvalidData, match="no file can have this name"):
        datasets.load("x" * 5000, "vector")


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(InvalidData, match=r"there is no file 'nowhere\.npz'"):
        datasets.load("nowhere.npz", "vector")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(InvalidArgument, match="did you mean 'mnist'"):
        datasets.load("minst", "vector")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_offline_the_error_names_the_way_out(name, monkeypatch):
    import keras

    def offline():
        raise Exception("URL fetch failure")

    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", offline)
    with pytest.raises(InvalidData, match=f"{name}.*URL fetch failure.*--data FILE"):
        datasets.load(name, "image")


def test_a_download_of_keras_becomes_a_data_set(monkeypatch):
    import keras

    x, y = np.zeros((40, 32, 32, 3), "uint8"), (np.arange(40) % 10)[:, None]
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: ((x, y), (x[:8], y[:8])))
    data = datasets.load("cifar10", "image")
    assert (len(data.train), len(data.val), len(data.test), data.input_shape) == (32, 8, 8, (32, 32, 3))


def test_the_digest_depends_on_every_part():
    digests = {
        datasets.prepare("a", raw(**change), "vector").sha256
        for change in (
            {},
            {"y_train": (np.arange(40) + 1) % 4},
            {"x_test": np.zeros((2, 6, 6), "uint8"), "y_test": np.zeros(2, int)},
        )
    }
    assert len(digests) == 3
