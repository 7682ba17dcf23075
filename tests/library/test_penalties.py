"""The gradient penalty, proved by closed forms at batches larger than one; and clipping.

Each known way of getting it wrong has a test here that fails for it.
"""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import wgan_jax
from wgan_jax.penalties import PENALTIES

KEY = jax.random.key(0)


def half_square(x):
  """c(x) = |x|^2 / 2, whose gradient is x: the penalty shows where it was evaluated."""
  return jnp.sum(jnp.square(x)) / 2


class ClosedFormsTest(parameterized.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_linear_critic(self):
    """c(x) = <w, x>: (|w| - 1)^2 for any data and batch, which a mean before would shrink."""
    w = jax.random.normal(KEY, (4, 3, 2))
    expected = (float(np.linalg.norm(w)) - 1) ** 2
    for batch in (1, 2, 64):
      real, fake = jax.random.normal(KEY, (2, batch, 4, 3, 2))
      penalty = self.variant(
        lambda real, fake: wgan_jax.gradient_penalty(KEY, lambda x: jnp.vdot(w, x), real, fake)
      )(real, fake)
      chex.assert_trees_all_close(penalty, expected, rtol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_norms_are_per_sample_over_all_entries(self):
    """real == fake of norms 1 and 3: E (0, 4) = 2, not (sqrt 10 - 1)^2 of the whole batch."""
    x = jnp.stack([jnp.full((2, 2, 1), 0.5), jnp.full((2, 2, 1), 1.5)])
    norms = self.variant(lambda x: wgan_jax.gradient_norms(half_square, x))(x)
    chex.assert_trees_all_close(norms, jnp.array([1.0, 3.0]), rtol=1e-6)
    penalty = self.variant(lambda x: wgan_jax.gradient_penalty(KEY, half_square, x, x))(x)
    chex.assert_trees_all_close(penalty, 2.0, rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_penalize(self):
    norms = jnp.array([0.0, 1.0, 3.0])
    penalize = self.variant(wgan_jax.penalize, static_argnames="one_sided")
    chex.assert_trees_all_close(penalize(norms), 5 / 3)
    chex.assert_trees_all_close(penalize(norms, one_sided=True), 4 / 3)
    chex.assert_trees_all_close(penalize(norms, target=0.0), 10 / 3)
    chex.assert_trees_all_close(penalize(norms, target=2.0, one_sided=True), 1 / 3)

  @chex.variants(with_jit=True, without_jit=True)
  def test_flat_critic(self):
    """The norm's gradient at zero: penalty 1, and a finite gradient for the parameters."""
    x = jax.random.normal(KEY, (5, 3))

    def penalty(w):
      return wgan_jax.gradient_penalty(KEY, lambda x: jnp.vdot(w, x), x, x)

    value, gradient = self.variant(jax.value_and_grad(penalty))(jnp.zeros(3))
    chex.assert_trees_all_close(value, 1.0)
    chex.assert_tree_all_finite(gradient)


def test_samples_do_not_touch_each_other():
  x = jax.random.normal(KEY, (3, 4))
  moved = x.at[1].add(7.0)
  before, after = (wgan_jax.gradient_norms(half_square, v) for v in (x, moved))
  assert before[0] == after[0]
  assert before[2] == after[2]
  assert before[1] != after[1]


def test_epsilon_is_uniform():
  """c = |x|^2 / 2, fake = 0, |x| = 1: the norm is epsilon, and E (epsilon - 1)^2 = 1/3.

  epsilon ~ N(0, 1) would give 2. One standard deviation of (epsilon - 1)^2 is sqrt(4 / 45).
  """
  n = 20_000
  real = jnp.zeros((n, 2)).at[:, 0].set(1.0)
  penalty = wgan_jax.gradient_penalty(KEY, half_square, real, jnp.zeros_like(real))
  assert abs(float(penalty) - 1 / 3) < 5 * math.sqrt(4 / 45 / n)
  epsilon = wgan_jax.interpolate(KEY, real, jnp.zeros_like(real))[:, 0]
  assert epsilon.min() >= 0
  assert epsilon.max() < 1
  # The Kolmogorov-Smirnov distance to U[0, 1] exceeds 2 / sqrt(n) with probability 7e-4.
  gap = jnp.max(jnp.abs(jnp.sort(epsilon) - (jnp.arange(n) + 0.5) / n))
  assert gap < 2 / math.sqrt(n)


def test_one_epsilon_a_sample():
  """Shared by a sample's pixels, different between samples; real at 1, fake at 0."""
  real = jnp.ones((8, 3, 3, 2))
  x_hat = wgan_jax.interpolate(KEY, real, jnp.zeros_like(real))
  epsilon = x_hat[:, 0, 0, 0]
  assert (x_hat == epsilon[:, None, None, None]).all()
  assert len(np.unique(epsilon)) == 8
  # The paper's direction, though no distribution could tell: epsilon weighs the real sample.
  chex.assert_trees_all_equal(epsilon, jax.random.uniform(KEY, (8, 1, 1, 1)).ravel())


def test_a_critic_that_couples_samples_has_no_such_signature():
  """Batch normalisation needs a batch; a critic function is given one sample."""

  def normalised(x):
    chex.assert_rank(x, 2)
    return jnp.sum((x - x.mean(axis=0, keepdims=True)) ** 2)

  with pytest.raises(AssertionError):
    wgan_jax.gradient_norms(normalised, jnp.ones((4, 3)))


def test_second_order_by_finite_differences():
  """The gradient of the whole critic loss, through the penalty's inner gradient, in float64."""
  with jax.enable_x64(True):
    keys = jax.random.split(jax.random.key(1), 4)
    real, fake = jax.random.normal(keys[0], (2, 6, 3))
    params = (jax.random.normal(keys[1], (3, 5)), jax.random.normal(keys[2], (5,)))

    def critic_loss(params):
      def critic_fn(x):
        return jnp.tanh(x @ params[0]) @ params[1]

      penalty = wgan_jax.gradient_penalty(keys[3], critic_fn, real, fake)
      scores = jax.vmap(critic_fn)
      return wgan_jax.wasserstein_critic_loss(scores(real), scores(fake)) + 10 * penalty

    gradient = jax.jit(jax.grad(critic_loss))(params)
    direction = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size)).reshape(p.shape), params)

    def along(t):
      return critic_loss(jax.tree.map(lambda p, d: p + t * d, params, direction))

    numeric = (along(1e-5) - along(-1e-5)) / 2e-5
    exact = sum(
      jnp.vdot(g, d)
      for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    )
    np.testing.assert_allclose(exact, numeric, rtol=1e-7)


