import importlib.util

import pytest

from evenbatch import backend
from evenbatch.errors import BackendUnavailable


@pytest.fixture
def keras_not_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(backend, "_loaded", lambda: None)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    return tmp_path


def test_the_default_is_tensorflow(keras_not_loaded):
    assert backend.chosen() == "tensorflow"


def test_the_settings_file_of_keras_is_read(keras_not_loaded):
    (keras_not_loaded / "keras.json").write_text('{"backend": "jax"}')
    assert backend.chosen() == "jax"


def test_the_environment_goes_before_the_settings_file(keras_not_loaded, monkeypatch):
    (keras_not_loaded / "keras.json").write_text('{"backend": "jax"}')
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert backend.chosen() == "torch"


def test_a_damaged_settings_file_means_the_default(keras_not_loaded):
    (keras_not_loaded / "keras.json").write_text("{")
    assert backend.chosen() == "tensorflow"


def test_a_backend_that_is_not_installed_says_what_to_install(keras_not_loaded, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(BackendUnavailable, match=r"not installed: pip install 'evenbatch\[jax\]'"):
        backend.chosen()


def test_another_backend_is_refused(keras_not_loaded, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "openvino")
    with pytest.raises(BackendUnavailable, match="unknown Keras backend 'openvino', allowed: tensorflow, jax, torch"):
        backend.chosen()


def test_versions_name_what_numbers_depend_on():
    assert set(backend.versions()) == {"python", "evenbatch", "keras", "numpy", backend.chosen()}
    assert "unknown" not in backend.versions().values()
