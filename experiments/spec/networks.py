"""Architectures by name, as rows: how a pair of networks is made, and its usual size."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from wgan_jax.networks import dcgan, mlp
from wgan_jax.types import Pair


class Architecture(NamedTuple):
  """A pair of networks that a user can name.

  Attributes:
    make: (kind, sample_shape, *, latent_dim, width, depth) -> Pair, `kind` that of the data.
    kinds: the kinds of data that it draws.
    width: its width unless chosen.
    depth: its depth unless chosen; None if it has one depth only.
  """

  make: Callable[..., Pair]
  kinds: tuple[str, ...]
  width: int
  depth: int | None = None


def _dcgan(kind, sample_shape, *, latent_dim, width, depth):
  del kind, depth
  return dcgan(sample_shape, latent_dim=latent_dim, width=width)


def _mlp(kind, sample_shape, **size):
  output = {"output": jnp.tanh} if kind == "images" else {}
  return mlp(sample_shape, **size, **output)


ARCHITECTURES = {
  "dcgan": Architecture(_dcgan, ("images",), width=32),
  "mlp": Architecture(_mlp, ("images", "points"), width=256, depth=3),
}
"""The architectures by name."""
