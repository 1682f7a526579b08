"""With and without batch normalization, in paired trials: arms × seeds → a directory → numbers."""

from evenbatch.study.spec import Arm
from evenbatch.study.study import Study, compare

__all__ = ["Arm", "Study", "compare"]
