"""Why a normalization cannot be folded somewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from evenbatch.sites import Site


class Refused(Exception):
    """A normalization does not go there; the text says why, without a full stop."""


@contextmanager
def naming(site: Site, where: str) -> Iterator[None]:
    """Lets a refusal within name the layer that refuses."""
    try:
        yield
    except Refused as refused:
        raise Refused(f"{site.path} ({type(site.layer).__name__}), {where}, {refused}") from None
