"""The networks of the mission: each a function of (input shape, classes, normalize) to a Keras model.

`RECIPES` is the list that the command line shows; the file of each network imports Keras, so it is loaded when it is
built.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evenbatch.errors import InvalidArgument, unknown

if TYPE_CHECKING:
    from evenbatch.datasets import Inputs  # for its name alone: this list is shown by --help, which loads no NumPy

Optimizer = Literal["sgd", "momentum", "adam"]
Task = Literal["classification", "adversarial"]


@dataclass(frozen=True)
class Preset:
    """Settings of a recipe for an occasion; what a user gives goes before them."""

    summary: str
    learning_rate: float
    batch_size: int
    epochs: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A network, what it is fed, and the settings that it is trained with unless told otherwise.

    `inputs` is "vector" (n, features) or "image" (n, height, width, channels), an image at least `smallest` pixels high
    and wide; pixels come in [0, 1], for an adversarial task in [-1, 1]. `presets` are named settings over these.
    """

    name: str
    summary: str
    inputs: "Inputs"
    optimizer: Optimizer
    learning_rate: float
    batch_size: int
    epochs: int
    smallest: int = 1
    task: Task = "classification"
    presets: Mapping[str, "Preset"] = field(default_factory=dict)

    @property
    def build(self) -> Callable[..., Any]:
        """The function of (input_shape, classes, normalize, **options) to a Keras model."""
        module = importlib.import_module(f"evenbatch.recipes.{self.name}")
        build: Callable[..., Any] = getattr(module, self.name)
        return build

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Builds the network; loads Keras only then."""
        return self.build(*args, **options)

    def check_shape(self, input_shape: tuple[int, ...]) -> None:
        """Refuses examples of another shape than the network is fed, and images that are too small for it."""
        if len(input_shape) != (3 if self.inputs == "image" else 1):
            wanted = "(height, width, channels)" if self.inputs == "image" else "(features,)"
            raise InvalidArgument(f"the recipe {self.name!r} needs examples of shape {wanted}, received {input_shape}")
        if self.inputs == "image" and min(input_shape[:2]) < self.smallest:
            raise InvalidArgument(
                f"the recipe {self.name!r} needs images of at least {self.smallest}×{self.smallest}, received "
                f"{input_shape[0]}×{input_shape[1]}; choose another recipe or larger images"
            )

    def preset(self, name: str) -> Preset:
        """The settings of that name.

        Raises:
            InvalidArgument: the recipe has none of that name.
        """
        if not self.presets:
            raise InvalidArgument(f"the recipe {self.name!r} has no presets, received {name!r}; leave it out")
        if name not in self.presets:
            raise unknown(f"preset of the recipe {self.name!r}", name, self.presets)
        return self.presets[name]

    def option_names(self) -> list[str]:
        """The options that the network has."""
        return [name for name, p in inspect.signature(self.build).parameters.items() if p.kind is p.KEYWORD_ONLY]

    def check_options(self, options: dict[str, Any]) -> None:
        """Refuses an option that the network does not have."""
        allowed = self.option_names()
        for name in options:
            if not allowed:
                raise InvalidArgument(f"the recipe {self.name!r} has no options, received {name!r}; leave it out")
            if name not in allowed:
                raise unknown(f"option of the recipe {self.name!r}", name, allowed)


QUICK = Preset(
    "a small generator that learns the digits, resized to 28×28, within minutes on 2 cores",
    learning_rate=5e-4,
    batch_size=64,
    epochs=100,
    options={"width": 32, "dropout": 0.3, "resize": 28},
)

RECIPES = {
    recipe.name: recipe
    for recipe in [
        Recipe("mlp", "Dense(64), the layer, relu, softmax", "vector", "adam", 1e-3, 32, 5),
        Recipe("sigmoid", "three layers of 100 sigmoids (Ioffe & Szegedy 2015, 4.1)", "vector", "sgd", 0.1, 60, 60),
        Recipe("cnn", "Conv2D(32, 3), the layer, relu, max pooling, softmax", "image", "adam", 1e-3, 64, 5, 4),
        Recipe(
            "regularized",
            "Dense(64), the layer, relu, Dropout(0.5), twice; L2 by option",
            "vector",
            "adam",
            1e-3,
            32,
            20,
        ),
        Recipe(
            "resnet20",
            "the residual net of 20 layers for small images (He et al. 2015)",
            "image",
            "momentum",
            0.1,
            128,
            30,
            4,
        ),
        Recipe(
            "gan",
            "a DCGAN for 28×28 and 32×32 pixels, the layer in generator and discriminator (Radford et al. 2016)",
            "image",
            "adam",
            1e-4,
            256,
            100,
            task="adversarial",
            presets={"quick": QUICK},
        ),
    ]
}
CLASSIFIERS = {name: recipe for name, recipe in RECIPES.items() if recipe.task == "classification"}


def get(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        InvalidArgument: there is none; the sentence suggests the nearest.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
