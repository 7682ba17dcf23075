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
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from wgan_jax.layers import Conv, Dense, Flatten, Layer, MaxMin, Pointwise, apply_layers
from wgan_jax.types import Network

_N_BJORCK = 12  # Iterations: singular values from .4 on come within 1e-6 of 1.
_ROUNDING = 1e-6  # Kernels are scaled down by it, so that float32 leaves none above 1.


class Constraint(NamedTuple):
  """How kernels are bounded.

  Attributes:
    dense: maps any kernel [in, out] to one of operator norm at most 1.
    conv: the same of a convolution's kernel [height, width, in, out], for any stride and padding
      by zeros or by negative amounts; None where there is no such way.
  """

  dense: Callable[[jax.Array], jax.Array]
  conv: Callable[[jax.Array], jax.Array] | None = None


def one_lipschitz(critic: Network, constraint: Constraint) -> Network:
  """Makes a critic 1-Lipschitz by construction.

  Args:
    critic: with `layers`, a chain of `Dense`, `Conv`, `Flatten` and `Pointwise`. The latter, such
      as ReLU, are replaced by `MaxMin`.
    constraint: such as `CONSTRAINTS["orthonormal"]`.

  Returns:
    The critic, with the same parameters to train, and `layers` to certify.

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


def orthonormal(kernel: jax.Array) -> jax.Array:
  r"""Makes all singular values of a kernel 1: its nearest orthonormal matrix.

  Bjorck's iteration, W <- W (3 I - W^T W) / 2, maps each singular value in [0, 1] towards 1, and
  none above it. A gradient keeps its norm on its way back through a layer with no more outputs than
  inputs.

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
  for _ in range(_N_BJORCK):
    kernel = 1.5 * kernel - 0.5 * kernel @ (kernel.T @ kernel)
  return (1 - _ROUNDING) * (kernel.T if wide else kernel)


def almost_orthogonal(kernel: jax.Array) -> jax.Array:
  r"""Scales the inputs of a dense kernel: W_i / sqrt(\sum_j |W W^T|_ij) (AOL) [2].

  Args:
    kernel: [in, out]; zeros stay zeros.

  Returns:
    The kernel, [in, out], of operator norm at most 1.
  """
  kernel = kernel / _largest(kernel)
  return _scale_inputs(kernel, jnp.sum(jnp.abs(kernel @ kernel.T), 1))


def almost_orthogonal_conv(kernel: jax.Array) -> jax.Array:
  """Scales the input channels of a convolution's kernel: `almost_orthogonal` over all shifts [2].

  The bound is that of stride 1 on the whole plane. A stride drops outputs, an edge inputs and
  outputs, so that it holds for them too, less tightly.

  Args:
    kernel: [height, width, in, out].

  Returns:
    The kernel, of the same shape; the convolution's operator norm is at most 1.
  """
  kernel = kernel / _largest(kernel)
  height, width = kernel.shape[:2]
  # Its correlation with itself: [in, 2 height - 1, 2 width - 1, in].
  shifts = jax.lax.conv_general_dilated(
    kernel.transpose(2, 0, 1, 3),
    kernel.transpose(0, 1, 3, 2),
    (1, 1),
    [(height - 1, height - 1), (width - 1, width - 1)],
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )
  return _scale_inputs(kernel, jnp.sum(jnp.abs(shifts), (1, 2, 3)))


CONSTRAINTS = {
  "spectral": Constraint(spectral),
  "orthonormal": Constraint(orthonormal),
  "aol": Constraint(almost_orthogonal, almost_orthogonal_conv),
}
"""Ways to bound a kernel, by name."""


def _constrain(layer: Layer, constraint: Constraint) -> Layer:
  match layer:
    case Dense():
      return layer._replace(kernel=constraint.dense(layer.kernel))
    case Conv() if constraint.conv is not None:
      return layer._replace(kernel=constraint.conv(layer.kernel))
    case Pointwise():
      return MaxMin()
    case Flatten() | MaxMin():
      return layer
  raise ValueError(f"{type(layer).__name__} has no 1-Lipschitz form under this constraint")


def _divide(kernel: jax.Array, n_squares: int) -> jax.Array:
  """Divides a kernel by its Schatten norm of order 2 ** (n_squares + 1)."""
  chex.assert_rank(kernel, 2)
  kernel = kernel / _largest(kernel)  # No power may leave the type's range.
  gram = kernel.T @ kernel if kernel.shape[0] >= kernel.shape[1] else kernel @ kernel.T
  log_norm, power = 0.0, gram
  for i in range(n_squares):
    trace = jnp.trace(power)
    scale = jnp.where(trace > 0, trace, 1)
    log_norm += jnp.log(scale) / 2 ** (i + 1)
    power = power / scale
    power = power @ power
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
