"""The yardstick: generated images judged offline, by a small classifier that was trained on the same data set.

Its distances say nothing outside one data set and one judge, whose hash therefore stands beside every one of them. They
are read between two marks: the floor, fresh real images, and the ceiling, noise.
"""

from evenbatch.gan.yardstick.judge import Classifier, Judge
from evenbatch.gan.yardstick.keeping import judge_for
from evenbatch.gan.yardstick.measuring import Yardstick, collapsed, columns

__all__ = ["Classifier", "Judge", "Yardstick", "collapsed", "columns", "judge_for"]
