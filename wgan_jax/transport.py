"""Earth Mover's Distances between samples, exact in one dimension, sliced in more.

W_1(p, q) = inf over couplings of E |x - y|, in the units of the samples.

References:
  Peyré and Cuturi, Computational Optimal Transport, 2019, arXiv 1803.00567, remarks 2.28 and 2.30.
  Rabin, Peyré, Delon and Bernot, Wasserstein Barycenter and its Application to Texture Mixing,
    SSVM 2011.
"""

import chex
import jax
import jax.numpy as jnp


def wasserstein_1d(x: jax.Array, y: jax.Array) -> jax.Array:
  r"""The exact distance between two samples on the line.

  W_1 = \int |F_x(t) - F_y(t)| dt, F the distribution functions of the samples: for equal sizes the
  mean distance between the sorted samples.

  Args:
    x: [n].
    y: [m].

  Returns:
    The distance, [], not negative; differentiable where no two values of a sample agree.
  """
  chex.assert_rank([x, y], 1)
  n, m = x.shape[0], y.shape[0]
  if not n or not m:
    raise ValueError(f"a sample is empty: x has {n} values, y has {m}")
  x, y = jnp.sort(x), jnp.sort(y)
  if n == m:
    return jnp.mean(jnp.abs(x - y))
  values = jnp.sort(jnp.concatenate([x, y]))
  x_cdf = jnp.searchsorted(x, values[:-1], side="right") / n
  y_cdf = jnp.searchsorted(y, values[:-1], side="right") / m
  return jnp.sum(jnp.abs(x_cdf - y_cdf) * jnp.diff(values))


def sliced_wasserstein(key: jax.Array, x: jax.Array, y: jax.Array, n_projections: int) -> jax.Array:
  r"""The mean distance between the samples' shadows on random lines.

  SW_1 = E_\theta W_1(<x, \theta>, <y, \theta>), \theta uniform on the unit sphere. It is at most
  W_1, in d dimensions much smaller (a shift by v counts as about |v| \sqrt{2 / (\pi d)}), and zero
  for equal distributions only; between finite samples of one distribution it is not zero. The same
  key gives the same lines, so that distances are compared with less noise.

  Args:
    key: draws the lines.
    x: [n, ...], flattened to vectors.
    y: [m, ...], of the same shape but for m.
    n_projections: how many lines.

  Returns:
    The distance, [], in the units of the samples.
  """
  chex.assert_equal_rank([x, y])
  chex.assert_equal_shape_suffix([x, y], x.ndim - 1)
  x, y = x.reshape(x.shape[0], -1), y.reshape(y.shape[0], -1)
  directions = jax.random.normal(key, (n_projections, x.shape[1]), x.dtype)
  directions /= jnp.linalg.norm(directions, axis=1, keepdims=True)
  return jnp.mean(jax.vmap(wasserstein_1d)(directions @ x.T, directions @ y.T))
