"""Toy data against their definitions, and couplings that prove their own optimality."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.problems import points_pair
from scipy import stats
from scipy.spatial import cKDTree
from sklearn.datasets import make_swiss_roll

from wgan_jax.config import Config, Hparams
from wgan_jax.data import toy
from wgan_jax.training import make_training
from wgan_jax.transport import wasserstein_exact

KEY = jax.random.key(0)
sample_funnels = jit(toy.sample_funnels, static_argnums=2)
pull = jit(jax.vmap(toy._pull, in_axes=(None, 0)))

MANY = [(1, 2), (64, 2), (4, 1), (16, 8)]  # (funnels, dimensions)


@functools.cache
def funnels(n_funnels, dim, n=2000):
  """A potential and n pairs, in float64."""
  with jax.enable_x64(True):
    data = jit(toy.make_funnels, static_argnums=(1, 2))(KEY, n_funnels, dim)
    return data, jax.tree.map(np.asarray, sample_funnels(KEY, data, n))


def heights(data, x):
  """Every funnel's height at x [n, d]: [n, N], in numpy."""
  centres, offsets = np.asarray(data.centres), np.asarray(data.offsets)
  return np.linalg.norm(x[:, None] - centres[None], axis=2) + offsets[None]


@pytest.mark.parametrize("name", toy.NAMES)
def test_same_key_same_bits_and_other_keys_other_points(name):
  data = toy.load_toy(name)
  sample = jit(data.sample_real, static_argnums=2)
  x = sample(KEY, data.data, 50)
  chex.assert_shape(x, (50, 2))
  chex.assert_type(x, jnp.float32)
  chex.assert_trees_all_equal(x, sample(KEY, data.data, 50))
  assert len(np.unique(x, axis=0)) > 40
  # Not all differ: points close to a funnel's centre round to the centre.
  other = sample(jax.random.key(1), data.data, 50)
  assert len(np.unique(np.concatenate([x, other]), axis=0)) > 80
  chex.assert_trees_all_equal(toy.load_toy(name).data, data.data)


@pytest.mark.parametrize(
  ("name", "k", "sigma", "gap"),
  [("ring", 8, 0.01414, 1.4144 * 2 * math.sin(math.pi / 8)), ("grid", 25, 0.01768, 0.7072)],
)
def test_modes(name, k, sigma, gap):
  """Number, distance and width of the modes as published; each coordinate has variance 1."""
  data = toy.load_toy(name)
  centres = np.asarray(data.modes.centres, np.float64)
  assert centres.shape == (k, 2)
  np.testing.assert_allclose(data.modes.sigma, sigma, rtol=3e-4)
  np.testing.assert_allclose(np.var(centres, axis=0), 1, rtol=1e-6)
  np.testing.assert_allclose(centres.mean(axis=0), 0, atol=1e-6)
  nearest = cKDTree(centres).query(centres, k=2)[0][:, 1]
  np.testing.assert_allclose(nearest, gap, rtol=3e-4)

  n = 20_000
  distance, mode = cKDTree(centres).query(
    jit(data.sample_real, static_argnums=2)(KEY, data.data, n)
  )
  # Each mode's share within 4.5 standard errors; distance^2 / sigma^2 is chi-square.
  shares = np.bincount(mode, minlength=k) / n
  assert np.abs(shares - 1 / k).max() < 4.5 * math.sqrt(1 / k / n)
  squares = (distance / float(data.modes.sigma)) ** 2
  assert stats.kstest(squares, stats.chi2(2).cdf).pvalue > 1e-3


def test_swiss_roll_is_that_of_scikit_learn():
  """Each coordinate, the radius and the distance from the noiseless roll are equal in law."""
  n = 10_000
  data = toy.load_toy("swiss_roll")
  ours = np.asarray(jit(data.sample_real, static_argnums=2)(KEY, data.data, n))
  theirs = make_swiss_roll(n, noise=0.25, random_state=0)[0][:, [0, 2]] / 7.5
  t = np.linspace(1.5 * np.pi, 4.5 * np.pi, 10_000)
  roll = cKDTree(np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / 7.5)
  for statistic in (
    lambda x: x[:, 0],
    lambda x: x[:, 1],
    lambda x: np.linalg.norm(x, axis=1),
    lambda x: roll.query(x)[0],
  ):
    assert stats.ks_2samp(statistic(ours), statistic(theirs)).pvalue > 1e-3


