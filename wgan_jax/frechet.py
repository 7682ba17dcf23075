"""Fréchet distance, precision, recall and nearest neighbours of two sets of features.

The features are a classifier's, or any vectors. All is computed on the host in float64. The Fréchet
distance is an FID only if the features are those of the Inception network trained on ImageNet.
Otherwise it does not compare with one.

References:
  [1] Dowson and Landau, The Fréchet distance between multivariate normal distributions, Journal of
    Multivariate Analysis 12, 1982.
  [2] Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models,
    2019, arXiv 1904.06991.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy  # Its modules, which take a second to load, are loaded at their first use.

from wgan_jax.numerics import scale_of

_BLOCK = 1000  # Rows of a distance matrix, or of features, held in memory at once.
_LARGEST = 1e150  # Its square is a float64, and so is a sum of many.


class Gaussian(NamedTuple):
  """A Gaussian that was fitted to features.

  Attributes:
    mean: float64 [k].
    root: float64 [k, k], R with R^T R the covariance, which is normalised by n - 1.
  """

  mean: np.ndarray
  root: np.ndarray


class PrecisionRecall(NamedTuple):
  """Precision and recall of generated samples.

  Attributes:
    precision: the share of the fake samples that lie where real ones are: quality.
    recall: the share of the real samples that lie where fake ones are: diversity.
  """

  precision: float
  recall: float


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
  r"""Fréchet distance between Gaussians fitted to two samples.

  d^2 = |mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^{1/2}), the squared 2-Wasserstein distance
  between the Gaussians. Its unit is that of the features, squared: scaling them by a scales it by
  a^2. It sees means and covariances only.

  It is biased upwards, the more the fewer the samples: between two samples of one distribution it
  is not zero. Compare at equal numbers of samples, and show the distance between two real samples
  of these sizes beside it. With fewer samples than features the covariance is singular. The figure
  is then still exact for the fitted Gaussians, but its bias is large.

  Args:
    x: features, [n, k], n at least 2; S is normalised by n - 1.
    y: features, [m, k], m at least 2.

  Returns:
    The squared distance, never negative.

  Raises:
    ValueError: a sample is not a matrix, has fewer than two rows, or holds a NaN or an infinity; or
      the numbers of features differ.

  References:
    [1], abstract.
  """
  x, y, scale = _check(x, y, 2)
  return _distance(x.mean(0) - y.mean(0), _root(x), _root(y)) * scale * scale


def fit_gaussian(batches: Iterable[np.ndarray]) -> Gaussian:
  """Fits a Gaussian to features that come in batches, in one pass.

  It holds the covariance and a batch in memory, however many samples there are. For thousands of
  features it is twenty times as fast as the triangles of `frechet_distance`. But a direction in
  which the features do not vary gets a deviation of about 1e-8 of the largest one, by rounding.

  Args:
    batches: features, each [batch, k]; at least 2 rows in all.

  Returns:
    The Gaussian, for `gaussian_distance`.

  Raises:
    ValueError: a batch is not a matrix, of another k than the first, or holds a NaN or an infinity;
      there are fewer than two rows; or they are too large to be squared.
  """
  n, shift, total, scatter = 0, 0.0, 0.0, 0.0
  for rows in _gather(batches):
    if not np.abs(rows).max() < _LARGEST:
      raise ValueError("features are too large to be squared: scale them down")
    if n == 0:
      shift = rows.mean(0)  # Else a mean far from 0 would take digits from what varies.
    rows = rows - shift
    n, total, scatter = n + len(rows), total + rows.sum(0), scatter + rows.T @ rows
  if n < 2:
    raise ValueError(f"features have {n} samples, expected 2 or more")
  covariance = (scatter - np.outer(total, total) / n) / (n - 1)
  values, vectors = np.linalg.eigh(covariance)
  return Gaussian(shift + total / n, np.sqrt(np.maximum(values, 0))[:, None] * vectors.T)


def gaussian_distance(p: Gaussian, q: Gaussian) -> float:
  """Squared Fréchet distance between two Gaussians, of equal k: that of `frechet_distance`.

  References:
    [1], abstract.
  """
  if p.mean.shape != q.mean.shape:
    raise ValueError(f"Gaussians in {len(p.mean)} and {len(q.mean)} dimensions: expected equal")
  gap = p.mean - q.mean
  # As in `_distance`, but without the rotation, which takes longest to find: the difference of
  # traces rounds by less than `fit_gaussian` does.
  values = np.linalg.svd(p.root @ q.root.T, compute_uv=False)
  traces = np.sum(np.square(p.root)) + np.sum(np.square(q.root)) - 2 * np.sum(values)
  return float(gap @ gap + max(0.0, traces))


def precision_recall(real: np.ndarray, fake: np.ndarray, n_neighbors: int = 3) -> PrecisionRecall:
  """Improved precision and recall: the share of each set that the other covers.

  A set covers the closed balls around its points. Each ball reaches to its point's
  `n_neighbors`-th nearest neighbour in the set, the point itself not counted. A generator that
  shows a part of the data has high precision and low recall. Both depend on the numbers of samples:
  compare at equal ones. One outlier has a large ball. A set of equal points has balls of radius 0,
  which cover that point only.

  Args:
    real: features, [n, k], n above `n_neighbors`.
    fake: features, [m, k], m above `n_neighbors`.
    n_neighbors: k of the k-th nearest neighbour; the paper's is 3.

  Returns:
    Both shares, in [0, 1].

  Raises:
    ValueError: a sample is not a matrix, has `n_neighbors` rows or fewer, or holds a NaN or an
      infinity; the numbers of features differ; or `n_neighbors` is below 1.

  References:
    [2], equations 1 and 2.
  """
  if n_neighbors < 1:
    raise ValueError(f"n_neighbors is {n_neighbors}, expected 1 or more")
  real, fake, _ = _check(real, fake, n_neighbors + 1, ("real", "fake"))
  real_radii, fake_radii = _radii(real, n_neighbors), _radii(fake, n_neighbors)
  fake_covered = np.zeros(len(fake), bool)
  real_covered = np.zeros(len(real), bool)
  for rows in _blocks(len(real)):
    between = scipy.spatial.distance.cdist(real[rows], fake)
    fake_covered |= (between <= real_radii[rows, None]).any(0)
    real_covered[rows] = (between <= fake_radii).any(1)
  return PrecisionRecall(float(fake_covered.mean()), float(real_covered.mean()))


def nearest_distances(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
  """Distance from each sample to the nearest of others.

  Args:
    x: features, [n, k].
    y: features of the others, [m, k]; None for those of `x` itself, each without itself.

  Returns:
    The Euclidean distances, [n].

  Raises:
    ValueError: as in `precision_recall`, with at least two samples if `y` is None, else one.
  """
  if y is None:
    x, _, scale = _check(x, x, 2)
    return _radii(x, 1) * scale
  x, y, scale = _check(x, y, 1)
  nearest = [scipy.spatial.distance.cdist(x[rows], y).min(1) for rows in _blocks(len(x))]
  return np.concatenate(nearest) * scale


def _check(x, y, at_least, names=("x", "y")):
  """Checks two samples and converts them to float64 [n, k] and [m, k], divided by a scale.

  The scale, also returned, is a power of two that keeps their squares in range.
  """
  checked = []
  for name, values in zip(names, (x, y), strict=True):
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.shape[1]:
      raise ValueError(f"{name} has shape {values.shape}, expected [n, features]")
    if len(values) < at_least:
      raise ValueError(f"{name} has {len(values)} samples, expected {at_least} or more")
    if bad := np.count_nonzero(~np.isfinite(values)):
      raise ValueError(f"{name} has {bad} of {values.size} entries that are not finite")
    checked.append(values)
  x, y = checked
  if x.shape[1] != y.shape[1]:
    raise ValueError(
      f"{names[0]} has {x.shape[1]} features, {names[1]} has {y.shape[1]}: expected equal numbers"
    )
  scale = scale_of(x, y)
  return x / scale, y / scale, scale


def _gather(batches):
  """Checks batches of features, and joins them to float64 ones of at least `_BLOCK` rows."""
  waiting, k = [], None
  for batch in batches:
    batch = np.asarray(batch, np.float64)
    if batch.ndim != 2 or not batch.shape[1] or batch.shape[1] != (k or batch.shape[1]):
      raise ValueError(f"features have shape {batch.shape}, expected [n, {k or 'features'}]")
    if bad := np.count_nonzero(~np.isfinite(batch)):
      raise ValueError(f"features have {bad} of {batch.size} entries that are not finite")
    k = batch.shape[1]
    waiting.append(batch)
    if sum(map(len, waiting)) >= _BLOCK:
      yield np.concatenate(waiting)
      waiting = []
  if sum(map(len, waiting)):
    yield np.concatenate(waiting)


def _distance(gap, a, b):
  """The squared distance from the difference of means and the roots of the covariances."""
  # With S_x = A^T A and S_y = B^T B, the trace of the root is the sum of A B^T's singular values.
  # With the rotation U that attains it, the traces are |A - U B|^2. A matrix root of S_x S_y is
  # complex where a covariance is singular, and a difference of traces can be negative.
  u, _, vt = np.linalg.svd(a @ b.T)
  return float(gap @ gap + np.sum(np.square(a - u @ vt @ b)))


def _root(x):
  """Computes R [k, k] with R^T R = cov(x) for x [n, k], by QR: the covariance is never formed."""
  root = np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1), mode="r")
  return np.pad(root, ((0, x.shape[1] - len(root)), (0, 0)))


def _radii(x, n_neighbors):
  """Distance from each point to its neighbour of rank `n_neighbors`; rank 0 is the point itself."""
  return np.concatenate(
    [
      np.partition(scipy.spatial.distance.cdist(x[rows], x), n_neighbors)[:, n_neighbors]
      for rows in _blocks(len(x))
    ]
  )


def _blocks(n):
  return [slice(start, start + _BLOCK) for start in range(0, n, _BLOCK)]
