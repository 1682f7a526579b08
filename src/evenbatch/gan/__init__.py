"""A GAN with normalization in both networks, trained, sampled and judged.

::

    recipe gan ──> generator, discriminator ──> GAN ──> fit ──> generator
    recipes/gan.py                              model.py        sampling.py   grid.py
                                                showing.py  how images are shown to the discriminator
                                                steps/      the gradient of each backend
    images, generated and real ──> yardstick/ ──> distances, histogram, neighbours
"""

from evenbatch.gan.model import GAN
from evenbatch.gan.sampling import images

__all__ = ["GAN", "images"]
