"""Convolutions with fewer multiplications than taps, by the Toom-Cook algorithm.

Along one axis, the transpose of a convolution with m outputs and n taps multiplies two polynomials.
Sums of products take m n multiplications. The product's m + n - 1 coefficients also follow from its
values at m + n - 1 points, at one multiplication each. The convolution itself and the gradient of
its kernel are transposes of this, with the same matrices between rows and points. The 7 outputs and
2 blocks of taps of a 4x4/2 convolution on 14 rows take 8 multiplications instead of 14.

The algorithm runs over rows only. Along columns, each kernel column is multiplied with all image
columns, and the products are added where they belong. Along both axes the algorithm would save more
multiplications, but of smaller matrices and at six times the rounding error.

References:
  [1] Winograd, Arithmetic Complexity of Computations, 1980.
  [2] Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015, arXiv 1509.09308.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wgan_jax.convolution.columns import Geometry, resize

MOST_POINTS = 8  # The rounding error grows with the points: at 8 it is six times a plain sum's.


def blocks_of(geometry: Geometry) -> tuple[int, int]:
  """Numbers of stride x stride blocks in the kernel, along height and width."""
  return tuple(k // s for k, s in zip(geometry.kernel[:2], geometry.stride, strict=True))


def tiling_of(geometry: Geometry) -> tuple[int, int]:
  """Output rows per tile and number of tiles, for the fewest points. The last tile may be cut."""
  n, height = blocks_of(geometry)[0], geometry.outputs[1]
  sizes = range(1, max(1, MOST_POINTS + 1 - n) + 1)
  m = min(sizes, key=lambda m: (-(-height // m) * (m + n - 1), m))
  return m, -(-height // m)


def to_matrix(role: str, x: jax.Array, geometry: Geometry) -> jax.Array:
  """Arranges one of a convolution's three arrays as a matrix for each point.

  Args:
    role: 'images', 'kernel' or 'outputs'.
    x: the array, of the shape that the geometry has for this role.
    geometry: the geometry of the convolution; the stride divides the kernel.

  Returns:
    Images as [points, samples, inputs], the kernel as [points, inputs, features], outputs as
    [points, samples, features]. A sample is a column of a tile of an image. An input is one pixel
    of stride x stride at one input channel. A feature is an output channel of one column of blocks.
  """
  rows = _FOLDS[role](x, geometry)
  points = _along_rows(_matrices(geometry)[role], rows)
  m, n = tiling_of(geometry)[0], blocks_of(geometry)[0]
  return points.reshape(m + n - 1, -1, rows.shape[2])


def from_matrix(role: str, points: jax.Array, geometry: Geometry) -> jax.Array:
  """Transpose of `to_matrix`, a linear map."""
  matrix = _matrices(geometry)[role]
  rows = _along_rows(matrix.T, points.reshape(len(matrix), -1, points.shape[2]))
  if role == "images":
    return _unfold_images(rows, geometry)
  shape = jax.ShapeDtypeStruct(getattr(geometry, role), points.dtype)
  (x,) = jax.linear_transpose(lambda x: _FOLDS[role](x, geometry), shape)(rows)
  return x


def _along_rows(matrix, x):
  product = lax.dot(jnp.asarray(matrix, x.dtype), x.reshape(x.shape[0], -1))
  return product.reshape(len(matrix), *x.shape[1:])


@functools.cache
def _matrices(geometry):
  """Matrices from rows to points for each role, [points x tiles, rows]."""
  (m, n_tiles), n, height = tiling_of(geometry), blocks_of(geometry)[0], geometry.outputs[1]
  # Homogeneous polynomials at evenly spaced angles: no power is large.
  angles = (np.arange(m + n - 1) + 0.5) * np.pi / (m + n - 1)

  def evaluate(size):
    powers = np.arange(size)
    return np.cos(angles)[:, None] ** powers[::-1] * np.sin(angles)[:, None] ** powers

  def tiled(matrix, rows):
    width = matrix.shape[1]
    tiles = np.zeros((len(matrix), n_tiles, m * (n_tiles - 1) + width))
    for i in range(n_tiles):
      tiles[:, i, m * i : m * i + width] = matrix
    return tiles.reshape(-1, tiles.shape[2])[:, :rows]

  return {
    "images": tiled(np.linalg.inv(evaluate(m + n - 1)).T, height + n - 1),
    "kernel": evaluate(n),
    "outputs": tiled(evaluate(m), height),
  }


def _fold_images(x, geometry):
  """Folds [batch, height, width, in] -> [rows, batch x columns, stride x stride x in]."""
  (sh, sw), (top, left), (rows, columns) = geometry.stride, geometry.low, _seen(geometry)
  x = x.transpose(1, 0, 2, 3)
  # Padded one by one: fused with a transposition, padding takes four times as long on a CPU.
  parts = [
    _entries(_entries(x, 0, i - top, sh, rows), 2, j - left, sw, columns)
    for i in range(sh)
    for j in range(sw)
  ]
  return jnp.stack(parts, 3).reshape(rows, -1, sh * sw * x.shape[3])


def _unfold_images(x, geometry):
  """Transpose of `_fold_images`, without the sum of many padded parts that JAX would make."""
  n, height, width, channels = geometry.images
  (sh, sw), (top, left), (rows, columns) = geometry.stride, geometry.low, _seen(geometry)
  x = x.reshape(rows, n, columns, sh, sw, channels).transpose(1, 0, 3, 2, 4, 5)
  x = x.reshape(n, sh * rows, sw * columns, channels)
  return resize(x, (-top, -left), (height, width))


def _fold_kernel(x, geometry):
  """Folds [kernel height, width, in, out] -> [blocks, stride x stride x in, blocks x out]."""
  (sh, sw), (rows, columns), (n_in, n_out) = geometry.stride, blocks_of(geometry), x.shape[2:]
  x = x.reshape(rows, sh, columns, sw, n_in, n_out).transpose(0, 1, 3, 4, 2, 5)
  return x.reshape(rows, sh * sw * n_in, columns * n_out)


def _fold_outputs(x, geometry):
  """Folds [batch, height', width', out] -> [height', batch x columns, blocks x out]."""
  x = x.transpose(1, 0, 2, 3)
  n_blocks, columns = blocks_of(geometry)[1], _seen(geometry)[1]
  shifted = [_entries(x, 2, -j, 1, columns) for j in range(n_blocks)]
  return jnp.stack(shifted, 3).reshape(x.shape[0], -1, n_blocks * x.shape[3])


_FOLDS = {"images": _fold_images, "kernel": _fold_kernel, "outputs": _fold_outputs}


def _seen(geometry):
  """Numbers of stride x stride pixel blocks that the outputs see, along height and width."""
  return tuple(o + n - 1 for o, n in zip(geometry.outputs[1:3], blocks_of(geometry), strict=True))


def _entries(x, axis, start, stride, count):
  """Takes `count` entries start, start + stride, ... of an axis, zero outside the array."""
  before = min(max(0, -(start // stride)), count)
  first = min(max(start + stride * before, 0), x.shape[axis])
  x = lax.slice_in_dim(x, first, None, stride, axis)
  x = lax.slice_in_dim(x, 0, min(count - before, x.shape[axis]), 1, axis)
  widths = [(0, 0, 0)] * x.ndim
  widths[axis] = (before, count - before - x.shape[axis], 0)
  return lax.pad(x, jnp.zeros((), x.dtype), widths)
