"""The step on PyTorch, on one device or on this rank's part of a batch."""

from typing import Any

import torch
import torch.distributed as dist


class Steps:
    """Gradients by `torch.autograd.grad`, which leaves those of the other network alone."""

    def train_step(self: Any, data: Any) -> dict[str, Any]:
        """One step of both networks."""
        d_loss, g_loss = self.losses_of(*self.batch(data))
        d_least, g_least = self.minimized(d_loss, g_loss)
        networks = [(g_least, self.generator), (d_least, self.discriminator)]
        gradients, weights = [], []
        for loss, network in networks:
            if network.trainable_variables:
                own = [variable.value for variable in network.trainable_variables]
                scaled = self.optimizer.scale_loss(loss)
                gradients += torch.autograd.grad(scaled, own, retain_graph=True, materialize_grads=True)
                weights += network.trainable_variables
        with torch.no_grad():
            self.optimizer.apply(_of_all_ranks(gradients), weights)
            self.after_step(d_loss, g_loss)
        return {metric.name: metric.result() for metric in self.metrics}


def _of_all_ranks(gradients: list[Any]) -> list[Any]:
    """The mean over the ranks of a process group, where there is one, in a single exchange."""
    if not dist.is_initialized():
        return gradients
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat / dist.get_world_size(), [gradient.numel() for gradient in gradients])
    return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]
