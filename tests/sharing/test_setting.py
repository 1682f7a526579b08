"""What the user may say of who shares statistics, and what not."""

import threading

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch import sharing
from evenbatch.errors import InvalidArgument
from evenbatch.sharing import setting

BACKEND = keras.backend.backend()
OTHER = {"tensorflow": "group", "jax": "group", "torch": "axis_name"}[BACKEND]


def test_one_device_shares_with_nobody():
    assert sharing.found(eb.BatchNormalization()) is None


@pytest.mark.parametrize("words", [{}, {"group": object(), "axis_name": "batch"}])
def test_exactly_one_of_group_and_axis_is_given(words):
    with (
        pytest.raises(InvalidArgument, match=r"replicas\(\) must be given .* received (neither|both)"),
        eb.replicas(**words),
    ):
        pass


def test_what_is_another_frameworks_is_refused():
    with (
        pytest.raises(InvalidArgument, match=f"{OTHER} is for .* runs on '{BACKEND}'"),
        eb.replicas(**{OTHER: "batch"}),
    ):
        pass


@pytest.mark.skipif(BACKEND != "torch", reason="process groups are PyTorch's")
def test_a_group_needs_initialized_processes():
    with pytest.raises(InvalidArgument, match="group needs an initialized process group"), eb.replicas(group="mine"):
        pass


@pytest.mark.skipif(BACKEND != "jax", reason="axes are JAX's")
@pytest.mark.parametrize("name", ["", 3, (), ("batch", 1), ("batch", "batch")])
def test_an_axis_has_a_name(name):
    with pytest.raises(InvalidArgument, match="axis_name must be the name of a mesh axis"), eb.replicas(axis_name=name):
        pass


@pytest.mark.skipif(BACKEND != "jax", reason="axes are JAX's")
def test_an_axis_must_exist_where_the_layer_is_called():
    x = np.ones((4, 2), "float32")
    with eb.replicas(axis_name="batch"), pytest.raises(InvalidArgument, match=r"received 'batch'.*leave it out"):
        eb.BatchNormalization()(x, training=True)


@pytest.mark.skipif(BACKEND != "jax", reason="shard_map is JAX's")
@pytest.mark.parametrize("synchronized", [True, False])
def test_within_shard_map_the_axis_must_be_said(synchronized):
    import jax
    from jax.sharding import PartitionSpec as P

    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    layer = eb.BatchNormalization(synchronized=synchronized)
    layer.build((None, 2))

    def normalized(x, specs=P("rows"), result=0):  # noqa: B008
        weights = [v.value for v in layer.trainable_variables], [v.value for v in layer.non_trainable_variables]
        call = lambda x: layer.stateless_call(*weights, x, training=True)[result]  # noqa: E731
        return jax.shard_map(call, mesh=mesh, in_specs=P("rows"), out_specs=specs)(x)

    with pytest.raises(InvalidArgument, match=r"eb.replicas\(axis_name='rows'\).*eb.local_statistics\(\)"):
        normalized(np.ones((4, 2), "float32"))
    with eb.local_statistics():
        assert np.isfinite(normalized(np.ones((4, 2), "float32"))).all()
    with eb.replicas(axis_name="rows"):
        assert np.isfinite(normalized(np.ones((4, 2), "float32"))).all()
        # JAX itself checks that they are the same on every device, also where that is one.
        assert np.isfinite(normalized(np.ones((4, 2), "float32"), P(), 1)).all()


def test_blocks_nest_and_end():
    assert not setting.current().local
    with eb.local_statistics():
        with eb.local_statistics():
            assert setting.current().local
        assert setting.current().local
    assert not setting.current().local
    assert not setting.anywhere()


def test_a_block_that_raises_ends_too():
    with pytest.raises(RuntimeError), eb.local_statistics():
        raise RuntimeError
    assert not setting.current().local


def test_a_block_holds_for_its_thread_alone():
    seen = []
    with eb.local_statistics():
        thread = threading.Thread(target=lambda: seen.append(setting.current().local))
        thread.start()
        thread.join()
    assert seen == [False]


def test_it_can_stand_above_a_function():
    @eb.local_statistics()
    def probe():
        return setting.current().local

    assert probe()
    assert not setting.current().local
