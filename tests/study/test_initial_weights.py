import keras
import numpy as np

from evenbatch import recipes
from evenbatch.study import initial_weights


def drawn(name="regularized", normalize=True, seed=0, scale=1.0):
    recipe = recipes.get(name)
    model = recipe((8, 8, 1) if recipe.inputs == "image" else (64,), 10, normalize)
    initial_weights.draw(model, seed, scale)
    return model


def kernels(model):
    return {
        w.path.split("/", 1)[-1]: keras.ops.convert_to_numpy(w) for w in model.trainable_weights if w.name == "kernel"
    }


def test_both_arms_start_with_the_same_kernels_though_one_has_more_layers():
    arm, baseline = kernels(drawn(normalize=True)), kernels(drawn(normalize=False))
    assert arm.keys() == baseline.keys()
    for path, kernel in arm.items():
        np.testing.assert_array_equal(kernel, baseline[path])


def test_seeds_and_layers_differ():
    first, second = kernels(drawn("sigmoid", seed=0)), kernels(drawn("sigmoid", seed=1))
    values = [k.tobytes() for k in [*first.values(), *second.values()]]
    assert len(set(values)) == len(values)


def test_the_spread_follows_the_initializer_times_the_scale():
    plain, wide = kernels(drawn("sigmoid")), kernels(drawn("sigmoid", scale=100.0))
    for path, kernel in plain.items():
        np.testing.assert_allclose(wide[path], 100 * kernel, rtol=1e-5)
    first = next(iter(plain.values()))  # 6,400 values: the error of their mean is 0.0006, of their spread 0.0004
    assert abs(first.std() - 0.05) < 0.003
    assert abs(first.mean()) < 0.005


def test_what_does_not_start_at_random_is_left_alone():
    model = drawn(scale=7.0)
    norm = model.get_layer("norm_1")
    np.testing.assert_array_equal(norm.get_weights()[0], np.ones(64))
    np.testing.assert_array_equal(model.get_layer("classes").get_weights()[1], np.zeros(10))


def test_dropout_starts_from_the_seed_and_the_layers_name():
    states = [
        keras.ops.convert_to_numpy(drawn(seed=seed, normalize=normalize).get_layer(f"dropout_{i}").seed_generator.state)
        for seed, normalize, i in [(0, True, 1), (0, False, 1), (0, True, 2), (1, True, 1)]
    ]
    np.testing.assert_array_equal(states[0], states[1])
    assert (states[0] != states[2]).any()
    assert (states[0] != states[3]).any()


def test_digests_tell_equal_weights_from_others():
    first, again, other = (initial_weights.digests(drawn(seed=s)) for s in (0, 0, 1))
    assert first == again
    same = {path for path in first if first[path] == other[path]}
    assert all("kernel" not in path for path in same)
    assert any("kernel" in path for path in first)
