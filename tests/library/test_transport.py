"""Distances, against scipy's, closed forms and each other."""

import math
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from scipy import stats
from scipy.spatial.distance import jensenshannon

from wgan_jax import transport
from wgan_jax.transport import transport_plan, wasserstein_exact

# Each shape is compiled once in this module.
wasserstein_1d = jit(transport.wasserstein_1d)
sliced_wasserstein = jit(transport.sliced_wasserstein, static_argnums=3)
jensen_shannon = jit(transport.jensen_shannon, static_argnums=2)
KEY = jax.random.key(0)


def cloud(seed, n, d=3):
  return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (50, 50), (50, 33), (64, 32), (500, 1)])
def test_one_dimension_agrees_with_scipy(n, m):
  rng = np.random.default_rng(n + m)
  x, y = rng.normal(size=n), 2 * rng.normal(size=m) + 1
  x[n // 2] = y[0]  # Ties between the samples, and within one.
  y[m // 2] = y[0]
  measured = wasserstein_1d(np.float32(x), np.float32(y))
  np.testing.assert_allclose(measured, stats.wasserstein_distance(x, y), rtol=2e-5)


@pytest.mark.parametrize("m", [5, 4])
def test_one_dimension_is_differentiated(m):
  """Shifting x, all of it right of y, by t adds t."""
  y = jnp.linspace(-1.0, 0.0, m)
  gradient = jit(jax.grad(transport.wasserstein_1d))(jnp.array([5.0, 2.0, 3.0, 9.0, 1.0]), y)
  np.testing.assert_allclose(gradient, np.full(5, 1 / 5), rtol=1e-5)


@pytest.mark.parametrize("m", [200, 150])
def test_one_dimension_of_a_shift_and_a_scale(m):
  """W_1(x, x + t) = |t|, and W_1(x, s x) = |s - 1| E |x|; of x and of its values repeated."""
  x = cloud(0, m, 1)[:, 0].astype(np.float32)
  y = np.tile(x, 3 if m == 150 else 1)
  for t in (-2.5, 0.0, 0.75):
    np.testing.assert_allclose(wasserstein_1d(x, y + t), abs(t), rtol=1e-5, atol=1e-6)
  for scale in (0.0, 0.5, 3.0):
    expected = abs(scale - 1) * np.abs(x).mean()
    np.testing.assert_allclose(wasserstein_1d(x, scale * y), expected, rtol=1e-5)


def test_constant_samples():
  for n, m in [(4, 4), (4, 3)]:
    x, y = np.full((n, 2), 2, np.float32), np.full((m, 2), 2, np.float32)
    assert wasserstein_1d(x[:, 0], y[:, 0]) == 0
    np.testing.assert_allclose(wasserstein_1d(x[:, 0], y[:, 0] - np.float32(3.5)), 3.5)
    assert sliced_wasserstein(KEY, x, y, 3) == 0
    assert wasserstein_exact(x, y) == 0


def test_empty_samples_are_refused():
  with pytest.raises(ValueError, match="x has 0 values, y has 3"):
    wasserstein_1d(jnp.zeros(0), jnp.zeros(3))
  for x, y in [((0, 2), (3, 2)), ((3, 2), (0, 2)), ((0, 2), (0, 2)), ((3, 0), (3, 0))]:
    with pytest.raises(ValueError, match="a sample is empty"):
      sliced_wasserstein(KEY, np.zeros(x), np.zeros(y), 5)
  with pytest.raises(ValueError, match="n_projections must be at least 1, got 0"):
    sliced_wasserstein(KEY, np.zeros((3, 2)), np.zeros((3, 2)), 0)


def test_integers_are_measured_as_floats():
  """Differences of uint8 would wrap: 0 less 255 is 1."""
  x, y = np.uint8([0, 0, 0]), np.uint8([255, 254, 255])
  measured = [
    wasserstein_1d(x, y),
    wasserstein_1d(y, x[:2]),
    sliced_wasserstein(KEY, x[:, None], y[:, None], 2),
    sliced_wasserstein(KEY, y[:, None], x[:, None], 2),
  ]
  np.testing.assert_allclose(measured, 764 / 3, rtol=1e-6)


def test_half_precision_is_measured_in_single():
  """Of one sample and a part of it, a hundredth apart: counts and sums of 8 bits would miss it."""
  x = jnp.asarray(cloud(0, 300, 2), jnp.bfloat16)
  y = x[:297]
  exact, single = jnp.float32(x), jnp.float32(y)
  measured = [wasserstein_1d(x[:, 0], y[:, 0]), sliced_wasserstein(KEY, x, y, 5)]
  expected = [wasserstein_1d(exact[:, 0], single[:, 0]), sliced_wasserstein(KEY, exact, single, 5)]
  np.testing.assert_allclose(np.float32(measured), np.float32(expected), rtol=1e-2)
  p, q = jnp.square(x[:, 0]), jnp.square(x[:, 0] * 1.01)
  exact = jensen_shannon(jnp.float32(p), jnp.float32(q))
  np.testing.assert_allclose(jnp.float32(jensen_shannon(p, q)), exact, rtol=1e-2)
  assert measured[0].dtype == measured[1].dtype == jnp.bfloat16


def test_doubles_are_sorted_as_doubles():
  with jax.enable_x64(True):
    x, y = cloud(0, 30, 1)[:, 0], cloud(1, 20, 1)[:, 0]
    np.testing.assert_allclose(
      transport.wasserstein_1d(x, y), stats.wasserstein_distance(x, y), rtol=1e-12
    )


def test_a_common_offset_costs_no_digits():
  x, y = (np.random.default_rng(seed).integers(-8, 9, (20, 3)) for seed in (0, 1))
  offset = np.array([[2**20, 0, -(2**21)]])
  near, far = (
    sliced_wasserstein(KEY, np.float32(x + v), np.float32(y + v), 9) for v in (0 * offset, offset)
  )
  np.testing.assert_allclose(far, near, rtol=1e-4)


@pytest.mark.parametrize(("n", "m"), [(4, 4), (4, 3), (1, 3)])
def test_nan_in_nan_out(n, m):
  """Anywhere, in either sample."""
  x, y = (np.arange(2 * k, dtype=np.float32).reshape(k, 2) for k in (n, m))
  for i in (0, n - 1):
    bad = x.copy()
    bad[i, 0] = np.nan
    assert np.isnan(wasserstein_1d(bad[:, 0], y[:, 0]))
    assert np.isnan(wasserstein_1d(y[:, 0], bad[:, 0]))
    assert np.isnan(sliced_wasserstein(KEY, bad, y, 3))


def test_sliced_distance_of_a_shift_is_its_mean_projection():
  """E |<v, theta>| = |v| E |theta_1|, with E |theta_1| = 1/2 in three dimensions."""
  x = cloud(0, 20).astype(np.float32)
  measured = sliced_wasserstein(KEY, x, x + np.float32([[3, 0, 4]]), 4000)
  # |<v, theta>| is uniform on [0, 5]: one standard error is 5 / sqrt(12 * 4000) = 0.023.
  assert abs(measured - 2.5) < 4 * 0.023


def test_sliced_distance_scales_and_is_zero_between_equals():
  x, y = (cloud(seed, n, 6).reshape(n, 2, 3).astype(np.float32) for seed, n in [(0, 8), (1, 6)])
  assert sliced_wasserstein(KEY, x, x[::-1], 50) == 0
  single = sliced_wasserstein(KEY, x, y, 50)
  assert single > 0.1
  np.testing.assert_allclose(sliced_wasserstein(KEY, 3 * x, 3 * y, 50), 3 * single, rtol=1e-5)
  np.testing.assert_allclose(sliced_wasserstein(KEY, y, x, 50), single, rtol=1e-5)


def test_in_one_dimension_slicing_changes_nothing():
  x, y = np.float32([[0], [2]]), np.float32([[1], [5], [6]])
  measured = sliced_wasserstein(KEY, x, y, 7)
  np.testing.assert_allclose(measured, wasserstein_1d(x[:, 0], y[:, 0]), rtol=1e-6)


def test_unequal_dimensions_are_refused():
  for x, y in [(np.zeros((3, 1)), np.zeros(3)), (np.zeros(3), np.zeros((3, 1)))]:
    with pytest.raises(AssertionError):
      wasserstein_1d(x, y)
  for shape in [(3, 4), (3, 2, 1), (2,)]:
    with pytest.raises(AssertionError):
      sliced_wasserstein(KEY, np.zeros((3, 2)), np.zeros(shape), 5)
  with pytest.raises(AssertionError):
    sliced_wasserstein(KEY, np.zeros((3, 4, 1)), np.zeros((3, 2, 2)), 5)


@pytest.mark.parametrize("theta", [-1.5, 0.0, 1e-3, 2.0])
def test_parallel_segments(theta):
  """Figure 1 of the paper: W_1 = |theta|, while the divergence jumps from 0 to log 2."""
  height = np.random.default_rng(0).uniform(size=300)
  x, y = (np.stack([np.full(300, at), height], axis=1) for at in (0.0, theta))
  np.testing.assert_allclose(wasserstein_exact(x, y[::-1]), abs(theta), rtol=1e-12)
  columns = np.array([-1.5, 0.0, 1e-3, 2.0])
  p, q = (np.repeat(columns == at, 10).astype(np.float32) for at in (0.0, theta))
  np.testing.assert_allclose(jensen_shannon(p, q), math.log(2) if theta else 0, rtol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (30, 30), (30, 21)])
def test_exact_on_the_line_is_scipy_s(n, m):
  rng = np.random.default_rng(n + m)
  x, y = rng.normal(size=n), 2 * rng.normal(size=m) + 1
  expected = stats.wasserstein_distance(x, y)
  np.testing.assert_allclose(wasserstein_exact(x, y), expected, rtol=1e-12)
  a, b = rng.uniform(size=n), rng.uniform(size=m)
  expected = stats.wasserstein_distance(x, y, a, b)
  np.testing.assert_allclose(wasserstein_exact(x[:, None], y[:, None], a, b), expected, rtol=1e-10)


def test_exact_of_a_shift_is_its_length_and_above_the_sliced():
  """Exact >= sliced, here by 2, the factor of three dimensions."""
  x = cloud(0, 40).reshape(40, 3, 1)
  y = x[::-1] + np.array([3.0, 0.0, 4.0]).reshape(1, 3, 1)
  np.testing.assert_allclose(wasserstein_exact(x, y), 5.0, rtol=1e-12)
  sliced = sliced_wasserstein(KEY, np.float32(x), np.float32(y), 2000)
  assert 2.2 < sliced < 2.8
  for seed in range(3):
    x, y = cloud(seed, 30, 5), cloud(seed + 9, 20, 5)
    sliced = sliced_wasserstein(KEY, np.float32(x), np.float32(y), 100)
    assert wasserstein_exact(x, y) > sliced


@pytest.mark.parametrize("n", [1, 2, 17, 100])
def test_assignment_and_network_simplex_agree(n):
  """Explicit equal weights are solved by POT, their absence by assignment."""
  x, y = cloud(n, n), 1.5 * cloud(n + 1, n) + 1
  distance, plan = transport_plan(x, y)
  other, other_plan = transport_plan(x, y, x_weights=np.ones(n))
  np.testing.assert_allclose(distance, other, rtol=1e-12)
  np.testing.assert_allclose(plan, other_plan, atol=1e-12)


def test_integer_weights_are_repeated_points():
  """Counts on both sides, whose sums differ as the sizes do, against plain points."""
  rng = np.random.default_rng(3)
  x, y = cloud(0, 12), cloud(1, 9) + 1
  a, b = rng.integers(0, 4, size=12), rng.integers(1, 5, size=9)
  assert a.sum() != b.sum()
  repeated = wasserstein_exact(np.repeat(x, a, axis=0), np.repeat(y, b, axis=0))
  np.testing.assert_allclose(wasserstein_exact(x, y, a, b), repeated, rtol=1e-10)
  # Repeated to equal sizes, the other solver answers.
  single = wasserstein_exact(np.repeat(x, 9, axis=0), np.repeat(y, 12, axis=0))
  np.testing.assert_allclose(wasserstein_exact(x, y), single, rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_exact_at_every_scale(scale):
  """Squares leave float64's range, and POT's tolerances are absolute."""
  for m in (6, 5):
    x, y = cloud(0, 6), cloud(1, m) + 1
    np.testing.assert_allclose(
      wasserstein_exact(scale * x, scale * y) / scale, wasserstein_exact(x, y), rtol=1e-12
    )


@pytest.mark.parametrize("case", ["assignment", "unequal", "weights"])
def test_the_plan_carries_the_weights_at_the_distance(case):
  n, m = 8, 11 if case == "unequal" else 8
  x, y = cloud(0, n), cloud(1, m)
  a = np.arange(n) if case == "weights" else None
  distance, plan = transport_plan(x, y, a)
  assert plan.shape == (n, m)
  assert plan.min() >= 0
  np.testing.assert_allclose(plan.sum(axis=1), 1 / n if a is None else a / 28, atol=1e-12)
  np.testing.assert_allclose(plan.sum(axis=0), 1 / m, atol=1e-12)
  costs = np.linalg.norm(x[:, None] - y[None], axis=2)
  np.testing.assert_allclose(distance, (plan * costs).sum(), rtol=1e-12)
  assert isinstance(distance, float)


@pytest.mark.campaign
def test_thousands_of_images_take_seconds():
  x, y = cloud(0, 2000, 784), cloud(1, 1900, 784)
  start = time.perf_counter()
  wasserstein_exact(x[:1900], y)
  wasserstein_exact(x, y)
  assert time.perf_counter() - start < 60


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ((np.zeros((0, 2)), np.zeros((3, 2))), "x must hold at least one point"),
    ((np.zeros((3, 2)), np.zeros((0, 2))), "y must hold at least one point"),
    ((np.zeros((3, 2)), np.float64(1)), "y must hold at least one point"),
    ((np.array([[0, np.nan], [np.inf, 0], [0, 0]]), np.zeros((3, 2))), "x must .* got 2 values"),
    ((np.zeros((3, 2)), np.array([[0, -np.inf]])), "y must be finite, got 1 value"),
    ((np.zeros((3, 2)), np.zeros((3, 4))), r"y must have points of x's shape \(2,\), got \(4,\)"),
    ((np.zeros((3, 4)), np.zeros((3, 2, 2))), r"y must have points of x's shape \(4,\)"),
    ((np.zeros((3, 2)), np.zeros((2, 2)), np.ones(2)), r"x_weights must be .* \(3,\), got \(2,\)"),
    ((np.zeros((3, 2)), np.zeros((2, 2)), np.ones((3, 1))), "x_weights must be one a point"),
    ((np.zeros((3, 2)), np.zeros((2, 2)), None, np.array([1, -1])), "y_weights must be finite"),
    ((np.zeros((3, 2)), np.zeros((2, 2)), None, np.zeros(2)), "y_weights .* not all zero"),
    ((np.zeros((3, 2)), np.zeros((2, 2)), np.array([1, 1, np.nan])), "x_weights must be finite"),
    ((np.zeros((3, 2)), np.zeros((2, 2)), np.array([1, 1, np.inf])), "x_weights must be finite"),
  ],
)
def test_exact_refuses_wrong_clouds_and_weights(arguments, message):
  with pytest.raises(ValueError, match=message):
    wasserstein_exact(*arguments)


