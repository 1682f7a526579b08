"""How many normalizations of the models of keras.applications go, counted by hand."""

import keras
import pytest

from evenbatch.sites import walk
from evenbatch.surgery.folding.plan import planned

# Those with a convolution directly before them; and of NASNetMobile 4 more, behind two that are concatenated.
COUNTS = {
    "ResNet50": (53, 53),
    "MobileNetV2": (52, 52),
    "EfficientNetB0": (49, 49),
    "InceptionV3": (94, 94),
    "InceptionResNetV2": (204, 204),
    "Xception": (40, 40),
    "DenseNet121": (59, 121),
    "NASNetMobile": (192, 192),
    "ResNet50V2": (32, 49),
}


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a plan asks no backend")
@pytest.mark.parametrize("name", COUNTS)
def test_every_normalization_that_can_go_does(name):
    model = getattr(keras.applications, name)(weights=None)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(layer.beta + 0.1)  # an untrained one adds nothing, which goes through padding with zeros
    plan = planned(walk(model))
    assert (len(plan.moves), len(plan.moves) + len(plan.kept)) == COUNTS[name]
    keras.utils.clear_session()
