"""Distances, norms and statistics at every scale and offset, and of every type of number.

Scaled by a power of two, all of them are scaled by it exactly: nothing is rounded anew, and no
square leaves the type's range.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from helpers.compiling import jit

import wgan_jax
from wgan_jax import diagnostics, frechet, lipschitz, modes, transport
from wgan_jax.numerics import norm

KEY = jax.random.key(0)
POWERS = {"float16": (-4, 4), "bfloat16": (-110, -30, 30, 110), "float32": (-110, -30, 30, 110)}
POWERS_64 = (-990, -300, -40, 40, 300, 990)
RNG = np.random.default_rng(0)
X, Y, Z = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 3)) + 1, RNG.normal(size=(9, 3)) - 1

# By name, (samples [n, 3], others [m, 3]) -> a value that scales with the samples.
ON_DEVICE = {
  "wasserstein_1d": lambda x, y: transport.wasserstein_1d(x[:, 0], y[:, 0]),
  "of equal sizes": lambda x, y: transport.wasserstein_1d(x[:, 0], y[: len(x), 0]),
  "sliced_wasserstein": lambda x, y: transport.sliced_wasserstein(KEY, x, y, 8),
  "norm": lambda x, y: norm(x),
  "gradient_norms": lambda x, y: wgan_jax.gradient_norms(lambda one: jnp.vdot(one, x[0]), y / y),
  "perturb": lambda x, y: wgan_jax.perturb(KEY, x),
  "activation_gradient_norms": lambda x, y: diagnostics.activation_gradient_norms(
    [
      wgan_jax.layers.Dense(x[:1].T, jnp.zeros(1, x.dtype)),
      wgan_jax.layers.Dense(x[:1, :1], x[0, :1]),
    ],
    wgan_jax.wasserstein_critic_loss,
    y / y,
    y - y,
  )[0],
}
# By name, the same, with a degree of homogeneity.
ON_HOST = {
  "wasserstein_exact": (transport.wasserstein_exact, 1),
  "frechet_distance": (frechet.frechet_distance, 2),
  "precision_recall": (lambda x, y: np.array(frechet.precision_recall(x, y)), 0),
  "nearest_distances": (frechet.nearest_distances, 1),
  "nearest_in_itself": (lambda x, y: frechet.nearest_distances(x), 1),
}  # fmt: skip


def exactly_scaled(function, x, y, powers, degree=1):
  plain = np.asarray(function(x, y), np.float64)
  assert np.isfinite(plain).all()
  for power in powers:
    scaled = np.asarray(function(x * 2.0**power, y * 2.0**power), np.float64)
    np.testing.assert_array_equal(scaled, np.ldexp(plain, degree * power), err_msg=str(power))


@pytest.mark.parametrize(
  ("name", "dtype"),
  [
    pytest.param(name, dtype, marks=[] if is_short else pytest.mark.campaign)
    for dtype in POWERS
    for name in ON_DEVICE
    for is_short in [dtype == "float32" or name in ("wasserstein_1d", "norm")]
  ],
)
def test_on_the_device_a_scale_is_exact(name, dtype):
  function = jit(ON_DEVICE[name])
  x, y = jnp.asarray(X, dtype), jnp.asarray(Z, dtype)
  assert function(x, y).dtype == dtype
  exactly_scaled(lambda x, y: function(x.astype(dtype), y.astype(dtype)), x, y, POWERS[dtype])


@pytest.mark.parametrize("name", ON_DEVICE)
def test_in_float64_too(name):
  with jax.enable_x64(True):
    function = jit(ON_DEVICE[name])
    x, y = jnp.asarray(X), jnp.asarray(Z)
    assert function(x, y).dtype == jnp.float64
    exactly_scaled(function, x, y, POWERS_64)


@pytest.mark.parametrize("name", ON_HOST)
@pytest.mark.parametrize("others", [Y, Z], ids=["equal", "unequal"])
def test_on_the_host_a_scale_is_exact(name, others):
  function, degree = ON_HOST[name]
  powers = [power // max(degree, 1) for power in POWERS_64]
  exactly_scaled(function, X, others, powers, degree)


def test_float64_is_that_in_all_digits():
  with jax.enable_x64(True):
    x, y = jnp.array([0.0]), jnp.array([1.0, 1.0, 2.0])
    assert abs(float(transport.wasserstein_1d(x, y)) - 4 / 3) < 1e-15
    gradient = jax.grad(transport.wasserstein_1d, argnums=1)(x, jnp.array([1.0, 1.5, 2.0]))
    np.testing.assert_allclose(gradient, 1 / 3, rtol=1e-15)
    values = [jnp.asarray(RNG.normal(size=n)) for n in (7, 11)]
    expected = scipy.stats.wasserstein_distance(*values)
    np.testing.assert_allclose(transport.wasserstein_1d(*values), expected, rtol=1e-14)


@pytest.mark.campaign
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32"])
def test_integers_are_numbers(dtype):
  """None is computed in its own type, in which 0 - 255 may be 1."""
  few = jnp.array([[0, 1], [1, 1]] if dtype == "bool" else [[0, 10], [100, 3]], dtype)
  more = jnp.array([[1, 0]] if dtype == "bool" else [[10, 120]], dtype)
  for function in (
    lambda x, y: transport.wasserstein_1d(x[:, 0], y[:, 0]),
    lambda x, y: transport.wasserstein_1d(x[:, 0], y[0]),
    lambda x, y: transport.sliced_wasserstein(KEY, x, y, 8),
    lambda x, y: transport.jensen_shannon(x, x[::-1]),
    lambda x, y: modes.mode_statistics(x, y, 1.0).reverse_kl,
    lambda x, y: modes.mode_statistics(x, y, 20.0).high_quality,
    transport.wasserstein_exact,
  ):
    expected = function(few.astype(jnp.float32), more.astype(jnp.float32))
    np.testing.assert_allclose(function(few, more), expected, rtol=1e-6)


def test_the_examples_of_integers():
  def distance(x, y):
    return float(transport.wasserstein_1d(jnp.array(x, jnp.uint8), jnp.array(y, jnp.uint8)))

  assert distance([0], [255]) == 255
  assert distance([0, 0], [10, 200]) == 105


@pytest.mark.parametrize("offset", [1e6, -3e5])
def test_an_offset_moves_no_distance(offset):
  """Samples that float32 holds exactly there, in many dimensions."""
  x, y = (jnp.asarray(RNG.integers(-8, 8, (n, 784)), jnp.float32) for n in (20, 30))
  sliced = functools.partial(transport.sliced_wasserstein, KEY, n_projections=16)
  np.testing.assert_allclose(sliced(x + offset, y + offset), sliced(x, y), rtol=1e-5)
  exact = transport.wasserstein_exact
  np.testing.assert_allclose(exact(x + offset, y + offset), exact(x, y), rtol=1e-12)
  line = transport.wasserstein_1d
  np.testing.assert_allclose(line(x[0] + offset, y[0] + offset), line(x[0], y[0]), rtol=1e-6)


def test_points_that_nearly_coincide_are_carried_exactly():
  """The solver's tolerances are absolute, the distances need not be large."""
  x, y = [[0.0], [2e-18]], [[0.0], [1e-18], [2e-18]]
  assert abs(transport.wasserstein_exact(x, y) / (1e-18 / 3) - 1) < 1e-12
  far = [[point[0] + 0.0] for point in x]
  assert transport.wasserstein_exact(far, [[0.0], [1e-18], [2e-18]]) > 0
  zeros = np.zeros((2, 3))
  assert transport.wasserstein_exact(zeros, zeros) == 0
  assert transport.wasserstein_exact(zeros, np.zeros((3, 3))) == 0