@pytest.mark.filterwarnings("ignore:numItermax")
def test_a_solver_that_gives_up_is_an_error(monkeypatch):
  ot = pytest.importorskip("ot")
  emd = ot.emd
  monkeypatch.setattr(ot, "emd", lambda *args, **kwargs: emd(*args, **kwargs | {"numItermax": 5}))
  with pytest.raises(ValueError, match="no optimal plan was found: numItermax"):
    wasserstein_exact(cloud(0, 40), cloud(1, 30))


def test_jensen_shannon_agrees_with_scipy():
  """scipy's is the square root. Along any axis, with zeros, counts or densities."""
  rng = np.random.default_rng(0)
  p, q = rng.integers(0, 4, size=(2, 6, 9, 5))
  for axis in (-1, 0, 1):
    expected = jensenshannon(p, q, axis=axis) ** 2
    for a, b in [(p, q), (q, p)]:
      np.testing.assert_allclose(jensen_shannon(a, b, axis), expected, rtol=1e-5, atol=1e-7)


def test_jensen_shannon_of_gaussians_on_a_grid():
  """The density of N(0, 1) and N(2, 1): the integral, by scipy in float64."""
  grid = np.linspace(-8, 10, 2001)
  p, q = stats.norm.pdf(grid), stats.norm.pdf(grid - 2)
  integrand = p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))
  expected = np.trapezoid(integrand, grid) / 2
  np.testing.assert_allclose(jensen_shannon(np.float32(p), np.float32(q)), expected, rtol=1e-5)


