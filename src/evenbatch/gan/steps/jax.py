"""The step on JAX: state in, state out."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

State = tuple[list[Any], list[Any], list[Any], list[Any]]


class Steps:
    """Gradients by one forward pass that is pulled back twice."""

    def train_step(self: Any, state: State, data: Any) -> tuple[dict[str, Any], State]:
        """One step of both networks."""
        weights, others, optimizer, metrics = state
        of_generator = {id(variable) for variable in self.generator.trainable_variables}
        is_generator = [id(variable) in of_generator for variable in self.trainable_variables]

        of_optimizer = list(zip(self.optimizer.variables, optimizer, strict=True))

        def losses(weights: list[Any]) -> tuple[Any, Any]:
            with self._holding(weights, others, of_optimizer) as scope:
                found = self.losses_of(*self.batch(data))
                least = tuple(self.optimizer.scale_loss(loss) for loss in self.minimized(*found))
            return least, (found, _values(scope, self.non_trainable_variables))

        least, pull, ((d_loss, g_loss), others) = jax.vjp(losses, weights, has_aux=True)
        one, zero = jnp.ones_like(least[0]), jnp.zeros_like(least[0])
        (of_d,), (of_g,) = pull((one, zero)), pull((zero, one))
        gradients = [g if own else d for g, d, own in zip(of_g, of_d, is_generator, strict=True)]
        weights, optimizer = self.optimizer.stateless_apply(optimizer, gradients, weights)
        with self._holding(weights, others, list(zip(self.metrics_variables, metrics, strict=True))) as scope:
            self.after_step(d_loss, g_loss)
            logs = {metric.name: metric.result() for metric in self.metrics}
        others, metrics = _values(scope, self.non_trainable_variables), _values(scope, self.metrics_variables)
        return logs, (weights, others, optimizer, metrics)

    def _holding(self: Any, weights: Sequence[Any], others: Sequence[Any], more: list[tuple[Any, Any]]) -> Any:
        """A scope in which the variables have these values, and keep what is assigned to them."""
        held = zip([*self.trainable_variables, *self.non_trainable_variables], [*weights, *others], strict=True)
        return keras.StatelessScope(state_mapping=[*held, *more], collect_losses=True)


def _values(scope: Any, variables: Sequence[Any]) -> list[Any]:
    return [scope.get_current_value(variable) for variable in variables]
