r"""Critics that are 1-Lipschitz by construction: every kernel is bounded before it is applied.

A critic's free parameters V become kernels W(V) of operator norm at most 1, its activations
`MaxMin`, which keeps the norm of a gradient. So the composition is 1-Lipschitz for any parameters,
`wgan_jax.certify` proves it, rounding included, and the Wasserstein estimate on two samples is a
lower bound of their Earth Mover's Distance. There is nothing to penalise and nothing to clip.

References:
  [1] Anil, Lucas and Grosse, Sorting out Lipschitz Function Approximation, 2019, arXiv 1811.05381
    (MaxMin, Bjorck's iteration).
  [2] Prach and Lampert, Almost-Orthogonal Layers for Efficient General-Purpose Lipschitz Networks,
    2022, arXiv 2208.03160.
  [3] Miyato, Kataoka, Koyama and Yoshida, Spectral Normalization for Generative Adversarial
    Networks, 2018, arXiv 1802.05957.
  [4] Li, Haque, Anil, Lucas, Grosse and Jacobsen, Preventing Gradient Attenuation in Lipschitz
    Constrained Convolutional Networks, 2019, arXiv 1911.00937.
  [5] Jordan et al., Muon: An Optimizer for Hidden Layers in Neural Networks, 2024 (the quintic
    iteration).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from wgan_jax.layers import (
  Conv,
  Dense,
  Flatten,
  Layer,
  MaxMin,
  Pointwise,
  Pool,
  Sum,
  apply_layers,
  join_phases,
  split_phases,
)
from wgan_jax.types import Network

_N_QUINTIC = 6  # Iterations: singular values from 4e-4 of the largest come to .7 to 1.2,
_N_BJORCK = 5  # and from there within 1e-6 of 1, none above it.
_ROUNDING = 1e-6  # Kernels are scaled down by it, so that float32 leaves none above 1.
# An accelerator would round the entries of float32 matrices to fewer bits.
_dot = functools.partial(jnp.matmul, precision="highest")


class Constraint(NamedTuple):
  """How kernels are bounded.

  Attributes:
    dense: maps any kernel [in, out] to one of operator norm at most 1.
    conv: (kernel [height, width, in, out], stride) -> the same of a convolution, for any padding
      by zeros or by negative amounts.
  """

  dense: Callable[[jax.Array], jax.Array]
  conv: Callable[[jax.Array, tuple[int, int]], jax.Array]


def one_lipschitz(critic: Network, constraint: Constraint) -> Network:
  """Makes a critic 1-Lipschitz by construction.

  Args:
    critic: with `layers`. Activations are replaced by `MaxMin`, the sum of a block and its shortcut
      by their mean, and means of pixels by `Pool(unit=True)`, which does not shrink a gradient.
    constraint: such as `CONSTRAINTS["orthonormal"]`.

  Returns:
    The critic, with the same parameters to train, and `layers` to certify. It has no `classify`.

  Raises:
    ValueError: the critic has no `layers`; from `apply` and `layers`, one of them has no form that
      is 1-Lipschitz, or a width before an activation is odd.
  """
  if critic.layers is None:
    raise ValueError("a critic without layers cannot be made 1-Lipschitz by construction")

  def layers(params):
    return [_constrain(layer, constraint) for layer in critic.layers(params)]

  return Network(critic.init, lambda params, x: apply_layers(layers(params), x), layers)


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
  r"""Makes all singular values of a kernel 1: its nearest orthonormal matrix.

  Bjorck's iteration, W <- W (3 I - W^T W) / 2, maps each singular value in (0, 1.7) towards 1, and
  none above it. A quintic one [5] comes near with fewer products. A gradient keeps its norm on its
  way back through a layer with no more outputs than inputs.

  Args:
    kernel: [in, out]; rows are orthonormal if there are fewer of them, else columns. Directions in
      which it is 0, as all are of zeros, stay 0.

  Returns:
    The kernel, [in, out].

  References:
    [1], section 4.2 and appendix A.
  """
  kernel = _divide(kernel, 3)  # A rough bound: what is near 1 need not be exact before the end.
  wide = kernel.shape[0] < kernel.shape[1]
  kernel = kernel.T if wide else kernel
  for _ in range(_N_QUINTIC):
    gram = _dot(kernel.T, kernel)
    kernel = 3.4445 * kernel + _dot(kernel, 2.0315 * _dot(gram, gram) - 4.775 * gram)
  for _ in range(_N_BJORCK):
    kernel = 1.5 * kernel - 0.5 * _dot(kernel, _dot(kernel.T, kernel))
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
  shifts = jax.lax.conv_general_dilated(
    taps.transpose(2, 0, 1, 3),
    taps.transpose(0, 1, 3, 2),
    (1, 1),
    [(height - 1, height - 1), (width - 1, width - 1)],
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    precision="highest",
  )
  scaled = _scale_inputs(taps, jnp.sum(jnp.abs(shifts), (1, 2, 3)))
  return join_phases(scaled, stride)[: sides[0], : sides[1]]


CONSTRAINTS = {
  "spectral": Constraint(spectral, spectral_conv),
  "aol": Constraint(almost_orthogonal, almost_orthogonal_conv),
  "orthonormal": Constraint(orthonormal, orthonormal_conv),
}
"""Ways to bound a kernel, by name."""


def _constrain(layer: Layer, constraint: Constraint) -> Layer:
  match layer:
    case Dense():
      return layer._replace(kernel=constraint.dense(layer.kernel))
    case Conv():
      return layer._replace(kernel=constraint.conv(layer.kernel, layer.stride))
    case Pointwise():
      return MaxMin()
    case Pool():
      return layer._replace(unit=True)
    case Sum():
      chains = [[_constrain(each, constraint) for each in chain] for chain in layer.chains]
      return Sum(tuple(chains), mean=True)
    case Flatten() | MaxMin():
      return layer
  raise ValueError(f"{type(layer).__name__} has no 1-Lipschitz form under this constraint")


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