def test_jensen_shannon_is_bounded_and_its_gradient_finite():
  """At zeros and at equals; the value also at shares too small to be squared."""
  p = jnp.array([[0.0, 0.5, 0.5], [1e-30, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
  np.testing.assert_array_equal(jensen_shannon(p, p), np.zeros(3))
  far = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1 / 3, 1 / 3, 1 / 3]])
  measured = jensen_shannon(p, far)
  np.testing.assert_allclose(measured, [math.log(2), math.log(2), 0], rtol=1e-6)
  gradient = jit(jax.grad(lambda p: jnp.sum(transport.jensen_shannon(p, far))))(p.at[1, 0].set(0))
  assert jnp.isfinite(gradient).all()


def test_jensen_shannon_is_at_most_log_2_and_takes_the_largest_numbers():
  """Rounding would take some of these disjoint pairs above it, and sums of them overflow."""
  p = np.random.default_rng(0).uniform(1, 3, size=(64, 50)).astype(np.float32) * 1e38
  columns = np.arange(50) < 20
  measured = jensen_shannon(p * columns, p * ~columns)
  np.testing.assert_allclose(measured, math.log(2), rtol=1e-5)
  assert (measured <= jnp.log(2.0)).all()


@pytest.mark.parametrize("bad", [[0.0, 0.0], [-0.1, 1.1], [jnp.nan, 1.0], [jnp.inf, 1.0]])
def test_jensen_shannon_of_no_distribution_is_nan(bad):
  good = jnp.array([0.0, 1.0])
  assert jnp.isnan(jensen_shannon(jnp.array(bad), good))
  assert jnp.isnan(jensen_shannon(good, jnp.array(bad)))


def test_without_pot_the_extra_is_named(monkeypatch):
  """Only where POT is needed: clouds of equal size without weights are solved by assignment."""
  monkeypatch.setitem(sys.modules, "ot", None)
  assert wasserstein_exact(cloud(0, 3), cloud(0, 3)) == 0
  with pytest.raises(ImportError, match=r"needs POT: pip install 'wgan_jax\[experiments\]'$"):
    wasserstein_exact(cloud(0, 3), cloud(1, 2))
