"""Model in, new model out: the given one is never changed, and what is promised of the new one is checked."""

from evenbatch.surgery.exchange import to_keras, upgrade
from evenbatch.surgery.folding import fold
from evenbatch.surgery.recalibration import Recalibrate, Recalibrated, RecalibrationReport, recalibrate
from evenbatch.surgery.report import Change, SurgeryReport

__all__ = [
    "Change",
    "Recalibrate",
    "Recalibrated",
    "RecalibrationReport",
    "SurgeryReport",
    "fold",
    "recalibrate",
    "to_keras",
    "upgrade",
]
