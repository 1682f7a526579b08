"""Population statistics in the place of moving ones: `eb.recalibrate`, and `eb.Recalibrate` for validations.

A copy of the model is run over the data while its normalizations are listened to (`listening.py`), in stages that
follow the order in which they depend on each other (`order.py`), each started from what was kept of the stage before
(`replay.py`). What they are told is merged in float64 (`population.py`), over processes too (`tally.py`).
"""

from evenbatch.surgery.recalibration.callback import Recalibrate
from evenbatch.surgery.recalibration.model import recalibrate
from evenbatch.surgery.recalibration.report import Recalibrated, RecalibrationReport

__all__ = ["Recalibrate", "Recalibrated", "RecalibrationReport", "recalibrate"]
