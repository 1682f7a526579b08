"""What is timed is what it says: each backend's calls give the results of the layers and models that they time."""

import inspect

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.bench import backends
from evenbatch.bench.file_cases import batch, file_arms, with_layer
from evenbatch.bench.layer_cases import layer_arms
from evenbatch.bench.model_cases import batch_size, model_arms
from evenbatch.bench.plan import MODES, FileCase
from evenbatch.errors import UnsupportedModel

NAME = keras.backend.backend()
BACKEND = backends.load(NAME)
MODE = MODES[NAME][0]


def arrays(result):
    """Every array in a result, as NumPy, in order."""
    return [keras.ops.convert_to_numpy(keras.ops.stop_gradient(leaf)) for leaf in keras.tree.flatten(result)]


def as_rows(array, channels_second=False):
    """The same numbers as (positions, channels), whatever rank the arm works in."""
    array = np.moveaxis(array, 1, -1) if channels_second and array.ndim > 1 else array
    return array.reshape(-1, array.shape[-1])


def assert_same(actual, expected, channels_second=False):
    """Outputs and gradients; what follows them, such as moving statistics, not every arm returns."""
    for one, other in zip(actual[:4], expected[:4], strict=True):
        np.testing.assert_allclose(as_rows(one, channels_second), as_rows(other), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "name", [name for name, _ in inspect.getmembers(backends.Backend, inspect.isfunction) if not name.startswith("_")]
)
def test_the_backend_offers_every_function_of_the_contract(name):
    wanted = list(inspect.signature(getattr(backends.Backend, name)).parameters)[1:]
    assert list(inspect.signature(getattr(BACKEND, name)).parameters) == wanted


@pytest.mark.parametrize("shape", [(8, 5, 6, 4), (8, 7, 4), (16, 4)])
@pytest.mark.parametrize("phase", ["training", "inference"])
def test_our_layer_is_timed_doing_what_keras_does(shape, phase):
    arms = layer_arms(BACKEND, shape, "float32", MODE)[phase]
    assert_same(arrays(arms["ours"]()), arrays(arms["keras"]()))


@pytest.mark.skipif(NAME == "jax", reason="JAX has no batch normalization of its own")
@pytest.mark.parametrize("shape", [(8, 5, 6, 4), (8, 7, 4), (16, 4)])
@pytest.mark.parametrize("phase", ["training", "inference"])
def test_the_native_op_is_timed_doing_what_keras_does(shape, phase):
    arms = layer_arms(BACKEND, shape, "float32", MODE)[phase]
    assert_same(arrays(arms["native"]()), arrays(arms["keras"]()), channels_second=NAME == "torch")


@pytest.mark.skipif(NAME != "jax", reason="the others have a batch normalization of their own")
def test_where_the_framework_has_no_op_the_arm_is_left_out():
    arms = layer_arms(BACKEND, (8, 4), "float32", MODE)
    assert [set(calls) for calls in arms.values()] == [{"ours", "keras"}] * 2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_inputs_of_16_bits_give_outputs_of_16_bits(dtype):
    arms = layer_arms(BACKEND, (8, 4), dtype, MODE)["inference"]
    assert keras.backend.standardize_dtype(arms["ours"]().dtype) == dtype


def test_every_arm_of_a_model_trains_from_the_same_weights_to_the_same_loss():
    arms = model_arms(BACKEND, "mlp", "float32", MODE)
    assert set(arms["training"]) == set(arms["inference"]) == {"ours", "keras", "without"}
    outputs = {name: arrays(call())[0] for name, call in arms["inference"].items()}
    np.testing.assert_allclose(outputs["ours"], outputs["keras"], rtol=1e-4, atol=1e-5)
    assert outputs["without"].shape == (batch_size("mlp"), 10)
    losses = {name: arrays(call())[0] for name, call in arms["training"].items()}
    np.testing.assert_allclose(losses["ours"], losses["keras"], rtol=1e-4)


def test_a_model_can_be_stepped_again_and_again():
    step = model_arms(BACKEND, "mlp", "float32", MODE)["training"]["ours"]
    assert np.isfinite([arrays(step())[0] for _ in range(3)]).all()


def test_the_users_dtype_policy_is_left_as_it_was():
    before = keras.config.dtype_policy()
    model_arms(BACKEND, "mlp", "bfloat16", MODE)
    assert keras.config.dtype_policy() == before


def test_copying_is_timed_on_tensors_of_the_size_asked_for():
    copies = BACKEND.copies(64)
    assert copies
    for call in copies.values():
        BACKEND.wait(call())


def test_the_device_is_named():
    device = BACKEND.device()
    assert device.kind in ("cpu", "gpu")
    assert device.name
    assert device.threads >= 1


def own(**settings):
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.BatchNormalization(**settings)])


def saved(model, tmp_path):
    model.save(tmp_path / "own.keras")
    return FileCase(str(tmp_path / "own.keras"), 8)


def test_a_users_model_is_timed_with_both_layers_from_the_same_weights(tmp_path):
    _, arms = file_arms(BACKEND, saved(own(epsilon=0.1), tmp_path), MODE)
    assert [set(calls) for calls in arms.values()] == [{"ours", "keras"}] * 2
    for calls in arms.values():
        ours, theirs = (arrays(calls[arm]())[0] for arm in ("ours", "keras"))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize(("arm", "kind"), [("ours", eb.BatchNormalization), ("keras", keras.layers.BatchNormalization)])
@pytest.mark.parametrize("given", [eb.BatchNormalization, keras.layers.BatchNormalization])
def test_whatever_a_file_holds_each_arm_has_its_layer(arm, kind, given):
    model = keras.Sequential([keras.Input((6,)), given()])
    assert type(with_layer(model, arm, FileCase("own.keras", 8)).layers[0]) is kind


def test_a_users_model_keeps_its_optimizer():
    model = own()
    model.compile(keras.optimizers.AdamW(0.5, weight_decay=0.1), "mae")
    optimizer = with_layer(model, "ours", FileCase("own.keras", 8)).optimizer
    assert isinstance(optimizer, keras.optimizers.AdamW)
    assert optimizer.weight_decay == 0.1
    assert float(optimizer.learning_rate) == pytest.approx(1e-6)


def test_a_batch_has_the_size_that_was_asked_for():
    x, y = batch(own(), FileCase("own.keras", 8), 8)
    assert (tuple(x.shape), tuple(y.shape)) == ((8, 6), (8, 4))


def test_a_model_that_is_made_for_one_size_of_a_batch_says_which(tmp_path):
    model = keras.Sequential([keras.Input(batch_shape=(3, 6)), keras.layers.BatchNormalization()])
    assert file_arms(BACKEND, saved(model, tmp_path), MODE)[0] == 3


def test_a_model_without_normalization_is_refused():
    with pytest.raises(UnsupportedModel, match=r"own.keras holds no batch normalization"):
        with_layer(keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)]), "ours", FileCase("own.keras", 8))
