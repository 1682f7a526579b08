"""Which normalizations of a model get new statistics, and why the others keep theirs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from evenbatch import graph
from evenbatch.errors import InvalidArgument, UnsupportedModel
from evenbatch.layers import ConditionalBatchNormalization
from evenbatch.layers.moving_statistics import MovingStatistics
from evenbatch.sites import Site, sites

_KERAS = keras.layers.BatchNormalization
_CALLS = (_KERAS.call, MovingStatistics.call, ConditionalBatchNormalization.call)
_FROZEN = "it is frozen (trainable=False)"


@dataclass(frozen=True)
class Targets:
    """The normalizations of a model.

    Attributes:
        found: All of them.
        kept: By position among these, why the layer keeps its statistics.
        every: Every layer of the model, itself among them.
    """

    found: list[Site]
    kept: dict[int, str]
    every: list[Any]

    @property
    def sites(self) -> list[Site]:
        """Those that get new statistics."""
        return [site for i, site in enumerate(self.found) if i not in self.kept]

    @property
    def layers(self) -> list[Any]:
        """Their layers."""
        return [site.layer for site in self.sites]


def targets(model: Any, *, frozen: bool) -> Targets:
    """The normalizations of a model.

    Args:
        model: A built model.
        frozen: Whether layers with `trainable=False` get new statistics, too.

    Raises:
        UnsupportedModel: none gets new statistics.
        InvalidArgument: all that could get them are frozen.
    """
    found = [site for site in sites(model) if isinstance(site.layer, _KERAS)]
    kept = {i: why for i, site in enumerate(found) if (why := _why_kept(site.layer, frozen))}
    if not found:
        raise UnsupportedModel(
            f"the model {model.name!r} has no batch normalization, so there are no statistics to recalibrate; it is "
            "ready as it is"
        )
    if len(kept) == len(found) and _FROZEN in kept.values():
        raise InvalidArgument(
            f"frozen must be True where every batch normalization of the model has trainable=False, such as "
            f"{found[0].path}, received {frozen}; pass frozen=True, or set trainable=True"
        )
    if len(kept) == len(found):
        raise UnsupportedModel(f"no batch normalization can be recalibrated; {found[0].path}: {kept[0]}")
    return Targets(found, kept, list(below(model)))


def below(layer: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """A layer and all that it holds, at any depth, each once."""
    seen = set() if seen is None else seen
    if id(layer) not in seen:
        seen.add(id(layer))
        yield layer
        for held in graph.held_layers(layer):
            yield from below(held, seen)


def _why_kept(layer: Any, frozen: bool) -> str:
    if type(layer).call not in _CALLS:
        return "it is a subclass of Keras' layer, with code of its own"
    if not layer.built:
        return "it has never been called"
    return _FROZEN if not layer.trainable and not frozen else ""
