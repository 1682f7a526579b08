import keras

from evenbatch import replicas


def test_one_process_is_one_replica():
    assert replicas.count() == 1


def test_a_strategy_counts_its_replicas():
    if keras.backend.backend() != "tensorflow":
        assert replicas.count() == 1
        return
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        assert replicas.count() == strategy.num_replicas_in_sync == 1
