"""Wrappers from Flax modules to the pure functions of `wgan_jax.types`."""

from collections.abc import Callable, Sequence

import flax.errors
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
    The critic as a `Network`. Its `init` raises ValueError for a module that couples samples or
    draws random numbers (batch normalisation, spectral normalisation's running vectors, dropout),
    and for one that returns no single score.
  """

  def init(key):
    variables = module.init(key, sample)
    held = sorted(set(variables) - {"params"})
    if held:
      raise ValueError(
        "a critic maps ONE sample to ONE score and holds parameters alone, so no batch"
        f" normalisation and no running vectors: the module has {', '.join(held)} too"
      )
    try:
      score = jax.eval_shape(module.apply, variables, sample)
    except flax.errors.InvalidRngError as error:
      raise ValueError(
        "a critic is a function of its parameters and ONE sample: a module that draws random"
        f" numbers, such as dropout, is none ({error})"
      ) from error
    if score.shape:
      raise ValueError(
        f"a critic maps ONE sample to ONE score, of shape [], got {list(score.shape)}: end the"
        " module with [0] or reshape(())"
      )
    return variables.get("params", {})

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
