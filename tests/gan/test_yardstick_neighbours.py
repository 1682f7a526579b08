"""The search for the nearest training image, and the histogram of classes."""

import numpy as np
import pytest

from evenbatch.gan.yardstick import histogram
from evenbatch.gan.yardstick.neighbours import Neighbours


@pytest.fixture
def known():
    return np.random.default_rng(0).normal(size=(300, 8))


def test_the_nearest_is_found_as_by_comparing_all(known):
    asked = np.random.default_rng(1).normal(size=(40, 8))
    by_hand = np.linalg.norm(asked[:, None] - known[None], axis=2).min(axis=1)
    np.testing.assert_allclose(Neighbours(known).distances(asked), by_hand, rtol=1e-5)


def test_blocks_of_images_change_nothing(known, monkeypatch):
    asked = np.random.default_rng(1).normal(size=(40, 8))
    whole = Neighbours(known).distances(asked)
    monkeypatch.setattr("evenbatch.gan.yardstick.neighbours.BLOCK", 7)
    np.testing.assert_allclose(Neighbours(known).distances(asked), whole, rtol=1e-5)


def test_a_copy_is_found_at_no_distance(known):
    far = known + 10.0  # where a difference of squares would have lost the distance to rounding
    assert Neighbours(far).distances(far[::-1]).max() < 1e-5


def sure_of(classes, of=10):
    return np.eye(of)[np.asarray(classes)]


def test_all_classes_alike_are_all_there_and_even():
    share = histogram.shares(sure_of(np.arange(100) % 10))
    assert histogram.present(share) == 10
    assert histogram.evenness(share) == pytest.approx(1.0)


def test_one_class_alone_is_not_even():
    share = histogram.shares(sure_of([3] * 50))
    assert histogram.present(share) == 1
    assert histogram.evenness(share) == 0.0


def test_a_class_is_there_from_a_tenth_of_its_even_share_on():
    share = histogram.shares(sure_of([0] * 980 + [1] * 11 + [2] * 9))
    assert histogram.present(share) == 2


def test_confidence_is_the_mean_of_the_largest_probability():
    assert histogram.confidence(np.array([[0.5, 0.5], [0.1, 0.9]])) == pytest.approx(0.7)