@pytest.mark.parametrize("dim", [1, 3])
def test_two_gaussians(dim):
  """Means +-mu and covariance I / 4 on both sides; pairs 2 |mu| apart along the gradient."""
  n = 20_000
  data = toy.load_toy("two_gaussians", dim=dim)
  latents = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
  fake, batch_stats = data.generator.apply(*data.generator.init(KEY), latents, train=True)
  assert batch_stats == {}
  mu = np.eye(dim)[0] * 2.0
  pairs = jit(data.sample_coupling, static_argnums=2)(KEY, data.data, n)
  real = jit(data.sample_real, static_argnums=2)(KEY, data.data, n)
  for x, mean in [(real, mu), (fake, -mu), (pairs.real, mu), (pairs.fake, -mu)]:
    assert np.abs(np.mean(x, axis=0) - mean).max() < 4.5 * 0.5 / math.sqrt(n)
    # A variance s^2 has a standard error of s^2 sqrt(2 / n), a covariance of s^2 / sqrt(n).
    covariance = np.atleast_2d(np.cov(x.T))
    assert np.abs(covariance - 0.25 * np.eye(dim)).max() < 4.5 * 0.25 * math.sqrt(2 / n)
  np.testing.assert_allclose(pairs.real - pairs.fake, 4 * pairs.gradient, atol=1e-6)
  np.testing.assert_allclose(pairs.gradient, np.tile(mu / 2, (n, 1)), rtol=1e-6)
  distance, error = toy.true_wasserstein(data, KEY, n=1000)
  np.testing.assert_allclose(distance, 4.0, rtol=1e-7)
  assert error < 1e-7
  # The shift is the best way to carry even a finite sample to its partner.
  exact = wasserstein_exact(pairs.real[:300], pairs.fake[:300])
  np.testing.assert_allclose(exact, 4.0, rtol=1e-6)


@pytest.mark.parametrize(("n_funnels", "dim"), MANY)
def test_pairs_prove_their_own_optimality(n_funnels, dim):
  """x on the segment from a to y, within the cube, and u(y) - u(x) = |y - x|."""
  data, (x, y, gradient) = funnels(n_funnels, dim)
  below = heights(data, y)
  a = np.asarray(data.centres)[below.argmin(axis=1)]
  np.testing.assert_allclose(np.linalg.norm(gradient, axis=1), 1, rtol=1e-12)
  length, along = np.linalg.norm(y - a, axis=1), np.linalg.norm(x - a, axis=1)
  np.testing.assert_allclose(y - a, -length[:, None] * gradient, atol=1e-12)
  np.testing.assert_allclose(x - a, -along[:, None] * gradient, atol=1e-12)
  assert (along <= length + 1e-12).all()
  assert np.abs(y).max() <= 2.5
  fall = below.min(axis=1) - heights(data, x).min(axis=1)
  np.testing.assert_allclose(fall, np.linalg.norm(y - x, axis=1), atol=1e-12)
  # Therefore the exact solver can do no better on the very same points.
  exact = wasserstein_exact(x[:200], y[:200])
  np.testing.assert_allclose(exact, fall[:200].mean(), rtol=1e-10)


@pytest.mark.parametrize(("n_funnels", "dim"), MANY)
def test_the_ray_ends_where_brute_force_says(n_funnels, dim):
  """Before `up`, found from |x - a|, no funnel is lower and the cube not left; behind it one is."""
  data, (x, y, gradient) = funnels(n_funnels, dim)
  active = heights(data, y).argmin(axis=1)
  a = np.asarray(data.centres)[active]
  length, along = np.linalg.norm(y - a, axis=1), np.linalg.norm(x - a, axis=1)
  seen = along > 1e-9  # Nearer to the centre, rounding hides the end of the ray.
  assert seen.mean() > 0.5
  a, active, length, along, v = a[seen], active[seen], length[seen], along[seen], -gradient[seen]
  reach = (length**8 / along) ** (1 / 7)
  assert (reach >= length * (1 - 1e-6)).all()

  def over(s):
    """Whether, s along the ray, another funnel is lower or the cube is left."""
    points = a + s[:, None] * v
    rises = heights(data, points)
    lower = rises.min(axis=1) < rises[np.arange(len(s)), active] - 1e-10
    return lower | (np.abs(points).max(axis=1) > 2.5 + 1e-10)

  for part in np.linspace(0.01, 0.99999, 40):
    assert not over(part * reach).any()
  # A ray that grazes the next funnel's region parts from it slowly.
  assert over(reach * (1 + 1e-4) + 1e-5).all()


