"""Layers of a critic: a chain that can be applied, and bounded layer by layer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from wgan_jax.convolution.primitive import conv_general_dilated


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
    y = conv_general_dilated(
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
  """Sorts pairs along the last axis, entry i and entry i + n / 2: max first. It is 1-Lipschitz.

  Its derivative is a permutation, also of a pair of equals, so that a gradient keeps its norm on
  its way through it, unlike through a ReLU.

  References:
    Anil, Lucas and Grosse, 2019, arXiv 1811.05381 (GroupSort with groups of two).
  """

  def __call__(self, x: jax.Array) -> jax.Array:
    if x.shape[-1] % 2:
      raise ValueError(f"MaxMin sorts pairs: a width of {x.shape[-1]} is odd")
    a, b = jnp.split(x, 2, axis=-1)  # Neighbours as pairs would take three times as long.
    ordered = a >= b
    return jnp.concatenate([jnp.where(ordered, a, b), jnp.where(ordered, b, a)], axis=-1)


class Flatten(NamedTuple):
  """Flattens one sample, [...] -> [n], in row-major order."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return x.ravel()


class Pool(NamedTuple):
  """Means of an image's pixels: of 2 x 2 squares, or of them all.

  [height, width, channels] -> [ceil(height / 2), ceil(width / 2), channels], or [channels].

  Attributes:
    whole: whether the mean is over the whole image. If not, at an odd side's end it is over the
      pixels that there are.
    unit: whether sums over the root of the number are taken instead of means: half of a square's
      sum, so that the operator norm is 1.
  """

  whole: bool = False
  unit: bool = False

  def __call__(self, image: jax.Array) -> jax.Array:
    height, width, channels = image.shape
    if self.whole:
      means = image.mean(axis=(0, 1))
      return means * math.sqrt(height * width) if self.unit else means
    if height % 2 or width % 2:  # A pixel taken twice leaves the mean of one or two as it is.
      mode = "constant" if self.unit else "edge"
      image = jnp.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode=mode)
    squares = image.reshape(-(-height // 2), 2, -(-width // 2), 2, channels)
    means = squares.mean(axis=(1, 3))
    return 2 * means if self.unit else means


class Sum(NamedTuple):
  """The sum of chains that start at one input, such as a block and its shortcut.

  Attributes:
    chains: the layers of each; one without layers is the identity.
    mean: whether the sum is divided by their number.
  """

  chains: tuple[Sequence[Layer], ...]
  mean: bool = False

  def __call__(self, x: jax.Array) -> jax.Array:
    total = sum(_run(chain, x) for chain in self.chains)
    return total / len(self.chains) if self.mean else total


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


Layer = Dense | Conv | Pointwise | MaxMin | Flatten | Pool | Sum | Opaque


def apply_layers(layers: Sequence[Layer], x: jax.Array) -> jax.Array:
  """Applies a critic's layers in turn to one sample.

  Args:
    layers: a critic's layers, input to output; the last gives one number.
    x: one sample, [...].

  Returns:
    The score, [].
  """
  return _run(layers, x).reshape(())


def split_phases(kernel: jax.Array, stride: tuple[int, int]) -> jax.Array:
  """Rewrites a strided convolution's kernel as that of stride 1 on its phases.

  The phases are the pixels of each square of the stride's size, moved to the channels.

  Args:
    kernel: [height, width, in, out], whose sides the stride divides.
    stride: along height and width.

  Returns:
    [height / stride, width / stride, in times both strides, out].
  """
  height, width, n_in, n_out = kernel.shape
  down, right = stride
  kernel = kernel.reshape(height // down, down, width // right, right, n_in, n_out)
  kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
  return kernel.reshape(height // down, width // right, down * right * n_in, n_out)


def join_phases(kernel: jax.Array, stride: tuple[int, int]) -> jax.Array:
  """The inverse of `split_phases`."""
  height, width, n_phases, n_out = kernel.shape
  down, right = stride
  kernel = kernel.reshape(height, width, down, right, -1, n_out).transpose(0, 2, 1, 3, 4, 5)
  return kernel.reshape(height * down, width * right, n_phases // (down * right), n_out)


def _run(layers, x):
  return functools.reduce(lambda x, layer: layer(x), layers, x)
