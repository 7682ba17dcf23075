"""Convolutions as one matrix product of gathered columns (im2col).

A kernel is cut into blocks of stride x stride taps, with smaller blocks at the far edge if the
stride does not divide it. With space folded into depth, [s h, s w, c] -> [h, w, s, s, c], a block
reads whole positions at one offset. A row of the matrix holds all that one output sees.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax


@dataclasses.dataclass(frozen=True)
class Geometry:
  """Shapes, stride and offset of a convolution.

  outputs[:, p] = sum over q of images[:, stride p + q - low] kernel[q], with zeros outside the
  images.

  Attributes:
    images: [batch, height, width, in].
    kernel: [kernel height, kernel width, in, out].
    outputs: [batch, height', width', out].
    stride: along height and width.
    low: padding before the first row and column; negative crops.
  """

  images: tuple[int, int, int, int]
  kernel: tuple[int, int, int, int]
  outputs: tuple[int, int, int, int]
  stride: tuple[int, int]
  low: tuple[int, int]


def to_matrix(role: str, x: jax.Array, geometry: Geometry) -> jax.Array:
  """Arranges one of a convolution's three arrays as a matrix.

  Args:
    role: 'images', 'kernel' or 'outputs'.
    x: the array, of the shape that the geometry has for this role.
    geometry: the geometry of the convolution.

  Returns:
    Images as [samples, taps], the kernel as [taps, channels], outputs as [samples, channels]. A
    sample is one output position of one image, a tap is one kernel entry of one input channel.
  """
  return _TO_MATRIX[role](x, geometry)


def from_matrix(role: str, matrix: jax.Array, geometry: Geometry) -> jax.Array:
  """Transpose of `to_matrix`, a linear map; for images this is col2im."""
  shape = jax.ShapeDtypeStruct(getattr(geometry, role), matrix.dtype)
  (x,) = jax.linear_transpose(lambda x: to_matrix(role, x, geometry), shape)(matrix)
  return x


def _images(x, geometry):
  (sh, sw), (kh, kw), (n, oh, ow, _) = geometry.stride, geometry.kernel[:2], geometry.outputs
  rows, columns = oh + (kh - 1) // sh, ow + (kw - 1) // sw
  x = resize(x, geometry.low, (sh * rows, sw * columns))
  x = x.reshape(n, rows, sh, columns, sw, x.shape[3]).transpose(0, 1, 3, 2, 4, 5)
  windows = [
    x[:, a // sh : a // sh + oh, b // sw : b // sw + ow, : kh - a, : kw - b]
    for a, b in _blocks(geometry)
  ]
  return jnp.concatenate([w.reshape(n * oh * ow, -1) for w in windows], axis=1)


def _kernel(x, geometry):
  (sh, sw), channels = geometry.stride, geometry.kernel[3]
  blocks = [x[a : a + sh, b : b + sw] for a, b in _blocks(geometry)]
  return jnp.concatenate([block.reshape(-1, channels) for block in blocks])


def _outputs(x, geometry):
  return x.reshape(-1, geometry.outputs[3])


_TO_MATRIX = {"images": _images, "kernel": _kernel, "outputs": _outputs}


def _blocks(geometry):
  (sh, sw), (kh, kw) = geometry.stride, geometry.kernel[:2]
  return [(a, b) for a in range(0, kh, sh) for b in range(0, kw, sw)]


def resize(x: jax.Array, low: Sequence[int], size: Sequence[int]) -> jax.Array:
  """Pads or crops height and width: `low` zeros before, then as many as give `size`."""
  widths = [(lo, new - old - lo, 0) for lo, new, old in zip(low, size, x.shape[1:3], strict=True)]
  return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *widths, (0, 0, 0)])
