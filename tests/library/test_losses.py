"""Losses: closed forms, signs and finiteness far out."""

import math

import chex
import jax
import jax.numpy as jnp
import pytest
from absl.testing import parameterized

import wgan_jax
from wgan_jax.losses import LOSSES

REAL = jnp.array([3.0, 1.0, -1.0])
FAKE = jnp.array([0.5, -2.5])


class LossesTest(parameterized.TestCase):
  """Every loss against its formula, written out in Python."""

  @chex.variants(with_jit=True, without_jit=True)
  def test_wasserstein_is_the_difference_of_means(self):
    # E c(x) = 1, E c(g(z)) = -1, over batches of unequal size.
    assert self.variant(wgan_jax.wasserstein_estimate)(REAL, FAKE) == 2.0
    assert self.variant(wgan_jax.wasserstein_critic_loss)(REAL, FAKE) == -2.0
    assert self.variant(wgan_jax.wasserstein_generator_loss)(FAKE) == 1.0

  @chex.variants(with_jit=True, without_jit=True)
  def test_cross_entropy_is_the_sum_of_both_terms(self):
    def d(logit):
      return 1 / (1 + math.exp(-logit))

    real_term = -sum(math.log(d(v)) for v in REAL.tolist()) / 3
    fake_term = -sum(math.log(1 - d(v)) for v in FAKE.tolist()) / 2
    generator_term = -sum(math.log(d(v)) for v in FAKE.tolist()) / 2
    critic = self.variant(wgan_jax.cross_entropy_critic_loss)(REAL, FAKE)
    estimate = self.variant(wgan_jax.jensen_shannon_estimate)(REAL, FAKE)
    chex.assert_trees_all_close(critic, real_term + fake_term, rtol=1e-6)
    chex.assert_trees_all_close(estimate, (2 * math.log(2) - real_term - fake_term) / 2, rtol=1e-6)
    minimax = self.variant(wgan_jax.minimax_generator_loss)(FAKE)
    nonsaturating = self.variant(wgan_jax.nonsaturating_generator_loss)(FAKE)
    chex.assert_trees_all_close(minimax, -fake_term, rtol=1e-6)
    chex.assert_trees_all_close(nonsaturating, generator_term, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_minimising_moves_scores_the_right_way(name):
  loss = LOSSES[name]
  real_slope, fake_slope = jax.grad(loss.critic, argnums=(0, 1))(REAL, FAKE)
  assert (real_slope < 0).all()  # Descent raises real scores,
  assert (fake_slope > 0).all()  # lowers fake scores,
  assert (jax.grad(loss.generator)(FAKE) < 0).all()  # and the generator raises them.
  assert loss.estimate(REAL + 1, FAKE) > loss.estimate(REAL, FAKE)


@pytest.mark.parametrize("name", LOSSES)
def test_finite_for_a_critic_that_is_very_sure(name):
  loss = LOSSES[name]
  sure = jnp.array([1e4])
  for real, fake in [(sure, -sure), (-sure, sure)]:
    values_and_slopes = jax.value_and_grad(loss.critic, argnums=(0, 1))(real, fake)
    chex.assert_tree_all_finite(values_and_slopes)
    chex.assert_tree_all_finite(jax.value_and_grad(loss.generator)(fake))


def test_minimax_vanishes_where_nonsaturating_does_not():
  """The flat region of a sure discriminator: slopes -d and -(1 - d) at d = sigmoid(-20)."""
  logits = jnp.array([-20.0])
  assert abs(jax.grad(wgan_jax.minimax_generator_loss)(logits)[0]) < 1e-8
  assert abs(jax.grad(wgan_jax.nonsaturating_generator_loss)(logits)[0] + 1) < 1e-6


@pytest.mark.parametrize("name", LOSSES)
def test_scores_of_the_wrong_rank_are_refused(name):
  with pytest.raises(AssertionError):
    LOSSES[name].critic(REAL[:, None], FAKE[:, None])
  with pytest.raises(AssertionError):
    LOSSES[name].generator(FAKE[:, None])
