"""Model in, new model out: the given one is never changed, and what is promised of the new one is checked."""

from evenbatch.surgery.exchange import to_keras, upgrade
from evenbatch.surgery.report import Change, SurgeryReport

__all__ = ["Change", "SurgeryReport", "to_keras", "upgrade"]
