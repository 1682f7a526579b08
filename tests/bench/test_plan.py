import pytest

from evenbatch.bench.plan import MODES, FileCase, parse_shape, plan
from evenbatch.errors import InvalidArgument


def test_a_shape_is_read_as_it_is_written():
    assert parse_shape("64x56x56x64") == (64, 56, 56, 64)
    assert parse_shape("32x64") == (32, 64)


@pytest.mark.parametrize("text", ["", "64", "64x", "x64", "64x0", "-1x4", "64*4", "64x5.5", "a", "64x 4", "6٤x4"])
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(InvalidArgument, match="--shape must be two or more positive integers joined by x"):
        parse_shape(text)


@pytest.mark.parametrize("text", ["1x64", "1x1x1x8"])
def test_one_value_a_channel_is_refused(text):
    with pytest.raises(InvalidArgument, match="two or more values for each channel"):
        parse_shape(text)


@pytest.mark.parametrize("backend", MODES)
def test_everything_has_a_default(backend):
    found = plan(backend)
    assert found.modes == MODES[backend][:1]
    assert found.shapes[0] == (64, 56, 56, 64)
    assert found.models == ("mlp", "cnn", "resnet20", "mobilenet_v2")
    assert found.memory is not None


def test_a_quick_look_leaves_memory_out_unless_it_is_asked_for():
    assert plan("jax", quick=True).memory is None
    assert plan("jax", quick=True, only=["memory"]).memory.processes == 1
    assert plan("jax", quick=True).rounds == 3


def test_only_the_parts_asked_for_are_measured():
    found = plan("jax", only=["layers"])
    assert (bool(found.shapes), found.models, found.memory) == (True, (), None)


def test_what_is_asked_for_replaces_the_defaults():
    found = plan("torch", shapes=["8x4"], modes=["compiled", "eager"], models=["cnn"], rounds=1, dtype="float16")
    assert found.shapes == ((8, 4),)
    assert found.modes == ("compiled", "eager")
    assert (found.models, found.rounds, found.dtype) == (("cnn",), 1, "float16")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"modes": ["graf"]}, "unknown mode of tensorflow for --mode 'graf'.*did you mean 'graph'"),
        ({"models": ["resnet50"]}, "unknown model for --model 'resnet50'.*did you mean 'resnet20'"),
        ({"dtype": "float64"}, "unknown dtype for --dtype 'float64', allowed: float32, bfloat16, float16"),
        ({"only": ["layer"]}, "unknown part for --only 'layer'.*did you mean 'layers'"),
        ({"rounds": 0}, "--rounds must be an integer of at least 1, received 0"),
        ({"shapes": ["8x4", "8x4"]}, "--shape must be given once for each value, received 8x4, 8x4"),
        ({"shapes": ["08x4", "8x4"]}, "--shape must be given once for each value, received 8x4, 8x4"),
        ({"shapes": ["99999999999x4"]}, "--shape must hold at most 1,073,741,824 numbers.*received '99999999999x4'"),
        ({"shapes": ["8x4"], "only": ["models"]}, "--shape must not be given where only models is measured"),
        ({"models": ["mlp"], "only": ["layers"]}, "--model must not be given where only layers is measured"),
        ({"modes": ["eager"], "only": ["memory"]}, "--mode must not be given where only memory is measured"),
    ],
)
def test_a_bad_argument_is_one_sentence(asked, sentence):
    with pytest.raises(InvalidArgument, match=sentence):
        plan("tensorflow", **asked)


@pytest.mark.parametrize(("backend", "mode"), [("jax", "graph"), ("torch", "graph"), ("jax", "eager")])
def test_a_mode_that_the_backend_lacks_is_refused(backend, mode):
    with pytest.raises(InvalidArgument, match=f"unknown mode of {backend} for --mode '{mode}'"):
        plan(backend, modes=[mode])


def test_a_file_is_measured_by_itself_in_time_and_memory(tmp_path):
    path = tmp_path / "own.keras"
    path.touch()
    found = plan("jax", models=[str(path)], batch_size=3, unsafe=True, modules=["mine"])
    assert (found.shapes, found.models, found.memory) == ((), (), None)
    assert found.files == (FileCase(str(path), 3, True, ("mine",)),)
    assert (found.times_files, found.processes_a_file) == (True, 3)


def test_a_file_may_be_measured_in_memory_alone_and_beside_recipes(tmp_path):
    path = tmp_path / "own.keras"
    path.touch()
    assert plan("jax", models=[str(path)], only=["memory"]).times_files is False
    assert plan("jax", models=[str(path), "mlp"]).models == ("mlp",)
    assert plan("jax", models=[str(path)], quick=True).processes_a_file == 0


def test_types_are_those_of_the_file(tmp_path):
    path = tmp_path / "own.keras"
    path.touch()
    with pytest.raises(InvalidArgument, match=r"--dtype must not be given with a model in a file.*received bfloat16"):
        plan("jax", models=[str(path)], dtype="bfloat16")
