"""Data in every form that `eb.recalibrate` takes, and in those that it does not."""

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.errors import InvalidArgument, InvalidData, UnsupportedModel
from evenbatch.surgery.recalibration import batches

layers = keras.layers
BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(1, 2, (24, 3)).astype("float32")
Y = np.arange(24) % 2


def model_of(*shape, dtype="float32"):
    inputs = keras.Input(shape, dtype=dtype)
    x = layers.Rescaling(1.0)(inputs)
    return keras.Model(inputs, layers.BatchNormalization(name="norm", epsilon=1e-5)(x))


def mean_of(data, model=None, **options):
    new = eb.recalibrate(model or model_of(3), data, verbose=False, **options)
    return keras.ops.convert_to_numpy(new.get_layer("norm").moving_mean)


class Sequence(keras.utils.PyDataset):
    def __init__(self, count):
        super().__init__()
        self.count = count

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, i):
        return X[8 * (i % 3) : 8 * (i % 3) + 8], Y[:8]


class Numbered:
    """Batches by their numbers, and nothing more."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X[8 * i : 8 * i + 8] if i < 3 else None


def parts():
    return [X[:8], X[8:9], X[9:]]


FORMS = {
    "an array": lambda: X,
    "float64": lambda: X.astype("float64"),
    "x, y": lambda: (X, Y),
    "x, y, weights": lambda: (X, Y, np.ones(24)),
    "x alone in a tuple": lambda: (X,),
    "a dict": lambda: {"x": X},
    "a dict and y": lambda: ({"x": X}, Y),
    "a list of arrays": parts,
    "a list of pairs": lambda: [(x, Y[: len(x)]) for x in parts()],
    "a list of lists, as torch collates": lambda: [[x, Y[: len(x)]] for x in parts()],
    "a generator": lambda: (x for x in parts()),
    "a generator with an empty batch": lambda: (x for x in [X[:0], *parts()]),
    "a PyDataset": lambda: Sequence(3),
    "batches by number": Numbered,
    "a tensor": lambda: keras.ops.convert_to_tensor(X),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_statistics_of_all_examples(name):
    inputs = keras.Input((3,), name="x")
    model = keras.Model({"x": inputs} if "dict" in name else inputs, layers.BatchNormalization(name="norm")(inputs))
    np.testing.assert_allclose(mean_of(FORMS[name](), model), X.mean(axis=0), rtol=1e-5)


def test_a_data_set_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(24).batch(7)
    np.testing.assert_allclose(mean_of(data), X.mean(axis=0), rtol=1e-5)
    with pytest.raises(InvalidData, match="repeats for ever; pass max_batches="):
        mean_of(data.repeat())
    np.testing.assert_allclose(mean_of(data.repeat(), max_batches=4), X.mean(axis=0), rtol=1e-5)


def test_a_loader_of_torch():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=7, shuffle=True)
    np.testing.assert_allclose(mean_of(loader), X.mean(axis=0), rtol=1e-5)


def test_pixels_and_an_axis_that_is_missing_at_the_end():
    x = np.random.default_rng(0).integers(0, 255, (10, 4, 4)).astype("uint8")
    np.testing.assert_allclose(mean_of(x, model_of(4, 4, 1)), [x.mean()], rtol=1e-5)


def two_inputs(structure):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    outputs = layers.BatchNormalization(name="norm")(layers.Subtract()([a, b]))
    return keras.Model(structure(a, b), outputs)


STRUCTURES = {"a list": lambda a, b: [a, b], "a dict": lambda a, b: {"b": b, "a": a}}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_several_inputs(structure):
    model, both = two_inputs(STRUCTURES[structure]), {"a": 3 * X, "b": X}
    targets = [both, (both, Y), [both], [(both, Y)], (x for x in [both])]
    if structure == "a list":
        targets += [[3 * X, X], (3 * X, X), ((3 * X, X), Y), [(3 * X, X)], [((3 * X, X), Y)], [[[3 * X, X], Y]]]
    for data in targets:
        np.testing.assert_allclose(mean_of(data, model), 2 * X.mean(axis=0), rtol=1e-4)


class Endless:
    def __iter__(self):
        while True:
            yield X


def test_max_batches_reads_so_many_and_no_more():
    given = iter(parts())
    np.testing.assert_allclose(mean_of(given, max_batches=2), X[:9].mean(axis=0), rtol=1e-5)
    assert len(list(given)) == 1
    np.testing.assert_allclose(mean_of(Endless(), max_batches=2), X.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(mean_of(X, max_batches=2, batch_size=4), X[:8].mean(axis=0), rtol=1e-5)


def chain():
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((3,))
    for _ in range(3):
        x = layers.BatchNormalization()(layers.Dense(3, activation="tanh")(x))
    return keras.Model(inputs, x)


def test_a_generator_is_read_once_however_many_layers_there_are():
    expected = eb.recalibrate(chain(), X, verbose=False).get_weights()
    found = eb.recalibrate(chain(), (x for x in parts()), verbose=False).get_weights()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_is_iterated_again_for_every_layer(monkeypatch):
    monkeypatch.setattr(batches, "KEPT", 150)
    expected = eb.recalibrate(chain(), X, verbose=False).get_weights()
    for one, other in zip(eb.recalibrate(chain(), parts(), verbose=False).get_weights(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(batches, "KEPT_OF_ONCE", 150)
    with pytest.raises(InvalidData, match="can be gone through only once"):
        eb.recalibrate(chain(), iter(parts()), verbose=False)


def test_batches_that_a_loader_fills_again_are_kept_as_they_were():
    def reusing():
        buffer = np.empty((8, 3), "float32")
        for i in range(3):
            buffer[:] = X[8 * i : 8 * i + 8]
            yield buffer

    expected = eb.recalibrate(chain(), X, verbose=False).get_weights()
    for one, other in zip(eb.recalibrate(chain(), reusing(), verbose=False).get_weights(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_reading_stops_when_the_estimates_have_settled():
    x = np.random.default_rng(0).normal(size=(100_000, 3)).astype("float32")
    for one_pass in (False, True):
        options = {"batch_size": 100, "tolerance": 0.02, "one_pass": one_pass, "verbose": False, "return_report": True}
        new, report = eb.recalibrate(model_of(3), x, **options)
        # The error of the mean is 1 / sqrt(n), of the variance sqrt(2 / n): n is about 5000.
        assert 30 <= report.batches <= 150
        assert report.settled
        assert np.abs(keras.ops.convert_to_numpy(new.get_layer("norm").moving_mean)).max() < 0.08
    assert not eb.recalibrate(model_of(3), x[:2000], **options)[1].settled


REFUSED = {
    "nothing": (lambda: [], "at least one example, received none"),
    "an empty array": (lambda: X[:0], "at least one example, received none"),
    "an empty list in a generator": (lambda: iter(()), "at least one example, received none"),
    "another shape": (lambda: np.ones((4, 5)), r"shape \(batch, 3\) for the input .* received \(4, 5\)"),
    "another rank": (lambda: np.ones((4, 3, 3, 3)), r"received \(4, 3, 3, 3\)"),
    "a number": (lambda: 3, "an array, .* received int"),
    "a text": (lambda: "mnist", "received str"),
    "a dict of lists": (lambda: {"x": [1, 2]}, "received dict"),
    "two inputs": (lambda: [((X, X), Y)], "one input a batch, .* received 2"),
    "four entries": (lambda: [(X, Y, Y, Y)], "received a tuple of 4"),
    "no numbers": (lambda: [(object(), Y)], "arrays of numbers, received object"),
    "texts": (lambda: np.array([["a", "b", "c"]]), "dtype float32"),
    "rows of different lengths": (lambda: [[[[1.0], [1.0, 2.0]], Y]], "received 3|arrays"),
    "no end": (lambda: Sequence(None), "repeats for ever; pass max_batches="),
    "NaN": (lambda: np.full((4, 3), np.nan), "norm: the inputs of this layer are not finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_data_are_refused_in_one_sentence(name):
    make, sentence = REFUSED[name]
    with pytest.raises(InvalidData, match=sentence) as caught:
        mean_of(make())
    assert "\n" not in str(caught.value)


def test_inputs_of_other_names_or_numbers_are_named():
    model = two_inputs(STRUCTURES["a dict"])
    for data, sentence in [
        ({"a": X}, "'b' is missing"),
        ((X, Y, X), "2 inputs"),
        ({"a": X, "b": X[:5]}, "as many examples each, received 5, 24"),
    ]:
        with pytest.raises(InvalidData, match=sentence):
            mean_of(data, model)


OPTIONS = {
    "batch_size": (0, "batch_size must be an integer of at least 1, received 0"),
    "max_batches": (2.5, "max_batches must be an integer of at least 1, received 2.5"),
    "one_pass": (1, "one_pass must be True or False, received 1"),
    "dropout": (0.5, "dropout must be True or False, received 0.5"),
    "frozen": ("yes", "frozen must be True or False, received 'yes'"),
    "tolerance": (-1, "tolerance must be a number above 0, such as 0.01, .* received -1"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_outside_of_what_is_allowed_is_named(name):
    value, sentence = OPTIONS[name]
    with pytest.raises(InvalidArgument, match=sentence):
        mean_of(X, **{name: value})


def test_models_that_cannot_be_recalibrated():
    with pytest.raises(UnsupportedModel, match="has no batch normalization"):
        mean_of(X, keras.Sequential([keras.Input((3,)), layers.Dense(2)]))
    with pytest.raises(UnsupportedModel, match="is not built"):
        mean_of(X, keras.Sequential([layers.BatchNormalization()]))
    with pytest.raises(InvalidArgument, match="model must be a Keras model, received str"):
        mean_of(X, "model")
    frozen = model_of(3)
    frozen.trainable = False
    with pytest.raises(InvalidArgument, match="frozen must be True where every batch normalization"):
        mean_of(X, frozen)
    np.testing.assert_allclose(mean_of(X, frozen, frozen=True), X.mean(axis=0), rtol=1e-5)


def test_weights_that_are_no_number_are_found_at_the_layer_behind_them():
    model = chain()
    model.layers[3].kernel.assign(np.full((3, 3), np.nan))
    behind = model.layers[4].name
    with pytest.raises(InvalidData, match=f"{behind}: the inputs of this layer are not finite"):
        eb.recalibrate(model, X, verbose=False)


def test_what_a_layer_raises_on_the_data_is_told():
    class Choosy(layers.Layer):
        def call(self, x):
            if not isinstance(x, keras.KerasTensor) and x.shape[0] == 24:
                raise ValueError("not so many")
            return x

    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.BatchNormalization()(Choosy(name="choosy")(inputs)))
    with pytest.raises(InvalidData, match=r"choosy cannot be called on these: ValueError: .*not so many"):
        eb.recalibrate(model, X, verbose=False)


def test_the_bar_is_on_standard_error_and_can_be_left_out(capsys):
    eb.recalibrate(model_of(3), X, batch_size=8)
    out, err = capsys.readouterr()
    assert out == ""
    assert "3/3 batches" in err
    mean_of(X)
    assert capsys.readouterr() == ("", "")
