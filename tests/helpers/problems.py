"""Tiny problems that several test modules share."""

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax.networks.mlp import mlp
from wgan_jax.types import Network, Pair


def draw_like(shapes, scale: float = 0.1):
  """Draws arrays of these shapes and types, N(0, scale): by numpy, so that nothing is compiled."""
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: jnp.asarray(scale * rng.normal(size=x.shape), x.dtype), shapes)


def draw(*shape: int, scale: float = 1.0):
  """Draws floats, N(0, scale), the same for each shape."""
  return scale * jax.random.normal(jax.random.fold_in(jax.random.key(0), sum(shape)), shape)


def points_pair(width: int = 8, depth: int = 2) -> Pair:
  """A small fully connected pair for points in the plane."""
  return mlp((2,), latent_dim=3, width=width, depth=depth)


def sample_points(key, data, batch_size):
  """Points from `data` [n, 2], i.i.d."""
  return data[jax.random.randint(key, (batch_size,), 0, data.shape[0])]


def points(n: int = 32) -> jax.Array:
  return jax.random.normal(jax.random.key(5), (n, 2)) + 2.0


def shift_pair(critic_apply) -> Pair:
  """A generator g(z) = shift, and a critic with one parameter vector [1]; samples are [1].

  The running statistics count the training passes that were kept.
  """

  def generate(params, batch_stats, latents, *, train):
    samples = jnp.broadcast_to(params["shift"], (latents.shape[0], 1))
    return samples, {"count": batch_stats["count"] + int(train)}

  return Pair(
    critic=Network(lambda key: {"w": jnp.ones(1)}, critic_apply),
    generator=Network(
      lambda key: ({"shift": jnp.zeros(1)}, {"count": jnp.zeros((), jnp.int32)}), generate
    ),
    latent_dim=1,
  )
