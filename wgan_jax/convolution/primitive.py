"""Convolutions written as matrix products, with the signature of `jax.lax`.

XLA's convolutions on the CPU are fast only in the plain case. The transposed convolution of a
generator (lhs dilation) and the second-order convolutions of a gradient penalty's gradient leave
that path, and take up to ten times as long. Under `vmap` over kernels, as in a sweep over whole
runs, a native convolution becomes a grouped one, which is slow on CPUs and GPUs.

A convolution is linear in its images and in its kernel. Paired with a cotangent of its outputs it
is a sum of products of three arrays. Any two of them give the third: the outputs, the images'
gradient (a transposed convolution) or the kernel's gradient. Here the two are arranged as matrices
and multiplied, and the third is read from the product. Derivatives of every order are therefore
matrix products. `columns` and `toom_cook` are two ways to arrange the matrices.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from wgan_jax.convolution import columns, toom_cook
from wgan_jax.convolution.columns import Geometry

_NHWC_HWIO = lax.conv_dimension_numbers((1,) * 4, (1,) * 4, ("NHWC", "HWIO", "NHWC"))


def conv_general_dilated(
  lhs: jax.Array,
  rhs: jax.Array,
  window_strides: Sequence[int],
  padding: str | Sequence[tuple[int, int]],
  lhs_dilation: Sequence[int] | None = None,
  rhs_dilation: Sequence[int] | None = None,
  dimension_numbers: Any = None,
  feature_group_count: int = 1,
  batch_group_count: int = 1,
  precision: Any = None,
  preferred_element_type: Any = None,
) -> jax.Array:
  """Computes `jax.lax.conv_general_dilated`, as one matrix product where possible.

  It is possible for NHWC images and HWIO kernels, with strides or with lhs dilation (the transposed
  convolution), at any kernel size and padding. All else is passed to `jax.lax`: both at once, rhs
  dilation, groups, other layouts and ranks, and empty arrays. `jax.lax` checks the arguments in
  every case.

  Args:
    lhs: images, [batch, height, width, in].
    rhs: kernel, [kernel height, kernel width, in, out].
    window_strides: stride along each axis.
    padding: 'SAME', 'SAME_LOWER', 'VALID', or a (low, high) pair for each axis; negative crops.
    lhs_dilation: stride of the transposed convolution along each axis. The padding is then that of
      the dilated images, and explicit.
    rhs_dilation: spacing of the kernel's taps; passed to `jax.lax` unless 1.
    dimension_numbers: as in `jax.lax`; its default, NCHW, is passed to `jax.lax`.
    feature_group_count: passed to `jax.lax` unless 1.
    batch_group_count: passed to `jax.lax` unless 1.
    precision: precision of the matrix product and of those of its derivatives.
    preferred_element_type: type of the result; both operands are first cast to it.

  Returns:
    The convolved images, [batch, height', width', out].
  """

  def native(lhs, rhs):
    return lax.conv_general_dilated(
      lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
      feature_group_count, batch_group_count, precision, preferred_element_type,
    )  # fmt: skip

  out = jax.eval_shape(native, lhs, rhs)
  stride, stretch, dilation = (
    (1, 1) if x is None else tuple(x) for x in (window_strides, lhs_dilation, rhs_dilation)
  )
  if (
    lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers) != _NHWC_HWIO
    or dilation != (1, 1)
    or (1, 1) not in (stride, stretch)
    or (feature_group_count, batch_group_count) != (1, 1)
    or 0 in (*lhs.shape, *rhs.shape, *out.shape)
  ):
    return native(lhs, rhs)
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], stride, padding)
  low = tuple(lo for lo, _ in padding)
  lhs, rhs = lhs.astype(out.dtype), rhs.astype(out.dtype)
  if precision is None:  # Read now: the products may be traced outside this default's context.
    precision = jax.config.jax_default_matmul_precision
  precision = tuple(precision) if isinstance(precision, list) else precision
  if stretch == (1, 1):
    geometry = Geometry(lhs.shape, rhs.shape, out.shape, stride, low)
    return _bind("outputs", geometry, precision, images=lhs, kernel=rhs)
  # This is the transpose of the convolution by the flipped kernel.
  kernel = rhs[::-1, ::-1].transpose(0, 1, 3, 2)
  low = tuple(k - 1 - lo for k, lo in zip(kernel.shape[:2], low, strict=True))
  geometry = Geometry(out.shape, kernel.shape, lhs.shape, stretch, low)
  return _bind("images", geometry, precision, outputs=lhs, kernel=kernel)


def choose_algorithm(geometry: Geometry, dtype: jax.typing.DTypeLike, precision: Any) -> Any:
  """The faster algorithm for this convolution, as measured on CPUs.

  On two cores with AVX2, to the second order, the Toom-Cook algorithm took 0.6 to 1 times as long
  as columns in 16 shapes with 2^26 multiplications or more (counted for columns). In 13 smaller
  shapes it took 0.33 to 1.4 times as long. Its rounding error suits float32 and wider types. It
  was not measured on other devices, and is chosen only if JAX's default backend is the CPU. On a
  GPU columns took .13 to 1 times as long as XLA's own convolutions in the DCGAN's layers.

  Args:
    geometry: the geometry of the convolution.
    dtype: type of the arrays.
    precision: the precision asked for; None for the default.

  Returns:
    `columns` or `toom_cook`, a module with `to_matrix` and `from_matrix`.
  """
  blocks = zip(geometry.kernel[:2], geometry.stride, strict=True)
  if (
    jax.default_backend() != "cpu"
    or precision is not None
    or dtype not in (jnp.float32, jnp.float64)
    or any(k % s for k, s in blocks)
    or not all(isinstance(size, int) for size in geometry.outputs)  # Symbolic, for an export.
    or math.prod(geometry.outputs) * math.prod(geometry.kernel[:3]) < 2**26
  ):
    return columns
  tile, tiles = toom_cook.tiling_of(geometry)
  pixels = math.prod(geometry.stride) * geometry.kernel[2]
  channels = toom_cook.blocks_of(geometry)[1] * geometry.kernel[3]
  few_tiles = tiles <= 16  # The matrices from rows to points are dense.
  return toom_cook if tile > 1 and few_tiles and min(pixels, channels) >= 32 else columns


OPERANDS = {
  "outputs": ("images", "kernel"),
  "images": ("outputs", "kernel"),
  "kernel": ("images", "outputs"),
}
"""For each array, the two it is computed from."""

_SUMMED = {"outputs": (-1, -2), "images": (-1, -1), "kernel": (-2, -2)}  # Axes to sum over.


def multiply(yields: str, a: jax.Array, b: jax.Array, precision: Any = None) -> jax.Array:
  """Multiplies two operands' matrices to give the third's, batched over Toom-Cook points.

  Args:
    yields: the array to compute, a key of `OPERANDS`.
    a: the matrix of its first operand, [..., rows, columns].
    b: the matrix of its second operand, [..., rows, columns].
    precision: precision of the product.

  Returns:
    The matrix for `from_matrix`, [..., rows, columns].
  """
  # Where a is wider than b, b.T @ a is up to twice as fast on the CPU as a.T @ b.
  turned = yields == "kernel" and a.shape[-1] > b.shape[-1]
  if turned:
    a, b = b, a
    precision = precision[::-1] if isinstance(precision, tuple) else precision
  points = tuple(range(a.ndim - 2))
  summed = tuple((axis % a.ndim,) for axis in _SUMMED[yields])
  product = lax.dot_general(a, b, (summed, (points, points)), precision=precision)
  if turned:  # The barrier keeps the compiler from undoing this.
    product = lax.optimization_barrier(product).swapaxes(-1, -2)
  return product


def _bind(yields, geometry, precision, **arrays):
  params = {"yields": yields, "geometry": geometry, "precision": precision}
  return _primitive.bind(*(arrays[role] for role in OPERANDS[yields]), **params)


def _compute(*arrays, yields, geometry, precision):
  algorithm = choose_algorithm(geometry, arrays[0].dtype, precision)
  roles = zip(OPERANDS[yields], arrays, strict=True)
  matrices = (algorithm.to_matrix(role, x, geometry) for role, x in roles)
  return algorithm.from_matrix(yields, multiply(yields, *matrices, precision), geometry)


def _transpose_rule(place, cotangent, a, b, *, yields, geometry, precision):
  """Computes the cotangent of one operand from the other one and the output's cotangent."""
  other = 1 - place
  arrays = {yields: cotangent, OPERANDS[yields][other]: (a, b)[other]}
  return _bind(OPERANDS[yields][place], geometry, precision, **arrays)


