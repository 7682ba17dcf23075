"""Fréchet distances against closed forms and scipy's matrix root; precision and recall by hand."""

import tracemalloc

import numpy as np
import pytest
from scipy import linalg

from wgan_jax import frechet
from wgan_jax.frechet import (
  fit_gaussian,
  frechet_distance,
  gaussian_distance,
  nearest_distances,
  precision_recall,
)


def white(seed, n, k):
  """[n, k] whose mean is 0 and whose covariance is the identity, to rounding."""
  x = np.random.default_rng(seed).normal(size=(n, k))
  return np.linalg.qr(x - x.mean(0))[0] * np.sqrt(n - 1)


def by_matrix_root(x, y):
  """The formula as it is printed."""
  s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
  gap = x.mean(0) - y.mean(0)
  return gap @ gap + np.trace(s + t - 2 * linalg.sqrtm(s @ t)).real


def by_eigenvalues(x, y):
  """By S^{1/2} T S^{1/2}, which is symmetric: a singular covariance leaves its eigenvalues real."""
  s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
  values, vectors = np.linalg.eigh(s)
  root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
  shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ t @ root), 0)).sum()
  gap = x.mean(0) - y.mean(0)
  return gap @ gap + np.trace(s) + np.trace(t) - 2 * shared


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 20), (5, 900)])
def test_diagonal_gaussians(n, m):
  """|mu - nu|^2 + sum_i (sigma_i - tau_i)^2."""
  mu, nu = np.array([1.0, 0.0, -2.0]), np.array([0.0, 0.0, 2.0])
  sigma, tau = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 0.1])
  measured = frechet_distance(white(0, n, 3) * sigma + mu, white(1, m, 3) * tau + nu)
  assert measured == pytest.approx(17 + 4 + 0.16, rel=1e-12)


@pytest.mark.parametrize(("n", "m", "k"), [(200, 150, 5), (60, 300, 20), (40, 40, 1)])
def test_agrees_with_the_matrix_root(n, m, k):
  rng = np.random.default_rng(n)
  x = rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + 1
  y = rng.normal(size=(m, k)) @ rng.normal(size=(k, k))
  if k > 1:
    assert frechet_distance(x, y) == pytest.approx(by_matrix_root(x, y), rel=1e-10)
  else:
    gaps = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert frechet_distance(x, y) == pytest.approx(gaps, rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(4, 6), (2, 2), (4, 80), (80, 4), (10, 11)])
def test_fewer_samples_than_features(n, m):
  rng = np.random.default_rng(n + m)
  x, y = rng.normal(size=(n, 10)), 2 * rng.normal(size=(m, 10)) + 1
  # The reference takes the roots of eigenvalues that are 0 but for rounding.
  assert frechet_distance(x, y) == pytest.approx(by_eigenvalues(x, y), rel=1e-6)


def test_a_shift_counts_squared_and_scaling_too():
  rng = np.random.default_rng(0)
  x, y, v = rng.normal(size=(30, 6)), rng.normal(size=(20, 6)) + 1, np.arange(6.0)
  assert frechet_distance(x, x + v) == pytest.approx(v @ v, rel=1e-12)
  assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * frechet_distance(x, y), rel=1e-12)
  centred = x - x.mean(0)
  assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * x.var(0, ddof=1).sum())


def test_rotations_orders_and_common_shifts_change_nothing():
  rng = np.random.default_rng(1)
  x, y = rng.normal(size=(30, 6)) * np.arange(6), rng.normal(size=(20, 6)) + 1
  rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
  expected = frechet_distance(x, y)
  assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(expected, rel=1e-12)
  assert frechet_distance(y, x[::-1]) == pytest.approx(expected, rel=1e-12)
  assert frechet_distance(x + 1e6, y + 1e6) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("shape", [(3, 40), (40, 3), (40, 40), (2, 1)])
def test_equal_samples_are_at_zero_to_rounding_squared(shape):
  """Traces written as a difference would leave 1e-16 of them, of either sign."""
  x = 100 * np.random.default_rng(2).normal(size=shape)
  x[:, 0] = 7  # A constant feature.
  assert 0 <= frechet_distance(x, x) < 1e-22 * np.square(x).sum()
  assert 0 <= frechet_distance(x, x[::-1]) < 1e-22 * np.square(x).sum()


