"""The way of a normalization out of a model: up or down, through some layers, into others.

A layer takes something in only where it belongs to every one of its calls.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import keras

from evenbatch.sites import Site, Value
from evenbatch.surgery.folding.affine import Affine
from evenbatch.surgery.folding.between import Placed, moved_down, moved_up
from evenbatch.surgery.folding.edges import Edges
from evenbatch.surgery.folding.linear import channels, is_linear, linear
from evenbatch.surgery.folding.refusal import Refused, naming
from evenbatch.surgery.folding.taking import Linear

FIXED = "is in a model whose class makes its graph in its own constructor, where nothing can be changed"


@dataclass
class Move:
    """A normalization's way out of the model.

    Attributes:
        into: By site, the layers that take it in, with it in them.
        through: The sites that it is moved through, which stay as they are.
    """

    into: dict[Site, Linear] = field(default_factory=dict)
    through: list[Site] = field(default_factory=list)


class Way:
    """Collects the layers that a normalization goes into, on its way up or down.

    Args:
        site: The normalization.
        changed: By site, the layers that have taken something in already.
        fixed: The ids of layers that nothing can be changed about.
        edges: The model without the normalizations that have disappeared.
    """

    def __init__(self, site: Site, changed: Mapping[Site, Linear], fixed: Collection[int], edges: Edges) -> None:
        self._site, self._changed, self._fixed, self._edges = site, changed, fixed, edges
        self._ends: dict[Site, Affine] = {}
        self._through: dict[Site, None] = {}
        self._seen: dict[tuple[Value, int, int], Affine] = {}

    def climb(self, value: Value, placed: Placed, consumer: Site) -> None:
        """Goes from a value, which `consumer` takes, to what gives it.

        Raises:
            Refused: that does not take the normalization in, nor let it through.
        """
        affine, axis = placed
        if (value, id(affine), axis) in self._seen:
            return
        self._seen[value, id(affine), axis] = affine
        call, site = self._edges.giver(value), value.source
        if call is None:
            raise Refused("before it come the model's inputs")
        with naming(site, "before it"):
            self._require_for(site, consumer)
            if is_linear(site.layer):
                self._end(site, placed, len(value.shape))
                return
            moved = moved_up(call, placed)
        self._through[site] = None
        for taken, one in zip(self._edges.taken(call), moved, strict=True):
            self.climb(taken, one, site)

    def descend(self, value: Value, placed: Placed, producer: Site) -> None:
        """Goes from a value, which `producer` gives, to all that take it.

        Raises:
            Refused: one of them does not take the normalization in, nor let it through.
        """
        if self._edges.leads_out(producer):
            raise Refused("after it comes an output of the model")
        for call in self._edges.takers(value):
            site = call.site
            with naming(site, "after it"):
                self._require_of(site, producer)
                if isinstance(site.layer, keras.layers.BatchNormalization):
                    self._require_inference(site)
                if is_linear(site.layer):
                    self._end(site, placed, len(value.shape))
                    continue
                moved = moved_down(call, placed)
            self._through[site] = None
            self.descend(call.gives[0], moved, site)

    def move(self, *, after: bool) -> Move:
        """What it comes to, when all ends of the way take the normalization in.

        Raises:
            Refused: one of them does not.
        """
        if not self._ends:
            raise Refused("nothing takes what it gives")
        into = {}
        for site, affine in self._ends.items():
            with naming(site, "after it" if after else "before it"):
                layer = self._changed.get(site) or linear(site.layer)
                into[site] = layer.preceded(affine) if after else layer.followed(affine)
        return Move(into, list(self._through))

    def _end(self, site: Site, placed: Placed, rank: int) -> None:
        affine, axis = placed
        if id(site.layer) in self._fixed:
            raise Refused(FIXED)
        if (own := channels(site.layer, rank)) != axis:
            raise Refused(f"has its channels along axis {own}, and not along the normalization's, {axis}")
        if site.layer.compute_dtype != self._site.layer.compute_dtype:
            raise Refused(f"computes in {site.layer.compute_dtype}, and the normalization in another dtype")
        if site in self._ends and not self._ends[site].equals(affine):
            raise Refused("is called for several inputs, of which each would take in something else")
        self._ends[site] = affine

    def _require_inference(self, site: Site) -> None:
        """Checks that a normalization computes by its moving statistics, whatever it is given."""
        if any(call.training for call in self._edges.calls(site)):
            raise Refused("is called with training=True, and so normalizes by its batch in inference, too")

    def _require_for(self, site: Site, consumer: Site) -> None:
        """Checks that a layer works for `consumer` alone."""
        if not self._edges.are_known(site):
            raise Refused("is called in code that no graph tells of")
        others = [one.path for one in self._edges.takers_of(site) if one is not consumer]
        if others:
            raise Refused(f"feeds {others[0]}{' and others' if len(others) > 1 else ''}, too")
        if self._edges.leads_out(site):
            raise Refused("is an output of the model, too")

    def _require_of(self, site: Site, producer: Site) -> None:
        """Checks that a layer takes nothing but what `producer` gives."""
        if not self._edges.are_known(site):
            raise Refused("is called in code that no graph tells of")
        others = [one.path for one in self._edges.givers_to(site) if one is not producer]
        if others:
            raise Refused(f"takes the output of {others[0]}{' and others' if len(others) > 1 else ''}, too")
        if any(len(call.inputs) != 1 for call in self._edges.calls(site)):
            raise Refused("takes it several times")
