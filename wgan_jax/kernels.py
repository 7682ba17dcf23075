"""Kernels of operator norm at most 1, as functions of free ones.

References:
  [1] Anil, Lucas and Grosse, Sorting out Lipschitz Function Approximation, 2019, arXiv 1811.05381
    (MaxMin, orthonormal kernels).
  [2] Prach and Lampert, Almost-Orthogonal Layers for Efficient General-Purpose Lipschitz Networks,
    2022, arXiv 2208.03160.
  [3] Miyato, Kataoka, Koyama and Yoshida, Spectral Normalization for Generative Adversarial
    Networks, 2018, arXiv 1802.05957.
  [4] Li, Haque, Anil, Lucas, Grosse and Jacobsen, Preventing Gradient Attenuation in Lipschitz
    Constrained Convolutional Networks, 2019, arXiv 1911.00937.
  [5] Trockman and Kolter, Orthogonalizing Convolutional Layers with the Cayley Transform, 2021,
    arXiv 2104.07167.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from wgan_jax.convolution.primitive import conv_general_dilated
from wgan_jax.layers import join_phases, split_phases

_N_NEWTON = 14  # Iterations, for condition numbers up to some 25; I + A has 3 at a usual start.
_ROUNDING = 1e-6  # Kernels are scaled down by it, so that float32 leaves none above 1.
# An accelerator would round the entries of float32 matrices to fewer bits.
_dot = functools.partial(jnp.matmul, precision="highest")


def spectral(kernel: jax.Array) -> jax.Array:
  r"""Divides a kernel by its largest singular value, or a little more: W / (tr (W^T W)^p)^{1/2p}.

  The Schatten norm with p = 1024 is above the largest singular value by a factor of at most
  n^{1/2048}, n the smaller side. So it needs no running vector, as the power iteration of [3] does,
  which is below. All other directions keep their share of the largest.

  Args:
    kernel: [in, out]; zeros stay zeros.

  Returns:
    The kernel, [in, out], of the largest singular value 1 at most.
  """
  return _divide(kernel, 10)


def spectral_conv(kernel: jax.Array, stride: tuple[int, int]) -> jax.Array:
  """Divides a convolution's kernel, as a matrix of patches, by `spectral`'s norm and a root.

  A pixel is in as many patches as n = ceil(height / stride) ceil(width / stride), so that the
  convolution's norm is at most that of the matrix times the root of n. [3] leaves the root out, and
  so bounds no slope by 1. The bound is reached by kernels that blur, and by no orthogonal one.

  Args:
    kernel: [height, width, in, out].
    stride: along height and width.

  Returns:
    The kernel, of the same shape.
  """
  height, width = (-(-n // step) for n, step in zip(kernel.shape, stride, strict=False))
  matrix = spectral(kernel.reshape(-1, kernel.shape[-1]))
  return matrix.reshape(kernel.shape) / jnp.sqrt(height * width)


def orthonormal(kernel: jax.Array) -> jax.Array:
  r"""Makes a matrix of which all singular values are 1, by Cayley's transform [5].

  Q = (I - A) (I + A)^{-1} of a skew matrix A is orthogonal. Of a tall kernel with the blocks U and
  W, A = U - U^T + W^T W, and the rows below are -2 W (I + A)^{-1}. The inverse is Newton's, whose
  derivative needs no iterations: that of Bjorck's way to orthonormal matrices [1] goes back through
  each, and a critic's update took 1.8 times as long with it. One step of Bjorck's takes off the
  rounding. A gradient keeps its norm on its way back through a layer with no more outputs than
  inputs.

  Args:
    kernel: [in, out]; its scale does not matter. It is no projection: an orthonormal kernel becomes
      another one. Zeros become the first columns of I.

  Returns:
    The kernel, [in, out]; rows are orthonormal if there are fewer of them, else columns.
  """
  chex.assert_rank(kernel, 2)
  wide = kernel.shape[0] < kernel.shape[1]
  kernel = kernel.T if wide else kernel
  identity = jnp.eye(kernel.shape[1], dtype=kernel.dtype)
  kernel = kernel / _largest(kernel)
  square = jnp.mean(kernel**2) * len(kernel)
  kernel = kernel * jax.lax.rsqrt(jnp.where(square > 0, square, 1))  # A is of the size of I then.
  top, below = jnp.split(kernel, [len(identity)])
  inverse = _inverse(identity + top - top.T + _dot(below.T, below))
  kernel = jnp.concatenate([2 * inverse - identity, -2 * _dot(below, inverse)])
  gram = _dot(kernel.T, kernel)
  # No singular value is above the root of this, whatever the inverse left.
  most = 1 + jax.lax.stop_gradient(jnp.linalg.norm(gram - identity))
  kernel = jax.lax.rsqrt(most) * (1.5 * kernel - 0.5 * _dot(kernel, gram / most))
  return (1 - _ROUNDING) * (kernel.T if wide else kernel)


def orthonormal_conv(kernel: jax.Array, stride: tuple[int, int]) -> jax.Array:
  r"""Makes a convolution orthogonal on the whole plane: block convolutions (BCOP) [4].

  With P a projection, x(i) P + x(i - 1) (I - P) keeps the norm of a signal. A kernel of n x m taps
  is the product of n - 1 such steps down, m - 1 across and one orthonormal matrix. A strided one is
  first rewritten as that of stride 1 on phases. So a gradient keeps its norm on its way back where
  there are no more outputs than inputs, but at the edges, where a padding has replaced a part.

  Orthogonal kernels have fewer degrees of freedom than entries: of a kernel of stride 1 the taps of
  the first row and column are read, the others of the result follow from them.

  Args:
    kernel: [height, width, in, out], whose sides the stride divides.
    stride: along height and width.

  Returns:
    The kernel, of the same shape.

  Raises:
    ValueError: the stride does not divide the kernel's sides.
  """
  if kernel.shape[0] % stride[0] or kernel.shape[1] % stride[1]:
    sides = "x".join(map(str, kernel.shape[:2]))
    raise ValueError(f"a {sides} kernel has no orthogonal form at a stride of {stride}")
  taps = split_phases(kernel, stride)
  # On the side with more channels there are more directions to mix.
  narrows = taps.shape[2] >= taps.shape[3]
  taps = taps if narrows else taps.transpose(0, 1, 3, 2)
  n_wide, n_narrow = taps.shape[2:]
  rank = min(n_wide // 2, n_narrow)

  def steps(path):
    """The taps [n, wide, wide] of the product of n - 1 steps."""
    found = [jnp.eye(n_wide, dtype=kernel.dtype)]
    for tap in path:
      basis = orthonormal(tap[:, :rank]) / (1 - _ROUNDING)  # All steps together are scaled once.
      kept = [_dot(_dot(each, basis), basis.T) for each in found]
      moved = [each - part for each, part in zip(found, kept, strict=True)]
      found = [kept[0], *(a + b for a, b in zip(kept[1:], moved, strict=False)), moved[-1]]
    return jnp.stack(found)

  down, across = steps(taps[1:, 0]), steps(taps[0, 1:])
  result = _dot(down[:, None], _dot(across, orthonormal(taps[0, 0]))[None])
  result = result if narrows else result.transpose(0, 1, 3, 2)
  return (1 - 2 * _ROUNDING) * join_phases(result, stride)


def almost_orthogonal(kernel: jax.Array) -> jax.Array:
  r"""Scales the inputs of a dense kernel: W_i / sqrt(\sum_j |W W^T|_ij) (AOL) [2].

  Args:
    kernel: [in, out]; zeros stay zeros.

  Returns:
    The kernel, [in, out], of operator norm at most 1.
  """
  kernel = kernel / _largest(kernel)
  return _scale_inputs(kernel, jnp.sum(jnp.abs(_dot(kernel, kernel.T)), 1))


def almost_orthogonal_conv(kernel: jax.Array, stride: tuple[int, int]) -> jax.Array:
  """Scales the inputs of a convolution's kernel: `almost_orthogonal` over all shifts [2].

  The bound is that on the whole plane; an edge drops inputs and outputs, so that it holds there
  too. A strided kernel is first rewritten as that of stride 1 on phases, each of which has a scale.

  Args:
    kernel: [height, width, in, out].
    stride: along height and width.

  Returns:
    The kernel, of the same shape; the convolution's operator norm is at most 1.
  """
  sides = kernel.shape[:2]
  padding = [(0, -n % step) for n, step in zip(sides, stride, strict=True)]
  kernel = jnp.pad(kernel / _largest(kernel), [*padding, (0, 0), (0, 0)])
  taps = split_phases(kernel, stride)
  height, width = taps.shape[:2]
  # Its correlation with itself: [in, 2 height - 1, 2 width - 1, in].
  shifts = conv_general_dilated(
    taps.transpose(2, 0, 1, 3),
    taps.transpose(0, 1, 3, 2),
    (1, 1),
    [(height - 1, height - 1), (width - 1, width - 1)],
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    precision="highest",
  )
  scaled = _scale_inputs(taps, jnp.sum(jnp.abs(shifts), (1, 2, 3)))
  return join_phases(scaled, stride)[: sides[0], : sides[1]]


@jax.custom_jvp
def _inverse(matrix: jax.Array) -> jax.Array:
  """The inverse of a well-conditioned matrix, by Newton's iteration."""
  sizes = jnp.abs(matrix)
  inverse = matrix.T / (jnp.max(jnp.sum(sizes, 0)) * jnp.max(jnp.sum(sizes, 1)))
  for _ in range(_N_NEWTON):
    inverse = 2 * inverse - _dot(inverse, _dot(matrix, inverse))
  return inverse


