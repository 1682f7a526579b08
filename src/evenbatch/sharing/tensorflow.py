"""Replicas of a `tf.distribute` strategy: found by themselves, within `strategy.run` and so in `fit`."""

import sys
import threading
import traceback
from typing import Any

import tensorflow as tf

from evenbatch.errors import SharingFailed
from evenbatch.sharing import setting
from evenbatch.sharing.peers import Peers


def found(layer: Any) -> Peers | None:
    """The replicas of the strategy that this is a replica of."""
    if not tf.distribute.has_strategy() or tf.distribute.in_cross_replica_context():
        return None
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1 or _said().local:
        return None
    return _Strategy(context)


def rows(row: Any, strategy: Any) -> Any:
    """The rows of all workers of a strategy; of those within one process, there is but the one row."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return row[None]
    resolver = strategy.cluster_resolver
    workers = max(len(resolver.cluster_spec().as_dict().get("worker", ())), 1)
    devices = strategy.num_replicas_in_sync // workers

    @tf.function
    def gathered(row: Any) -> Any:
        def of_replica() -> Any:
            context = tf.distribute.get_replica_context()
            mine = tf.range(strategy.num_replicas_in_sync) == context.replica_id_in_sync_group
            # A sum of rows that stand in places of their own, as for the statistics of a batch.
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(mine[:, None], row, tf.zeros_like(row)))

        return strategy.experimental_local_results(strategy.run(of_replica))[0]

    return gathered(tf.constant(row)).numpy()[::devices]  # every device of a worker has sent the same


def _said() -> setting.Setting:
    """The setting of the thread that called `strategy.run`, which runs each replica in a thread of its own."""
    return setting.of_thread(_caller()) if setting.anywhere() else setting.current()


def _caller() -> int:
    """The thread that waits for this one. Neither TensorFlow nor Python says which, but its frames do."""
    this = threading.current_thread()
    for identifier, frame in sys._current_frames().items():
        for above, _ in traceback.walk_stack(frame):
            if this in _threads(above):
                return identifier
    return threading.get_ident()


def _threads(frame: Any) -> Any:
    """The threads that a frame of `strategy.run` has started."""
    return frame.f_locals.get("threads", ()) if frame.f_code.co_name == "_call_for_each_replica" else ()


class _Strategy(Peers):
    """The replicas of a strategy."""

    def __init__(self, context: Any) -> None:
        self._context = context

    @tf.autograph.experimental.do_not_convert
    def _gathered(self, row: Any) -> Any:
        # A sum of rows that stand in places of their own: one collective, where TensorFlow's all_gather takes two.
        mine = tf.range(self._context.num_replicas_in_sync) == self._context.replica_id_in_sync_group
        # No product with zeros: a row may hold what is no number.
        return self._summed(tf.where(mine[:, None], row, tf.zeros_like(row)))

    @tf.autograph.experimental.do_not_convert
    def _handed_on(self, values: Any) -> Any:
        @tf.custom_gradient
        def run(values: Any) -> Any:
            return tf.identity(values), self._summed

        return run(values)

    @tf.autograph.experimental.do_not_convert
    def _summed(self, values: Any) -> Any:
        @tf.custom_gradient
        def run(values: Any) -> Any:
            return self._all_reduced(values), self._handed_on

        return run(values)

    @tf.autograph.experimental.do_not_convert
    def _all_reduced(self, values: Any) -> Any:
        try:
            return self._context.all_reduce(tf.distribute.ReduceOp.SUM, values)
        except RuntimeError as error:
            if "merge_call" not in str(error):
                raise
            raise SharingFailed(
                "replicas cannot exchange statistics within a tf.function, tf.cond or tf.while_loop that is called "
                "inside strategy.run(): give strategy.run() the function itself, or decorate the function that calls "
                "strategy.run(); or take each replica's own statistics in eb.local_statistics()"
            ) from error
