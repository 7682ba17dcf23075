"""Distances between samples, against scipy's and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from wgan_jax.transport import sliced_wasserstein, wasserstein_1d


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (50, 50), (50, 33), (64, 32), (500, 1)])
def test_one_dimension_agrees_with_scipy(n, m):
  rng = np.random.default_rng(n + m)
  x, y = rng.normal(size=n), 2 * rng.normal(size=m) + 1
  x[n // 2] = y[0]  # Ties between the samples, and within one.
  y[m // 2] = y[0]
  measured = jax.jit(wasserstein_1d)(jnp.float32(x), jnp.float32(y))
  np.testing.assert_allclose(measured, stats.wasserstein_distance(x, y), rtol=2e-5)


@pytest.mark.parametrize("m", [5, 4])
def test_one_dimension_is_differentiated(m):
  """Shifting x, all of it right of y, by t adds t."""
  y = jnp.linspace(-1.0, 0.0, m)
  gradient = jax.grad(wasserstein_1d)(jnp.array([5.0, 2.0, 3.0, 9.0, 1.0]), y)
  np.testing.assert_allclose(gradient, np.full(5, 1 / 5), rtol=1e-5)


def test_an_empty_sample_is_refused():
  with pytest.raises(ValueError, match="x has 0 values, y has 3"):
    wasserstein_1d(jnp.zeros(0), jnp.zeros(3))


def test_sliced_distance_of_a_shift_is_its_mean_projection():
  """E |<v, theta>| = |v| E |theta_1|, with E |theta_1| = 1/2 in three dimensions."""
  x = jax.random.normal(jax.random.key(0), (20, 3))
  measured = sliced_wasserstein(jax.random.key(1), x, x + jnp.array([[3.0, 0.0, 4.0]]), 4000)
  # |<v, theta>| is uniform on [0, 5]: one standard error is 5 / sqrt(12 * 4000) = 0.023.
  assert abs(measured - 2.5) < 4 * 0.023


def test_sliced_distance_scales_and_is_zero_between_equals():
  x = jax.random.normal(jax.random.key(0), (8, 2, 3))
  y = jax.random.normal(jax.random.key(1), (6, 2, 3))
  key = jax.random.key(2)
  assert sliced_wasserstein(key, x, x[::-1], 50) == 0
  single = sliced_wasserstein(key, x, y, 50)
  assert single > 0.1
  np.testing.assert_allclose(sliced_wasserstein(key, 3 * x, 3 * y, 50), 3 * single, rtol=1e-5)
  np.testing.assert_allclose(sliced_wasserstein(key, y, x, 50), single, rtol=1e-5)


def test_in_one_dimension_slicing_changes_nothing():
  x, y = jnp.array([[0.0], [2.0]]), jnp.array([[1.0], [5.0], [6.0]])
  measured = sliced_wasserstein(jax.random.key(3), x, y, 7)
  np.testing.assert_allclose(measured, wasserstein_1d(x[:, 0], y[:, 0]), rtol=1e-6)


def test_unequal_dimensions_are_refused():
  for shape in [(3, 4), (3, 2, 1), (2,)]:
    with pytest.raises(AssertionError):
      sliced_wasserstein(jax.random.key(0), jnp.zeros((3, 2)), jnp.zeros(shape), 5)
  with pytest.raises(AssertionError):
    sliced_wasserstein(jax.random.key(0), jnp.zeros((3, 4, 1)), jnp.zeros((3, 2, 2)), 5)
