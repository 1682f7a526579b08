"""A GAN: trained on images and noise, judged by the distance of what it makes from real images."""

import math
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from evenbatch import files
from evenbatch.errors import InvalidData
from evenbatch.gan import GAN, grid, sampling
from evenbatch.gan.yardstick import Yardstick, collapsed, columns
from evenbatch.study.batches import Course, WithNoise
from evenbatch.study.spec import ArmSpec, Plan
from evenbatch.study.tasks.task import Row, Task

SHOWN = 16
"""Images of a grid."""
FIXED_NOISE = 20140610  # seed of the noise of grids and of measurements: the same in every trial


class Adversarial(Task):
    """A generator and a discriminator."""

    def __init__(self, plan: Plan, arm: ArmSpec, seed: int) -> None:
        super().__init__(plan, arm, seed)
        if plan.spec.adversarial is None:
            raise TypeError("an adversarial trial needs an adversarial specification")
        self._settings = plan.spec.adversarial
        options = plan.spec.options_of(arm)
        self._step = options.pop("step", "separate")
        self._options = options
        self._shares: dict[str, float] | None = None  # what the judge took the last images for, class by class

    def network(self) -> Any:
        """Both networks as one model."""
        data = self.plan.spec.data
        normalize = self.plan.normalize[self.arm.name]
        networks = self.plan.build(data.input_shape, data.classes, normalize, **self._options)
        return GAN(networks.generator, networks.discriminator, step=self._step, ema=self._settings.ema)

    def compile(self, model: Any) -> None:
        """With one Adam for both networks."""
        model.compile(keras.optimizers.Adam(self.arm.learning_rate, beta_1=self._settings.beta_1))

    def course(self, model: Any) -> Course:
        """Whole batches of images with noise."""
        return WithNoise(self.plan.dataset.train, self.plan.spec.batch_size, self.seed, model.noise)

    def is_finite(self, row: Row) -> bool:
        """Whether both losses are numbers."""
        return math.isfinite(row["d_loss"]) and math.isfinite(row["g_loss"])

    def has_result(self, row: Row) -> bool:
        """Whether its images are numbers, too, as far as they were measured."""
        return self.is_finite(row) and math.isfinite(row[f"frechet_{self._settings.statistics}"] or 0.0)

    def measured(self, model: Any, row: Row, folder: Path) -> Row:
        """Draws the grid of an epoch and, where it is due, takes the distances; of numbers that are none, neither."""
        yardstick = self._yardstick  # made at the first epoch, which is no part of what a measurement costs
        begin = time.perf_counter()
        found: Row = {}
        if self.is_finite(row):
            generator = self._shown(model)
            noise, label = sampling.drawn(generator, SHOWN, FIXED_NOISE)
            shown = _images(generator, noise, label, statistics=self._settings.statistics)
            (folder / "grids").mkdir(parents=True, exist_ok=True)
            grid.write_png(self._page(row, folder), shown)
            if self._is_due(row):
                samples = self._samples(generator)
                found = yardstick.measure(samples)
                shares = yardstick.class_shares(samples[self._settings.statistics])
                self._shares = dict(zip(self.plan.dataset.labels, shares, strict=True)) if shares else None
        more = {name: found.get(name) for name in columns(sampling.STATISTICS)}
        seconds = row.pop("seconds")
        return {**row, **more, "seconds": seconds, "measure_seconds": time.perf_counter() - begin}

    def finish(self, model: Any, rows: Sequence[Row], folder: Path) -> dict[str, Any]:
        """Writes both networks, and the grids as one animation."""
        files.write_whole(folder / "generator.keras", model.generator.save)
        files.write_whole(folder / "discriminator.keras", model.discriminator.save)
        if self._settings.ema is not None and self.has_result(rows[-1]):
            files.write_whole(folder / "averaged_generator.keras", sampling.recalibrated(self._shown(model)).save)
        pages = [page for page in (self._page(row, folder) for row in rows) if page.exists()]
        if pages:
            grid.write_animation(folder / "grids" / "animation.gif", pages)
        return {
            "collapsed": self._collapsed_since(rows) if self.has_result(rows[-1]) else None,
            "class_shares": self._shares,
            "yardstick": self._yardstick.describe(),
        }

    def _page(self, row: Row, folder: Path) -> Path:
        """Where the grid of an epoch goes."""
        return folder / "grids" / f"epoch-{row['epoch']:03}.png"

    @cached_property
    def _yardstick(self) -> Yardstick:
        return Yardstick(self.plan.dataset, self.plan.judge, self._settings.samples)

    def _shown(self, model: Any) -> Any:
        """The generator that is shown and measured: of averaged weights, where these are kept."""
        if self._settings.ema is None:
            return model.generator
        return model.averaged_generator()

    def _is_due(self, row: Row) -> bool:
        epoch, epochs = row["epoch"], self.plan.spec.epochs
        return epoch in (1, epochs) or epoch % self._settings.measure_every == 0

    def _samples(self, generator: Any) -> dict[str, Any]:
        """Images of the same noise by each kind of statistics, the one that the study is about first."""
        first = self._settings.statistics
        kinds = [first, *(kind for kind in sampling.STATISTICS if kind != first)]
        given = sampling.drawn(generator, self._yardstick.samples, FIXED_NOISE)
        size = self.plan.spec.batch_size
        if not sampling.has_statistics(generator):
            return dict.fromkeys(kinds, sampling.images(generator, *given))
        return {kind: _images(generator, *given, statistics=kind, batch_size=size) for kind in kinds}

    def _collapsed_since(self, rows: Sequence[Row]) -> int | None:
        """The first measured epoch of the collapse that the last one is still in; a generator's start is none."""
        since, was_diverse = None, False
        for row in rows:
            if row["diversity"] is None or not math.isfinite(row["diversity"]):
                continue
            if not collapsed(row):
                since, was_diverse = None, True
            elif was_diverse and since is None:
                since = row["epoch"]
        return since


def _images(generator: Any, noise: Any, label: Any, **how: Any) -> Any:
    """Images, which are no numbers where no statistics can be found: of weights that are none, behind finite losses."""
    try:
        return sampling.images(generator, noise, label, **how)
    except InvalidData:
        return np.full((len(noise), *generator.output_shape[1:]), np.nan, "float32")


task = Adversarial
