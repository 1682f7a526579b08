"""What a study of GANs is asked for, and how bad input ends: in one sentence, before anything is written."""

import numpy as np
import pytest

from evenbatch import datasets
from evenbatch.datasets import prepare
from evenbatch.errors import InvalidArgument, InvalidData
from evenbatch.gan import sampling
from evenbatch.report import question
from evenbatch.study import Arm, adversarial
from evenbatch.study.design import design
from evenbatch.study.spec import STATISTICS

OPTIONS = {"width": 2, "noise": 5}


def arrays(shape=(28, 28, 1), low=0.0, high=1.0, rows=40):
    rng = np.random.default_rng(0)
    x = rng.uniform(low, high, (rows, *shape)).astype("float32")
    x.flat[0], x.flat[1] = low, high
    return {"x_train": x, "y_train": np.arange(rows) % 4, "x_val": x[:8], "y_val": np.arange(8) % 4}


def plan(data=None, **settings):
    options = {**OPTIONS, **settings.pop("options", {})}
    given = {"batch_size": 8, "epochs": 2, "seeds": 2, **settings}
    return design("gan", data=prepare("made up", data or arrays(), "image"), options=options, **given)


def test_the_default_study_has_the_layer_none_and_the_traps_each_in_its_pair():
    spec = plan().spec
    arms = {arm.name: (arm.normalize, arm.options) for arm in spec.arms}
    assert arms == {
        "batch": ("batch", {}),
        "none": ("none", {}),
        "no training flag": ("batch", {"step": "no training flag"}),
        "mixed batch": ("batch", {"step": "mixed"}),
        "frozen discriminator": ("batch", {"step": "frozen discriminator"}),
    }
    pairs = [(pair.arm, pair.baseline) for pair in spec.pairs]
    assert pairs == [("batch", "none"), *((name, "batch") for name in list(arms)[2:])]
    assert spec.steps_per_epoch == 40 // 8


@pytest.mark.parametrize(
    ("arms", "pairs"),
    [
        (["batch", "ghost", "none"], [("batch", "none"), ("ghost", "batch")]),
        (["batch", "mixed"], [("mixed", "batch")]),
        (["ghost", "group"], [("ghost", "group")]),
    ],
)
def test_the_layer_itself_is_what_other_arms_are_compared_with(arms, pairs):
    assert adversarial.pairs_of(arms) == pairs


def test_defaults_are_those_of_the_mission():
    spec = design("gan", data=prepare("made up", arrays(rows=300), "image")).spec
    assert (spec.epochs, spec.batch_size, spec.optimizer) == (100, 256, "adam")
    assert spec.arms[0].learning_rate == 1e-4
    settings = spec.adversarial
    assert (settings.beta_1, settings.ema, settings.statistics, settings.measure_every) == (0.5, None, "moving", 5)


def test_the_preset_fills_in_and_what_is_given_goes_before_it():
    spec = design("gan", data="digits", preset="quick", epochs=3, options={"width": 8}).spec
    assert (spec.epochs, spec.batch_size, spec.data.input_shape) == (3, 64, (28, 28, 1))
    assert (spec.options["width"], spec.adversarial.resize) == (8, 28)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0.2, 0.7)])
def test_images_end_up_between_minus_one_and_one(low, high):
    found = plan(arrays(low=low, high=high)).dataset
    x = found.train.x
    expected = (low, high) if low < 0 else (2 * low - 1, 2 * high - 1)
    np.testing.assert_allclose((x.min(), x.max()), expected, rtol=1e-6)
    assert found.sha256 != prepare("made up", arrays(low=low, high=high), "image").sha256 or low < 0


def test_eight_bit_pixels_are_scaled_and_resized_ones_keep_their_range():
    raw = arrays((8, 8, 3))
    raw = {name: (255 * array).astype("uint8") if name.startswith("x") else array for name, array in raw.items()}
    found = plan(raw, options={"resize": 32}).dataset
    assert found.input_shape == (32, 32, 3)
    assert (found.train.x.min(), found.train.x.max()) == (-1, 1)


