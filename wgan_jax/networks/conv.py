"""Convolutions written as matrix products, and the two Flax layers made of them.

XLA's convolutions on the CPU are fast only in the plain case. The transposed convolution of a
generator (lhs dilation) and the second-order convolutions that the gradient of a gradient penalty
needs leave that path, and cost up to ten times as much. Under `vmap` over kernels, as in a sweep
over whole runs, a native convolution becomes a grouped one, slow on the CPU and the GPU alike.

Here a convolution is slices, one matrix product and pads. The derivatives of these, of every
order, are slices, pads and matrix products again, and `vmap` makes the product a batched one:
JAX's own transformations are all that is needed.

A kernel is cut into blocks of stride x stride taps, smaller ones at the far edge if the stride does
not divide it. With space folded into depth, [s h, s w, c] -> [h, w, s, s, c], a block reads whole
positions at one offset.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

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
  """Does what `jax.lax.conv_general_dilated` does, with one matrix product where it can.

  It can for NHWC images and HWIO kernels, with strides or with lhs dilation (the transposed
  convolution), at any kernel size and padding. Both at once, rhs dilation, groups, other layouts
  and ranks, and empty arrays go to `jax.lax.conv_general_dilated`, which checks the arguments in
  every case.

  Args:
    lhs: images, [batch, height, width, in].
    rhs: kernel, [kernel height, kernel width, in, out].
    window_strides: stride along each axis.
    padding: 'SAME', 'SAME_LOWER', 'VALID', or a (low, high) pair for each axis; negative crops.
    lhs_dilation: stride of the transposed convolution along each axis; the padding is then that of
      the dilated images, and explicit.
    rhs_dilation: spacing of the kernel's taps; native unless 1.
    dimension_numbers: as in `jax.lax`, whose default is NCHW and thus native.
    feature_group_count: native unless 1.
    batch_group_count: native unless 1.
    precision: of the matrix product.
    preferred_element_type: of the matrix product and of the result.

  Returns:
    The convolved images, [batch, height', width', out].
  """
  options = {"precision": precision, "preferred_element_type": preferred_element_type}

  def native(lhs, rhs):
    return lax.conv_general_dilated(
      lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
      feature_group_count, batch_group_count, **options,
    )  # fmt: skip

  out = jax.eval_shape(native, lhs, rhs).shape
  stride, stretch, dilation = (
    (1, 1) if x is None else tuple(x) for x in (window_strides, lhs_dilation, rhs_dilation)
  )
  if (
    lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers) != _NHWC_HWIO
    or dilation != (1, 1)
    or (1, 1) not in (stride, stretch)
    or (feature_group_count, batch_group_count) != (1, 1)
    or 0 in (*lhs.shape, *rhs.shape, *out)
  ):
    return native(lhs, rhs)
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], stride, padding)
  low = [lo for lo, _ in padding]
  if stretch == (1, 1):
    return _strided(lhs, rhs, stride, low, out, options)
  return _transposed(lhs, rhs, stretch, low, out, options)


def _strided(x, kernel, stride, low, out, options):
  """out[p] = sum over q of x[s p + q - low] kernel[q]: gathers what each block sees, multiplies."""
  (sh, sw), (kh, kw), (oh, ow) = stride, kernel.shape[:2], out[1:3]
  blocks = [(a, b) for a in range(0, kh, sh) for b in range(0, kw, sw)]
  rows, cols = oh + (kh - 1) // sh, ow + (kw - 1) // sw
  x = _resize(x, low, (sh * rows, sw * cols))
  x = x.reshape(-1, rows, sh, cols, sw, x.shape[3]).transpose(0, 1, 3, 2, 4, 5)
  windows = [
    x[:, a // sh : a // sh + oh, b // sw : b // sw + ow, : kh - a, : kw - b] for a, b in blocks
  ]
  # Two axes, not four: the kernel's gradient is up to twice as fast on the CPU.
  columns = jnp.concatenate([w.reshape(out[0] * oh * ow, -1) for w in windows], axis=1)
  taps = [kernel[a : a + sh, b : b + sw].reshape(-1, out[3]) for a, b in blocks]
  return _multiply(columns, jnp.concatenate(taps), options).reshape(out)


def _transposed(x, kernel, stride, low, out, options):
  """out[s i + r - (k - 1) + low] += x[i] kernel[k - 1 - r]: multiplies, scatters the blocks."""
  (sh, sw), (kh, kw), (n, h, w, c) = stride, kernel.shape[:2], x.shape
  blocks = [(a, b) for a in range(0, kh, sh) for b in range(0, kw, sw)]
  rows, cols = h + (kh - 1) // sh, w + (kw - 1) // sw
  kernel = kernel[::-1, ::-1].transpose(2, 0, 1, 3)
  taps = [kernel[:, a : a + sh, b : b + sw] for a, b in blocks]
  matrix = jnp.concatenate([t.reshape(c, -1) for t in taps], axis=1)
  products = _multiply(x.reshape(n * h * w, c), matrix, options)
  products = lax.split(products, [t.size // c for t in taps], axis=1)
  y = 0
  for (a, b), t, z in zip(blocks, taps, products, strict=True):
    (p, q), top, left = t.shape[1:3], a // sh, b // sw
    shifts = (top, rows - h - top), (left, cols - w - left), (0, sh - p), (0, sw - q)
    y += _pad(z.reshape(n, h, w, *t.shape[1:]), (0, 0), *shifts, (0, 0))
  y = y.transpose(0, 1, 3, 2, 4, 5).reshape(n, sh * rows, sw * cols, out[3])
  return _resize(y, (low[0] - kh + 1, low[1] - kw + 1), out[1:3])


def _multiply(x, matrix, options):
  """x @ matrix, so written that its gradients are fast on the CPU.

  That of the matrix sums over the many rows of x: x.T @ g runs at half the rate of g.T @ x where x
  is much wider than g. Multiplying by the matrix's own transpose makes it the latter. The barrier
  keeps the compiler from folding both transpositions into the slow form again.
  """
  if matrix.shape[0] <= matrix.shape[1]:
    return lax.dot(x, matrix, **options)
  return lax.dot_general(x, lax.optimization_barrier(matrix.T), (((1,), (1,)), ((), ())), **options)


def _resize(x, low, size):
  """Pads or crops height and width: by `low` before, and after to make up `size`."""
  widths = [(lo, new - old - lo) for lo, new, old in zip(low, size, x.shape[1:3], strict=True)]
  return _pad(x, (0, 0), *widths, (0, 0))


def _pad(x, *widths):
  return lax.pad(x, jnp.zeros((), x.dtype), [(*width, 0) for width in widths])


def conv(
  features: int, kernel: int, stride: int = 1, *, padding: Any = "SAME", **options: Any
) -> nn.Conv:
  """A `flax.linen.Conv` for images, computed as a matrix product.

  Args:
    features: number of output channels.
    kernel: height and width of the kernel.
    stride: stride along both axes.
    padding: as in `flax.linen.Conv`.
    **options: `use_bias`, `kernel_init` and the other fields of `flax.linen.Conv`.

  Returns:
    The layer, [..., height, width, in] -> [..., height', width', features].
  """
  options = {"conv_general_dilated": conv_general_dilated, **options}
  return nn.Conv(features, (kernel, kernel), stride, padding, **options)


def conv_transpose(
  features: int, kernel: int, stride: int = 1, *, padding: Any = "SAME", **options: Any
) -> nn.Conv:
  """A transposed convolution for images, computed as a matrix product.

  It equals `flax.linen.ConvTranspose` and `jax.lax.conv_transpose`: the kernel is not flipped.

  Args:
    features: number of output channels.
    kernel: height and width of the kernel.
    stride: height' / height and width' / width with 'SAME'.
    padding: 'SAME', 'VALID', or a (low, high) pair for each axis of the dilated images.
    **options: `use_bias`, `kernel_init` and the other fields of `flax.linen.Conv`.

  Returns:
    The layer, [..., height, width, in] -> [..., height', width', features].
  """
  if padding == "SAME":
    total = kernel + stride - 2
    low = min(kernel - 1, (total + 1) // 2)
    padding = [(low, total - low)] * 2
  elif padding == "VALID":
    padding = [(kernel - 1, max(kernel, stride) - 1)] * 2
  return conv(features, kernel, padding=padding, input_dilation=stride, **options)
