"""Bounds of a critic's Lipschitz constant: a search from below, a certificate from above.

A critic's Lipschitz constant K on a domain is the supremum of its gradient norms there. The
Wasserstein estimate over K, or over more, is a lower bound of the Earth Mover's Distance. A search
refutes that a critic is 1-Lipschitz; a product of operator norms proves a bound.

References:
  [1] Gouk, Frank, Pfahringer and Cree, Regularisation of Neural Networks by Enforcing Lipschitz
    Continuity, 2018, arXiv 1804.04368 (products of operator norms).
  [2] Sedghi, Gupta and Long, The Singular Values of Convolutional Layers, 2018, arXiv 1805.10408.
  [3] Rump, Verification of Positive Definiteness, BIT 46, 2006.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import scipy  # Its modules, which take a second to load, are loaded at their first use.
from jax import lax

from wgan_jax.layers import Conv, Dense, Flatten, Layer, MaxMin, Opaque, Pointwise
from wgan_jax.numerics import norm, scale_of
from wgan_jax.penalties import gradient_norms
from wgan_jax.types import CriticFn

_MOST_ROWS = 2**14
_EPS = float(np.finfo(np.float64).eps)


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
  shape, bound, norms, why = tuple(input_shape), 1.0, [], ""
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
  if math.prod(shape) != 1:
    raise ValueError(f"a critic ends in one score, these layers in shape {shape}")
  if bound == math.inf:
    why = why or "no certificate: the product of the layers' norms overflows float64"
  return Certificate(math.inf if why else bound, tuple(norms), why)


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


def operator_norm(layer: Dense | Conv, input_shape: tuple[int, ...]) -> float:
  r"""Proves an upper bound of a layer's operator norm \|A\| = max |A x| / |x|, tight to 1e-6.

  A is the layer's linear map without its bias, stride and edges included. The largest eigenvalue of
  its Gram matrix, computed from below, is only a guess \lambda. A Cholesky factor of
  \lambda I - A^T A, rounding included, proves |A|^2 <= \lambda [3]. The Gram matrix costs most.

  Args:
    layer: the layer, with concrete parameters of any size.
    input_shape: [in] for a dense layer, [height, width, in] for a convolution.

  Returns:
    The norm; infinity, a trivial bound, if the Gram matrix would have over 16,384 rows (2 GiB).

  Raises:
    ValueError: a parameter is not finite, or the layer does not take an input of this shape.
  """
  kernel, bias = (np.asarray(leaf, np.float64) for leaf in (layer.kernel, layer.bias))
  for name, leaf in {"kernel": kernel, "bias": bias}.items():
    if not np.isfinite(leaf).all():
      raise ValueError(f"{np.sum(~np.isfinite(leaf))} of {leaf.size} {name} entries are not finite")
  space = ("height", "width") if isinstance(layer, Conv) else ()
  if len(input_shape) != len(space) + 1 or input_shape[-1] != kernel.shape[-2]:
    expected = ", ".join([*space, str(kernel.shape[-2])])
    raise ValueError(f"expected an input of shape ({expected}), got {input_shape}")
  # A dense layer is a convolution of one position.
  links = _links(layer, input_shape) if space else [(np.zeros(1, int), np.zeros(1, int))]
  taps = kernel.reshape(-1, *kernel.shape[-2:])
  used = [i for i, (reads, _) in enumerate(links) if reads.size]
  taps, links = taps[used], [links[i] for i in used]
  if not taps.any():
    return 0.0
  scale = scale_of(taps)  # No square may leave float64's range.
  n_reads, n_writes = (1 + max(ends.max() for ends in side) for side in zip(*links, strict=True))
  if n_reads * taps.shape[1] <= n_writes * taps.shape[2]:
    taps, links = taps.transpose(0, 2, 1), [(writes, reads) for reads, writes in links]
    n_writes = n_reads
  if n_writes * taps.shape[2] > _MOST_ROWS:
    return math.inf
  gram = _gram(taps / scale, links, n_writes)
  largest = _largest_eigenvalue_bound(gram, taps.shape[0] * taps.shape[1])
  return math.nextafter(math.sqrt(largest) * scale, math.inf)


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
  return math.inf


def _links(conv, input_shape):
  """Pairs each tap's input positions with the output positions that they reach."""
  size, window, padding = input_shape[:2], conv.kernel.shape[:2], conv.padding
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(size, window, conv.stride, padding)
  axes, out = [], []
  for n, taps, stride, (low, high) in zip(size, window, conv.stride, padding, strict=True):
    out.append((n + low + high - taps) // stride + 1)
    if out[-1] < 1:
      raise ValueError(f"a {window} kernel with padding {padding} has no place in {size}")
    writes = np.arange(out[-1])
    reads = [stride * writes + tap - low for tap in range(taps)]
    axes.append([(x[(x >= 0) & (x < n)], writes[(x >= 0) & (x < n)]) for x in reads])

  def flat(rows, columns, width):
    return (rows[:, None] * width + columns).ravel()

  return [
    (flat(rows[0], columns[0], size[1]), flat(rows[1], columns[1], out[1]))
    for rows, columns in itertools.product(*axes)
  ]


def _gram(taps, links, n):
  """Computes A A^T, [n out, n out]; A has taps[t] (in x out) from r to w for (r, w) in links[t].

  Only taps that read the same position meet, so A itself, mostly zeros, is never built.
  """
  out = taps.shape[2]
  gram = np.zeros((n, out, n, out))
  for tap, (reads, writes) in zip(taps, links, strict=True):
    for other, (other_reads, other_writes) in zip(taps, links, strict=True):
      _, at, other_at = np.intersect1d(reads, other_reads, assume_unique=True, return_indices=True)
      gram[writes[at], :, other_writes[other_at], :] += tap.T @ other
  return gram.reshape(n * out, n * out)


def _largest_eigenvalue_bound(gram, n_terms):
  """Proves a bound of the exact Gram matrix's eigenvalues; its entries are sums of n_terms."""
  n = len(gram)
  if n <= 256:
    guess = scipy.linalg.eigvalsh(gram)[-1]
  else:
    start = np.random.default_rng(0).standard_normal(n)  # The same guess each time.
    (guess,), _ = scipy.sparse.linalg.eigsh(gram, 1, which="LA", v0=start, tol=1e-6)
  guess, margin = max(float(guess), np.trace(gram) / n), 1e-6
  while True:
    bound = guess * (1 + margin)
    shifted = -gram
    shifted[np.diag_indices(n)] += bound
    # The transpose has LAPACK's order of entries, so it is factorised in place.
    _, failed = scipy.linalg.lapack.dpotrf(shifted.T, lower=1, clean=0, overwrite_a=1)
    if not failed:
      # Rounding: below eps n_terms trace in the Gram matrix, below eps (n + 2) trace in its factor.
      return bound * (1 + 4 * _EPS * n * (n + n_terms + 2))
    margin *= 10
