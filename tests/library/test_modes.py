"""Mode statistics by hand, against scipy's entropy, and a perfect sampler's own."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from scipy import stats

from wgan_jax import modes
from wgan_jax.data.toy import load_toy
from wgan_jax.modes import perfect_high_quality, perfect_kl, stacked_class

mode_statistics = jit(modes.mode_statistics)
class_statistics = jit(modes.class_statistics)

CENTRES = jnp.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
DIGIT_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # MNIST's, training.


def test_by_hand():
  """3 sigma are a disc, not a box. A mode with bad samples only is not found, but has a share."""
  samples = jnp.array(
    [[0.0, 0.0], [0.0, 2.99], [2.2, 2.2], [10.0, 0.5], [0.0, 6.9], [0.0, 13.1], [9.0, -2.0], [1, 1]]
  )
  measured = mode_statistics(samples, CENTRES, 1.0)
  assert measured.n_modes == 2
  assert measured.high_quality == 5 / 8
  np.testing.assert_array_equal(measured.shares, np.array([4, 2, 2, 0]) / 8)
  expected = stats.entropy([4, 2, 2, 0], [1, 1, 1, 1])
  np.testing.assert_allclose(measured.reverse_kl, expected, rtol=1e-6)


def test_pixels_are_no_bytes():
  """Distances of uint8 would wrap: 0 is 255 from 255. 3 sigma belong to the disc."""
  samples, centres = np.uint8([[0, 0], [255, 9]]), np.uint8([[255, 0], [3, 0]])
  measured = mode_statistics(samples, centres, 3.0)
  assert measured.high_quality == 1
  np.testing.assert_array_equal(measured.shares, [0.5, 0.5])
  assert mode_statistics(samples, centres, 1.0).high_quality == 0.5


def test_quality_is_in_units_of_sigma():
  samples = CENTRES + jnp.array([[0.0, 0.4]])
  qualities = [
    float(mode_statistics(samples, CENTRES, jnp.float32(sigma)).high_quality)
    for sigma in (0.1, 0.13, 0.14, 1.0)
  ]
  assert qualities == [0, 0, 1, 1]


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_samples_that_are_not_finite_belong_to_no_mode(bad):
  samples = jnp.array([[bad, 0.0], [10.0, bad], [10.0, 10.0], [10.0, 10.1]])
  measured = mode_statistics(samples, CENTRES, 1.0)
  assert measured.n_modes == 1
  assert measured.high_quality == 0.5
  np.testing.assert_array_equal(measured.shares, [0, 0, 0, 1])
  np.testing.assert_allclose(measured.reverse_kl, math.log(4), rtol=1e-6)


def test_without_a_finite_sample_nothing_is_found():
  measured = mode_statistics(jnp.full((3, 2), jnp.nan), CENTRES, 1.0)
  assert (int(measured.n_modes), float(measured.high_quality)) == (0, 0.0)
  assert np.isnan(measured.reverse_kl)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_a_perfect_sampler_scores_its_ceiling(name):
  """2,500 samples, 40 times: each mean within 3 standard errors; all modes found."""
  n, trials = 2500, 40
  toy = load_toy(name)
  k = toy.modes.centres.shape[0]

  def trial(key):
    return modes.mode_statistics(toy.sample_real(key, toy.data, n), *toy.modes)

  keys = jax.random.split(jax.random.key(1), trials)
  measured = jit(lambda keys: jax.lax.map(trial, keys))(keys)
  assert (measured.n_modes == k).all()
  q = float(perfect_high_quality())
  assert abs(np.mean(measured.high_quality) - q) < 3 * math.sqrt(q * (1 - q) / (n * trials))
  deviation = math.sqrt(2 * (k - 1)) / (2 * n)
  assert abs(np.mean(measured.reverse_kl) - perfect_kl(k, n)) < 3 * deviation / math.sqrt(trials)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_collapse_to_one_mode(name):
  mixture = load_toy(name).modes
  measured = mode_statistics(np.tile(mixture.centres[3:4], (50, 1)), *mixture)
  assert (int(measured.n_modes), float(measured.high_quality)) == (1, 1.0)
  np.testing.assert_allclose(measured.reverse_kl, math.log(len(mixture.centres)), rtol=1e-6)


def test_modes_and_samples_that_do_not_fit_are_refused():
  with pytest.raises(ValueError, match="got 0 and 4"):
    mode_statistics(jnp.zeros((0, 2)), CENTRES, 1.0)
  with pytest.raises(ValueError, match="got 3 and 0"):
    mode_statistics(jnp.zeros((3, 2)), jnp.zeros((0, 2)), 1.0)
  for shape in ((3, 1), (2,), (3, 1, 2)):
    with pytest.raises(AssertionError):
      mode_statistics(jnp.zeros(shape), CENTRES, 1.0)


def test_class_statistics_by_hand():
  """The reference may be counts. A class that it lacks gives infinity, an unused one does not."""
  classes = jnp.array([0, 0, 0, 2, 3, 3])
  measured = class_statistics(classes, jnp.array([2, 5, 2, 1, 0]))
  assert measured.n_classes == 3
  np.testing.assert_allclose(measured.shares, np.array([3, 0, 1, 2, 0]) / 6, rtol=1e-6)
  expected = stats.entropy([3, 0, 1, 2], [2, 5, 2, 1])
  # scipy normalises the second to its four classes as well: they sum to all.
  np.testing.assert_allclose(measured.kl, expected, rtol=1e-6)
  assert class_statistics(jnp.array([0, 4]), jnp.array([2, 5, 2, 1, 0])).kl == jnp.inf
  assert class_statistics(jnp.array([1, 0]), jnp.array([0.5, 0.5])).kl == 0


@pytest.mark.parametrize("outside", [-1, 3])
def test_a_class_outside_the_range_gives_nan(outside):
  measured = class_statistics(jnp.array([0, 1, outside]), jnp.ones(3))
  assert measured.n_classes == 2
  assert np.isnan(measured.kl)
  assert np.isnan(measured.shares).all()


def test_no_samples_and_no_integers_are_refused():
  with pytest.raises(ValueError, match="got 0 and 3"):
    class_statistics(jnp.zeros(0, jnp.int32), jnp.ones(3))
  with pytest.raises(ValueError, match="got 4 and 0"):
    class_statistics(jnp.zeros(4, jnp.int32), jnp.ones(0))
  with pytest.raises(AssertionError):
    class_statistics(jnp.zeros(4), jnp.ones(3))
  for wrong in [(jnp.zeros((4, 1), jnp.int32), jnp.ones(3)), (jnp.zeros(4, int), jnp.ones((3, 1)))]:
    with pytest.raises(AssertionError):
      class_statistics(*wrong)


def test_stacked_classes_also_of_bytes():
  """100 x 9 does not fit in a byte."""
  digits = jnp.array([[0, 0, 7], [1, 2, 3], [9, 9, 9]])
  for dtype in (jnp.uint8, jnp.int32):
    np.testing.assert_array_equal(stacked_class(digits.astype(dtype)), [7, 123, 999])
  with pytest.raises(AssertionError):
    stacked_class(jnp.zeros((3, 4), jnp.int32))
  with pytest.raises(AssertionError):
    stacked_class(jnp.zeros((3, 3)))


@pytest.mark.parametrize("dim", [1, 2, 3, 10])
def test_perfect_quality_is_chi_square(dim):
  np.testing.assert_allclose(perfect_high_quality(dim), stats.chi2.cdf(9, dim), rtol=1e-5)
  assert perfect_high_quality() == perfect_high_quality(2)


def test_perfect_kl_is_the_mean_over_all_outcomes():
  """Two modes, five samples: the sum over the six outcomes. And limits: one sample, one mode."""
  outcomes = np.arange(6)
  kl = [stats.entropy([i, 5 - i], [1, 1]) for i in outcomes]
  np.testing.assert_allclose(perfect_kl(2, 5), stats.binom.pmf(outcomes, 5, 0.5) @ kl, rtol=1e-12)
  np.testing.assert_allclose(perfect_kl(7, 1), math.log(7), rtol=1e-12)
  assert perfect_kl(1, 100) == 0
  np.testing.assert_allclose(perfect_kl(8, 10**5), 7 / (2 * 10**5), rtol=1e-3)
  for k, n in [(0, 5), (5, 0)]:
    with pytest.raises(ValueError, match=f"got {k} and {n}"):
      perfect_kl(k, n)


def test_floors_of_stacked_digits():
  """26,000 samples of 1,000 classes: .0193 if even; the data's own, against even, 3 KL more."""
  n = 26_000
  shares = np.array(DIGIT_COUNTS) / sum(DIGIT_COUNTS)
  excess = 3 * stats.entropy(shares, np.full(10, 0.1))
  floor = perfect_kl(1000, n)
  assert (round(floor, 4), round(999 / (2 * n) + excess, 4)) == (0.0193, 0.0235)

  digits = np.random.default_rng(0).choice(10, size=(n, 3), p=shares)
  measured = class_statistics(stacked_class(digits), np.full(1000, 1e-3, np.float32))
  assert measured.n_classes == 1000
  # The sampling adds a deviation of log p, 0.054 a digit, to that of the chi-square.
  error = math.hypot(math.sqrt(2 * 999) / (2 * n), math.sqrt(3) * 0.054 / math.sqrt(n))
  assert abs(float(measured.kl) - (floor + excess)) < 3 * error