def test_potential_and_its_gradient():
  """1-Lipschitz; -u has the coupling's gradient at x and y; finite at a centre."""
  data = toy.make_funnels(jax.random.key(3), 16, 3)
  pairs = sample_funnels(KEY, data, 500)
  u = jit(jax.vmap(functools.partial(toy.potential, data)))
  slope = jit(jax.vmap(jax.grad(functools.partial(toy.potential, data))))
  np.testing.assert_allclose(slope(pairs.fake), -pairs.gradient, atol=1e-5)
  a = data.centres[np.asarray(heights(data, np.asarray(pairs.fake))).argmin(axis=1)]
  clear = np.linalg.norm(pairs.real - a, axis=1) > 0.01  # Nearer, rounding turns x - a.
  np.testing.assert_allclose(slope(pairs.real)[clear], -pairs.gradient[clear], atol=1e-3)
  gap = np.linalg.norm(pairs.real - np.asarray(pairs.fake)[::-1], axis=1)
  rise = np.asarray(u(pairs.real)) - np.asarray(u(pairs.fake))[::-1]
  assert (np.abs(rise) <= gap + 1e-5).all()
  chex.assert_tree_all_finite(slope(data.centres))


def test_edges_of_a_funnel():
  """y at the centre, along an axis, on the cube's face; a single funnel has only the cube."""
  data = toy.Funnels(jnp.zeros((1, 2)), jnp.zeros(1))
  y = jnp.array([[0.0, 0.0], [1.25, 0.0], [0.0, -2.5], [2.5, 2.5]])
  x, _, gradient = pull(data, y)
  expected = [[0, 0], [2.5 / 2**8, 0], [0, -2.5], [2.5, 2.5]]
  np.testing.assert_allclose(x, expected, rtol=1e-5)
  expected = [[0, 0], [-1, 0], [0, 1], [-(0.5**0.5), -(0.5**0.5)]]
  np.testing.assert_allclose(gradient, expected, rtol=1e-6)
  # One funnel buried in another is never active, and bends no ray.
  buried = toy.Funnels(jnp.array([[0.0, 0.0], [0.5, 0.0]]), jnp.array([0.0, 0.6]))
  np.testing.assert_array_equal(pull(buried, y).real, x)
  # Two equal funnels at +-1 part at 0: y = -0.5 is half-way from -1.
  two = toy.Funnels(jnp.array([[-1.0, 0.0], [1.0, 0.0]]), jnp.zeros(2))
  x = pull(two, jnp.array([[-0.5, 0.0]])).real
  np.testing.assert_allclose(x, [[-1 + 1 / 2**8, 0]], rtol=1e-6)


def test_rounding_throws_no_point_off_its_segment():
  """Funnel 0 is active on one ray only, in theory; in single precision, around it and at a too."""
  data = toy.Funnels(jnp.array([[0.0, 0.0], [1.0, 0.0]]), jnp.array([1.0, 0.0]))
  along, aside = np.meshgrid(np.linspace(-2.4, -0.1, 200), np.geomspace(1e-6, 1e-2, 100))
  points = np.stack([along.ravel(), aside.ravel()], axis=1)
  y = jnp.concatenate([jnp.float32(points), jnp.zeros((1, 2))])
  active = heights(data, np.asarray(y)).argmin(axis=1)
  assert 0.1 < np.mean(active) < 0.9
  a = np.asarray(data.centres)[active]
  x = pull(data, y).real
  length = np.linalg.norm(y - a, axis=1)
  np.testing.assert_array_less(np.linalg.norm(x - a, axis=1), length + 1e-6)
  np.testing.assert_array_equal(x[-1], [0, 0])


