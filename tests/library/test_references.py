"""Distances, norms and statistics against others' programs, at scales drawn at random.

The references are POT, SciPy, and mpmath with 50 digits. Samples have duplicates, one point or
many, and an offset.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

import wgan_jax
from wgan_jax import frechet, modes, transport
from wgan_jax.numerics import norm

KEY = jax.random.key(0)
DIGITS = {"float32": 2e-6, "float64": 1e-14, "float16": 4e-3, "bfloat16": 3e-2}
SCALES = {"float32": 30, "float64": 300, "float16": 1, "bfloat16": 30}

HALVES = [pytest.param(each, marks=pytest.mark.campaign) for each in ("float16", "bfloat16")]
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64", *HALVES])


@st.composite
def clouds(draw, dtype, dim):
  """-> (x [n, dim], y [m, dim]) of a type, on a coarse lattice, so that points coincide."""
  n, m = draw(st.sampled_from([(1, 1), (1, 3), (4, 4), (5, 7)]))
  entry = st.integers(-6, 6)
  values = draw(st.lists(entry, min_size=(n + m) * dim, max_size=(n + m) * dim))
  scale = 10.0 ** draw(st.integers(-SCALES[dtype], SCALES[dtype]))
  offset = draw(st.sampled_from([0, 0, 40, -1000])) if dtype in ("float32", "float64") else 0
  points = (np.reshape(values, (n + m, dim)) + offset) * scale
  points = points.astype(jnp.dtype(dtype))
  return points[:n], points[n:]


def close(found, expected, dtype, *arrays):
  """Within rounding of the value, and of the samples' own entries."""
  largest = max(float(np.max(abs(np.float64(each)))) for each in arrays)
  allowed = DIGITS[dtype] * (abs(float(expected)) + largest)
  assert found.dtype == dtype
  assert abs(float(found) - float(expected)) <= allowed, (found, expected)


def sample(test):
  """Runs a test with examples that are the same every time."""
  return settings(max_examples=40, deadline=None, derandomize=True)(test)


def slopes_of(x):
  """The gradient norms of the linear critics whose weights are the rows of x."""

  def slope(w):
    return wgan_jax.gradient_norms(lambda z: jnp.vdot(w, z), x[:1])[0]

  return jax.vmap(slope)(x)


LINE, NORM, SLOPES = map(jax.jit, (transport.wasserstein_1d, norm, slopes_of))
SLICED = jax.jit(functools.partial(transport.sliced_wasserstein, KEY, n_projections=3))
DIVERGENCE, STATISTICS = map(jax.jit, (transport.jensen_shannon, modes.mode_statistics))


def on_the_line(x, y):
  """W1 by mpmath: the integral of the difference of the distribution functions."""
  x, y = ([mpmath.mpf(float(each)) for each in values] for values in (x, y))
  at = sorted({*x, *y})
  total = mpmath.mpf(0)
  for low, high in itertools.pairwise(at):
    below = [mpmath.mpf(sum(each <= low for each in values)) / len(values) for values in (x, y)]
    total += abs(below[0] - below[1]) * (high - low)
  return total


@pytest.fixture(autouse=True)
def _fifty_digits():
  with mpmath.workdps(50), jax.enable_x64(True):
    yield


@DTYPES
@sample
@given(data=st.data())
def test_the_distance_on_the_line(dtype, data):
  x, y = data.draw(clouds(dtype, 1))
  found = LINE(x[:, 0], y[:, 0])
  close(found, on_the_line(x[:, 0], y[:, 0]), dtype, x, y)


@DTYPES
@sample
@given(data=st.data())
def test_of_points_on_the_line_every_projection_is_the_line(dtype, data):
  x, y = data.draw(clouds(dtype, 1))
  found = SLICED(x, y)
  close(found, on_the_line(x[:, 0], y[:, 0]), dtype, x, y)


@sample
@given(data=st.data())
def test_the_exact_distance(data):
  ot = pytest.importorskip("ot")
  x, y = data.draw(clouds("float64", 2))
  found = transport.wasserstein_exact(x, y)
  scale = max(np.max(abs(x)), np.max(abs(y))) or 1.0
  a, b = x / scale, y / scale  # POT's tolerances are absolute.
  weights = (np.full(len(each), 1 / len(each)) for each in (x, y))
  # Not ot.dist, which leaves 1e-8 between points that coincide.
  expected = ot.emd2(*weights, np.linalg.norm(a[:, None] - b[None], axis=2))
  assert abs(found / scale - expected) <= 1e-9
  on_x = transport.wasserstein_exact(x[:, :1], y[:, :1])
  line = float(on_the_line(x[:, 0], y[:, 0]))
  assert abs(on_x - line) <= 1e-12 * (line + scale)


