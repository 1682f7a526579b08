"""The judge: what it is made of, that it travels, that it is kept, and that training it leaves no trace."""

import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras
import numpy as np
import pytest

from evenbatch.datasets import Part, load, prepare
from evenbatch.errors import InvalidData
from evenbatch.gan.yardstick import keeping, training
from evenbatch.gan.yardstick.judge import Classifier, Judge
from evenbatch.gan.yardstick.network import FEATURES, network


def scaled(dataset):
    """With images in [-1, 1]."""
    train, val = (Part(np.clip(2 * part.x - 1, -1, 1), part.y) for part in (dataset.train, dataset.val))
    return replace(dataset, train=train, val=val)


@pytest.fixture(scope="module")
def dataset(arrays):
    return scaled(prepare("small", arrays, "image"))


@pytest.fixture
def steps(monkeypatch):
    """So few steps that training takes no time."""
    monkeypatch.setattr(training, "STEPS", 3)
    monkeypatch.setattr(training, "BATCH", 16)


def classifier(shape=(8, 8, 1), classes=3, normalized=True, seed=0):
    rng = np.random.default_rng(seed)
    net = network(shape, classes, normalized=normalized)
    weights = tuple(rng.uniform(0.1, 0.5, weight.shape).astype("float32") for weight in net.get_weights())
    return Classifier(shape, classes, normalized, weights, 0.5)


@pytest.fixture
def counted(monkeypatch):
    """How often a judge is trained; none is, in truth."""
    calls = []
    judge = Judge(classifier(), classifier(normalized=False))
    monkeypatch.setattr(training, "train_judge", lambda *_: calls.append(1) or judge)
    return calls


def images(n, shape=(8, 8, 1), seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, *shape)).astype("float32")


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (9, 17, 2)])
def test_outputs_are_features_and_probabilities(shape, normalized):
    features, probabilities = classifier(shape, 4, normalized).outputs(images(5, shape))
    assert features.shape == (5, FEATURES)
    assert features.dtype == probabilities.dtype == np.float64
    assert probabilities.shape == (5, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("n", [0, 1, 512, 513])
def test_any_number_of_images_is_judged_one_by_one(n):
    judge, x = classifier(), images(600)
    np.testing.assert_allclose(judge.outputs(x[:n])[0], judge.outputs(x)[0][:n], rtol=1e-5, atol=1e-5)


def test_values_out_of_range_are_seen_as_they_would_be_saved():
    judge, x = classifier(), images(4)
    np.testing.assert_array_equal(judge.outputs(3 * x)[0], judge.outputs(np.clip(3 * x, -1, 1))[0])


def test_a_judge_travels_as_arrays_alone():
    judge = Judge(classifier(), classifier(normalized=False))
    x = images(3)
    before = judge.outputs(x)[0]  # its network is built by now
    message = pickle.dumps(judge)
    again = pickle.loads(message)
    assert len(message) < 1.1 * sum(w.nbytes for one in (judge.main, judge.cross) for w in one.weights) + 4000
    assert again.sha256 == judge.sha256
    np.testing.assert_array_equal(again.outputs(x)[0], before)


def test_the_network_is_built_once(monkeypatch):
    judge, built = classifier(), []
    make = network
    monkeypatch.setattr(
        "evenbatch.gan.yardstick.judge.network", lambda *args, **settings: built.append(1) or make(*args, **settings)
    )
    judge.outputs(images(3))
    judge.outputs(images(3))
    assert len(built) == 1


def test_the_hash_is_of_the_weights():
    one = classifier()
    weights = [weight.copy() for weight in one.weights]
    weights[0].flat[0] += 1
    other = replace(one, weights=tuple(weights))
    assert one.sha256 == classifier().sha256 != other.sha256
    assert Judge(one, one).sha256 != Judge(one, other).sha256 != Judge(other, one).sha256


def test_the_hash_is_not_of_what_was_measured():
    assert replace(classifier(), accuracy=0.1).sha256 == classifier().sha256


def test_the_same_data_give_the_same_judge(dataset, steps):
    assert training.train_judge(dataset).sha256 == training.train_judge(dataset).sha256


@pytest.mark.parametrize("normalized", [True, False])
def test_training_changes_every_weight_and_moving_statistic(dataset, steps, normalized):
    rng = np.random.default_rng(5)
    net = network(dataset.input_shape, dataset.classes, normalized=normalized)
    before = [training._initial(weight, rng) for weight in net.get_weights()]
    trained = training.train_classifier(dataset, normalized=normalized, seed=5, on_step=lambda *_: None)
    assert all(np.any(a != b) for a, b in zip(trained.weights, before, strict=True))


def test_only_the_main_classifier_has_batch_normalization(dataset, steps):
    judge = training.train_judge(dataset)
    assert (len(judge.main.weights), len(judge.cross.weights)) == (4 + 4 * 4 + 1 + 1, 2 * 5)
    assert 0 <= judge.accuracy <= 1
    assert judge.cross_accuracy == judge.cross.accuracy


def test_progress_is_told_over_both_classifiers(dataset, steps):
    told = []
    training.train_judge(dataset, lambda done, of: told.append((done, of)))
    assert told == [(done, 6) for done in range(1, 7)]


def test_training_a_judge_leaves_a_training_beside_it_as_it_is(dataset, steps):
    def what_follows():
        layer = keras.layers.Dense(3)
        layer.build((None, 2))
        return layer.name, keras.random.normal((2,)), np.random.rand(), random.random()  # noqa: NPY002 - its global state

    def fresh():
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(7)

    fresh()
    without = what_follows()
    fresh()
    training.train_judge(dataset).outputs(dataset.val.x)
    for one, other in zip(without, what_follows(), strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one) if keras.ops.is_tensor(one) else one,
            keras.ops.convert_to_numpy(other) if keras.ops.is_tensor(other) else other,
        )


