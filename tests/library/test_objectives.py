"""The objectives against their formulas, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.problems import points, points_pair, shift_pair

from wgan_jax import penalties
from wgan_jax.objectives import make_objectives

KEY = jax.random.key(0)


@pytest.mark.parametrize("loss", ["wasserstein", "minimax"])
def test_the_critics_is_loss_plus_lambda_times_penalty(loss):
  pair = points_pair()
  params = pair.critic.init(KEY)
  real, fake = points(8), points(8)[::-1] - 1
  objective = make_objectives(loss, penalties.penalize, pair).critic
  total, told = objective(params, KEY, real, fake, 3.0)
  bare, _ = make_objectives(loss, None, pair).critic(params, KEY, real, fake, 3.0)
  penalty = penalties.gradient_penalty(KEY, lambda x: pair.critic.apply(params, x), real, fake)
  np.testing.assert_allclose(total, bare + 3 * penalty, rtol=1e-6)
  np.testing.assert_allclose(told["gradient_penalty"], penalty, rtol=1e-6)
  assert told["critic_loss"] == total


def test_the_generators_is_of_samples_in_training_mode():
  """c(x) = 2 x on a constant sample of 3; the statistics count the pass."""
  pair = shift_pair(lambda params, x: 2 * params["w"][0] * x[0])
  objective = make_objectives("wasserstein", None, pair).generator
  stats = {"count": jnp.zeros((), jnp.int32)}
  loss, stats = objective({"shift": jnp.full(1, 3.0)}, stats, {"w": jnp.ones(1)}, jnp.zeros((4, 1)))
  assert loss == -6
  assert stats["count"] == 1
