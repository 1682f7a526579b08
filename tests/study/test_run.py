"""Whole studies in real worker processes."""

import json
import pickle
import threading

import keras
import pytest
from filelock import FileLock

import evenbatch as eb
from evenbatch import files
from evenbatch.errors import InvalidArgument, StorageError, StudyConflict, StudyFailed
from evenbatch.study import locks, run, worker

pytestmark = pytest.mark.slow


def dense(input_shape, classes, normalize):
    """A user's own function, with a layer of their choice."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Dense(16)(keras.layers.Flatten()(inputs))
    x = normalize()(x) if callable(normalize) else x
    outputs = keras.layers.Dense(classes, activation="softmax")(keras.layers.Activation("relu")(x))
    return keras.Model(inputs, outputs)


def breaks_without(input_shape, classes, normalize):
    if not normalize:
        raise RuntimeError("<b>this arm</b> cannot be built")
    return dense(input_shape, classes, keras.layers.LayerNormalization)


def breaks(input_shape, classes, normalize):
    raise RuntimeError("neither can be built")


class Watch:
    """Notes what it is told."""

    def __init__(self):
        self.done, self.records, self.ended = None, [], False

    def begin(self, plan, folder, done):
        self.done = done

    def trial(self, record):
        self.records.append(record)

    def end(self):
        self.ended = True


SMALL = {"seeds": 2, "epochs": 2, "batch_size": 16}


def test_arms_of_the_users_own_run_side_by_side_and_leave_their_files(small, tmp_path):
    arms = {"layer norm": keras.layers.LayerNormalization, "<script>": eb.Arm(False, learning_rate=1e38), "none": False}
    watch = Watch()
    study = eb.compare(dense, data=small(), arms=arms, out=tmp_path, watcher=watch, inputs="vector", **SMALL)
    assert {(r["arm"], r["seed"]) for r in watch.records} == {(arm, seed) for arm in arms for seed in (0, 1)}
    assert watch.ended
    summary = study.summary()
    assert [(p["arm"], p["baseline"]) for p in summary["pairs"]] == [("layer norm", "none"), ("<script>", "none")]
    assert summary["arms"]["<script>"]["diverged"] == 2
    assert summary["arms"]["layer norm"]["finished"] == 2
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == sorted(
        f"{a}-s{s}" for a in arms for s in (0, 1)
    )
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert "&lt;script&gt;" in (tmp_path / "report.html").read_text()


def test_a_complete_study_is_not_run_again_and_force_runs_it(small, tmp_path):
    settings = {"data": small(), "arms": {"a": True}, "out": tmp_path, "inputs": "vector", **SMALL, "seeds": 1}
    eb.compare(dense, **settings)
    before = (tmp_path / "trials" / "a-s0" / "trial.json").stat().st_mtime_ns
    watch = Watch()
    eb.compare(dense, **settings, watcher=watch)
    assert (watch.done, watch.records) == (1, [])
    assert (tmp_path / "trials" / "a-s0" / "trial.json").stat().st_mtime_ns == before
    eb.compare(dense, **settings, watcher=watch, force=True)
    assert (watch.done, len(watch.records)) == (0, 1)


def test_a_trial_that_fails_is_recorded_and_stops_neither_study_nor_report(small, tmp_path):
    study = eb.compare(breaks_without, data=small(), out=tmp_path, inputs="vector", **SMALL)
    arms = study.summary()["arms"]
    assert (arms["with"]["finished"], arms["without"]["failed"]) == (2, 2)
    record = json.loads((tmp_path / "trials" / "without-s0" / "trial.json").read_text())
    assert record["error"] == "RuntimeError: <b>this arm</b> cannot be built"
    page = (tmp_path / "report.html").read_text()
    assert "&lt;b&gt;this arm&lt;/b&gt;" in page
    assert "<b>this arm" not in page


def test_a_study_in_which_every_trial_fails_says_why(small, tmp_path):
    with pytest.raises(StudyFailed, match=r"every trial failed, the first with: RuntimeError: neither can be built"):
        eb.compare(breaks, data=small(), out=tmp_path, inputs="vector", **SMALL)


def test_jobs_do_not_change_the_numbers(small, tmp_path):
    def histories(folder):
        paths = sorted(folder.glob("trials/*/history.csv"))
        return [[{**row, "seconds": None} for row in files.read_csv(path)] for path in paths]

    for jobs in (1, 2):
        eb.compare("regularized", data=small(), out=tmp_path / str(jobs), jobs=jobs, **SMALL)
    assert histories(tmp_path / "1") == histories(tmp_path / "2")


def test_two_cannot_run_one_study(small, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(StudyConflict, match="another process writes to"):
        eb.compare("mlp", data=small(), out=tmp_path, **SMALL)


def test_two_cannot_write_one_trial(plan_of, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "TRIAL_SECONDS", 0.2)
    plan = plan_of()
    with FileLock(tmp_path / "lock"), pytest.raises(StudyConflict, match="another process writes to"):
        worker.run(plan, *plan.spec.trials()[0], tmp_path, parent=0)


def test_what_cannot_be_sent_to_a_process_is_one_sentence(small, tmp_path):
    lock = threading.Lock()

    def holds_a_lock(input_shape, classes, normalize):
        with lock:
            return dense(input_shape, classes, normalize)

    with pytest.raises(InvalidArgument, match=r"can be sent to another process, and are not: TypeError: .*lock.*$"):
        eb.compare(holds_a_lock, data=small(), out=tmp_path, inputs="vector", **SMALL)


def test_no_room_for_the_shared_arrays_is_one_sentence(tmp_path):
    error = pickle.PicklingError("Could not pickle the task to send it to the workers.")
    error.__cause__ = Exception('"""\nTraceback …\nOSError: [Errno 28] No space left on device\n"""')
    found = run._not_sent(tmp_path, error)
    assert isinstance(found, StorageError)
    assert "No space left on device; free some space there" in str(found)


@pytest.mark.parametrize("jobs", [0, 1.5, "two"])
def test_jobs_must_be_a_count(small, tmp_path, jobs):
    with pytest.raises(InvalidArgument, match="jobs must be an integer of at least 1"):
        eb.compare("mlp", data=small(), out=tmp_path / "s", jobs=jobs, **SMALL)
    assert not (tmp_path / "s").exists()
