"""Optimisers of both networks, schedules of their learning rates, moving averages."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from wgan_jax.numerics import as_float

OptimizerFn = Callable[..., optax.GradientTransformation]
"""(learning_rate, hparams) -> optax.GradientTransformation."""


class Optimizer(NamedTuple):
  """One optimiser, and the hyperparameters that mean something to it.

  Attributes:
    make: (learning_rate, hparams) -> optax.GradientTransformation. `hparams` is a
      `wgan_jax.Hparams`, its values may be traced, and the learning rate is the decayed one.
    defaults: by name the fields of `Hparams` that `make` reads, with the values of its source.
  """

  make: OptimizerFn
  defaults: Mapping[str, float] = {}

  def __hash__(self):
    return hash(self.make)  # A mapping has no hash, and `Config` must have one.


def _adam(learning_rate, hparams):
  return optax.adam(learning_rate, b1=hparams.beta1, b2=hparams.beta2)


def _rmsprop(learning_rate, hparams):
  # Epsilon outside the root, as in PyTorch, which the authors of clipping used.
  return optax.rmsprop(learning_rate, decay=hparams.beta2, eps_in_sqrt=False)


OPTIMIZERS = {
  # Learning rate and beta1: Radford et al., 2015, arXiv 1511.06434. beta2: Gulrajani et al., 2017,
  # arXiv 1704.00028v3, Algorithm 1.
  "adam": Optimizer(_adam, {"learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.9}),
  # Arjovsky et al., 2017, arXiv 1701.07875, Algorithm 1; beta2 is PyTorch's alpha in their code.
  "rmsprop": Optimizer(_rmsprop, {"learning_rate": 5e-5, "beta2": 0.99}),
}
"""The optimisers by name."""

ScheduleFn = Callable[[jax.Array], jax.Array]
"""(share of the decay that is done, [0, 1]) -> factor of the learning rates."""

SCHEDULES: dict[str, ScheduleFn] = {
  "constant": jnp.ones_like,
  # Gulrajani et al., 2017, arXiv 1704.00028v3, appendix F.
  "linear": lambda done: 1 - done,
  # Loshchilov and Hutter, 2017, arXiv 1608.03983, equation 5, without restarts.
  "cosine": lambda done: (1 + jnp.cos(jnp.pi * done)) / 2,
}
"""The schedules by name."""


def decay(schedule: ScheduleFn, step: jax.Array, decay_steps: jax.Array) -> jax.Array:
  """Factor of the learning rates at a step, [], of the type of `decay_steps`; 1 if these are 0."""
  decay_steps = as_float(decay_steps)
  done = jnp.minimum(step.astype(decay_steps.dtype) / jnp.maximum(decay_steps, 1), 1)
  return jnp.where(decay_steps > 0, schedule(done), 1).astype(decay_steps.dtype)


def move_average(
  averages: chex.ArrayTree, values: chex.ArrayTree, n: int, half_life: chex.Numeric
) -> chex.ArrayTree:
  """Moves exponential averages on: what came before keeps 2^(-n / half_life) of its weight.

  Args:
    averages: the averages, of the same structure and types as the values.
    values: the values now. One that is no float, such as a count, is taken as it is.
    n: images since the last move.
    half_life: images in which a weight halves; 0: the average is the value.
  """
  half_lives = n / as_float(half_life)
  share = -jnp.expm1(-jnp.log(2.0) * half_lives)  # 1 - 2^-x would lose a small x.

  def move(average, value):
    value = jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.floating):
      return value
    wide = jnp.promote_types(value.dtype, share.dtype)
    now, before = value.astype(wide), average.astype(wide)
    moved = jnp.where(share == 1, now, before + share.astype(wide) * (now - before))
    return moved.astype(value.dtype)

  return jax.tree.map(move, averages, values)


def check_optimizer(optimizer: Optimizer, hparams: Any) -> None:
  """Refuses a row whose `make` is no function of a learning rate and hyperparameters.

  Args:
    optimizer: the row.
    hparams: a `wgan_jax.Hparams` to try it with.

  Raises:
    ValueError: it does not take these arguments, or returns no transformation.
  """
  wanted = "Config.optimizer must be a function (learning_rate, hparams) -> GradientTransformation"
  # optax's own functions would take the hyperparameters for their second argument.
  if getattr(optimizer.make, "__module__", "").startswith("optax"):
    name = optimizer.make.__name__
    raise ValueError(f"{wanted}: write lambda learning_rate, hparams: optax.{name}(learning_rate)")
  arguments = (hparams.learning_rate, hparams)
  try:
    inspect.signature(optimizer.make).bind(*arguments)
  except TypeError as error:
    raise ValueError(f"{wanted}, and it does not take these arguments: {error}") from error
  made = optimizer.make(*arguments)
  if not isinstance(made, optax.GradientTransformation):
    raise ValueError(f"{wanted}, and it returned {made!r}")
