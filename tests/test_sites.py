"""The traversal: every layer once, with its path, what feeds it and what it feeds."""

import keras
import numpy as np
import pytest

from evenbatch.sites import sites, upstream

layers = keras.layers


def by_path(model):
    return {site.path: site for site in sites(model)}


def paths(found):
    return [site.path for site in found]


def chain(name, *names):
    return keras.Sequential([keras.Input((4,)), *(layers.Dense(4, name=one) for one in names)], name=name)


def test_a_sequential_model_is_a_chain():
    found = by_path(chain("m", "a", "b"))
    assert list(found)[1:] == ["a", "b"]
    assert (paths(found["b"].producers), paths(found["a"].consumers)) == (["a"], ["b"])
    assert [site.leads_out for site in found.values()] == [False, False, True]


def test_a_branch_and_its_join_are_seen_and_a_bare_operation_is_a_site():
    inputs = keras.Input((4,), name="in")
    a = layers.Dense(4, name="a")(inputs)
    b = layers.Dense(4, name="b")(a)
    added = a + b
    found = by_path(keras.Model(inputs, layers.ReLU(name="out")(added)))
    (join,) = [site for site in found.values() if not isinstance(site.layer, layers.Layer)]
    assert sorted(paths(found["a"].consumers)) == sorted(["b", join.path])
    assert paths(join.producers) == ["a", "b"]
    assert paths(join.consumers) == ["out"]


def test_models_within_are_transparent():
    inputs = keras.Input((4,), name="in")
    found = by_path(keras.Model(inputs, layers.Dense(2, name="last")(chain("inner", "a", "b")(inputs))))
    assert list(found) == ["in", "inner/a", "inner/b", "last"]
    assert paths(found["inner/a"].producers) == ["in"]
    assert paths(found["last"].producers) == ["inner/b"]
    assert not found["inner/b"].leads_out


def test_a_layer_used_twice_is_one_site_with_every_producer_and_consumer():
    inputs = keras.Input((4,), name="in")
    shared = layers.Dense(4, name="shared")
    x = layers.ReLU(name="between")(shared(inputs))
    found = by_path(keras.Model(inputs, shared(x)))
    assert found["shared"].uses == 2
    assert paths(found["shared"].producers) == ["in", "between"]
    assert paths(found["shared"].consumers) == ["between"]
    assert found["shared"].leads_out


def test_a_model_used_twice_counts_its_layers_twice_and_joins_both_sides():
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    inner = chain("inner", "a")
    found = by_path(keras.Model([one, two], layers.Add(name="sum")([inner(one), inner(two)])))
    assert found["inner/a"].uses == 2
    assert paths(found["inner/a"].producers) == ["one", "two"]
    assert paths(found["sum"].producers) == ["inner/a"]


def test_a_layer_of_two_models_is_met_once_and_fed_by_both():
    inputs, inner_input = keras.Input((4,), name="in"), keras.Input((4,))
    dense = layers.Dense(4, name="dense")
    inner = keras.Model(inner_input, dense(inner_input), name="inner")
    found = by_path(keras.Model(inputs, dense(layers.ReLU(name="relu")(inner(inputs)))))
    assert sorted(path for path in found if "dense" in path) == ["inner/dense"]
    assert paths(found["inner/dense"].producers) == ["in", "relu"]


def test_inputs_and_outputs_by_name_find_their_sites():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    outputs = {"x": layers.Dense(2, name="left")(a), "y": layers.Dense(2, name="right")(b)}
    found = by_path(keras.Model({"b": b, "a": a}, outputs))
    assert paths(found["left"].producers) == ["a"]
    assert paths(found["right"].producers) == ["b"]
    assert found["left"].leads_out
    assert found["right"].leads_out


def test_what_a_wrapper_holds_is_a_site_whose_holder_it_is():
    inputs = keras.Input((3, 4), name="in")
    wrapper = layers.TimeDistributed(layers.BatchNormalization(name="bn"), name="time")
    found = by_path(keras.Model(inputs, wrapper(inputs)))
    assert list(found) == ["in", "time", "time/bn"]
    assert found["time/bn"].holder is found["time"]
    assert paths(found["time/bn"].producers) == ["time"]
    assert found["time/bn"].leads_out


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.first, self.parts = layers.Dense(4, name="first"), [chain("inner", "a", "b")]

    def call(self, x):
        return self.parts[0](self.first(x))


def test_a_subclassed_model_is_the_first_site_and_holds_the_others():
    model = Subclassed()
    model(np.zeros((1, 4), "float32"))
    found = by_path(model)
    assert list(found)[:2] == ["mine", "mine/first"]
    assert found["mine/first"].holder is found["mine"]
    assert paths(found["mine/inner/b"].producers) == ["mine/inner/a"]
    assert found["mine/inner/b"].leads_out
    assert found["mine/inner/a"].holder is None  # its own graph tells who calls it


def test_a_layer_beside_the_graph_is_found():
    model = chain("m", "a")
    functional = keras.Model(model.inputs, model.outputs)
    functional.aside = layers.Dense(2, name="aside")
    found = by_path(functional)
    assert (found["aside"].producers, found["aside"].leads_out) == ([], True)


def test_a_graph_cut_out_of_another_has_only_its_own_part():
    whole = chain("m", "a", "b", "c")
    part = keras.Model(whole.layers[0].output, whole.layers[1].output)
    assert [site.path for site in sites(part)][1:] == ["b"]
    assert not [path for path in by_path(keras.Model(whole.inputs, whole.layers[1].output)) if path == "c"]


def test_upstream_is_everything_before_the_nearest_first():
    inputs = keras.Input((4,), name="in")
    a = layers.Dense(4, name="a")(inputs)
    joined = layers.Add(name="sum")([layers.Dropout(0.5, name="drop")(a), a])
    found = by_path(keras.Model(inputs, layers.Dense(1, name="last")(joined)))
    assert paths(upstream(found["last"])) == ["sum", "drop", "a", "in"]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_sites_come_in_an_order_in_which_they_can_be_computed(order):
    inputs = keras.Input((4,), name="in")
    x = inputs
    for name in order:
        x = layers.Dense(4, name=name)(x)
    seen = set()
    for site in sites(keras.Model(inputs, x)):
        assert {id(one) for one in site.producers} <= seen
        seen.add(id(site))
