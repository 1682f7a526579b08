"""Where everything in a model stands: the one traversal that surgery, checks and probes start from.

A site is a layer (or a bare operation) with what feeds it and what it feeds. Models within the model are transparent:
what an inner convolution feeds may well stand outside of the inner model. A layer that calls others in its own code, a
wrapper or a subclassed model, is a site itself, and what it holds are sites that it is the `holder` of: where in its
code they are called nobody knows, so they count as fed by it and as leading out of it.

The same walk gives the calls themselves, one after another, with the values that go from one to the next.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from evenbatch import graph


@dataclass(eq=False)
class Site:
    """A layer's place in a model.

    Attributes:
        path: Names from the model down to the layer, joined by "/". Of a layer that several parts of the model share,
            the path by which it is met first.
        layer: The layer, or the operation of `keras.ops`.
        holder: The site of the layer whose own code calls this one; None where the graph tells who calls it.
        uses: How often it is called, as far as the graph tells; what is held counts once for each holder.
        producers: The sites that its inputs come from, each once.
        consumers: The sites that take its outputs, each once.
        leads_out: Whether an output of it is an output of the model, or goes where the graph does not tell.
    """

    path: str
    layer: Any
    holder: "Site | None" = None
    uses: int = 0
    producers: list["Site"] = field(default_factory=list)
    consumers: list["Site"] = field(default_factory=list)
    leads_out: bool = False

    def __repr__(self) -> str:
        return f"Site({self.path!r}, {type(self.layer).__name__})"


@dataclass(eq=False)
class Value:
    """What goes from one call to others, or into the model.

    Attributes:
        source: The site that it comes from.
        shape: Its shape, open sizes as None.
        dtype: Its dtype.
    """

    source: Site
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(eq=False)
class Call:
    """One call of a layer, as the graph tells it. A model that is called twice gives two calls of each layer in it.

    Attributes:
        site: Whose call it is.
        takes: The values that it takes, in the order of its tensors.
        masks: Those of them that say which positions count, and are not computed with.
        gives: The values that it gives.
        training: What was recorded for `training` where the layer, or a model around it, was called; None where nothing
            was. It holds where the model is called without `training`, and not in `predict`.
    """

    site: Site
    takes: list[Value]
    masks: list[Value]
    gives: list[Value]
    training: bool | None
    _node: Any

    @property
    def inputs(self) -> list[Value]:
        """The values that it computes with."""
        return [value for value in self.takes if value not in self.masks]

    def run(self, known: Mapping[Value, Any], training: bool, layer: Any = None) -> dict[Value, Any]:
        """What the layer gives, by value.

        Args:
            known: Tensors for the values that it takes.
            training: Whether it is called in training mode.
            layer: The layer that is called in its stead, where one is given.
        """
        layer = self.site.layer if layer is None else layer
        tensors = zip(self._node.input_tensors, self.takes, strict=True)
        arguments, keywords = self._node.arguments.fill_in({id(tensor): known[value] for tensor, value in tensors})
        if graph.takes_training(layer):
            keywords = {**keywords, "training": training}
        found = keras.tree.flatten(layer(*arguments, **keywords))
        return dict(zip(self.gives, found, strict=True))


@dataclass(eq=False)
class Entry(Call):
    """What a model within a model does to a value before its layers get it, which has another dtype or rank."""

    def run(self, known: Mapping[Value, Any], training: bool, layer: Any = None) -> dict[Value, Any]:
        """The value as the input of the model wants it."""
        return {self.gives[0]: graph.fitted(known[self.takes[0]], self._node)}


@dataclass(frozen=True)
class Walk:
    """A model as it was walked through.

    Attributes:
        sites: Every site, each layer once, in the order in which the layers are met.
        calls: Every call, each after those whose values it takes. None of what a layer calls in its own code.
        beside: The calls in models that are called in such code: in which order, and with what, nobody knows.
        beside_outputs: The values that these models give.
        inputs: The values that go into the model.
        outputs: The values that are the model's outputs.
    """

    sites: list[Site]
    calls: list[Call]
    inputs: list[Value]
    outputs: list[Value]
    beside: list[Call] = field(default_factory=list)
    beside_outputs: list[Value] = field(default_factory=list)

    @property
    def every_call(self) -> list[Call]:
        """The calls of the model and those beside it."""
        return [*self.calls, *self.beside]


def sites(model: Any) -> list[Site]:
    """Every site of a model, each layer once, in the order in which the layers are met.

    Args:
        model: A Keras model or layer. Where it is neither Functional nor Sequential, it is the first site itself, and
            holds the others.
    """
    return walk(model).sites


def walk(model: Any) -> Walk:
    """Every site and every call of a model.

    Args:
        model: A Keras model or layer. Where it is neither Functional nor Sequential, no graph tells of its calls.
    """
    walker = _Walker()
    inner = graph.graph_of(model)
    if inner is None:
        walker.met(model, model.name)
        return Walk(list(walker.found.values()), [], [], [], walker.beside, walker.beside_outputs)
    layers = graph.input_layers(inner)
    feeds = [_value(walker.met(layer, layer.name), tensor) for layer, tensor in zip(layers, inner.inputs, strict=True)]
    outputs = walker.through(model, inner, "", feeds)
    for value in outputs:
        value.source.leads_out = True
    return Walk(list(walker.found.values()), walker.calls, feeds, outputs, walker.beside, walker.beside_outputs)


def upstream(site: Site) -> Iterator[Site]:
    """Every site that has a part in the inputs of this one, the nearest first."""
    seen, waiting = {id(site)}, [*site.producers]
    while waiting:
        nearest = waiting.pop(0)
        if id(nearest) not in seen:
            seen.add(id(nearest))
            waiting.extend(nearest.producers)
            yield nearest


class _Walker:
    """Collects the sites and the calls that it meets."""

    def __init__(self) -> None:
        self.found: dict[int, Site] = {}
        self.calls: list[Call] = []
        self.beside: list[Call] = []
        self.beside_outputs: list[Value] = []

    def met(self, layer: Any, path: str, holder: Site | None = None) -> Site:
        """The site of a layer that is called at that path; what the layer holds is met on the first visit."""
        first = id(layer) not in self.found
        site = self.found.setdefault(id(layer), Site(path, layer, holder))
        site.uses += 1
        for held in graph.held_layers(layer) if first else ():
            self._held(held, f"{site.path}/", site)
        return site

    def through(
        self, model: Any, inner: Any, prefix: str, feeds: Sequence[Value], training: bool | None = None
    ) -> list[Value]:
        """Walks the graph `inner` of `model`; gives its outputs.

        Args:
            model: The model.
            inner: Its graph.
            prefix: What the paths of its layers begin with.
            feeds: Its inputs.
            training: What was recorded for it where it was called.
        """
        known = {id(tensor): value for tensor, value in zip(inner.inputs, feeds, strict=True)}
        for node in graph.calls(inner):
            taken = [known[id(tensor)] for tensor in node.input_tensors]
            given = self._called(node, prefix, taken, training)
            known |= {id(tensor): value for tensor, value in zip(node.outputs, given, strict=True)}
        in_graph = {id(layer) for layer in inner.operations}
        for layer in graph.held_layers(model):
            if id(layer) not in in_graph:  # such as one that a `train_step` of the user's calls
                self._held(layer, prefix, None)
        return [known[id(tensor)] for tensor in inner.outputs]

    def _called(self, node: Any, prefix: str, taken: list[Value], training: bool | None) -> list[Value]:
        """The outputs of a call."""
        layer, inner = node.operation, graph.graph_of(node.operation)
        path = f"{prefix}{layer.name}"
        # What a model is called with, it calls its layers with, whatever was recorded for them.
        training = node.arguments.kwargs.get("training") if training is None else training
        if inner is not None:
            by_tensor = dict(zip(map(id, node.input_tensors), taken, strict=True))
            feeds = [by_tensor[id(tensor)] for tensor in graph.tensors_into(inner, node)]
            entered = [self._entered(*one, f"{path}/") for one in zip(feeds, inner.inputs, strict=True)]
            return self.through(layer, inner, f"{path}/", entered, training)
        site = self.met(layer, path)
        for value in taken:
            _link(value.source, site)
        given = [_value(site, tensor) for tensor in node.outputs]
        masks = {id(tensor) for tensor in graph.masks_into(node)}
        masking = [one for tensor, one in zip(node.input_tensors, taken, strict=True) if id(tensor) in masks]
        self.calls.append(Call(site, taken, masking, given, training, node))
        return given

    def _entered(self, value: Value, tensor: Any, prefix: str) -> Value:
        """A value as the layers of an inner model get it, whose input is `tensor`."""
        if graph.fits(value.shape, value.dtype, tensor):
            return value
        layer = graph.maker(tensor)
        site = self.met(layer, f"{prefix}{layer.name}")
        _link(value.source, site)
        given = _value(site, tensor)
        self.calls.append(Entry(site, [value], [], [given], None, tensor))
        return given

    def _held(self, layer: Any, prefix: str, holder: Site | None) -> None:
        inner, path = graph.graph_of(layer), f"{prefix}{layer.name}"
        if inner is None:
            ends = [self.met(layer, path, holder)]
            begins = ends
        else:
            begins = [self.met(one, f"{path}/{one.name}", holder) for one in graph.input_layers(inner)]
            ends = self._beside(layer, inner, f"{path}/", begins)
        for site in begins if holder else ():
            _link(holder, site)
        for site in ends:
            site.leads_out = True

    def _beside(self, model: Any, inner: Any, prefix: str, begins: list[Site]) -> list[Site]:
        """Walks a model that is called where no graph tells, so that its calls are not among the calls."""
        calls, self.calls = self.calls, []
        feeds = [_value(site, tensor) for site, tensor in zip(begins, inner.inputs, strict=True)]
        ends = self.through(model, inner, prefix, feeds)
        self.beside += self.calls
        self.beside_outputs += ends
        self.calls = calls
        return [value.source for value in ends]


def _value(source: Site, tensor: Any) -> Value:
    return Value(source, tuple(tensor.shape), str(tensor.dtype))


def _link(producer: Site | None, consumer: Site) -> None:
    if producer is not None and producer not in consumer.producers:
        consumer.producers.append(producer)
        producer.consumers.append(consumer)
