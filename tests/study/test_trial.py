import json

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch import files
from evenbatch.errors import StorageError
from evenbatch.recipes import CLASSIFIERS
from evenbatch.study import checkpoint, trial
from evenbatch.study.tasks import task_of

NUMBERS = ("loss", "accuracy", "val_loss", "val_accuracy")


def rows_of(folder):
    return [[row[name] for name in NUMBERS] for row in files.read_csv(folder / "history.csv")]


def run(plan, folder, **more):
    arm, seed = plan.spec.trials()[0]
    return trial.run(plan, arm, seed, folder, **more)


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_after(plan, folder, epochs):
    """Runs a trial whose process ends when that many epochs are done, before the next checkpoint."""

    def on_row(row):
        if row["epoch"] == epochs + 1:
            raise Killed

    with pytest.raises(Killed):
        run(plan, folder, on_row=on_row)


@pytest.mark.parametrize("recipe", CLASSIFIERS)
def test_a_killed_trial_goes_on_to_the_very_same_numbers(plan_of, tmp_path, monkeypatch, recipe):
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)
    plan = plan_of(recipe, epochs=4)
    run(plan, tmp_path / "unbroken")
    killed_after(plan, tmp_path / "broken", 1)
    assert (tmp_path / "broken" / "checkpoint.npz").exists()
    killed_after(plan, tmp_path / "broken", 2)
    run(plan, tmp_path / "broken")
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "unbroken")
    ours, theirs = (keras.models.load_model(tmp_path / name / "model.keras") for name in ("broken", "unbroken"))
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_trial_killed_before_its_first_checkpoint_starts_anew(plan_of, tmp_path):
    plan = plan_of(epochs=2)
    run(plan, tmp_path / "unbroken")
    killed_after(plan, tmp_path / "broken", 0)
    run(plan, tmp_path / "broken")
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "unbroken")


def test_a_complete_trial_leaves_its_results_and_nothing_of_the_run(plan_of, tmp_path):
    record = run(plan_of("regularized"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "history.csv",
        "model.keras",
        "probes.csv",
        "trial.json",
    ]
    assert json.loads((tmp_path / "trial.json").read_text())["outcome"] == record.outcome == "finished"
    assert record.test is not None
    assert record.test.keys() == {"loss", "accuracy"}
    assert [row["epoch"] for row in files.read_csv(tmp_path / "history.csv")] == [1, 2]


def test_the_saved_model_has_the_validation_accuracy_of_the_last_row(plan_of, tmp_path):
    plan = plan_of("cnn", epochs=3)
    run(plan, tmp_path)
    model, val = keras.models.load_model(tmp_path / "model.keras"), plan.dataset.val
    found = (model.predict(val.x, verbose=0).argmax(axis=1) == val.y).mean()
    assert found == pytest.approx(rows_of(tmp_path)[-1][3], abs=1e-6)


def test_a_loss_that_is_no_number_ends_the_trial_as_diverged(plan_of, tmp_path):
    plan = plan_of(epochs=5, arms={"wild": eb.Arm(False, learning_rate=1e38)})
    record = run(plan, tmp_path)
    assert record.outcome == "diverged"
    assert record.epochs < 5
    assert record.test is None
    assert None in rows_of(tmp_path)[-1]
    last = files.read_csv(tmp_path / "history.csv")[-1]
    assert (last["accuracy"], last["val_accuracy"]) == (None, None)  # Keras says the share of class 0
    assert "NaN" not in (tmp_path / "trial.json").read_text()


def test_a_seed_fixes_the_trial(plan_of, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run(plan_of("regularized", seeds=[seed]), tmp_path / name)
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
    assert rows_of(tmp_path / "a") != rows_of(tmp_path / "c")


def unbuilt(input_shape, classes, normalize):
    layers = [keras.layers.Flatten(), keras.layers.Dense(8, name="hidden")]
    if normalize:
        layers.append(eb.BatchNormalization(name="norm"))
    return keras.Sequential(
        [*layers, keras.layers.Dropout(0.5), keras.layers.Dense(classes, "softmax", name="classes")]
    )


def test_a_model_that_is_built_at_its_first_call_shares_weights_and_resumes(plan_of, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)
    plan = plan_of(unbuilt, epochs=3)
    record = run(plan, tmp_path / "unbroken")
    other = trial.run(plan, plan.spec.arms[1], 0, tmp_path / "other")
    shared = {path for path, digest in record.initial_weights.items() if other.initial_weights.get(path) == digest}
    assert len([path for path in shared if path.endswith("kernel")]) == 2
    killed_after(plan, tmp_path / "broken", 1)
    run(plan, tmp_path / "broken")
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "unbroken")


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, classes=3, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes
        self.parts = [keras.layers.Flatten(), eb.BatchNormalization(), keras.layers.Dropout(0.5)]
        self.last = keras.layers.Dense(classes, activation="softmax")

    def call(self, x, training=None):
        x = self.parts[1](self.parts[0](x), training=training)
        return self.last(self.parts[2](x, training=training))

    def get_config(self):
        return {"classes": self.classes}


def test_a_probe_that_finds_no_place_to_look_at_fails_no_trial(plan_of, tmp_path):
    record = run(plan_of(lambda input_shape, classes, normalize: Subclassed(classes)), tmp_path)
    assert record.outcome == "finished"
    assert not (tmp_path / "probes.csv").exists()


def test_a_damaged_checkpoint_is_named(plan_of, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)
    plan = plan_of(epochs=4)
    killed_after(plan, tmp_path, 2)
    saved = tmp_path / "checkpoint.npz"
    saved.write_bytes(saved.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"checkpoint\.npz.*delete it to start its trial anew"):
        run(plan, tmp_path)


def test_another_models_checkpoint_is_refused(plan_of, tmp_path):
    arm, seed = plan_of("mlp").spec.trials()[0]
    small, large = (trial.prepare(task_of(plan_of(name), arm, seed)) for name in ("mlp", "regularized"))
    checkpoint.save(tmp_path / "c.npz", small, [])
    with pytest.raises(StorageError, match="another model"):
        checkpoint.restore(tmp_path / "c.npz", large)


def test_a_checkpoint_of_the_same_layers_with_other_widths_is_refused(plan_of, tmp_path):
    narrow, wide = (plan_of("mlp", options={"units": units}) for units in (8, 16))
    narrow, wide = (trial.prepare(task_of(plan, *plan.spec.trials()[0])) for plan in (narrow, wide))
    checkpoint.save(tmp_path / "c.npz", narrow, [])
    with pytest.raises(StorageError, match="another model"):
        checkpoint.restore(tmp_path / "c.npz", wide)


def test_checkpoints_take_a_bounded_share_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: now[0])
    cadence = checkpoint.Cadence()

    def save():
        now[0] += 0.01

    spent = 0
    for _ in range(1000):
        now[0] += 0.02
        if cadence.due():
            cadence.spend(save)
            spent += 1
    assert spent * 0.01 / now[0] <= checkpoint.SHARE * 1.05
    assert spent > 20
