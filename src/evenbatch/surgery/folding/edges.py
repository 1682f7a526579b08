"""Who gives what to whom in a model, while layers disappear from it."""

from collections import defaultdict

from evenbatch.sites import Call, Site, Value, Walk


class Edges:
    """The values of a model, with the calls that give and take them.

    A layer that disappears hands what it takes to those that took what it gave.

    Args:
        walked: The model.
    """

    def __init__(self, walked: Walk) -> None:
        self._calls: dict[Site, list[Call]] = defaultdict(list)
        self._giver: dict[Value, Call] = {}
        self._takers: dict[Value, list[Call]] = defaultdict(list)
        self._same: dict[Value, Value] = {}
        self._outputs = {*walked.outputs, *walked.beside_outputs}
        for call in walked.every_call:
            self._calls[call.site].append(call)
            self._giver |= dict.fromkeys(call.gives, call)
            for value in call.takes:
                self._takers[value].append(call)

    def calls(self, site: Site) -> list[Call]:
        """The calls of a site that the graph tells of."""
        return self._calls[site]

    def are_known(self, site: Site) -> bool:
        """Whether the graph tells of every call of a site."""
        return site.holder is None and bool(self._calls[site]) and site.uses == len(self._calls[site])

    def giver(self, value: Value) -> Call | None:
        """The call that gives a value, None for an input of the model."""
        return self._giver.get(value)

    def taken(self, call: Call) -> list[Value]:
        """The values that a call computes with, now."""
        return [self.now(value) for value in call.inputs]

    def takers(self, value: Value) -> list[Call]:
        """The calls that take a value, now."""
        return self._takers[value]

    def takers_of(self, site: Site) -> list[Site]:
        """The sites that take what a site gives, each once."""
        return list(dict.fromkeys(one.site for call in self._calls[site] for v in call.gives for one in self.takers(v)))

    def givers_to(self, site: Site) -> list[Site]:
        """The sites that give what a site takes, each once."""
        return list(dict.fromkeys(value.source for call in self._calls[site] for value in self.taken(call)))

    def leads_out(self, site: Site) -> bool:
        """Whether an output of a site is one of the model."""
        return any(value in self._outputs for call in self._calls[site] for value in call.gives)

    def now(self, value: Value) -> Value:
        """The value that stands for one that a layer gave which has disappeared."""
        while value in self._same:
            value = self._same[value]
        return value

    def remove(self, site: Site) -> None:
        """Takes a layer of one input and one output out of the model."""
        for call in self._calls[site]:
            (before,), (after,) = self.taken(call), call.gives
            self._same[after] = before
            for value in map(self.now, call.takes):
                self._takers[value] = [one for one in self._takers[value] if one is not call]
            self._takers[before] += self._takers.pop(after, [])
            if after in self._outputs:
                self._outputs.add(before)