def test_constant_and_orthogonal_features():
  """Between diag(a, 0) and diag(0, b): a + b. A point is at |gap|^2 + tr S of a sample."""
  line = np.array([[1.0, 0.0], [-1.0, 0.0]])
  assert frechet_distance(line, 3 * line[:, ::-1]) == pytest.approx(2 + 18)
  point = np.full((5, 2), 2.0)
  assert frechet_distance(point, line) == pytest.approx(8 + 2)
  assert frechet_distance(point, point + np.array([3.0, 4.0])) == 25


def test_few_samples_are_farther_apart():
  """Its bias grows as samples get fewer."""
  rng = np.random.default_rng(3)
  few, many = (frechet_distance(*rng.normal(size=(2, n, 8))) for n in (20, 2000))
  assert few > 10 * many > 0


@pytest.mark.parametrize(
  ("x", "y", "message"),
  [
    (np.zeros((0, 2)), np.zeros((3, 2)), "x has 0 samples, expected 2 or more"),
    (np.zeros((3, 2)), np.zeros((1, 2)), "y has 1 samples, expected 2 or more"),
    (np.zeros((3, 2)), np.zeros((3, 4)), "x has 2 features, y has 4"),
    (np.zeros(3), np.zeros((3, 4)), r"x has shape \(3,\), expected \[n, features\]"),
    (np.zeros((3, 0)), np.zeros((3, 0)), r"x has shape \(3, 0\), expected \[n, features\]"),
    (np.zeros((2, 2)), np.array([[0, np.nan], [np.inf, 0]]), "y has 2 of 4 entries that are not"),
  ],
)
def test_wrong_samples_are_refused(x, y, message):
  with pytest.raises(ValueError, match=message):
    frechet_distance(x, y)


def test_precision_and_recall_by_hand():
  """Nearest neighbours: real balls [-1, 1], [0, 2] and [1, 5]; the second nearest reach to 6."""
  real, fake = np.array([[0.0], [1], [3]]), np.array([[-1.0], [2.5], [5.5], [6.5]])
  assert precision_recall(real, fake, 1) == (2 / 4, 3 / 3)
  assert precision_recall(fake, real, 1) == (3 / 3, 2 / 4)
  assert precision_recall(real, fake, 2) == (3 / 4, 3 / 3)
  assert precision_recall(real, fake - 100, 1) == (0, 0)


def test_a_collapsed_sampler_has_precision_and_no_recall():
  rng = np.random.default_rng(4)
  real = np.concatenate([rng.normal(size=(30, 2)), rng.normal(size=(90, 2)) + 100])
  assert precision_recall(real, real[:30]) == (1, 0.25)
  assert precision_recall(real, real[::-1]) == (1, 1)
  blurred = 60 * rng.normal(size=(200, 2))  # Covers all, and hits nothing.
  measured = precision_recall(real, blurred)
  assert measured.precision < 0.1
  assert measured.recall == 1


@pytest.mark.parametrize("block", [7, 1000])
def test_agrees_with_the_definition_in_plain_loops(block, monkeypatch):
  monkeypatch.setattr(frechet, "_BLOCK", block)
  rng = np.random.default_rng(5)
  real, fake = rng.normal(size=(30, 2)), 2 * rng.normal(size=(23, 2)) + 4
  real = real[np.argsort(-real[:, 0])]  # So that the last block covers least.

  def share_inside(points, centres):
    radii = [sorted(np.linalg.norm(c - centres, axis=1))[3] for c in centres]
    return np.mean(
      [any(np.linalg.norm(p - c) <= r for c, r in zip(centres, radii, strict=True)) for p in points]
    )

  measured = precision_recall(real, fake)
  assert measured == (share_inside(fake, real), share_inside(real, fake))
  assert 0 < measured.precision < measured.recall < 1


def test_one_point_many_times_covers_itself_alone():
  point = np.ones((6, 2))
  assert precision_recall(point, point) == (1, 1)
  assert precision_recall(point, np.full((5, 2), 1.01)) == (0, 0)