def _batch_rule(arrays, axes, *, yields, geometry, precision):
  """Merges a batch of batches for one kernel into a larger batch; else batches each product."""
  size = next(x.shape[axis] for x, axis in zip(arrays, axes, strict=True) if axis is not None)
  if size == 0:
    return jnp.zeros((0, *getattr(geometry, yields)), arrays[0].dtype), 0
  if yields == "kernel" or axes[1] is not None:
    params = {"yields": yields, "geometry": geometry, "precision": precision}
    return jax.vmap(functools.partial(_compute, **params), axes)(*arrays), 0
  x = jnp.moveaxis(arrays[0], axes[0], 0)
  n, *image = geometry.images
  _, *output = geometry.outputs
  total = x.shape[0] * n
  larger = dataclasses.replace(geometry, images=(total, *image), outputs=(total, *output))
  merged = {OPERANDS[yields][0]: x.reshape(total, *x.shape[2:]), "kernel": arrays[1]}
  y = _bind(yields, larger, precision, **merged)
  return y.reshape(-1, n, *y.shape[1:]), 0


def _shape_rule(a, b, *, yields, geometry, precision):
  return jax.core.ShapedArray(getattr(geometry, yields), a.dtype)


# It is a primitive for two reasons. The derivatives of a convolution, of its transpose and of its
# kernel's gradient are these three again, each in its fast form. And under `vmap` a critic of one
# image becomes one of a batch, with larger matrices instead of batches of small ones.
_primitive = Primitive("convolution_as_product")
_primitive.def_impl(jax.jit(_compute, static_argnames=("yields", "geometry", "precision")))
_primitive.def_abstract_eval(_shape_rule)
mlir.register_lowering(_primitive, mlir.lower_fun(_compute, multiple_results=False))
ad.defbilinear(_primitive, *(functools.partial(_transpose_rule, place) for place in (0, 1)))
batching.primitive_batchers[_primitive] = _batch_rule
