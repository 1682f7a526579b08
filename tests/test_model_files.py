"""Models in files: what is refused, and that nothing is left half written."""

import os
import zipfile

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch import model_files
from evenbatch.errors import InvalidArgument, StorageError, UnsupportedModel

layers = keras.layers


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3), eb.BatchNormalization()])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.keras"


def test_what_is_written_is_read_again(model, path):
    model_files.write(model, path)
    again = model_files.read(path)
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert os.listdir(path.parent) == ["m.keras"]


@pytest.mark.parametrize("name", ["m.h5", "m", "m.keras.zip"])
def test_only_keras_files_are_read(tmp_path, name):
    with pytest.raises(InvalidArgument, match=f"must be a file that ends in .keras, received '.*{name}'"):
        model_files.read(tmp_path / name)


def test_a_missing_file_is_named(path):
    with pytest.raises(StorageError, match=r"m.keras does not exist; name a .keras file"):
        model_files.read(path)


@pytest.mark.parametrize("keep", [0, 10, 3000])
def test_a_file_that_was_cut_off_is_named(model, path, keep):
    model.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StorageError, match=r"is no .keras file, or it was cut off"):
        model_files.read(path)


def test_a_file_with_a_flipped_byte_is_named(model, path):
    model.save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"HDF") + 200] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(StorageError, match=r"is damaged \(in model.weights.h5\); save or copy it again"):
        model_files.read(path)


def test_any_other_archive_is_named(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "mine")
    with pytest.raises(StorageError, match=r"is damaged \(in config.json, missing\)"):
        model_files.read(path)


def with_lambda():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Lambda(lambda x: x * 2)(inputs))


def test_code_in_a_file_is_not_loaded_unless_asked_for(path):
    with_lambda().save(path)
    with pytest.raises(UnsupportedModel, match=r"holds a Lambda layer.*where you trust the file, pass --unsafe"):
        model_files.read(path)
    assert model_files.read(path, unsafe=True).layers[1](np.ones((1, 4))).shape == (1, 4)


class Unknown(layers.Layer):
    def call(self, x):
        return x


def test_a_class_that_nobody_registered_is_named_with_what_to_do(path):
    keras.Sequential([keras.Input((4,)), Unknown()]).save(path)
    with pytest.raises(UnsupportedModel, match=r"holds 'Unknown', which is not known here.*--import"):
        model_files.read(path)


@pytest.mark.parametrize("name", ["m.h5", "out", "m.keras.zip"])
def test_an_output_of_another_format_is_refused(tmp_path, name):
    with pytest.raises(InvalidArgument, match=r"the output must be a file that ends in .keras"):
        model_files.require_free(tmp_path / name, force=True)


def test_a_file_that_exists_is_kept_unless_told_otherwise(path):
    path.write_text("mine")
    with pytest.raises(StorageError, match=r"m.keras exists; choose another name, or replace it with --force"):
        model_files.require_free(path, force=False)
    model_files.require_free(path, force=True)


def test_a_directory_is_never_replaced(path):
    path.mkdir()
    with pytest.raises(StorageError, match="is a directory"):
        model_files.require_free(path, force=True)


@keras.saving.register_keras_serializable("tests")
class MakesKerasLayer(layers.Layer):
    """Whatever it is given later, its configuration makes Keras' layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = layers.BatchNormalization()

    def build(self, shape):
        self.norm.build(shape)

    def call(self, x):
        return self.norm(x)


def test_a_file_that_would_not_hold_the_model_is_not_written(path):
    inputs = keras.Input((4,))
    with pytest.warns(UserWarning, match="makes its normalization in its own constructor"):
        new = eb.upgrade(keras.Model(inputs, MakesKerasLayer()(inputs)))
    path.write_text("mine")
    with pytest.raises(UnsupportedModel, match="was not written, since it would not hold the new model"):
        model_files.write(new, path)
    assert (path.read_text(), os.listdir(path.parent)) == ("mine", ["m.keras"])


def test_the_optimizer_of_a_model_that_never_trained_is_no_warning(model, path):
    model.compile("adam", "mse")
    model.save(path)
    assert model_files.read(path).compiled  # a warning would be an error here
