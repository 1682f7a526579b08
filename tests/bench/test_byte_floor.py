import pytest

from evenbatch.bench.byte_floor import floor_seconds, tensor_bytes
from evenbatch.bench.copy_bandwidth import copy_bandwidth
from evenbatch.bench.row import row


def test_a_tensor_has_the_bytes_of_its_numbers():
    assert tensor_bytes((64, 56, 56, 64), "float32") == 51_380_224
    assert tensor_bytes((64, 56, 56, 64), "bfloat16") == 25_690_112


@pytest.mark.parametrize(("phase", "passes"), [("training", 8), ("inference", 2)])
def test_the_floor_is_the_time_in_which_the_bytes_can_move(phase, passes):
    assert floor_seconds(16 * 2**20, phase, 2**20) == passes * 16


def test_a_tensor_that_may_stay_in_cache_has_no_floor():
    assert floor_seconds(8 * 2**20 - 1, "training", 1e9) is None
    assert floor_seconds(8 * 2**20, "training", 1e9) is not None


def test_a_row_tells_ratios_of_rounds_and_the_distance_from_the_floor():
    samples = {"ours": [1.0, 2.0, 3.0], "keras": [2.0, 4.0, 6.0], "native": [0.5, 1.0, 1.5]}
    found = row("inference", samples, size=16 * 2**20, bandwidth=32 * 2**20)
    assert found["keras_over_ours"]["median"] == found["ours_over_native"]["median"] == 2.0
    assert found["floor_seconds"] == 1.0
    assert found["over_floor"] == {"ours": 2.0, "keras": 4.0, "native": 1.0}
    assert found["rounds"] == 3


def test_a_row_without_a_floor_says_so():
    found = row("training", {"ours": [1.0], "keras": [2.0]})
    assert found["floor_seconds"] is None
    assert found["over_floor"] is None


def test_copying_counts_what_is_read_and_what_is_written(monkeypatch):
    class Copier:
        def copies(self, elements):
            return {"slow": lambda: None, "fast": lambda: None}

        def wait(self, result):
            pass

    monkeypatch.setattr(
        "evenbatch.bench.copy_bandwidth.interleave", lambda *_, **__: {"slow": [4.0, 4.0], "fast": [3.0, 2.0]}
    )
    assert copy_bandwidth(Copier(), elements=1000) == 2 * 4 * 1000 / 2.0
