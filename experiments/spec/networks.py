"""Architectures by name, as rows: how a pair of networks is made, and how it is usually trained."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp

from wgan_jax.config import Hparams
from wgan_jax.constraints import CONSTRAINTS
from wgan_jax.networks import dcgan, infogan, mlp, resnet
from wgan_jax.types import Pair


class Architecture(NamedTuple):
  """A pair of networks that a user can name.

  Attributes:
    make: (kind, sample_shape, *, latent_dim, width, depth) -> Pair, `kind` that of the data; where
      it can be conditional, with `n_classes` and `conditional` too.
    kinds: the kinds of data that it draws.
    width: its width unless chosen.
    depth: its depth unless chosen; None if it has one depth only.
    updates: the length of a run unless chosen, in updates of either network: a step with fewer
      critic updates is shorter, and there are more of them.
    latent_dim: the latent's size unless chosen.
    batch_size: samples per update unless chosen.
    learning_rate: by optimiser, where the networks want another than the optimiser's own.
    clip_value: of weight clipping unless chosen.
    ema_half_life: of the averaged generator unless chosen, in images; 0 for no average.
    unroll: as of `wgan_jax.Config`, where another than 1 is faster.
    conditional: whether its networks can be told a sample's class.
    check: refuses a shape of samples that it cannot draw, by ValueError.

  The data may want another width, latent, batch or learning rate: see `spec.datasets.Source`.
  """

  make: Callable[..., Pair]
  kinds: tuple[str, ...]
  width: int
  depth: int | None = None
  updates: int = 7200
  latent_dim: int = 64
  batch_size: int = 64
  learning_rate: Mapping[str, float] = {}
  clip_value: float = Hparams().clip_value
  ema_half_life: float = 0.0
  unroll: int = 1
  conditional: bool = False
  check: Callable[[tuple[int, ...]], None] = lambda sample_shape: None


def _of_images(make):
  """Makes a row's `make` of a function of images, whose depth their size decides."""
  return lambda kind, sample_shape, *, depth, **size: make(sample_shape, **size)


def _check_fours(sample_shape):
  height, width, _ = sample_shape
  if height % 4 or width % 4:
    raise ValueError(
      f"architecture=infogan draws images whose sides are multiples of 4, not {height} x {width}"
    )


def _mlp(kind, sample_shape, **size):
  output = {"output": jnp.tanh} if kind == "images" else {}
  return mlp(sample_shape, **size, **output)


ARCHITECTURES = {
  # Tuned on MNIST, for as good digits as 100 seconds on two cores give: infogan with the gradient
  # penalty, dcgan with clipping and with the non-saturating loss. See docs/results.md.
  "infogan": Architecture(_of_images(infogan), ("images",), width=8, updates=36_000, latent_dim=16,
    batch_size=32, learning_rate={"adam": 1e-3}, ema_half_life=10_000.0, unroll=5,
    conditional=True, check=_check_fours),
  "dcgan": Architecture(_of_images(dcgan), ("images",), width=16, updates=30_000, batch_size=32,
    learning_rate={"adam": 1e-3, "rmsprop": 5e-4}, clip_value=0.1, conditional=True),
  "resnet": Architecture(_of_images(resnet), ("images",), width=32, updates=30_000, latent_dim=128,
    conditional=True),
  "mlp": Architecture(_mlp, ("images", "points"), width=256, depth=3),
}  # fmt: skip
"""The architectures by name."""

CRITICS = {"plain": None, **CONSTRAINTS}
"""What is made of an architecture's critic: nothing, or one that is 1-Lipschitz by construction."""
