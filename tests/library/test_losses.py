"""Losses: closed forms, signs and finiteness far out."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
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

  @chex.variants(with_jit=True, without_jit=True)
  def test_hinge_counts_what_is_within_the_margin(self):
    # relu(1 - c(x)) = 0, 0, 2 and relu(1 + c(g(z))) = 1.5, 0.
    critic = self.variant(wgan_jax.hinge_critic_loss)(REAL, FAKE)
    chex.assert_trees_all_close(critic, 2 / 3 + 0.75, rtol=1e-6)
    estimate = self.variant(wgan_jax.total_variation_estimate)(REAL, FAKE)
    chex.assert_trees_all_close(estimate, 1 - (2 / 3 + 0.75) / 2, rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_relativistic_average_compares_with_the_mean_of_the_others(self):
    # The means are 1 and -1.
    real_term = sum(math.log1p(math.exp(-(v + 1))) for v in REAL.tolist()) / 3
    fake_term = sum(math.log1p(math.exp(v - 1)) for v in FAKE.tolist()) / 2
    critic = self.variant(wgan_jax.relativistic_critic_loss)(REAL, FAKE)
    chex.assert_trees_all_close(critic, real_term + fake_term, rtol=1e-6)
    estimate = self.variant(wgan_jax.relativistic_estimate)(REAL, FAKE)
    chex.assert_trees_all_close(estimate, (2 * math.log(2) - real_term - fake_term) / 2, rtol=1e-6)
    real_term = sum(math.log1p(math.exp(v + 1)) for v in REAL.tolist()) / 3
    fake_term = sum(math.log1p(math.exp(-(v - 1))) for v in FAKE.tolist()) / 2
    generator = self.variant(wgan_jax.relativistic_generator_loss)(FAKE, REAL)
    chex.assert_trees_all_close(generator, real_term + fake_term, rtol=1e-6)


def test_the_best_hinge_critic_estimates_the_total_variation():
  """Of (0.5, 0.5, 0) and (0, 0.25, 0.75) it is 0.75; c = sign(p - q) finds it, others less."""
  real = jnp.array([1.0, 1.0, 1.0, 1.0])  # c at the points 0, 0, 1, 1
  fake = jnp.array([1.0, -1.0, -1.0, -1.0])  # and at 1, 2, 2, 2.
  assert wgan_jax.total_variation_estimate(real, fake) == 0.75
  for scale in (0.5, 2.0):
    assert wgan_jax.total_variation_estimate(scale * real, scale * fake) < 0.75


def test_a_constant_added_to_all_scores_changes_no_relativistic_loss():
  for loss in (wgan_jax.relativistic_critic_loss, wgan_jax.relativistic_generator_loss):
    np.testing.assert_allclose(loss(REAL + 5, FAKE + 5), loss(REAL, FAKE), rtol=1e-5)


def generator_loss(name):
  """(fake_scores) -> [], against `REAL` if the loss compares with real scores."""
  loss = LOSSES[name]
  return (lambda fake: loss.generator(fake, REAL)) if loss.generator_sees_real else loss.generator


@pytest.mark.parametrize("name", LOSSES)
def test_an_estimate_is_named_for_what_it_estimates(name):
  """One name for one function and unit: two estimates never share a curve."""
  loss = LOSSES[name]
  assert loss.estimate_name == loss.estimate.__name__
  assert {
    (other.estimate, other.unit)
    for other in LOSSES.values()
    if other.estimate_name == loss.estimate_name
  } == {(loss.estimate, loss.unit)}


@pytest.mark.parametrize("name", LOSSES)
def test_minimising_moves_scores_the_right_way(name):
  loss = LOSSES[name]
  real_slope, fake_slope = jax.grad(loss.critic, argnums=(0, 1))(REAL, FAKE)
  # The hinge loss leaves scores alone that are beyond their margin.
  inside = (REAL < 1, FAKE > -1) if name == "hinge" else (REAL == REAL, FAKE == FAKE)
  assert ((real_slope < 0) == inside[0]).all()  # Descent raises real scores,
  assert ((fake_slope > 0) == inside[1]).all()  # lowers fake scores,
  assert (jax.grad(generator_loss(name))(FAKE) < 0).all()  # and the generator raises them.
  assert loss.estimate(REAL + 1, FAKE) > loss.estimate(REAL, FAKE)


@pytest.mark.parametrize("name", LOSSES)
def test_finite_for_a_critic_that_is_very_sure(name):
  loss = LOSSES[name]
  sure = jnp.array([1e4])
  for real, fake in [(sure, -sure), (-sure, sure)]:
    values_and_slopes = jax.value_and_grad(loss.critic, argnums=(0, 1))(real, fake)
    chex.assert_tree_all_finite(values_and_slopes)
    chex.assert_tree_all_finite(jax.value_and_grad(generator_loss(name))(fake))


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
    generator_loss(name)(FAKE[:, None])


@pytest.mark.parametrize("name", LOSSES)
def test_integer_scores_are_refused(name):
  """Also by a loss that would make floats of them by taking their mean."""
  real, fake = REAL.astype(int), FAKE.astype(int)
  with pytest.raises(AssertionError):
    LOSSES[name].critic(real, fake)
  with pytest.raises(AssertionError):
    generator_loss(name)(fake)
