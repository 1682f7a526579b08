import made_up
import pytest


@pytest.fixture(scope="session")
def images_file(tmp_path_factory):
    """A data set of 28×28 pixels whose judge is in the cache."""
    folder = tmp_path_factory.mktemp("images")
    file = made_up.save(folder / "stripes.npz")
    made_up.keep_a_judge(folder / "cache", file)
    return file


@pytest.fixture
def cache(images_file, monkeypatch):
    """Makes that cache the one of this process and of those it starts."""
    monkeypatch.setenv("EVENBATCH_CACHE", str(images_file.parent / "cache"))
