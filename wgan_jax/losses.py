"""Losses of the critic and the generator: scores in, a scalar to be minimised out.

In the docstrings c is the critic, g the generator, x real and z latent; d = sigmoid(c) is the
discriminator's probability when the score is read as a logit.

References:
  [1] Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
  [2] Goodfellow et al., Generative Adversarial Nets, 2014, arXiv 1406.2661.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


def wasserstein_critic_loss(real_scores: jax.Array, fake_scores: jax.Array) -> jax.Array:
  """E c(g(z)) - E c(x): minus the Wasserstein estimate, without any penalty.

  Args:
    real_scores: c(x), [n]. The two batches may differ in size.
    fake_scores: c(g(z)), [m].

  Returns:
    The loss, []. Negative while the critic tells real from fake.

  References:
    [1], equation 2 and Algorithm 1, line 5 (there maximised, here negated).
  """
  return -wasserstein_estimate(real_scores, fake_scores)


def wasserstein_generator_loss(fake_scores: jax.Array) -> jax.Array:
  """-E c(g(z)). Its level means nothing: a critic is free up to a constant.

  Args:
    fake_scores: c(g(z)), [n].

  Returns:
    The loss, [].

  References:
    [1], Algorithm 1, line 10.
  """
  _assert_scores(fake_scores)
  return -jnp.mean(fake_scores)


def wasserstein_estimate(real_scores: jax.Array, fake_scores: jax.Array) -> jax.Array:
  """E c(x) - E c(g(z)): the critic's estimate of the Earth Mover's Distance.

  It is a lower bound of the distance as far as the critic is 1-Lipschitz; for a K-Lipschitz critic
  divide it by K. It is in units of the data, and no loss: larger means further apart.

  Args:
    real_scores: c(x), [n].
    fake_scores: c(g(z)), [m].

  Returns:
    The estimate, [].

  References:
    [1], equation 2 (the Kantorovich-Rubinstein duality).
  """
  _assert_scores(real_scores, fake_scores)
  return jnp.mean(real_scores) - jnp.mean(fake_scores)


def cross_entropy_critic_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
  """-E log d(x) - E log(1 - d(g(z))): the sum of both terms, not their mean.

  Args:
    real_logits: c(x), [n], before the sigmoid.
    fake_logits: c(g(z)), [m].

  Returns:
    The loss, [], in nats; 2 log 2 for a discriminator that cannot tell.

  References:
    [2], equation 1.
  """
  _assert_scores(real_logits, fake_logits)
  return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(jax.nn.softplus(fake_logits))


def minimax_generator_loss(fake_logits: jax.Array) -> jax.Array:
  """E log(1 - d(g(z))): flat where the discriminator is sure of its case.

  Args:
    fake_logits: c(g(z)), [n], before the sigmoid.

  Returns:
    The loss, [], in nats, at most 0.

  References:
    [2], equation 1.
  """
  _assert_scores(fake_logits)
  return -jnp.mean(jax.nn.softplus(fake_logits))


def nonsaturating_generator_loss(fake_logits: jax.Array) -> jax.Array:
  """-E log d(g(z)): the same fixed point as minimax, with a gradient where d is near 0.

  Args:
    fake_logits: c(g(z)), [n], before the sigmoid.

  Returns:
    The loss, [], in nats, at least 0.

  References:
    [2], section 3.
  """
  _assert_scores(fake_logits)
  return jnp.mean(jax.nn.softplus(-fake_logits))


def jensen_shannon_estimate(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
  """(2 log 2 - L) / 2, with L the cross-entropy critic loss.

  A lower bound of the Jensen-Shannon divergence, reached by the optimal discriminator.

  Args:
    real_logits: c(x), [n], before the sigmoid.
    fake_logits: c(g(z)), [m].

  Returns:
    The estimate, [], in nats, at most log 2; negative while d is worse than a constant 1/2.

  References:
    [1], section 4 (the estimate of figure 4); [2], theorem 1.
  """
  return jnp.log(2.0) - cross_entropy_critic_loss(real_logits, fake_logits) / 2


class Loss(NamedTuple):
  """What belongs to one choice of loss. All three are functions of scores, [n] (, [m]) -> []."""

  critic: Callable[[jax.Array, jax.Array], jax.Array]
  generator: Callable[[jax.Array], jax.Array]
  estimate: Callable[[jax.Array, jax.Array], jax.Array]


LOSSES = {
  "wasserstein": Loss(
    wasserstein_critic_loss,
    wasserstein_generator_loss,
    wasserstein_estimate,
  ),
  "nonsaturating": Loss(
    cross_entropy_critic_loss,
    nonsaturating_generator_loss,
    jensen_shannon_estimate,
  ),
  "minimax": Loss(
    cross_entropy_critic_loss,
    minimax_generator_loss,
    jensen_shannon_estimate,
  ),
}


def _assert_scores(*scores: jax.Array) -> None:
  chex.assert_rank(scores, 1)
  chex.assert_type(scores, float)