def test_a_study_knows_the_statistics_that_a_generator_samples_by():
    assert STATISTICS == sampling.STATISTICS == question.WAYS


def test_an_averaged_generator_is_judged_by_statistics_of_its_own():
    assert plan(options={"ema": 0.99}).spec.adversarial.statistics == "recalibrated"
    assert plan(options={"ema": 0.99, "statistics": "batch"}).spec.adversarial.statistics == "batch"


def test_resizing_what_are_no_images_is_refused():
    with pytest.raises(InvalidData, match="only images can be resized"):
        datasets.resized(prepare("made up", arrays(), "vector"), 28)


@pytest.mark.parametrize(
    ("data", "settings", "error", "sentence"),
    [
        (arrays((8, 8, 1)), {}, InvalidArgument, "images of 28×28 or 32×32 pixels, received 8×8×1; .*resize=28"),
        (arrays((28, 28, 2)), {}, InvalidData, "images must have 1 or 3 channels, received 2"),
        (arrays(high=3.5), {}, InvalidData, r"received numbers from 0 to 3\.5; scale them"),
        (arrays(low=-2), {}, InvalidData, "received numbers from -2 to 1; scale them"),
        (arrays(), {"batch_size": 64}, InvalidData, "batch_size must be at most the number of training examples"),
        (arrays(), {"devices": 3}, InvalidArgument, "devices must divide batch_size for a GAN, received 3 .*such as 9"),
        (arrays(), {"preset": "slow"}, InvalidArgument, "unknown preset of the recipe 'gan' 'slow', allowed: quick"),
        (arrays(), {"arms": {"a": "bach"}}, InvalidArgument, "unknown normalization 'bach'.*'batch'"),
        (arrays(), {"arms": {"a": Arm(options={"step": "mix"})}}, InvalidArgument, "unknown step 'mix'"),
        (arrays(), {"arms": {"a": Arm(options={"widht": 3})}}, InvalidArgument, "did you mean 'width'"),
        (arrays(), {"arms": {"a": Arm(options=3)}}, InvalidArgument, "options must be a mapping"),
        (arrays(), {"options": {"ema": 1.5}}, InvalidArgument, r"ema must be a number in \[0, 1\), received 1\.5"),
        (arrays(), {"options": {"beta_1": "no"}}, InvalidArgument, "beta_1 must be a number"),
        (arrays(), {"options": {"samples": 0}}, InvalidArgument, "samples must be an integer of at least 1"),
        (arrays(), {"options": {"measure_every": 1.5}}, InvalidArgument, "measure_every must be an integer"),
        (arrays(), {"options": {"resize": 30}}, InvalidArgument, "resize must be 28 or 32, received 30"),
        (arrays(), {"options": {"statistics": "own"}}, InvalidArgument, "statistics must be 'moving', 'batch'"),
        (arrays(), {"options": {"form": "own"}}, InvalidArgument, "unknown form 'own'"),
        (arrays(), {"options": {"sigma": 1}}, InvalidArgument, "unknown option of the recipe 'gan' 'sigma'"),
    ],
)
def test_bad_input_ends_in_a_sentence(data, settings, error, sentence):
    with pytest.raises(error, match=sentence):
        plan(data, **settings)


def test_names_of_normalizations_and_presets_are_for_the_gan_alone(small):
    with pytest.raises(InvalidArgument, match="normalize must be True, False or a function"):
        design("mlp", data=small(), arms={"a": "batch"}, batch_size=8)
    with pytest.raises(InvalidArgument, match="the recipe 'mlp' has no presets, received 'quick'; leave it out"):
        design("mlp", data=small(), preset="quick", batch_size=8)


def test_an_arm_of_any_recipe_may_have_options_of_its_own(small):
    arms = {"wide": Arm(options={"units": 9}), "narrow": Arm(options={"units": 3})}
    found = design("mlp", data=small(), arms=arms, batch_size=8, options={"depth": 2})
    assert found.spec.options_of(found.spec.arms[0]) == {"depth": 2, "units": 9}
