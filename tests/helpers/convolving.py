"""Convolutions of many shapes, their orders of derivatives, and what all algorithms must hold."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from helpers.compiling import jit
from jax import lax

from wgan_jax.convolution.columns import Geometry
from wgan_jax.convolution.primitive import conv_general_dilated

NHWC = ("NHWC", "HWIO", "NHWC")

# name: (height and width, kernel, stride, padding)
STRIDED = {
  "4/2 SAME": ((6, 6), (4, 4), (2, 2), "SAME"),
  "4/2 SAME tall": ((26, 4), (4, 4), (2, 2), "SAME"),
  "4/2 SAME odd": ((7, 5), (4, 4), (2, 2), "SAME"),
  "5/2 SAME": ((6, 7), (5, 5), (2, 2), "SAME"),
  "5/2 SAME_LOWER": ((6, 7), (5, 5), (2, 2), "SAME_LOWER"),
  "3/2 VALID": ((8, 7), (3, 3), (2, 2), "VALID"),
  "5/3 VALID": ((9, 11), (5, 5), (3, 3), "VALID"),
  "3/1 SAME": ((4, 5), (3, 3), (1, 1), "SAME"),
  "1/1 SAME": ((3, 4), (1, 1), (1, 1), "SAME"),
  "1/2 SAME": ((5, 4), (1, 1), (2, 2), "SAME"),
  "rectangular": ((6, 5), (2, 3), (2, 2), "SAME"),
  "stride per axis": ((6, 8), (3, 4), (1, 3), "SAME"),
  "asymmetric": ((5, 6), (4, 3), (2, 2), ((0, 3), (2, 1))),
  "negative": ((8, 7), (3, 3), (2, 2), ((-1, 2), (3, -2))),
}

# name: (height and width, kernel, lhs dilation, padding)
TRANSPOSED = {
  "4/2 SAME": ((3, 4), (4, 4), (2, 2), ((2, 2), (2, 2))),
  "4/2 SAME tall": ((13, 2), (4, 4), (2, 2), ((2, 2), (2, 2))),
  "3/2 SAME": ((4, 3), (3, 3), (2, 2), ((2, 1), (2, 1))),
  "5/2 SAME": ((3, 3), (5, 5), (2, 2), ((3, 2), (3, 2))),
  "4/1 SAME": ((3, 4), (4, 4), (1, 1), ((2, 1), (2, 1))),
  "2/3 SAME": ((3, 2), (2, 2), (3, 3), ((1, 2), (1, 2))),
  "rectangular": ((3, 3), (2, 5), (2, 2), ((1, 1), (3, 2))),
  "stride per axis": ((3, 2), (4, 3), (1, 2), ((2, 1), (2, 1))),
  "asymmetric": ((3, 3), (4, 4), (2, 2), ((5, 0), (1, 4))),
  "negative": ((4, 3), (3, 3), (2, 2), ((-1, 3), (4, -2))),
}

CASES = {
  **{f"strided {name}": (*case, (1, 1)) for name, case in STRIDED.items()},
  **{f"transposed {n}": (size, k, (1, 1), pad, s) for n, (size, k, s, pad) in TRANSPOSED.items()},
}


ROLES = ("images", "kernel", "outputs")

# name: (height and width, kernel, stride, low, height' and width')
GEOMETRIES = {
  "4/2": ((6, 8), (4, 4), (2, 2), (1, 1), (3, 4)),
  "3/1": ((5, 4), (3, 3), (1, 1), (1, 1), (5, 4)),
  "stride per axis": ((8, 9), (4, 3), (2, 1), (2, 0), (4, 7)),
  "cropped": ((9, 8), (4, 4), (2, 2), (-1, -3), (3, 2)),
  "tall, the last tile cut": ((34, 3), (4, 4), (2, 2), (1, 1), (17, 2)),
  "padded far": ((3, 3), (4, 4), (2, 2), (5, 4), (6, 7)),
}
RAGGED = {
  "5/2": ((6, 7), (5, 5), (2, 2), (2, 2), (3, 4)),
  "2/3": ((7, 8), (2, 2), (3, 3), (0, 1), (3, 3)),
}


def geometry_of(name):
  size, kernel, stride, low, out = (GEOMETRIES | RAGGED)[name]
  return Geometry((2, *size, 3), (*kernel, 3, 4), (2, *out, 4), stride, low)


def draw(geometry, role, seed=0):
  return np.random.default_rng(seed).normal(size=getattr(geometry, role))


def assert_from_matrix_transposes_to_matrix(algorithm, geometry):
  """Checks <to_matrix(x), y> = <x, from_matrix(y)> for each of the three arrays."""

  def both(x):
    matrix = algorithm.to_matrix(role, x, geometry)
    y = jnp.cos(jnp.arange(matrix.size, dtype=x.dtype)).reshape(matrix.shape)
    return matrix, y, algorithm.from_matrix(role, y, geometry)

  with jax.enable_x64(True):
    for role in ROLES:
      x = draw(geometry, role)
      matrix, y, array = jit(both)(x)
      assert array.shape == x.shape
      left, right = np.vdot(matrix, y), np.vdot(x, array)
      assert abs(left) > 1e-3
      np.testing.assert_allclose(left, right, rtol=1e-12)


def make_case(name, dtype=np.float32):
  size, kernel, strides, padding, lhs_dilation = CASES[name]
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *size, 3)).astype(dtype)
  k = rng.normal(size=(*kernel, 3, 4)).astype(dtype) / kernel[0]
  options = {"window_strides": strides, "padding": padding, "lhs_dilation": lhs_dilation}
  return x, k, {**options, "dimension_numbers": NHWC}


def orders(convolve, options):
  """-> x, k -> the convolution, its gradients forward and back, and a gradient penalty's."""

  def score(x, k):
    return jnp.sum(jax.nn.softplus(convolve(x, k, **options)))

  def penalty(x, k):
    return jnp.sum(jnp.square(jax.grad(score)(x, k)))

  def all_orders(x, k):
    return {
      "value": convolve(x, k, **options),
      "forward": jax.jvp(lambda x, k: convolve(x, k, **options), (x, k), (jnp.cos(x), jnp.sin(k))),
      "first": jax.grad(score, (0, 1))(x, k),
      "second": jax.grad(penalty, (0, 1))(x, k),
    }

  return all_orders