@_inverse.defjvp
def _inverse_jvp(primals, tangents):
  inverse = _inverse(*primals)
  return inverse, -_dot(_dot(inverse, *tangents), inverse)


def _divide(kernel: jax.Array, n_squares: int) -> jax.Array:
  """Divides a kernel by its Schatten norm of order 2 ** (n_squares + 1)."""
  chex.assert_rank(kernel, 2)
  kernel = kernel / _largest(kernel)  # No power may leave the type's range.
  narrow = kernel if kernel.shape[0] >= kernel.shape[1] else kernel.T
  gram = _dot(narrow.T, narrow)
  log_norm, power = 0.0, gram
  for i in range(n_squares):
    trace = jnp.trace(power)
    scale = jnp.where(trace > 0, trace, 1)
    log_norm += jnp.log(scale) / 2 ** (i + 1)
    power = power / scale
    power = _dot(power, power)
  trace = jnp.trace(power)
  log_norm += jnp.log(jnp.where(trace > 0, trace, 1)) / 2 ** (n_squares + 1)
  return kernel * ((1 - _ROUNDING) * jnp.exp(-log_norm))


def _scale_inputs(kernel, sums):
  """Divides by the roots of sums [in]; inputs of no weight stay so."""
  factors = jnp.where(sums > 0, jax.lax.rsqrt(jnp.where(sums > 0, sums, 1)), 0)
  return kernel * jnp.expand_dims((1 - _ROUNDING) * factors, (*range(kernel.ndim - 2), -1))


def _largest(kernel):
  """The largest entry, 1 of zeros; without a derivative, as it cancels in what follows."""
  largest = jax.lax.stop_gradient(jnp.max(jnp.abs(kernel)))
  return jnp.where(largest > 0, largest, 1)
