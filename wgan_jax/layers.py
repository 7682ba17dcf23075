"""Layers of a critic: a chain that can be applied, and bounded layer by layer."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Dense(NamedTuple):
  """A dense layer of one sample, [in] -> [out]: x -> x @ kernel + bias.

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
  """A function of single entries, such as an activation.

  Attributes:
    function: maps an array of any shape, entry by entry.
    lipschitz: the function's Lipschitz constant, such as 1 for ReLU and tanh. It is not checked.
  """

  function: Callable[[jax.Array], jax.Array]
  lipschitz: float

  def __call__(self, x: jax.Array) -> jax.Array:
    return self.function(x)


class MaxMin(NamedTuple):
  """Sorts neighbours along the last axis: (a, b) -> (max, min). It is 1-Lipschitz.

  Its derivative is a permutation, so that a gradient keeps its norm on its way through it, unlike
  through a ReLU.

  References:
    Anil, Lucas and Grosse, 2019, arXiv 1811.05381 (GroupSort with groups of two).
  """

  def __call__(self, x: jax.Array) -> jax.Array:
    if x.shape[-1] % 2:
      raise ValueError(f"MaxMin sorts pairs: a width of {x.shape[-1]} is odd")
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    return jnp.stack([pairs.max(-1), pairs.min(-1)], -1).reshape(x.shape)


class Flatten(NamedTuple):
  """Flattens one sample, [...] -> [n], in row-major order."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return x.ravel()


class Opaque(NamedTuple):
  """Any other function of one sample; its Lipschitz constant is unknown.

  Attributes:
    function: maps one sample [...] to an array [...].
    name: its name in messages, such as 'LayerNorm'.
  """

  function: Callable[[jax.Array], jax.Array]
  name: str

  def __call__(self, x: jax.Array) -> jax.Array:
    return self.function(x)


Layer = Dense | Conv | Pointwise | MaxMin | Flatten | Opaque


def apply_layers(layers: Sequence[Layer], x: jax.Array) -> jax.Array:
  """Applies a critic's layers in turn to one sample.

  Args:
    layers: a critic's layers, input to output; the last gives one number.
    x: one sample, [...].

  Returns:
    The score, [].
  """
  return functools.reduce(lambda x, layer: layer(x), layers, x).reshape(())
