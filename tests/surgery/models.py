"""Models of every kind that surgery meets, small, with weights that nobody would guess."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from evenbatch import graph

Norm = Callable[..., Any]
layers = keras.layers


def sequential(norm: Norm) -> Any:
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, use_bias=False), norm(), layers.ReLU(), layers.Dense(3)]
    )


def built_later(norm: Norm) -> Any:
    """A Sequential model that learns its input's shape from its first batch."""
    model = keras.Sequential([layers.Dense(8), norm(), layers.Dense(3)])
    model(np.zeros((2, 6), "float32"))
    return model


def residual(norm: Norm) -> Any:
    """Branches, a bare operation, another axis, dropout with a seed of its own, a frozen layer."""
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", kernel_regularizer=keras.regularizers.L2(1e-3))(inputs)
    short = x
    x = norm(momentum=0.9, epsilon=1e-4, name="first")(x)
    x = keras.ops.relu(x) + 3.0 + short
    x = norm(axis=1, trainable=False, name="frozen")(x)
    x = layers.Dropout(0.3, seed=7)(x)
    x = norm(scale=False, name="unscaled")(layers.Concatenate()([x, short]))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)), name="residual")


def shared(norm: Norm) -> Any:
    """One encoder with two inputs, one layer used in two models and outside of them, two outputs by name."""
    dense, bn = layers.Dense(6, use_bias=False, name="coder"), norm(name="bn")
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    one = keras.Input((6,))
    encoder = keras.Model(one, bn(dense(one)), name="encoder")
    two = keras.Input((6,))
    other = keras.Model(two, norm(name="own")(bn(two)), name="other")
    joined = layers.Add()([encoder(a), other(encoder(b)), bn(a)])
    outputs = {"score": layers.Dense(1)(joined), "code": layers.Dense(2)(dense(joined))}
    return keras.Model({"a": a, "b": b}, outputs)


def wrapped(norm: Norm) -> Any:
    """A layer in a wrapper, a masked sequence, a nested Sequential."""
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(inputs)
    x = norm(name="masked")(x)
    x = layers.TimeDistributed(norm(name="inner"), name="time")(x)
    x = layers.Bidirectional(layers.GRU(3))(x)
    x = keras.Sequential([layers.Dense(4), norm(name="nested")], name="head")(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def mixed_precision(norm: Norm) -> Any:
    inputs = keras.Input((6,))
    x = norm(dtype="mixed_bfloat16")(layers.Dense(8, dtype="mixed_bfloat16")(inputs))
    return keras.Model(inputs, layers.Dense(3, dtype="float32")(x))


def with_function(norm: Norm) -> Any:
    """A Lambda layer, and a layer whose class nobody registered."""
    inputs = keras.Input((6,))
    x = layers.Lambda(lambda x: 2 * x, name="double")(inputs)
    return keras.Model(inputs, Unregistered(3)(norm()(Unregistered(8)(x))))


class Unregistered(layers.Layer):
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), initializer="glorot_uniform", name="kernel")

    def call(self, x: Any) -> Any:
        return keras.ops.matmul(x, self.kernel)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("surgery")
class Block(layers.Layer):
    """Takes its normalization as an argument: its configuration is the whole of it."""

    def __init__(self, dense: Any, norm: Any, more: Any = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense, self.norm, self.more = dense, norm, {"list": list(more)}

    def build(self, shape: Any) -> None:
        if not self.dense.built:
            self.dense.build(shape)
        shape = self.dense.compute_output_shape(shape)
        for one in (self.norm, *self.more["list"]):
            if not one.built:
                one.build(shape)

    def call(self, x: Any, training: Any = None) -> Any:
        x = self.norm(self.dense(x), training=training)
        for one in self.more["list"]:
            x = one(x, training=training)
        return x

    def compute_output_shape(self, shape: Any) -> Any:
        return self.dense.compute_output_shape(shape)

    def get_config(self) -> dict[str, Any]:
        parts = {"dense": self.dense, "norm": self.norm, "more": self.more["list"]}
        return {**super().get_config(), **{k: keras.saving.serialize_keras_object(v) for k, v in parts.items()}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        parts = {k: keras.saving.deserialize_keras_object(config.pop(k)) for k in ("dense", "norm", "more")}
        return cls(**parts, **config)


@keras.saving.register_keras_serializable("surgery")
class Subclassed(keras.Model):
    """Holds a Functional model and a block, and calls them in its own code."""

    def __init__(self, encoder: Any, block: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder, self.block = encoder, block

    def call(self, x: Any, training: Any = None) -> Any:
        return self.block(self.encoder(x, training=training), training=training)

    def get_config(self) -> dict[str, Any]:
        parts = {"encoder": self.encoder, "block": self.block}
        return {**super().get_config(), **{k: keras.saving.serialize_keras_object(v) for k, v in parts.items()}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        parts = {k: keras.saving.deserialize_keras_object(config.pop(k)) for k in ("encoder", "block")}
        return cls(**parts, **config)


def subclassed(norm: Norm) -> Any:
    inputs = keras.Input((6,))
    encoder = keras.Model(inputs, norm(name="coded")(layers.Dense(4)(inputs)), name="encoder")
    block = Block(layers.Dense(3), norm(name="blocked"), [norm(name="listed"), layers.ReLU()])
    model = Subclassed(encoder, block)
    model(np.zeros((2, 6), "float32"))
    return model


@keras.saving.register_keras_serializable("surgery")
class Scaled(keras.Model):
    """A Functional model of a class with a step of its own, one argument more, and a layer outside of the graph."""

    def __init__(self, *args: Any, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scale = scale
        self.aside = layers.Dense(2, name="aside", trainable=False)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return self.scale * super().compute_loss(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


def functional_subclass(norm: Norm) -> Any:
    inputs = keras.Input((6,))
    model = Scaled(inputs, layers.Dense(3)(norm()(layers.Dense(8)(inputs))), scale=3.0)
    model.aside.build((None, 6))
    return model


KINDS = {make.__name__: make for make in (sequential, built_later, residual, shared, wrapped, mixed_precision)} | {
    make.__name__: make for make in (with_function, subclassed, functional_subclass)
}


def filled(model: Any, seed: int = 0) -> Any:
    """The same model with weights drawn anew."""
    draw = np.random.default_rng(seed)
    model.set_weights([draw.uniform(0.4, 1.6, w.shape) * _signs(draw, w) for w in model.get_weights()])
    return model


def _signs(draw: Any, weight: Any) -> Any:
    """Either sign for kernels; variances are positive."""
    return draw.choice([-1, 1], weight.shape) if weight.ndim > 1 else 1


def inputs_of(model: Any, count: int = 16, seed: int = 0) -> Any:
    """A batch for a model."""
    draw = np.random.default_rng(seed)

    def values(spec: Any) -> Any:
        shape = (count, *spec.shape[1:])
        if keras.backend.is_float_dtype(spec.dtype):
            return draw.normal(size=shape).astype("float32")
        return draw.integers(0, 9, shape).astype(spec.dtype)

    inner = graph.graph_of(model)
    return keras.tree.map_structure(values, inner.input if inner is not None else keras.KerasTensor((None, 6)))


def targets_of(model: Any, x: Any, seed: int = 1) -> Any:
    draw = np.random.default_rng(seed)
    return keras.tree.map_structure(lambda y: draw.normal(size=tuple(y.shape)).astype("float32"), model(x))


def arrays(tensors: Any) -> list[Any]:
    """NumPy arrays of any structure of tensors or variables."""
    return [keras.ops.convert_to_numpy(keras.ops.cast(t, "float32")) for t in keras.tree.flatten(tensors)]
