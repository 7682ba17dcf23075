"""Optimisers of both networks, by name."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import optax


class Optimizer(NamedTuple):
  """One optimiser, and the hyperparameters that mean something to it.

  Attributes:
    make: (learning_rate, hparams) -> optax.GradientTransformation. `hparams` is a
      `wgan_jax.Hparams`, its values may be traced, and the learning rate is the decayed one.
    defaults: by name the fields of `Hparams` that `make` reads, with the values of its source.
  """

  make: Callable[..., optax.GradientTransformation]
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
