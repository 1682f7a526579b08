import json

import pytest

from evenbatch.errors import StorageError, StudyConflict
from evenbatch.study import store


def claim(folder, plan, force=False):
    folder.mkdir(exist_ok=True)
    store.claim(folder, plan.spec, {"command": "test"}, force=force)


def test_a_new_directory_becomes_the_studys(plan_of, tmp_path):
    claim(tmp_path / "s", plan_of())
    assert store.read_specification(tmp_path / "s") == plan_of().spec


def test_the_same_study_is_found_again_and_not_written_anew(plan_of, tmp_path):
    claim(tmp_path / "s", plan_of())
    before = (tmp_path / "s" / "study.json").stat().st_mtime_ns
    claim(tmp_path / "s", plan_of())
    assert (tmp_path / "s" / "study.json").stat().st_mtime_ns == before


def test_another_study_is_refused_with_the_difference_shown(plan_of, tmp_path):
    claim(tmp_path / "s", plan_of(epochs=2))
    with pytest.raises(StudyConflict, match="They differ in: epochs: 2 here, 3 asked for"):
        claim(tmp_path / "s", plan_of(epochs=3))
    assert store.read_specification(tmp_path / "s").epochs == 2


def test_force_replaces_a_study_and_keeps_what_is_not_its_own(plan_of, tmp_path):
    folder = tmp_path / "s"
    claim(folder, plan_of(epochs=2))
    (folder / "trials" / "with-s0").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    claim(folder, plan_of(epochs=3), force=True)
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "study.json"]
    assert store.read_specification(folder).epochs == 3


@pytest.mark.parametrize("force", [False, True])
def test_a_directory_with_other_files_is_never_taken(plan_of, tmp_path, force):
    folder = tmp_path / "home"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "precious.csv").write_text("1")
    with pytest.raises(StudyConflict, match=r"holds files that are no study \(data\)"):
        claim(folder, plan_of(), force=force)
    assert (folder / "data" / "precious.csv").exists()


def test_a_damaged_specification_is_one_sentence_and_force_replaces_it(plan_of, tmp_path):
    folder = tmp_path / "s"
    claim(folder, plan_of())
    (folder / "study.json").write_text('{"format": 1, "specification": {"recipe": 3}}')
    with pytest.raises(StorageError, match=r"cannot read .*study.json"):
        claim(folder, plan_of())
    claim(folder, plan_of(), force=True)
    assert store.read_specification(folder) == plan_of().spec


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("content", ["{", '{"format": 99}', "[]", '{"optuna": 1}', '{"format": 1}'])
def test_a_file_of_that_name_that_is_not_ours_is_never_replaced(plan_of, tmp_path, content, force):
    (tmp_path / "study.json").write_text(content)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.csv").write_text("1")
    with pytest.raises(StorageError, match=r"cannot read .*study.json"):
        claim(tmp_path, plan_of(), force=force)
    assert (tmp_path / "study.json").read_text() == content
    assert (tmp_path / "data" / "mine.csv").exists()


def test_a_failed_trial_is_tried_again_and_a_diverged_one_is_not(tmp_path):
    for seed, outcome in enumerate(("finished", "diverged", "failed")):
        folder = store.trial_folder(tmp_path, "with", seed)
        folder.mkdir(parents=True)
        (folder / "trial.json").write_text(json.dumps({"outcome": outcome}))
    assert [store.is_complete(tmp_path, "with", seed) for seed in range(4)] == [True, True, False, False]
