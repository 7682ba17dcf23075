"""Wrappers from Flax modules to the pure functions of `wgan_jax.types`."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from wgan_jax.layers import Layer
from wgan_jax.types import Network, Params


def as_critic(
  module: nn.Module,
  sample: jax.Array,
  layers: Callable[[Params], Sequence[Layer]] | None = None,
) -> Network:
  """Wraps a module that maps one sample [...] to one score [] as a critic.

  Args:
    module: a module without batch statistics, called with one sample.
    sample: any sample, for its shape and type.
    layers: maps params to the chain of layers of the same function; None if there is no such chain.

  Returns:
    The critic as a `Network`.
  """

  def init(key):
    return module.init(key, sample)["params"]

  def apply(params, x):
    return module.apply({"params": params}, x)

  return Network(init, apply, layers)


def as_generator(module: nn.Module, latent_dim: int) -> Network:
  """Wraps a module called as `module(latents, train)` on a batch as a generator.

  Args:
    module: a module that may hold batch statistics, updated when `train` is true.
    latent_dim: the size of the latent.

  Returns:
    The generator as a `Network`.
  """

  def init(key):
    variables = module.init(key, jnp.zeros((1, latent_dim)), False)
    return variables["params"], variables.get("batch_stats", {})

  def apply(params, batch_stats, latents, *, train):
    samples, updates = module.apply(
      {"params": params, "batch_stats": batch_stats},
      latents,
      train,
      mutable=["batch_stats"] if train else [],
    )
    return samples, updates.get("batch_stats", batch_stats)

  return Network(init, apply)