@DTYPES
@sample
@given(data=st.data())
def test_norms_and_gradient_norms(dtype, data):
  x, _ = data.draw(clouds(dtype, 5))
  expected = [mpmath.norm([mpmath.mpf(float(each)) for each in row]) for row in x]
  for found in (NORM(x), SLOPES(x)):
    assert found.dtype == dtype
    for each, true in zip(found, expected, strict=True):
      assert abs(mpmath.mpf(float(each)) - true) <= DIGITS[dtype] * true, (each, true)


@sample
@given(data=st.data(), scale=st.integers(-140, 140), offset=st.sampled_from([0.0, 30.0, -1000.0]))
def test_the_frechet_distance(data, scale, offset):
  """|m - n|^2 + tr(A + B - 2 (A B)^(1/2)), of 2 x 2 matrices."""
  values = data.draw(st.lists(st.integers(-6, 6), min_size=24, max_size=24))
  x = np.reshape(values, (12, 2)) + np.random.default_rng(0).normal(size=(12, 2)) + offset
  x, y = (part * 10.0**scale for part in (x[:5], x[5:]))
  found = frechet.frechet_distance(x, y)
  means, covariances = [], []
  for part in (x, y):
    part = mpmath.matrix(part.tolist())
    mean = [mpmath.fsum(part[:, j]) / part.rows for j in range(2)]
    centred = mpmath.matrix([[part[i, j] - mean[j] for j in range(2)] for i in range(part.rows)])
    means.append(mpmath.matrix(mean))
    covariances.append(centred.T * centred / (part.rows - 1))
  product = covariances[0] * covariances[1]
  determinant = mpmath.sqrt(abs(mpmath.det(product)))
  # The trace of the root of a 2 x 2 matrix.
  root = mpmath.sqrt(product[0, 0] + product[1, 1] + 2 * determinant)
  traces = [each[0, 0] + each[1, 1] for each in covariances]
  distance = means[0] - means[1]
  expected = (distance.T * distance)[0] + traces[0] + traces[1] - 2 * root
  allowed = 1e-8 * (sum(traces) + (distance.T * distance)[0])
  assert abs(found - expected) <= allowed, (found, expected)


@sample
@given(data=st.data())
def test_nearest_distances_and_neighbours(data):
  x, y = data.draw(clouds("float64", 3))
  found = frechet.nearest_distances(x, y)
  scale = np.max(abs(np.concatenate([x, y]))) or 1.0
  expected = scipy.spatial.distance.cdist(x / scale, y / scale).min(1)
  np.testing.assert_allclose(found / scale, expected, rtol=1e-7, atol=1e-7)


@DTYPES
@sample
@given(shares=st.lists(st.integers(0, 9), min_size=6, max_size=6), power=st.integers(-20, 20))
def test_divergences(dtype, shares, power):
  p, q = np.add(shares[:3], [1.0, 0, 0]), np.add(shares[3:], [0, 1.0, 0])
  scale = 2.0 ** (power if dtype != "float16" else power // 4)
  found = DIVERGENCE((p * scale).astype(dtype), q.astype(dtype))
  expected = scipy.spatial.distance.jensenshannon(p, q) ** 2
  assert found.dtype == dtype
  assert abs(float(found) - expected) <= 4 * DIGITS[dtype]


@sample
@given(modes_hit=st.lists(st.integers(0, 2), min_size=12, max_size=12), power=st.integers(-90, 90))
def test_the_reverse_kl(modes_hit, power):
  """Of samples that stand at the centres, at every scale."""
  centres, counts = np.eye(3) * 2.0**power, np.bincount(modes_hit, minlength=3).tolist()
  found = STATISTICS(centres[modes_hit], centres, 0.01 * 2.0**power)
  shares = [mpmath.mpf(each) / sum(counts) for each in counts]
  expected = mpmath.fsum(share * mpmath.log(3 * share) for share in shares if share)
  assert abs(float(found.reverse_kl) - float(expected)) <= 1e-12
  assert found.n_modes == sum(each > 0 for each in counts)
  assert found.high_quality == 1


@pytest.mark.parametrize("empty", [np.zeros((0, 2)), np.zeros((0,))])
def test_of_nothing_there_is_no_distance(empty):
  some = np.ones((3, 2)) if empty.ndim == 2 else np.ones(3)
  functions = [transport.wasserstein_exact, frechet.frechet_distance, frechet.nearest_distances]
  functions += [functools.partial(transport.sliced_wasserstein, KEY, n_projections=2)]
  functions += [lambda x, y: transport.wasserstein_1d(x.reshape(-1), y.reshape(-1))]
  functions += [lambda x, y: modes.mode_statistics(x, y, 1.0)]
  for function in functions if empty.ndim == 2 else functions[-2:-1]:
    for pair in ((empty, some), (some, empty)):
      with pytest.raises(ValueError, match=r"empty|at least|expected"):
        function(*pair)
