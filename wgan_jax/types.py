"""Types that the whole library shares: networks as pure functions, and pairs of them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax

from wgan_jax.layers import Layer

Params = chex.ArrayTree

CriticFn = Callable[[jax.Array], jax.Array]
"""Maps ONE sample [...] to ONE score []. A critic that couples the samples of a batch
(batch normalisation) has no such form, and the gradient penalty is invalid for it."""


class Network(NamedTuple):
  """A network as two pure functions.

  A critic is `init(key) -> params` and `apply(params, x) -> score`, for one sample [...] -> [].
  A generator is `init(key) -> (params, batch_stats)` and
  `apply(params, batch_stats, latents, *, train) -> (samples, batch_stats)`, for a batch
  [batch, latent_dim] -> [batch, ...]. Without batch normalisation `batch_stats` is an empty dict.

  `layers(params)`, where given, lists the critic's layers, input to output. Applied in turn, they
  equal `apply`.
  """

  init: Callable[..., Any]
  apply: Callable[..., Any]
  layers: Callable[[Params], Sequence[Layer]] | None = None


class Pair(NamedTuple):
  """A critic and a generator that fit together.

  Attributes:
    critic: the critic; with a cross-entropy loss the discriminator, its score a logit.
    generator: the generator, whose samples have the shape that the critic takes.
    latent_dim: the size of the latent z ~ N(0, I).
  """

  critic: Network
  generator: Network
  latent_dim: int