def test_sharded_over_devices_equals_one_device():
  """The batch split over two devices, whose samples differ in slope: the same penalty."""
  real = jnp.concatenate([jnp.full((4, 3), 0.1), jnp.full((4, 3), 5.0)])
  fake = jax.random.normal(KEY, (8, 3))
  expected = wgan_jax.gradient_penalty(KEY, half_square, real, fake)
  sharding = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("batch",)), PartitionSpec("batch"))
  real, fake = jax.device_put((real, fake), sharding)
  penalty = jax.jit(lambda r, f: wgan_jax.gradient_penalty(KEY, half_square, r, f))(real, fake)
  assert len(real.sharding.device_set) == 2
  chex.assert_trees_all_close(penalty, expected, rtol=1e-6)


@pytest.mark.parametrize("penalty", ["gp", "gp_one_sided"])
def test_penalties_by_name(penalty):
  norms = jnp.array([0.5, 2.0])
  expected = {"gp": (0.25 + 1) / 2, "gp_one_sided": 0.5}
  chex.assert_trees_all_close(PENALTIES[penalty](norms), expected[penalty])


def test_real_and_fake_must_agree_in_shape():
  with pytest.raises(AssertionError):
    wgan_jax.interpolate(KEY, jnp.ones((4, 3)), jnp.ones((1, 3)))


def test_clip_params_clips_every_leaf_with_a_traced_bound():
  params = {"kernel": jnp.array([[-3.0, 0.005]]), "bias": jnp.array([0.5])}
  clipped = jax.jit(wgan_jax.clip_params)(params, 0.01)
  expected = {"kernel": jnp.array([[-0.01, 0.005]]), "bias": jnp.array([0.01])}
  chex.assert_trees_all_close(clipped, expected)