def assert_close(ours, theirs, tolerance=1e-5):
  """max |a - b| <= tolerance max |b|, per leaf, and the same shapes and dtypes."""
  chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    scale = np.max(np.abs(b))
    assert scale > 0  # a comparison of zeros would pass for any bug
    np.testing.assert_array_less(np.max(np.abs(a - b)), tolerance * scale)


def assert_every_order_equals_lax(x, k, options, tolerance=1e-5):
  """Compares all of `orders` with those of XLA's own convolution, in one program."""
  ours, theirs = orders(conv_general_dilated, options), orders(lax.conv_general_dilated, options)
  assert_close(*jit(lambda x, k: (ours(x, k), theirs(x, k)))(x, k), tolerance)


def assert_vmap_equals_one_at_a_time(name, axes):
  """Compares a batch of two images, kernels or both with XLA's own convolution of each."""
  with jax.enable_x64(True):
    x, k, options = make_case(name, np.float64)
    x, k = (np.stack([v, 2 * v[::-1]]) for v in (x, k))
    args = [v if axis == 0 else v[0] for v, axis in zip((x, k), axes, strict=True)]
    ours = jit(jax.vmap(orders(conv_general_dilated, options), axes))(*args)
    theirs = jit(orders(lax.conv_general_dilated, options))
    for i in range(2):
      member = [v if axis is None else v[i] for v, axis in zip(args, axes, strict=True)]
      assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], ours), theirs(*member), 1e-12)
