"""Model in, new model out: the given one is never changed, and what is promised of the new one is checked."""

from evenbatch.surgery.exchange import to_keras, upgrade
from evenbatch.surgery.folding import fold
from evenbatch.surgery.report import Change, SurgeryReport

__all__ = ["Change", "SurgeryReport", "fold", "to_keras", "upgrade"]
