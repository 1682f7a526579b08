"""The step on PyTorch, on one device or on this rank's part of a batch."""

from typing import Any

import torch
import torch.distributed as dist


class Steps:
    """Gradients by `torch.autograd.grad`, which leaves those of the other network alone."""

    def train_step(self: Any, data: Any) -> dict[str, Any]:
        """One step of both networks."""
        d_loss, g_loss = self.losses_of(*self.batch(data))
        networks = [(g_loss, self.generator), (d_loss, self.discriminator)]
        gradients = []
        for loss, network in networks:
            weights = [variable.value for variable in network.trainable_variables]
            gradients += torch.autograd.grad(loss, weights, retain_graph=True)
        with torch.no_grad():
            self.optimizer.apply(_of_all_ranks(gradients), [v for _, net in networks for v in net.trainable_variables])
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