def test_norms_of_half_precision():
  """The root of 784 is in range though 784 squares of 1e-4 vanish, and those of 300 overflow."""

  def norms(slope):
    return wgan_jax.gradient_norms(
      lambda x: (x * jnp.float16(slope)).sum(), jnp.ones((2, 784), jnp.float16)
    )

  np.testing.assert_allclose(norms(1e-4), 28e-4, rtol=1e-2)
  np.testing.assert_allclose(norms(300), 8400, rtol=1e-3)


def test_a_norms_gradients_at_zero_and_beside_it():
  zero = jnp.zeros(3)
  assert not jax.grad(norm)(zero).any()
  assert not jax.hessian(norm)(zero).any()
  x = jnp.array([3e-25, 0.0, 4e-25])
  np.testing.assert_allclose(jax.grad(norm)(x), [0.6, 0, 0.8], rtol=1e-6)
  expected = (np.eye(3) - np.outer([0.6, 0, 0.8], [0.6, 0, 0.8])) / 5e-25
  np.testing.assert_allclose(jax.hessian(norm)(x), expected, rtol=1e-5, atol=1e18)
  assert norm(jnp.array([jnp.inf, 1.0])) == jnp.inf
  assert jnp.isnan(norm(jnp.array([jnp.nan, 1.0])))
  assert norm(jnp.zeros((2, 0))).tolist() == [0, 0]


def test_the_search_finds_slopes_of_every_size():
  for slope in (1e-30, 1e30):
    found, _ = lipschitz.largest_gradient_norm(
      KEY, lambda x, slope=slope: slope * x.sum(), -jnp.ones(2), jnp.ones(2), n_steps=2
    )
    np.testing.assert_allclose(found, slope * math.sqrt(2), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_jensen_shannon_of_weights_of_every_size(dtype):
  powers = POWERS[dtype]
  p, q = (jnp.asarray(abs(a[:, 0]), dtype) for a in (X, Y))
  plain = transport.jensen_shannon(p, q)
  for power in powers:
    scaled = transport.jensen_shannon(p * jnp.asarray(2.0**power, dtype), q)
    assert scaled == plain
