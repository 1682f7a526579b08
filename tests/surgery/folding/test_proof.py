"""A fold that is wrong anywhere is found, where the outputs of the whole would not show it."""

import keras
import numpy as np
import pytest
from folds import NORM, chain, filled, norms, outputs

import evenbatch as eb
from evenbatch.errors import BrokenPromise
from evenbatch.surgery import folding
from evenbatch.surgery.folding import linear, proof

layers = keras.layers
BACKEND = keras.backend.backend()


def deep():
    """A net with 21 normalizations whose outputs hardly depend on its first layers."""
    keras.utils.set_random_seed(0)
    parts = []
    for i in range(7):
        parts += [layers.Conv2D(8, 1, use_bias=False), NORM(name=f"expand_{i}"), layers.ReLU(6.0)]
        parts += [layers.DepthwiseConv2D(3, padding="same", use_bias=False), NORM(name=f"middle_{i}"), layers.ReLU(6.0)]
        parts += [layers.Conv2D(4, 1, use_bias=False), NORM(name=f"project_{i}")]
    x = inputs = keras.Input((8, 8, 3))
    for part in parts:
        x = part(x)
    return keras.Model(inputs, 1e-5 * layers.GlobalAveragePooling2D()(x) + 1.0)


def realistic(model, seed=0):
    """Statistics as of a pass in training, 20 % off."""
    draw = np.random.default_rng(seed)
    for norm in norms(model):
        norm.momentum = 0.0
    model(draw.normal(size=(16, *model.input_shape[1:])).astype("float32"), training=True)
    for norm in norms(model):
        norm.momentum = 0.99
        norm.set_weights([w * draw.uniform(0.8, 1.2, w.shape) for w in norm.get_weights()])
    return model


def plant(monkeypatch, name, fault):
    """Lets `fold` see another affine map in one normalization."""
    affine_of = folding.plan.affine_of

    def faulty(layer, path):
        found = affine_of(layer, path)
        return fault(found) if layer.name == name else found

    monkeypatch.setattr(folding.plan, "affine_of", faulty)


FAULTS = {
    "gamma times -2": lambda one: type(one)(-2 * one.scale, one.shift),
    "no shift": lambda one: one.unshifted(),
    "one channel of eight 1 % off": lambda one: type(one)(one.scale * np.r_[1.01, np.ones(7)], one.shift),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_fold_in_an_early_layer_is_found(monkeypatch, fault):
    model = realistic(deep())
    plant(monkeypatch, "middle_0", FAULTS[fault])
    with pytest.raises(BrokenPromise, match=r"middle_0.* folded gives other values"):
        eb.fold(model)


def test_the_outputs_alone_would_not_have_shown_it(monkeypatch):
    model = realistic(deep())
    plant(monkeypatch, "middle_0", FAULTS["gamma times -2"])
    monkeypatch.setattr(proof, "_difference_in", lambda *_: 0.0)
    _, report = eb.fold(model, return_report=True)
    assert report.largest_difference < 1e-4


@pytest.mark.parametrize("where", ["_scale_outputs", "_scale_inputs", "_response"])
def test_a_kernel_scaled_along_the_wrong_axis_is_found(monkeypatch, where):
    kind = linear._KINDS[layers.Dense]
    right = getattr(kind, where)

    def wrong(self, values):
        return right(self, values[::-1])

    monkeypatch.setattr(kind, where, wrong)
    parts = [layers.Dense(4)] if where == "_scale_outputs" else [layers.ReLU()]
    with pytest.raises(BrokenPromise, match=r"norm.* folded gives other values at"):
        eb.fold(chain((4,), *parts, NORM(name="norm"), layers.Dense(4)))


def test_a_model_connected_in_another_way_is_found(monkeypatch):
    rebuild = folding.rebuild

    def wrong(model, replace, carry):
        rebuilt = rebuild(model, replace, carry)
        object.__setattr__(rebuilt, "model", keras.Sequential([rebuilt.model, layers.ReLU()]))
        return rebuilt

    monkeypatch.setattr(folding, "rebuild", wrong)
    with pytest.raises(BrokenPromise, match="connected in another way"):
        eb.fold(chain((4,), layers.Dense(3), NORM()))


def test_a_weight_that_should_have_stayed_is_found(monkeypatch):
    rebuild = folding.rebuild

    def wrong(model, replace, carry):
        rebuilt = rebuild(model, replace, carry)
        rebuilt.model.get_layer("last").kernel.assign(np.ones((3, 2)))
        return rebuilt

    monkeypatch.setattr(folding, "rebuild", wrong)
    with pytest.raises(BrokenPromise, match=r"another value of last/kernel"):
        eb.fold(chain((4,), layers.Dense(3), NORM(), layers.ReLU(), layers.Dense(2, name="last")))


def mobilenet():
    return keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), classes=3)


# JAX compiles each of its 150 operations by itself, which takes half a minute.
@pytest.mark.parametrize("make", [deep] if BACKEND == "jax" else [deep, mobilenet])
def test_places_agree_where_the_net_is_run_on_data(make):
    model = realistic(make())
    new, report = eb.fold(model, return_report=True)
    assert (len(report.folded()), norms(new)) == (len(norms(model)), [])
    ends = [(model.get_layer(one.path).output, new.get_layer(one.into[0]).output) for one in report.folded()]
    before, after = (
        outputs(keras.Model(one.input, list(places)))
        for one, places in zip((model, new), zip(*ends, strict=True), strict=True)
    )
    for one, other in zip(after, before, strict=True):
        assert np.abs(one - other).max() < 1e-4 * np.abs(other).max()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="texts are tensors on TensorFlow alone")
def test_a_model_without_inputs_that_could_be_made_up_is_checked_by_its_parts():
    inputs = keras.Input((None,), dtype="string")
    table = layers.StringLookup(vocabulary=["b", "c"], oov_token=None, num_oov_indices=0)
    codes = layers.Embedding(4, 3)(table(inputs))
    model = filled(keras.Model(inputs, NORM(name="norm")(layers.Dense(3)(codes))))
    _, report = eb.fold(model, return_report=True)
    assert report.largest_at_places < 1e-5
    assert report.largest_difference is None