@pytest.mark.parametrize("block", [7, 1000])
def test_nearest_distances_are_those_of_plain_loops(block, monkeypatch):
  monkeypatch.setattr(frechet, "_BLOCK", block)
  rng = np.random.default_rng(6)
  x, y = rng.normal(size=(30, 3)), rng.normal(size=(23, 3))
  x[4] = x[9]
  among = [min(np.linalg.norm(a - b) for b in y) for a in x]
  np.testing.assert_allclose(nearest_distances(x, y), among)
  others = [min(np.linalg.norm(a - b) for j, b in enumerate(x) if j != i) for i, a in enumerate(x)]
  np.testing.assert_allclose(nearest_distances(x), others)
  assert nearest_distances(x)[4] == 0
  with pytest.raises(ValueError, match="x has 1 samples, expected 2 or more"):
    nearest_distances(x[:1])


@pytest.mark.parametrize(
  ("n", "m", "n_neighbors", "message"),
  [
    (3, 9, 3, "real has 3 samples, expected 4 or more"),
    (9, 1, 1, "fake has 1 samples, expected 2 or more"),
    (9, 9, 0, "n_neighbors is 0, expected 1 or more"),
  ],
)
def test_too_few_neighbours_are_refused(n, m, n_neighbors, message):
  with pytest.raises(ValueError, match=message):
    precision_recall(np.zeros((n, 2)), np.zeros((m, 2)), n_neighbors)


def test_few_samples_have_nearest_others():
  """Two of one set, or one of the other; at every scale."""
  x = np.array([[0.0, 0.0], [3.0, 4.0]])
  for scale in (1e-200, 1.0, 1e200):
    np.testing.assert_allclose(nearest_distances(scale * x), scale * np.array([5.0, 5.0]))
    np.testing.assert_allclose(nearest_distances(scale * x, scale * x[1:]), [5 * scale, 0])
    np.testing.assert_allclose(nearest_distances(scale * x[1:], scale * x), [0])


def test_the_largest_features_have_a_distance():
  x, y = np.array([[0.0], [2.0]]), np.array([[4.0], [6.0]])
  assert frechet_distance(1e150 * x, 1e150 * y) == pytest.approx(16e300)


@pytest.mark.parametrize(("n", "m", "k"), [(3000, 150, 5), (2, 7, 20), (40, 41, 40), (9, 300, 1)])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_gaussians_of_batches_are_those_of_all_at_once(n, m, k, size):
  """However the rows are cut; far from 0, where means are much larger than what varies."""
  rng = np.random.default_rng(n)
  x = rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + 1e3
  y = rng.normal(size=(m, k)) + 1e3
  p, q = (fit_gaussian(each[i : i + size] for i in range(0, len(each), size)) for each in (x, y))
  np.testing.assert_allclose(p.mean, x.mean(0), rtol=1e-12)
  np.testing.assert_allclose(p.root.T @ p.root, np.atleast_2d(np.cov(x, rowvar=False)), atol=1e-8)
  assert gaussian_distance(p, q) == pytest.approx(frechet_distance(x, y), rel=1e-6)
  assert gaussian_distance(p, p) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
  ("batches", "message"),
  [
    ([], "0 samples, expected 2 or more"),
    ([np.ones((1, 3))], "1 samples, expected 2"),
    ([np.ones((4, 3)), np.ones((4, 2))], r"shape \(4, 2\), expected \[n, 3\]"),
    ([np.ones(4)], r"shape \(4,\), expected \[n, features\]"),
    ([np.ones((4, 0))], r"shape \(4, 0\), expected \[n, features\]"),
    ([np.array([[1.0], [np.nan]])], "1 of 2 entries that are not finite"),
    ([np.array([[1e300, 1], [-1e308, 1], [1e308, 1]])], "too large to be squared"),
  ],
)
def test_batches_that_fit_no_gaussian_are_refused(batches, message):
  with pytest.raises(ValueError, match=message):
    fit_gaussian(batches)


def test_a_gaussian_of_many_samples_takes_the_memory_of_few():
  batch = np.random.default_rng(0).normal(size=(100, 20))
  tracemalloc.start()
  fit_gaussian(batch for _ in range(400))
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 50 * batch.nbytes


def test_gaussians_of_different_dimensions_have_no_distance():
  with pytest.raises(ValueError, match="in 2 and 1 dimensions"):
    gaussian_distance(fit_gaussian([np.eye(2)]), fit_gaussian([np.eye(2)[:, :1]]))
