"""Trials of a GAN: what they write, and that a killed one ends with the very same numbers."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
from made_up import SETTINGS
from PIL import Image

from evenbatch import files
from evenbatch.study import checkpoint, trial
from evenbatch.study.design import design
from evenbatch.study.judging import with_judge
from evenbatch.study.run import Silent

NETWORKS = ("generator", "discriminator")
EVENBATCH = [sys.executable, "-m", "evenbatch"]
WORDS = ["--batch-size", "16", "--epochs", "6", "--threads", "1"]
WORDS += [word for name, value in SETTINGS.items() for word in ("--option", f"{name}={value}")]


@pytest.fixture
def plan(images_file, cache):
    """A plan of one arm: `plan("none", epochs=2)`."""

    def made(arm="batch", **settings):
        given = {"arms": {"arm": arm}, "seeds": 1, "epochs": 3, "batch_size": 16, **settings}
        given["options"] = {**SETTINGS, **given.get("options", {})}
        return with_judge(design("gan", data=images_file, **given), Silent())

    return made


def run(plan, folder, **more):
    return trial.run(plan, *plan.spec.trials()[0], folder, **more)


def history(folder):
    return [
        {name: value for name, value in row.items() if "seconds" not in name}
        for row in files.read_csv(folder / "history.csv")
    ]


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_trial_leaves_networks_grids_and_a_history_that_is_measured_on_schedule(plan, tmp_path):
    record = run(plan(epochs=4), tmp_path)
    assert (record.outcome, record.epochs) == ("finished", 4)
    rows = history(tmp_path)
    assert [row["epoch"] for row in rows if row["frechet_moving"] is not None] == [1, 2, 4]
    assert all(row["d_loss"] > 0 and row["g_loss"] > 0 for row in rows)
    assert record.yardstick["floor"]["frechet"] < record.yardstick["ceiling"]["frechet"]
    assert sum(record.class_shares.values()) == pytest.approx(1)
    assert list(record.class_shares) == ["0", "1", "2"]
    grids = sorted(path.name for path in (tmp_path / "grids").iterdir())
    assert grids == ["animation.gif", *(f"epoch-00{epoch}.png" for epoch in range(1, 5))]
    with Image.open(tmp_path / "grids" / "animation.gif") as film:
        assert film.n_frames == 4
    generator, discriminator = (
        keras.models.load_model(tmp_path / f"{name}.keras") for name in ("generator", "discriminator")
    )
    assert discriminator(generator(np.zeros((2, 5), "float32"))).shape == (2, 1)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_killed_trial_goes_on_to_the_very_same_numbers(plan, tmp_path, monkeypatch, ema):
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)
    asked = plan(options={"ema": ema, "dropout": 0.3})
    run(asked, tmp_path / "unbroken")

    def kill(row):
        if row["epoch"] == 2:
            raise Killed

    with pytest.raises(Killed):
        run(asked, tmp_path / "broken", on_row=kill)
    assert (tmp_path / "broken" / "checkpoint.npz").exists()
    seen = []
    run(asked, tmp_path / "broken", on_row=lambda row: seen.append(row["epoch"]))
    assert seen == [2, 3]  # it did go on, and not begin anew
    assert history(tmp_path / "broken") == history(tmp_path / "unbroken")
    names = [*NETWORKS, *(["averaged_generator"] if ema else [])]
    for name in names:
        ours, theirs = (keras.models.load_model(tmp_path / which / f"{name}.keras") for which in ("broken", "unbroken"))
        for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, other)
    for page in (tmp_path / "unbroken" / "grids").iterdir():
        assert page.read_bytes() == (tmp_path / "broken" / "grids" / page.name).read_bytes()


def test_without_statistics_the_three_kinds_are_one(plan, tmp_path):
    run(plan("none", epochs=1), tmp_path)
    row = history(tmp_path)[-1]
    assert row["frechet_moving"] == row["frechet_batch"] == row["frechet_recalibrated"]


@pytest.mark.parametrize("arm", ["conditional", "ghost", "group"])
def test_every_normalization_trains(plan, tmp_path, arm):
    assert run(plan(arm, epochs=1), tmp_path).outcome == "finished"
    assert (tmp_path / "grids" / "epoch-001.png").exists()


@pytest.mark.parametrize(("arm", "ema"), [("none", None), ("batch", 0.9)])
def test_a_diverged_trial_is_an_outcome_with_its_files(plan, tmp_path, arm, ema):
    record = run(plan(arm, learning_rate=1e38, options={"ema": ema}), tmp_path)
    assert (record.outcome, record.epochs) == ("diverged", 1)
    assert history(tmp_path)[0]["frechet_moving"] is None
    assert json.loads((tmp_path / "trial.json").read_text())["outcome"] == "diverged"


def test_a_collapse_is_noted_from_the_epoch_that_it_lasts_since(plan, tmp_path):
    asked = plan()
    task = trial.task_of(asked, *asked.spec.trials()[0])
    rows = [{"epoch": e, "diversity": d} for e, d in enumerate([0.01, None, 0.5, 0.02, None, 0.01], 1)]
    assert task._collapsed_since(rows) == 4
    assert task._collapsed_since(rows[:3]) is None
    assert task._collapsed_since(rows[:1]) is None  # it has not learnt yet


def test_arms_of_a_pair_share_weights_and_the_noise_of_every_epoch(plan):
    asked = plan(epochs=1)
    spec = asked.spec.model_copy(
        update={"arms": (asked.spec.arms[0], asked.spec.arms[0].model_copy(update={"name": "none"}))}
    )
    both = replace(asked, spec=spec, normalize={"arm": "batch", "none": "none"})
    tasks = [trial.task_of(both, arm, 0) for arm in spec.arms]
    first, second = ({w.path: w for w in trial.prepare(task).trainable_variables} for task in tasks)
    shared = [path for path in first.keys() & second.keys() if path.endswith("kernel")]
    assert len(shared) == 6  # three linear layers of each network
    for path in shared:
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(of[path]) for of in (first, second)))
    ours, theirs = (task.course(trial.prepare(task)).epoch(3) for task in tasks)
    np.testing.assert_array_equal(ours["noise"], theirs["noise"])
    np.testing.assert_array_equal(ours["index"], theirs["index"])
    assert len(ours["index"]) == 72 // 16 * 16


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_to_the_very_same_files(images_file, cache, tmp_path):
    def command(out):
        return [*EVENBATCH, "train", "gan", "--data", str(images_file), *WORDS, "--out", str(tmp_path / out)]

    def wait_for(condition, seconds=120):
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.02)

    broken = subprocess.Popen(command("broken"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "broken" / "grids" / "epoch-002.png").exists() or broken.poll() is not None)
    os.kill(broken.pid, signal.SIGKILL)
    assert broken.wait() == -signal.SIGKILL
    assert (tmp_path / "broken" / "checkpoint.npz").exists()
    for out in ("broken", "whole"):
        done = subprocess.run(command(out), capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr
    assert history(tmp_path / "broken") == history(tmp_path / "whole")
    again, whole = (files.read_json(tmp_path / out / "summary.json") for out in ("broken", "whole"))
    assert {**again["last"], **dict.fromkeys(("seconds", "measure_seconds"))} == {
        **whole["last"],
        **dict.fromkeys(("seconds", "measure_seconds")),
    }
    for page in (tmp_path / "whole" / "grids").iterdir():
        assert page.read_bytes() == (tmp_path / "broken" / "grids" / page.name).read_bytes()


@pytest.mark.slow
def test_two_devices_end_with_the_weights_of_one(images_file, cache, tmp_path):
    weights = []
    for count in (1, 2):
        out = tmp_path / str(count)
        words = ["--data", str(images_file), *WORDS, "--devices", str(count), "--out", str(out), "--option", "ema=0.9"]
        done = subprocess.run(
            [*EVENBATCH, "train", "gan", *words], capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        nets = [keras.models.load_model(out / f"{name}.keras") for name in NETWORKS]
        weights.append([weight for net in nets for weight in net.get_weights()])
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
    one, two = (history(tmp_path / name) for name in ("1", "2"))
    for name in ("d_loss", "g_loss"):
        np.testing.assert_allclose([row[name] for row in two], [row[name] for row in one], rtol=1e-4)
    for name in ("frechet_moving", "frechet_batch", "frechet_recalibrated"):
        np.testing.assert_allclose(two[-1][name], one[-1][name], rtol=1e-2)