def test_settings_of_keras_do_not_make_another_judge(dataset, steps):
    usual = training.train_judge(dataset).sha256
    policy, form = keras.config.dtype_policy(), keras.config.image_data_format()
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.set_image_data_format("channels_first")
    try:
        assert training.train_judge(dataset).sha256 == usual
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(form)


def test_images_are_moved_by_a_few_pixels_and_filled_from_their_edge():
    x = np.arange(28 * 28, dtype="float32").reshape(1, 28, 28, 1).repeat(200, axis=0)
    moved = training.moved(x, np.random.default_rng(0))
    down, right = (moved[:, 14, 14, 0] - x[0, 14, 14, 0]) // 28, (moved[:, 14, 14, 0] - x[0, 14, 14, 0] + 14) % 28 - 14
    assert set(right) == {-2, -1, 0, 1, 2}
    assert down.min() >= -3
    assert down.max() <= 2
    assert moved.min() == 0
    assert moved.max() == 783


def test_a_second_call_does_not_train(dataset, tmp_path, counted):
    one = keeping.judge_for(dataset, tmp_path)
    other = keeping.judge_for(dataset, tmp_path)
    assert len(counted) == 1
    assert one.sha256 == other.sha256
    assert (one.accuracy, one.cross_accuracy) == (other.accuracy, other.cross_accuracy)
    np.testing.assert_array_equal(one.outputs(dataset.val.x)[0], other.outputs(dataset.val.x)[0])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no archive"),
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"\x3e", b"\x3d")),
        lambda path: np.savez(path, main_00=np.zeros(3)),
    ],
    ids=["empty", "foreign", "cut off", "changed", "other arrays"],
)
def test_a_damaged_file_is_trained_anew_and_replaced(dataset, tmp_path, counted, damage):
    before = keeping.judge_for(dataset, tmp_path)
    (path,) = tmp_path.iterdir()
    damage(path)
    assert keeping.judge_for(dataset, tmp_path).sha256 == before.sha256
    assert keeping.judge_for(dataset, tmp_path).sha256 == before.sha256
    assert len(counted) == 2


def test_a_file_with_another_judges_weights_is_not_used(dataset, tmp_path, counted):
    judge = keeping.judge_for(dataset, tmp_path)
    (path,) = tmp_path.iterdir()
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "main_00": arrays["main_00"] + 1})
    assert keeping.read(path) is None
    np.savez(path, **arrays)
    assert keeping.read(path).sha256 == judge.sha256


def test_the_faster_of_two_processes_has_the_judge(dataset, tmp_path, monkeypatch):
    faster = Judge(classifier(seed=1), classifier(normalized=False, seed=1))

    def train(*_):
        keeping.write(keeping.path_for(dataset, tmp_path), faster)
        return Judge(classifier(seed=2), classifier(normalized=False, seed=2))

    monkeypatch.setattr(training, "train_judge", train)
    assert keeping.judge_for(dataset, tmp_path).sha256 == faster.sha256


def test_writers_at_once_leave_one_whole_file(tmp_path):
    judge = Judge(classifier(), classifier(normalized=False))
    path = tmp_path / "judge.npz"
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda _: keeping.write(path, judge), range(16)))
    assert list(tmp_path.iterdir()) == [path]
    assert keeping.read(path).sha256 == judge.sha256


def test_other_images_or_labels_have_another_judge(dataset, tmp_path, counted):
    other = [
        replace(dataset, train=Part(dataset.train.x * 0.5, dataset.train.y)),
        replace(dataset, train=Part(dataset.train.x, (dataset.train.y + 1) % 3)),
        replace(dataset, val=Part(dataset.val.x[1:], dataset.val.y[1:])),
    ]
    for one in [dataset, *other]:
        keeping.judge_for(one, tmp_path)
    assert len(counted) == len(list(tmp_path.iterdir())) == 4


def test_a_folder_that_cannot_be_written_costs_a_warning_only(dataset, tmp_path, counted):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="the judge is not kept for the next time"):
        judge = keeping.judge_for(dataset, tmp_path / "file" / "cache")
    assert judge.outputs(dataset.val.x)[0].shape == (len(dataset.val), FEATURES)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EVENBATCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert keeping.cache_folder() == tmp_path / ".cache" / "evenbatch"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert keeping.cache_folder() == tmp_path / "shared" / "evenbatch"
    monkeypatch.setenv("EVENBATCH_CACHE", str(tmp_path / "own"))
    assert keeping.cache_folder() == tmp_path / "own"


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((9, 7, 8, 1)), "at least 8×8, received \\(7, 8, 1\\)"),
        (np.zeros((9, 64)), "received \\(64,\\)"),
        (np.full((9, 8, 8, 1), 2.0), r"images in \[-1, 1\], received values from 2 to 2"),
        (np.full((9, 8, 8, 1), np.nan), r"images in \[-1, 1\], received values from nan to nan"),
    ],
)
def test_what_are_no_images_for_a_judge_is_refused(dataset, tmp_path, x, sentence):
    part = Part(x.astype("float32"), np.arange(9) % 3)
    with pytest.raises(InvalidData, match=sentence):
        keeping.judge_for(replace(dataset, train=part, val=part), tmp_path)


@pytest.mark.slow
def test_a_judge_knows_the_digits(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STEPS", 200)
    judge = keeping.judge_for(scaled(load("digits", "image")), tmp_path)
    assert judge.accuracy > 0.95
    assert judge.cross_accuracy > 0.92
