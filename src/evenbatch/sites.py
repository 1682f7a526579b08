"""Where everything in a model stands: the one traversal that surgery, checks and probes start from.

A site is a layer (or a bare operation) with what feeds it and what it feeds. Models within the model are transparent:
what an inner convolution feeds may well stand outside of the inner model. A layer that calls others in its own code, a
wrapper or a subclassed model, is a site itself, and what it holds are sites that it is the `holder` of: where in its
code they are called nobody knows, so they count as fed by it and as leading out of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

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


def sites(model: Any) -> list[Site]:
    """Every site of a model, each layer once, in the order in which the layers are met.

    Args:
        model: A Keras model or layer. Where it is neither Functional nor Sequential, it is the first site itself, and
            holds the others.
    """
    walk = _Walk()
    inner = graph.graph_of(model)
    if inner is None:
        walk.met(model, model.name)
        return list(walk.found.values())
    feeds = [walk.met(layer, layer.name) for layer in graph.input_layers(inner)]
    for site in walk.through(model, inner, "", feeds):
        site.leads_out = True
    return list(walk.found.values())


def upstream(site: Site) -> Iterator[Site]:
    """Every site that has a part in the inputs of this one, the nearest first."""
    seen, waiting = {id(site)}, [*site.producers]
    while waiting:
        nearest = waiting.pop(0)
        if id(nearest) not in seen:
            seen.add(id(nearest))
            waiting.extend(nearest.producers)
            yield nearest


class _Walk:
    """Collects the sites that it meets."""

    def __init__(self) -> None:
        self.found: dict[int, Site] = {}

    def met(self, layer: Any, path: str, holder: Site | None = None) -> Site:
        """The site of a layer that is called at that path; what the layer holds is met on the first visit."""
        first = id(layer) not in self.found
        site = self.found.setdefault(id(layer), Site(path, layer, holder))
        site.uses += 1
        for held in graph.held_layers(layer) if first else ():
            self._held(held, f"{site.path}/", site)
        return site

    def through(self, model: Any, inner: Any, prefix: str, feeds: Sequence[Site]) -> list[Site]:
        """Walks the graph `inner` of `model`; gives the sites that its outputs come from.

        Args:
            model: The model.
            inner: Its graph.
            prefix: What the paths of its layers begin with.
            feeds: The sites that its inputs come from.
        """
        source = {id(tensor): site for tensor, site in zip(inner.inputs, feeds, strict=True)}
        for node in graph.calls(inner):
            taken = [source[id(tensor)] for tensor in node.input_tensors]
            source |= {id(t): site for t, site in zip(node.outputs, self._called(node, prefix, taken), strict=True)}
        in_graph = {id(layer) for layer in inner.operations}
        for layer in graph.held_layers(model):
            if id(layer) not in in_graph:  # such as one that a `train_step` of the user's calls
                self._held(layer, prefix, None)
        return [source[id(tensor)] for tensor in inner.outputs]

    def _called(self, node: Any, prefix: str, taken: list[Site]) -> list[Site]:
        """The site that each output of a call comes from."""
        layer, inner = node.operation, graph.graph_of(node.operation)
        path = f"{prefix}{layer.name}"
        if inner is not None:
            return self.through(layer, inner, f"{path}/", taken[: len(inner.inputs)])
        site = self.met(layer, path)
        for producer in taken:
            _link(producer, site)
        return [site] * len(node.outputs)

    def _held(self, layer: Any, prefix: str, holder: Site | None) -> None:
        inner, path = graph.graph_of(layer), f"{prefix}{layer.name}"
        if inner is None:
            ends = [self.met(layer, path, holder)]
            begins = ends
        else:
            begins = [self.met(one, f"{path}/{one.name}", holder) for one in graph.input_layers(inner)]
            ends = self.through(layer, inner, f"{path}/", begins)
        for site in begins if holder else ():
            _link(holder, site)
        for site in ends:
            site.leads_out = True


def _link(producer: Site | None, consumer: Site) -> None:
    if producer is not None and producer not in consumer.producers:
        consumer.producers.append(producer)
        producer.consumers.append(consumer)
