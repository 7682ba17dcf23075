"""The objectives against their formulas, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.problems import points, points_pair, shift_pair

import wgan_jax
from wgan_jax import penalties
from wgan_jax.losses import LOSSES, Loss
from wgan_jax.objectives import make_objectives
from wgan_jax.penalties import PENALTIES

KEY = jax.random.key(0)


@pytest.mark.parametrize("loss", ["wasserstein", "minimax"])
def test_the_critics_is_loss_plus_lambda_times_penalty(loss):
  pair = points_pair()
  params = pair.critic.init(KEY)
  real, fake = points(8), points(8)[::-1] - 1
  loss = LOSSES[loss]
  objective = make_objectives(loss, PENALTIES["gp"], pair).critic
  total, metrics = objective(params, KEY, real, fake, 3.0)
  bare, _ = make_objectives(loss, PENALTIES["none"], pair).critic(params, KEY, real, fake, 3.0)
  penalty = penalties.gradient_penalty(KEY, lambda x: pair.critic.apply(params, x), real, fake)
  np.testing.assert_allclose(total, bare + 3 * penalty, rtol=1e-6)
  np.testing.assert_allclose(metrics["gradient_penalty"], penalty, rtol=1e-6)
  assert metrics["critic_loss"] == total


@pytest.mark.parametrize("name", [name for name, row in PENALTIES.items() if row.cost])
def test_gradient_norms_are_those_at_the_penaltys_points(name):
  """c(x) = w |x|^2 / 2: the norm shows the point."""
  pair = shift_pair(lambda params, x: params["w"][0] * jnp.sum(x**2) / 2)
  row, real, fake = PENALTIES[name], jnp.array([[1.0], [2.0]]), jnp.array([[5.0], [6.0]])
  objective = make_objectives(LOSSES["wasserstein"], row, pair).critic
  _, metrics = objective({"w": jnp.ones(1)}, KEY, real, fake, 1.0)
  points = jnp.abs(row.points(KEY, real, fake))
  np.testing.assert_allclose(metrics["gradient_norm_max"], points.max(), rtol=1e-6)
  np.testing.assert_allclose(metrics["gradient_norm_mean"], points.mean(), rtol=1e-6)


def test_the_generators_is_of_samples_in_training_mode():
  """c(x) = 2 x on a constant sample of 3; the statistics count the pass."""
  pair = shift_pair(lambda params, x: 2 * params["w"][0] * x[0])
  objective = make_objectives(LOSSES["wasserstein"], PENALTIES["none"], pair).generator
  stats = {"count": jnp.zeros((), jnp.int32)}
  loss, stats = objective({"shift": jnp.full(1, 3.0)}, stats, {"w": jnp.ones(1)}, jnp.zeros((4, 1)))
  assert loss == -6
  assert stats["count"] == 1


def test_a_generator_that_sees_real_is_given_both_scores():
  """c(x) = 2 x: fake scores of 6 in the first place, real scores of 10 in the second."""
  pair = shift_pair(lambda params, x: 2 * params["w"][0] * x[0])
  loss = Loss(
    critic=lambda real, fake: jnp.mean(fake) - jnp.mean(real),
    generator=lambda fake, real: jnp.mean(real) - 100 * jnp.mean(fake),
    estimate=lambda real, fake: jnp.mean(real),
    estimate_name="real_score",
    unit="score",
    generator_sees_real=True,
  )
  objective = make_objectives(loss, PENALTIES["none"], pair).generator
  arguments = ({"shift": jnp.full(1, 3.0)}, {"count": jnp.zeros((), jnp.int32)})
  value, _ = objective(*arguments, {"w": jnp.ones(1)}, jnp.zeros((4, 1)), jnp.full((2, 1), 5.0))
  assert value == 10 - 600


def test_a_cost_for_each_sample_is_refused_by_name():
  pair = shift_pair(lambda params, x: params["w"] * jnp.sum(x))
  penalty = wgan_jax.Penalty(wgan_jax.interpolate, lambda norms: norms)
  objective = make_objectives(LOSSES["wasserstein"], penalty, pair).critic
  samples = jnp.ones((4, 1))
  with pytest.raises(ValueError, match=r"Penalty.cost must map norms .* got shape \(4,\)"):
    objective({"w": jnp.ones(())}, jax.random.key(0), samples, samples, 1.0)


def test_without_a_penalty_the_critics_is_the_loss_of_both_batches():
  """c(x) = 2 x: mean scores of 10 and 6. There are no norms to show."""
  pair = shift_pair(lambda params, x: 2 * params["w"][0] * x[0])
  objective = make_objectives(LOSSES["wasserstein"], PENALTIES["none"], pair).critic
  real, fake = jnp.array([[4.0], [6.0]]), jnp.array([[1.0], [5.0]])
  total, metrics = objective({"w": jnp.ones(1)}, KEY, real, fake, 10.0)
  assert total == -4
  assert metrics == {
    "estimate": 4,
    "gradient_penalty": 0,
    "critic_loss": -4,
    "gradient_norm_mean": 0,
    "gradient_norm_max": 0,
  }


def test_a_critic_of_more_than_one_score_is_refused():
  pair = shift_pair(lambda params, x: params["w"] * x)
  objective = make_objectives(LOSSES["wasserstein"], PENALTIES["none"], pair).critic
  samples = jnp.ones((4, 1))
  with pytest.raises(ValueError, match=r"ONE sample to ONE score, of shape \[\], got \[1\]"):
    objective({"w": jnp.ones(1)}, KEY, samples, samples, 1.0)
