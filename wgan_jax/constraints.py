r"""Critics that are 1-Lipschitz by construction: every kernel is bounded before it is applied.

A critic's free parameters V become kernels W(V) of operator norm at most 1, its activations
`MaxMin`, which keeps the norm of a gradient. So the composition is 1-Lipschitz for any parameters,
`certify` proves it, rounding included, and the Wasserstein estimate on two samples is a
lower bound of their Earth Mover's Distance. There is nothing to penalise and nothing to clip.

References:
  Anil, Lucas and Grosse, Sorting out Lipschitz Function Approximation, 2019, arXiv 1811.05381
    (MaxMin with orthonormal kernels). Those of the kernels are in `wgan_jax.kernels`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from wgan_jax.kernels import (
  almost_orthogonal,
  almost_orthogonal_conv,
  orthonormal,
  orthonormal_conv,
  spectral,
  spectral_conv,
)
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
)
from wgan_jax.types import Network


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
