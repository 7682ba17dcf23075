"""Bounds of a critic's Lipschitz constant: a search from below, a certificate from above.

A critic's Lipschitz constant K on a domain is the supremum of its gradient norms there. The
Wasserstein estimate over K, or over more, is a lower bound of the Earth Mover's Distance. A search
refutes that a critic is 1-Lipschitz; a product of operator norms proves a bound.

References:
  [1] Gouk, Frank, Pfahringer and Cree, Regularisation of Neural Networks by Enforcing Lipschitz
    Continuity, 2018, arXiv 1804.04368 (products of operator norms).
  [2] Welch, The Generalization of "Student's" Problem when Several Different Population Variances
    are Involved, Biometrika 34, 1947.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import scipy  # Its modules, which take a second to load, are loaded at their first use.
from jax import lax

from wgan_jax.layers import Conv, Dense, Flatten, Layer, MaxMin, Opaque, Pointwise, Pool, Sum
from wgan_jax.numerics import norm
from wgan_jax.operator_norm import operator_norm
from wgan_jax.penalties import gradient_norms
from wgan_jax.types import CriticFn, Network


def largest_gradient_norm(
  key: jax.Array,
  critic_fn: CriticFn,
  low: jax.Array,
  high: jax.Array,
  starts: jax.Array | None = None,
  *,
  n_points: int = 512,
  n_climbers: int = 16,
  n_steps: int = 100,
) -> tuple[jax.Array, jax.Array]:
  """Searches a box for the largest gradient norm: a lower bound of K there.

  It refutes and never proves: a norm of 2 shows that the critic is not 1-Lipschitz, a norm of 1
  shows nothing. Points are drawn in the box and from its corners. The best climb along the norm's
  gradient and by random steps. Only the latter help where the norm is piecewise constant (ReLU).

  Args:
    key: draws points and random steps.
    critic_fn: maps one sample [...] to one score [].
    low, high: the box's lower and upper ends, [...], of a sample's shape.
    starts: further points to climb from, such as data, [n, ...], clipped to the box.
    n_points: points drawn, half of them corners.
    n_climbers: number of points to climb from.
    n_steps: steps of each climber.

  Returns:
    The norm, [], in units of score per unit of data, and its point, [...]. The norm is NaN if some
    `low > high`, or if the critic's gradient is NaN at a start or a drawn point.
  """
  low, high = jnp.asarray(low), jnp.asarray(high)
  chex.assert_equal_shape([low, high])
  chex.assert_type([low, high], float)
  key_points, key_steps = jax.random.split(key)
  diagonal = math.sqrt(low.size)
  norms_at = functools.partial(gradient_norms, critic_fn)

  def per_climber(values):
    return values.reshape(-1, *[1] * low.ndim)

  def step(carry, key):
    x, before, radius = carry
    key_direction, key_length = jax.random.split(key)
    norms, slopes = before, jax.grad(lambda x: jnp.sum(norms_at(x)))(x)
    random = jax.random.normal(key_direction, x.shape, x.dtype)
    # Lengths of all scales: a radius that shrank at each failure would vanish on a plateau.
    lengths = diagonal * 10 ** -jax.random.uniform(key_length, radius.shape, x.dtype, maxval=4)
    for direction, length in [(slopes, radius), (random, lengths)]:
      size = norm(direction.reshape(len(x), -1))
      unit = direction / per_climber(jnp.where(size > 0, size, 1))
      move = per_climber(length) * unit * (high - low)[None]
      proposal = jnp.clip(x + move, low[None], high[None])
      proposed = norms_at(proposal)
      # Ties count as better, so that a climber moves about on a plateau.
      better = proposed >= norms
      x = jnp.where(per_climber(better), proposal, x)
      norms = jnp.where(better, proposed, norms)
    radius = jnp.where(norms > before, jnp.minimum(2 * radius, diagonal), radius / 1.3)
    return (x, norms, radius), None

  x = jax.random.uniform(key_points, (n_points, *low.shape), low.dtype)
  x = low[None] + x.at[::2].set(jnp.round(x[::2])) * (high - low)[None]
  x = x if starts is None else jnp.concatenate([starts, x])
  x = jnp.clip(x, low[None], high[None])
  norms = norms_at(x)
  valid = jnp.all(low <= high) & ~jnp.any(jnp.isnan(norms))  # `top_k` puts a NaN of sign - last.
  norms, best = lax.top_k(norms, min(n_climbers, len(x)))
  carry = x[best], norms, jnp.full_like(norms, diagonal / 2)
  (x, norms, _), _ = lax.scan(step, carry, jax.random.split(key_steps, n_steps))
  winner = jnp.argmax(norms)
  return jnp.where(valid, norms[winner], jnp.nan), x[winner]


class Certificate(NamedTuple):
  """A proved bound of a critic's Lipschitz constant on all of R^d.

  Attributes:
    bound: K: |c(x) - c(y)| <= K |x - y| for all x, y in exact arithmetic; infinite if unknown.
    norms: the constants of the layers, input to output; `bound` is their product.
    why: the reason if the bound is infinite, else empty.
  """

  bound: float
  norms: tuple[float, ...]
  why: str


def certify(layers: Sequence[Layer], input_shape: tuple[int, ...]) -> Certificate:
  r"""Proves an upper bound of a critic's Lipschitz constant: K = \prod_i \|A_i\| k_i.

  |A_i| is the operator norm of a linear layer and k_i the constant of an activation. Each factor is
  tight, their product is not: the true constant of a deep network is many times smaller. The bound
  holds for the network in exact arithmetic, from which a float32 score differs by rounding.

  Args:
    layers: the critic's layers, such as `critic.layers(params)`, with concrete parameters.
    input_shape: the shape of one sample.

  Returns:
    The certificate. Its bound is infinite if a layer is `Opaque` or not Lipschitz.

  Raises:
    ValueError: a parameter is not finite, layers do not fit together, an activation's constant is
      negative or NaN, or the last layer gives more than one number.

  References:
    [1], section 3.
  """
  bound, norms, shape, why = _bound_chain(layers, tuple(input_shape))
  if math.prod(shape) != 1:
    raise ValueError(f"a critic ends in one score, these layers in shape {shape}")
  if bound == math.inf:
    why = why or "no certificate: the product of the layers' norms overflows float64"
  return Certificate(math.inf if why else bound, norms, why)


def certified_distance(estimate: float, bound: float) -> float:
  """Certified lower bound of the Earth Mover's Distance: |E c(x) - E c(g(z))| / K.

  It follows from the Kantorovich-Rubinstein duality, as -c is K-Lipschitz too. It bounds the
  distance between the two samples of the estimate, not between the distributions behind them.

  Args:
    estimate: `wasserstein_estimate` of the critic, in units of score. Its rounding is not in the
      bound: data 1e6 times their spread from the origin take float64, or are shifted there first.
    bound: K, the critic's `certify(...).bound`. The result of a search is not a bound.

  Returns:
    The bound of the distance, in units of the data; 0 if K is infinite or 0.

  Raises:
    ValueError: the estimate is not finite, or the bound negative or NaN.
  """
  if not math.isfinite(estimate):
    raise ValueError(f"the estimate must be finite, got {estimate}")
  if not bound >= 0:
    raise ValueError(f"a Lipschitz bound must be at least 0, got {bound}")
  return abs(float(estimate)) / float(bound) if bound else 0.0


def confident_distance(
  real_scores: np.ndarray, fake_scores: np.ndarray, bound: float, *, confidence: float = 0.95
) -> float:
  r"""Lower bound of the distance between the distributions behind two samples, with confidence.

  (E c(x) - E c(g(z))) / K is at most the distance, and its two means are bounded from below by
  Welch's t interval [2]: the difference of the sample means, less t \sqrt{s_x^2 / n + s_y^2 / m}.
  The interval is of the means of independent scores: the samples are none that the critic was
  trained on, or chosen by. Scores of heavy tails, and a handful of samples, have no such interval;
  with a few hundred bounded ones it covers what it says. Of many bounds, such as those of a run's
  lines, one in twenty may be too high.

  Args:
    real_scores: c(x) of independent real samples, [n].
    fake_scores: c(g(z)) of independent generated ones, [m].
    bound: K, the critic's `certify(...).bound`.
    confidence: probability with which the bound is to hold, in (0, 1).

  Returns:
    The bound, in units of the data; 0 if the critic shows no distance.

  Raises:
    ValueError: under two scores of a side, one not finite, `bound` or `confidence` out of range.
  """
  real, fake = (np.asarray(scores, np.float64).ravel() for scores in (real_scores, fake_scores))
  if min(len(real), len(fake)) < 2:
    raise ValueError("an interval needs at least two scores of each side")
  if not (np.isfinite(real).all() and np.isfinite(fake).all()):
    raise ValueError("scores must be finite")
  if not 0 < confidence < 1:
    raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
  low = real.mean() - fake.mean()
  if np.ptp(real) or np.ptp(fake):  # SciPy warns of scores that all equal another number than 0.
    base = min(real, fake, key=np.ptp)[0]
    test = scipy.stats.ttest_ind(real - base, fake - base, equal_var=False, alternative="greater")
    low = test.confidence_interval(confidence).low
  return certified_distance(max(low, 0.0), bound)


def bound_clipped(critic: Network, input_shape: tuple[int, ...]) -> np.polynomial.Polynomial:
  r"""The certified bound K(c) of a critic under weight clipping, whatever its training does.

  No kernel of entries in [-c, c] has a larger operator norm than that of entries c. So K(c) is a
  polynomial, of a chain of L linear layers K(1) c^L.

  Args:
    critic: with `layers`, whose kernels are parameters.
    input_shape: the shape of one sample.

  Returns:
    K, for a clip value c >= 0, or an array of them.

  Raises:
    ValueError: the critic has no `layers`, a kernel that is no parameter (such as those of
      `wgan_jax.constraints`), or a layer without a bound.
  """
  if critic.layers is None:
    raise ValueError("a critic without layers has no certified bound")
  shapes = jax.eval_shape(critic.init, jax.random.key(0))
  ones = jax.tree.map(lambda leaf: np.ones(leaf.shape), shapes)
  return _bound_ones(critic.layers(ones), tuple(input_shape)) * (1 + 1e-12)  # For its rounding.


def _bound_ones(layers, shape):
  """K(c) of a chain whose kernels are all ones."""
  bound = np.polynomial.Polynomial([1.0])
  for layer in layers:
    match layer:
      case Sum():
        total = sum(_bound_ones(chain, shape) for chain in layer.chains)
        bound = bound * total / (len(layer.chains) if layer.mean else 1)
      case Dense() | Conv():
        if not np.all(layer.kernel == 1):
          raise ValueError(f"{type(layer).__name__}: the kernel is no parameter that is clipped")
        # Ones in all channels: the norm of one channel, times the root of their numbers.
        one = layer._replace(kernel=layer.kernel[..., :1, :1], bias=layer.bias[:1])
        root = math.sqrt(math.prod(layer.kernel.shape[-2:]))
        bound = bound * np.polynomial.Polynomial([0.0, root * operator_norm(one, (*shape[:-1], 1))])
      case _:
        if (constant := _constant(layer, shape)) == math.inf:
          raise ValueError(f"{type(layer).__name__} has no Lipschitz bound")
        bound = bound * constant
    shape = jax.eval_shape(layer.__call__, jax.ShapeDtypeStruct(shape, jnp.float32)).shape
  return bound


def _bound_chain(layers, shape):
  """The bound of a chain, those of its layers, the shape of its output, and why it has no bound."""
  bound, norms, why = 1.0, [], ""
  for i, layer in enumerate(layers):
    name = layer.name if isinstance(layer, Opaque) else type(layer).__name__
    name = f"layer {i + 1} of {len(layers)} ({name})"
    try:
      norms.append(_constant(layer, shape))
      shape = jax.eval_shape(layer.__call__, jax.ShapeDtypeStruct(shape, jnp.float32)).shape
    except (TypeError, ValueError) as error:
      raise ValueError(f"{name}: {error}") from error
    if norms[-1] == math.inf and not why:
      why = f"no certificate: {name} has no Lipschitz bound, or is too large for one"
    # Rounded up, except a zero, which is exact.
    bound = math.nextafter(bound * norms[-1], math.inf) if bound and norms[-1] else 0.0
  return bound, tuple(norms), shape, why


def _constant(layer, shape) -> float:
  match layer:
    case Dense() | Conv():
      return operator_norm(layer, shape)
    case Pointwise():
      if not layer.lipschitz >= 0:
        raise ValueError(f"a Lipschitz constant must be at least 0, got {layer.lipschitz}")
      return float(layer.lipschitz)
    case Flatten() | MaxMin():
      return 1.0
    case Pool():
      return 1.0 if layer.unit else _constant_of_means(layer, *shape[:2])
    case Sum():
      bounds = [_bound_chain(chain, shape)[0] for chain in layer.chains]
      if layer.mean and len(set(bounds)) == 1:
        return bounds[0]  # Exactly.
      return math.nextafter(math.fsum(bounds) / (len(bounds) if layer.mean else 1), math.inf)
  return math.inf


def _constant_of_means(pool, height, width) -> float:
  """One over the root of the number of pixels in the smallest mean."""
  pixels = height * width if pool.whole else (2 - height % 2) * (2 - width % 2)
  return math.nextafter(1 / math.sqrt(pixels), math.inf) if pixels > 1 else 1.0
