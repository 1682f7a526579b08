"""The step on TensorFlow, in a graph of its own on each replica."""

from typing import Any

import tensorflow as tf


class Steps:
    """Gradients by one tape that is asked twice."""

    def train_step(self: Any, data: Any) -> dict[str, Any]:
        """One step of both networks."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape(persistent=True) as tape:
            d_loss, g_loss = self.losses_of(*self.batch(data))
            # The optimizer takes the sum over replicas, and their parts of a batch are equal. Scaled for float16.
            d_share, g_share = (self.optimizer.scale_loss(loss / replicas) for loss in self.minimized(d_loss, g_loss))
        networks = [(g_share, self.generator), (d_share, self.discriminator)]
        gradients = [g for loss, net in networks for g in tape.gradient(loss, net.trainable_variables)]
        self.optimizer.apply(gradients, [v for _, net in networks for v in net.trainable_variables])
        self.after_step(d_loss, g_loss)
        return {metric.name: metric.result() for metric in self.metrics}
