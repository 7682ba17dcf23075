"""The nouns that the whole library shares."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

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

  A critic may also tell its `layers(params)`, input to output: `apply_layers` of them is `apply`.
  """

  init: Callable[..., Any]
  apply: Callable[..., Any]
  layers: Callable[[Params], Sequence["Layer"]] | None = None


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


class Dense(NamedTuple):
  """x -> x @ kernel + bias, for one sample [in] -> [out].

  Attributes:
    kernel: [in, out].
    bias: [out].
  """

  kernel: jax.Array
  bias: jax.Array

  def __call__(self, x: jax.Array) -> jax.Array:
    return x @ self.kernel + self.bias


class Conv(NamedTuple):
  """A convolution of one image, [height, width, in] -> [height', width', out].

  Attributes:
    kernel: [kernel height, kernel width, in, out].
    bias: [out].
    stride: along height and width.
    padding: 'SAME', 'VALID', or a (low, high) pair for each axis; negative crops.
  """

  kernel: jax.Array
  bias: jax.Array
  stride: tuple[int, int]
  padding: str | Sequence[tuple[int, int]]

  def __call__(self, x: jax.Array) -> jax.Array:
    y = jax.lax.conv_general_dilated(
      x[None], self.kernel, self.stride, self.padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0]
    return y + jnp.broadcast_to(self.bias, y.shape)


class Pointwise(NamedTuple):
  """A function of each entry by itself, such as an activation.

  Attributes:
    function: of an array of any shape.
    lipschitz: the function's Lipschitz constant, at least 0, taken on trust: 1 for ReLU and tanh.
  """

  function: Callable[[jax.Array], jax.Array]
  lipschitz: float

  def __call__(self, x: jax.Array) -> jax.Array:
    return self.function(x)


class Flatten(NamedTuple):
  """[...] -> [n], in row-major order."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return x.ravel()


class Opaque(NamedTuple):
  """Any other function of one sample. Nothing is known of its Lipschitz constant.

  Attributes:
    function: [...] -> [...].
    name: what messages call it, such as 'LayerNorm'.
  """

  function: Callable[[jax.Array], jax.Array]
  name: str

  def __call__(self, x: jax.Array) -> jax.Array:
    return self.function(x)


Layer = Dense | Conv | Pointwise | Flatten | Opaque


def apply_layers(layers: Sequence[Layer], x: jax.Array) -> jax.Array:
  """The score of one sample: the layers, one after another.

  Args:
    layers: a critic's layers, input to output; the last gives one number.
    x: one sample, [...].

  Returns:
    The score, [].
  """
  return functools.reduce(lambda x, layer: layer(x), layers, x).reshape(())
