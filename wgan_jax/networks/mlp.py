"""Fully connected critic and generator, for points and for images."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from wgan_jax.layers import Dense, Flatten, Pointwise
from wgan_jax.networks.linen import as_critic, as_generator
from wgan_jax.types import Pair

_KERNEL_INIT = nn.initializers.he_normal()


class MLPCritic(nn.Module):
  """Fully connected critic: flattened sample -> `depth` hidden ReLU layers -> score."""

  width: int
  depth: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    x = x.ravel()
    for _ in range(self.depth):
      x = nn.relu(nn.Dense(self.width, kernel_init=_KERNEL_INIT)(x))
    return nn.Dense(1, kernel_init=_KERNEL_INIT)(x)[0]


def _critic_layers(params):
  """Lists the layers of an `MLPCritic`, input to output."""
  relu = Pointwise(nn.relu, 1.0)
  layers = [Flatten()]
  for i in range(len(params)):
    layers += [Dense(**params[f"Dense_{i}"]), relu]
  return layers[:-1]


class MLPGenerator(nn.Module):
  """Fully connected generator: latents -> `depth` hidden ReLU layers -> samples."""

  sample_shape: tuple[int, ...]
  width: int
  depth: int
  output: Callable[[jax.Array], jax.Array]

  @nn.compact
  def __call__(self, latents: jax.Array, train: bool) -> jax.Array:
    del train  # There is no batch normalisation.
    x = latents
    for _ in range(self.depth):
      x = nn.relu(nn.Dense(self.width, kernel_init=_KERNEL_INIT)(x))
    x = nn.Dense(math.prod(self.sample_shape), kernel_init=_KERNEL_INIT)(x)
    return self.output(x.reshape(-1, *self.sample_shape))


def mlp(
  sample_shape: tuple[int, ...],
  *,
  latent_dim: int,
  width: int,
  depth: int = 3,
  output: Callable[[jax.Array], jax.Array] = lambda x: x,
) -> Pair:
  """Makes a fully connected pair with He-normal weights and zero biases.

  Args:
    sample_shape: the shape of one sample, such as (2,) or (28, 28, 1).
    latent_dim: the size of the latent.
    width: units of each hidden layer.
    depth: hidden layers.
    output: the generator's last function; `jnp.tanh` for images in [-1, 1].

  Returns:
    The pair; the generator has no batch statistics.

  References:
    Gulrajani et al., 2017, section 4.1 (the toy networks, 3 x 512); Arjovsky et al., 2017, figure 7
    (a 4 x 512 generator).
  """
  sample = jnp.zeros(sample_shape)
  return Pair(
    critic=as_critic(MLPCritic(width, depth), sample, _critic_layers),
    generator=as_generator(MLPGenerator(sample_shape, width, depth, output), latent_dim),
    latent_dim=latent_dim,
  )
