import subprocess
import sys

import pytest

import evenbatch as eb


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    import os

    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_every_public_name_is_there_and_sorted():
    assert eb.__all__ == sorted(eb.__all__)
    for name in eb.__all__:
        assert getattr(eb, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'BatchNormalisation'"):
        eb.BatchNormalisation  # noqa: B018


def test_importing_the_package_registers_the_layer_with_keras():
    done = run("import evenbatch, keras; print(keras.saving.get_registered_object('evenbatch>BatchNormalization'))")
    assert "BatchNormalization" in done.stdout, done.stderr


def test_importing_the_package_loads_no_study():
    done = run("import evenbatch, sys; print({'altair', 'pydantic', 'typer'} & set(sys.modules))")
    assert done.stdout.strip() == "set()", done.stderr


def test_a_backend_that_is_none_of_ours_is_refused_in_one_sentence():
    done = run("import evenbatch", KERAS_BACKEND="numpy")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "evenbatch.errors.BackendUnavailable: unknown Keras backend 'numpy', allowed: tensorflow, jax, torch; "
        "set KERAS_BACKEND to one of them"
    )


def test_without_the_extra_the_error_says_what_to_install():
    done = run(
        "import sys; sys.modules['joblib'] = None; sys.modules['filelock'] = None; import evenbatch as eb; eb.compare"
    )
    assert done.stderr.splitlines()[-1].endswith("which is not installed: pip install 'evenbatch[lab]'")
    done = run(
        "import sys; sys.modules['typer'] = None; sys.argv = ['evenbatch']; from evenbatch.cli import main; main()"
    )
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "Error: the command line needs 'typer', which is not installed: pip install 'evenbatch[lab]'"
    )
