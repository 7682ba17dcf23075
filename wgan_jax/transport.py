"""Distances between distributions: Earth Mover's (exact and sliced) and Jensen-Shannon.

W_1(p, q) = inf over couplings of E |x - y|, in the units of the samples.

References:
  [1] Peyré and Cuturi, Computational Optimal Transport, 2019, arXiv 1803.00567.
  [2] Rabin, Peyré, Delon and Bernot, Wasserstein Barycenter and its Application to Texture Mixing,
    SSVM 2011.
  [3] Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import scipy  # Its modules, which take a second to load, are loaded at their first use.

from wgan_jax.numerics import as_float, power_of_two, scale_of, widen

_MAX_ITERATIONS = 2**40  # Far more than the network simplex needs for any cloud that fits.


class Plan(NamedTuple):
  """An optimal transport plan between two samples.

  Attributes:
    distance: W_1, the mean distance carried.
    plan: the mass carried from x_i to y_j, float64 [n, m]. Rows sum to x's weights, columns to y's.
  """

  distance: float
  plan: np.ndarray


def wasserstein_1d(x: jax.Array, y: jax.Array) -> jax.Array:
  r"""Exact Wasserstein distance between two samples on the line.

  W_1 = \int |F_x(t) - F_y(t)| dt with the samples' distribution functions F. For equal sizes it is
  the mean distance between the sorted samples. A NaN in a sample makes the distance NaN.

  Args:
    x: [n].
    y: [m].

  Returns:
    The distance, [], at least 0. It is differentiable where no two values of a sample are equal.

  Raises:
    ValueError: a sample is empty.

  References:
    [1], remarks 2.28 and 2.30.
  """
  chex.assert_rank([x, y], 1)
  _refuse_empty(x, y)
  n, m = x.shape[0], y.shape[0]
  x, y = as_float(x), as_float(y)
  dtype = jnp.result_type(x, y)
  x, y = (_sort(widen(sample.astype(dtype))) for sample in (x, y))
  if n == m:
    return jnp.mean(jnp.abs(x - y)).astype(dtype)
  values = _sort(jnp.concatenate([x, y]))

  def cdf(sample):
    return jnp.searchsorted(sample, values[:-1], side="right").astype(values.dtype) / len(sample)

  return jnp.sum(jnp.abs(cdf(x) - cdf(y)) * jnp.diff(values)).astype(dtype)


def sliced_wasserstein(key: jax.Array, x: jax.Array, y: jax.Array, n_projections: int) -> jax.Array:
  r"""Sliced Wasserstein distance: the mean W_1 between projections on random lines.

  SW_1 = E_\theta W_1(<x, \theta>, <y, \theta>), \theta uniform on the unit sphere. It is at most
  W_1, and in d dimensions much smaller: a shift by v counts as about |v| \sqrt{2 / (\pi d)}. It is
  zero for equal distributions only, and not zero between finite samples of one distribution. The
  same key gives the same lines, so distances under one key compare with less noise. A NaN in a
  sample makes the distance NaN.

  Args:
    key: draws the lines.
    x: [n, ...], flattened to vectors.
    y: [m, ...], with points of the same shape.
    n_projections: number of lines, at least 1.

  Returns:
    The distance, [], in the units of the samples.

  Raises:
    ValueError: a sample is empty, or n_projections is below 1.

  References:
    [2].
  """
  chex.assert_equal_rank([x, y])
  chex.assert_equal_shape_suffix([x, y], x.ndim - 1)
  _refuse_empty(x, y)
  if n_projections < 1:
    raise ValueError(f"n_projections must be at least 1, got {n_projections}")
  x, y = (as_float(sample).reshape(sample.shape[0], -1) for sample in (x, y))
  dtype = jnp.result_type(x, y)
  x, y = (widen(sample.astype(dtype)) for sample in (x, y))
  directions = jax.random.normal(key, (n_projections, x.shape[1]), x.dtype)
  directions /= jnp.linalg.norm(directions, axis=1, keepdims=True)
  # A common offset would cost the projections their digits. It moves nothing.
  offset = jax.lax.stop_gradient(jnp.mean(x, axis=0))

  def project(samples):
    # The default precision of a GPU or TPU would round the samples to three digits.
    return jnp.matmul(directions, (samples - offset[None]).T, precision=jax.lax.Precision.HIGHEST)

  return jnp.mean(jax.vmap(wasserstein_1d)(project(x), project(y))).astype(dtype)


@jax.custom_jvp
def _sort(x):
  """Sorts [n] like `jnp.sort`, five times as fast on a CPU, where XLA compares floats slowly.

  Floats are sorted as integers of the same bits. Inverting all bits but the sign of the negative
  ones makes the two orders equal. A NaN ends up at one end or the other.
  """
  if not jnp.issubdtype(x.dtype, jnp.floating):
    return jnp.sort(x)
  integers = {2: jnp.int16, 4: jnp.int32, 8: jnp.int64}[x.dtype.itemsize]

  def turn(bits):
    return bits ^ (bits >> (8 * x.dtype.itemsize - 1)) & jnp.iinfo(integers).max

  bits = jnp.sort(turn(jax.lax.bitcast_convert_type(x, integers)))
  return jax.lax.bitcast_convert_type(turn(bits), x.dtype)


@_sort.defjvp
def _sort_jvp(primals, tangents):
  return jax.jvp(jnp.sort, primals, tangents)


def wasserstein_exact(
  x: chex.Array,
  y: chex.Array,
  x_weights: chex.Array | None = None,
  y_weights: chex.Array | None = None,
) -> float:
  """Exact W_1 between two point clouds. Arguments and errors as in `transport_plan`.

  Between two samples of n points of one distribution it is not zero, and in d > 2 dimensions it
  shrinks only like n^(-1 / d). Compare it with the distance between two samples of the data.
  """
  return transport_plan(x, y, x_weights, y_weights).distance


def transport_plan(
  x: chex.Array,
  y: chex.Array,
  x_weights: chex.Array | None = None,
  y_weights: chex.Array | None = None,
) -> Plan:
  r"""Exact Earth Mover's Distance between point clouds, and a plan that attains it.

  W_1 = min_P \sum_ij P_ij |x_i - y_j| over P >= 0 with the weights as marginals. It is computed on
  the host in float64 and cannot be traced. Clouds of equal size without weights are solved by
  assignment, all others by POT's network simplex. Memory is O(n m), time O(n^3) at worst: thousands
  of points, not tens of thousands. The distance is unique, the plan need not be.

  Args:
    x: [n, ...], flattened to vectors.
    y: [m, ...], with points of the same shape.
    x_weights: [n], not negative, normalised here to sum 1, so counts are accepted. None: equal.
    y_weights: [m], likewise.

  Returns:
    The distance, in the units of the samples, and the plan.

  Raises:
    ValueError: an argument is empty or not finite, dimensions differ, or weights are of the wrong
      shape, negative or all zero.
    ImportError: the clouds differ in size or have weights, and POT is not installed.

  References:
    [1], equation 2.11 and section 3.5.
  """
  x, y = _points("x", x), _points("y", y)
  if x.shape[1:] != y.shape[1:]:
    raise ValueError(f"y must have points of x's shape {x.shape[1:]}, got {y.shape[1:]}")
  n, m = len(x), len(y)
  # Twice: squares of the points stay in range, and POT's tolerances are absolute.
  scale = scale_of(x, y)
  costs = scipy.spatial.distance.cdist((x / scale).reshape(n, -1), (y / scale).reshape(m, -1))
  cost_scale = scale_of(costs)
  costs /= cost_scale
  if n == m and x_weights is None and y_weights is None:
    rows, columns = scipy.optimize.linear_sum_assignment(costs)
    plan = np.zeros((n, n))
    plan[rows, columns] = 1 / n
    distance = costs[rows, columns].mean()
  else:
    x_weights, y_weights = _weights("x_weights", x_weights, n), _weights("y_weights", y_weights, m)
    plan = _network_simplex(costs, x_weights, y_weights)
    distance = np.sum(plan * costs)
  return Plan(float(distance * cost_scale * scale), plan)


def jensen_shannon(p: jax.Array, q: jax.Array, axis: int = -1) -> jax.Array:
  r"""Jensen-Shannon divergence between two discrete distributions, in nats.

  JS(p, q) = KL(p || r) / 2 + KL(q || r) / 2 with r = (p + q) / 2. It is 0 for equal distributions,
  and log 2 for disjoint supports, however far apart. `scipy.spatial.distance.jensenshannon` is its
  square root.

  Args:
    p: [..., k, ...], not negative: probabilities, counts, or a density's values on a grid of equal
      cells. It is normalised here to sum 1 along `axis`.
    q: likewise, of the same shape.
    axis: the axis of the k cells.

  Returns:
    The divergence in [0, log 2], of the shape of `p` without `axis`. It is NaN where p or q has a
    negative or non-finite entry, or is all zero.

  References:
    [3], section 2.
  """
  chex.assert_equal_shape([p, q])
  p, q = as_float(p), as_float(q)
  dtype = jnp.result_type(p, q)
  valid = jnp.all((p >= 0) & (q >= 0), axis=axis)

  def normalise(weights):
    weights = widen(weights.astype(dtype))
    largest = jax.lax.stop_gradient(jnp.max(weights, axis=axis, keepdims=True))
    weights /= power_of_two(largest)  # Their sum then stays in range.
    return weights / jnp.sum(weights, axis=axis, keepdims=True)

  p, q = normalise(p), normalise(q)

  def kl_to_mean(a):
    # 0 log 0 = 0 with gradient zero. One `where` alone would leave 0 / 0 in the gradient.
    ratio = jnp.where(a == 0, 1.0, 2 * a / jnp.where(a == 0, 1.0, p + q))
    return jnp.sum(a * jnp.log(ratio), axis=axis)

  divergence = (kl_to_mean(p) + kl_to_mean(q)) / 2
  return jnp.where(valid, jnp.clip(divergence, 0.0, jnp.log(2.0)), jnp.nan).astype(dtype)


def _network_simplex(costs, x_weights, y_weights):
  try:
    import ot  # Slow to import, and most distances do not need it.
  except ImportError as error:
    raise ImportError(
      "exact transport between clouds that differ in size or have weights needs POT: pip install"
      " 'wgan_jax[experiments]'"
    ) from error

  plan, log = ot.emd(x_weights, y_weights, costs, numItermax=_MAX_ITERATIONS, log=True)
  if log["warning"] is not None:
    raise ValueError(f"no optimal plan was found: {log['warning']}")
  return plan


def _refuse_empty(x, y):
  if not x.size or not y.size:
    raise ValueError(f"a sample is empty: x has {x.size} values, y has {y.size}")


def _points(name, points):
  points = np.asarray(points, np.float64)
  if not points.ndim or not points.size:
    raise ValueError(f"{name} must hold at least one point, [n, ...], got shape {points.shape}")
  if not np.isfinite(points).all():
    bad = np.count_nonzero(~np.isfinite(points))
    raise ValueError(f"{name} must be finite, got {bad} values of NaN or infinity")
  return points


def _weights(name, weights, n):
  if weights is None:
    return np.full(n, 1 / n)
  weights = np.asarray(weights, np.float64)
  if weights.shape != (n,):
    raise ValueError(f"{name} must be one a point, shape ({n},), got {weights.shape}")
  if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
    raise ValueError(f"{name} must be finite, not negative and not all zero, got {weights}")
  return weights / weights.sum()
