"""Distances between two sets of features: of their Gaussians, and of what one covers of the other.

The features are a classifier's, or any vectors. On the host, in float64. The Fréchet distance is no
FID, and does not compare with one, unless the features are those of the Inception network trained
on ImageNet.

References:
  [1] Dowson and Landau, The Fréchet distance between multivariate normal distributions, Journal of
    Multivariate Analysis 12, 1982.
  [2] Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models,
    2019, arXiv 1904.06991.
"""

from typing import NamedTuple

import numpy as np
import scipy  # Loads its modules where they are first used: they take a second.

_BLOCK = 1000  # Rows of a matrix of distances that are in memory at once.


class PrecisionRecall(NamedTuple):
  """How much each of two sets covers of the other.

  Attributes:
    precision: the share of the fake samples that lie where real ones are: quality.
    recall: the share of the real samples that lie where fake ones are: diversity.
  """

  precision: float
  recall: float


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
  r"""|mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^{1/2}), between Gaussians fitted to two samples.

  The square of a distance (2-Wasserstein, between the Gaussians), in squared units of the features:
  scaling them by a scales it by a^2. It sees means and covariances only.

  It is biased upwards, by an amount that grows as samples get fewer: between two samples of one
  distribution it is not zero. Compare at equal numbers of samples, and beside the distance between
  two real samples of these numbers. With fewer samples than features the covariance is singular:
  the figure is still exact for the fitted Gaussians, and the bias large.

  Args:
    x: features, [n, k], n at least 2; S is normalised by n - 1.
    y: features, [m, k], m at least 2.

  Returns:
    The squared distance, never negative.

  Raises:
    ValueError: a sample is no matrix, has fewer than two rows, or holds a NaN or an infinity; or
      the numbers of features differ.

  References:
    [1], abstract.
  """
  x, y = _check(x, y, 2)
  gap = x.mean(0) - y.mean(0)
  a, b = _root(x), _root(y)
  # With S_x = A^T A and S_y = B^T B, the trace of the root is the sum of A B^T's singular values.
  # With the rotation U that attains it, the traces are |A - U B|^2. A matrix root of S_x S_y turns
  # complex where a covariance is singular, and the traces written as a difference turn negative.
  u, _, vt = np.linalg.svd(a @ b.T)
  return float(gap @ gap + np.sum(np.square(a - u @ vt @ b)))


def precision_recall(real: np.ndarray, fake: np.ndarray, n_neighbors: int = 3) -> PrecisionRecall:
  """Which share of the fake samples lies among the real ones, and of the real among the fake.

  A sample lies among others where it is in the closed ball around one of them that reaches to its
  `n_neighbors`-th nearest neighbour, itself left out. A generator that shows a part of the data has
  high precision and low recall. Both depend on the numbers of samples: compare at equal ones. One
  outlier has a large ball, and a set whose points are all one has balls of radius 0, which cover
  nothing but that very point.

  Args:
    real: features, [n, k].
    fake: features, [m, k]; both more than `n_neighbors`.
    n_neighbors: k of the k-th nearest neighbour; the paper's is 3.

  Returns:
    Both shares, in [0, 1].

  Raises:
    ValueError: a sample is no matrix, has `n_neighbors` rows or fewer, or holds a NaN or an
      infinity; the numbers of features differ; or `n_neighbors` is below 1.

  References:
    [2], equations 1 and 2.
  """
  if n_neighbors < 1:
    raise ValueError(f"n_neighbors is {n_neighbors}, expected 1 or more")
  real, fake = _check(real, fake, n_neighbors + 1, ("real", "fake"))
  real_radii, fake_radii = _radii(real, n_neighbors), _radii(fake, n_neighbors)
  fake_covered = np.zeros(len(fake), bool)
  real_covered = np.zeros(len(real), bool)
  for rows in _blocks(len(real)):
    between = scipy.spatial.distance.cdist(real[rows], fake)
    fake_covered |= (between <= real_radii[rows, None]).any(0)
    real_covered[rows] = (between <= fake_radii).any(1)
  return PrecisionRecall(float(fake_covered.mean()), float(real_covered.mean()))


def _check(x, y, at_least, names=("x", "y")):
  """Both as float64 [n, k] and [m, k]."""
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
  return x, y


def _root(x):
  """R [k, k] with R^T R the covariance of x [n, k], without the covariance's squared condition."""
  root = np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1), mode="r")
  return np.pad(root, ((0, x.shape[1] - len(root)), (0, 0)))


def _radii(x, n_neighbors):
  """From each point to its neighbour of that rank; rank 0 is the point itself."""
  return np.concatenate(
    [
      np.partition(scipy.spatial.distance.cdist(x[rows], x), n_neighbors)[:, n_neighbors]
      for rows in _blocks(len(x))
    ]
  )


def _blocks(n):
  return [slice(start, start + _BLOCK) for start in range(0, n, _BLOCK)]