@pytest.mark.parametrize(("n_funnels", "dim"), [(1, 1), (16, 2)])
def test_single_precision_is_enough(n_funnels, dim):
  data = toy.make_funnels(jax.random.key(n_funnels), n_funnels, dim)
  x, y, gradient = sample_funnels(KEY, data, 5000)
  chex.assert_type([x, y, gradient], jnp.float32)
  chex.assert_tree_all_finite((x, y, gradient))
  fall = heights(data, np.asarray(y)).min(axis=1) - heights(data, np.asarray(x)).min(axis=1)
  np.testing.assert_allclose(fall, np.linalg.norm(y - x, axis=1), atol=2e-6)


def test_true_distance_of_funnels_is_approached_by_unpaired_samples():
  """In one dimension n points give it to O(n^-1/2): within 5 standard errors of both sides."""
  data = toy.load_toy("funnels", n_funnels=3, dim=1, seed=2)
  distance, error = toy.true_wasserstein(data, KEY, n=40_000)
  assert 0 < error < 0.01
  n = 1000
  real = jit(data.sample_real, static_argnums=2)(jax.random.key(1), data.data, n)
  latents = np.random.default_rng(0).normal(size=(n, 1)).astype(np.float32)
  fake, _ = data.generator.apply({}, {}, latents, train=False)
  spread = math.hypot(np.std(real), np.std(fake)) / math.sqrt(n)
  assert abs(wasserstein_exact(real, fake) - distance) < 5 * (spread + error)
  # Twice the standard error of four times as many pairs, whatever the number of chunks.
  few = toy.true_wasserstein(data, KEY, n=10_000)
  np.testing.assert_allclose(few[1], 2 * error, rtol=0.05)


def test_generator_of_funnels_is_uniform_in_the_cube():
  generator = toy.load_toy("funnels", dim=3).generator
  latents = np.random.default_rng(0).normal(size=(10_000, 3)).astype(np.float32)
  y, _ = generator.apply({}, {}, latents, train=True)
  for column in np.asarray(y).T:
    assert stats.kstest(column, stats.uniform(-2.5, 5).cdf).pvalue > 1e-3
  assert np.abs(np.corrcoef(y.T) - np.eye(3)).max() < 4.5 / math.sqrt(10_000)


def test_a_critic_trains_against_a_fixed_generator():
  data = toy.load_toy("funnels")
  networks = points_pair()._replace(generator=data.generator, latent_dim=data.dim)
  init, step = make_training(Config(batch_size=16, n_critic=2), networks, data.sample_real)
  hparams = Hparams()
  state = jit(init)(KEY, hparams)
  moved, info = jit(step)(state, hparams, data.data)
  assert info.finite
  assert moved.generator_params == {}
  changed = jax.tree.map(lambda a, b: (a != b).any(), state.critic_params, moved.critic_params)
  assert any(jax.tree.leaves(changed))


@pytest.mark.parametrize("name", ["ring", "grid", "swiss_roll"])
def test_without_a_fixed_generator_no_distance_is_claimed(name):
  data = toy.load_toy(name)
  assert (data.generator, data.sample_coupling) == (None, None)
  assert toy.true_wasserstein(data, KEY) is None


def test_seeds_draw_funnels():
  first, same, other = (toy.load_toy("funnels", seed=seed).data for seed in (0, 0, 1))
  chex.assert_trees_all_equal(first, same)
  assert (first.centres != other.centres).all()
  many = toy.make_funnels(KEY, 5_000, 2)
  assert stats.kstest(np.ravel(many.centres), stats.uniform(-2.5, 5).cdf).pvalue > 1e-3
  assert stats.kstest(many.offsets, stats.norm(scale=0.1).cdf).pvalue > 1e-3


def test_unknown_names_and_impossible_sizes_are_refused():
  with pytest.raises(ValueError, match="'rings' is not a toy data set: choose one of ring, grid"):
    toy.load_toy("rings")
  with pytest.raises(ValueError, match="swiss_roll has no form in 3 dimensions"):
    toy.load_toy("swiss_roll", dim=3)
  with pytest.raises(ValueError, match="funnels has no form in 0 dimensions"):
    toy.load_toy("funnels", dim=0)
  with pytest.raises(ValueError, match="n_funnels must be at least 1, got 0"):
    toy.load_toy("funnels", n_funnels=0)
