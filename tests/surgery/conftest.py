"""Models of every kind, with Keras' layer and with ours."""

import keras
import models
import pytest

import evenbatch as eb


@pytest.fixture(params=models.KINDS)
def kind(request):
    return models.KINDS[request.param]


@pytest.fixture
def theirs(kind):
    """A model with Keras' layer."""
    return models.filled(kind(keras.layers.BatchNormalization))


@pytest.fixture
def ours(kind):
    """The same with ours."""
    return models.filled(kind(eb.BatchNormalization))
