"""Losses of the critic and the generator: scores in, a scalar to be minimised out.

In the docstrings c is the critic, g the generator, x real and z latent. Read as a logit, a score
gives the discriminator's probability d = sigmoid(c). `LOSSES` holds the losses by name.

References:
  [1] Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
  [2] Goodfellow et al., Generative Adversarial Nets, 2014, arXiv 1406.2661.
  [3] Lim and Ye, Geometric GAN, 2017, arXiv 1705.02894.
  [4] Tran, Ranganath and Blei, Hierarchical Implicit Models and Likelihood-Free Variational
    Inference, 2017, arXiv 1702.08896.
  [5] Jolicoeur-Martineau, The Relativistic Discriminator: a Key Element Missing from Standard GAN,
    2018, arXiv 1807.00734.
  [6] Jolicoeur-Martineau, On Relativistic f-Divergences, 2019, arXiv 1901.02474.
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
    The loss, []. Negative while real samples score higher than fake ones.

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
    The loss, [], in nats; 2 log 2 for a discriminator that answers 1/2 everywhere.

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


def hinge_critic_loss(real_scores: jax.Array, fake_scores: jax.Array) -> jax.Array:
  """E relu(1 - c(x)) + E relu(1 + c(g(z))): flat for samples that are beyond their margin.

  The generator's loss that belongs to it is `wasserstein_generator_loss`.

  Args:
    real_scores: c(x), [n].
    fake_scores: c(g(z)), [m].

  Returns:
    The loss, [], at least 0; 2 for a critic that is 0 everywhere.

  References:
    [3]; [4].
  """
  _assert_scores(real_scores, fake_scores)
  return jnp.mean(jax.nn.relu(1 - real_scores)) + jnp.mean(jax.nn.relu(1 + fake_scores))


def total_variation_estimate(real_scores: jax.Array, fake_scores: jax.Array) -> jax.Array:
  """1 - L / 2, with L the hinge critic loss.

  A lower bound of the total variation distance. With densities p of real and q of fake samples no
  score makes p relu(1 - c) + q relu(1 + c) smaller than 2 min(p, q), which c = sign(p - q) reaches,
  and the integral of min(p, q) is 1 less the distance.

  Args:
    real_scores: c(x), [n].
    fake_scores: c(g(z)), [m].

  Returns:
    The estimate, [], at most 1; negative while the critic is worse than 0 everywhere.
  """
  return 1 - hinge_critic_loss(real_scores, fake_scores) / 2


def relativistic_critic_loss(real_scores: jax.Array, fake_scores: jax.Array) -> jax.Array:
  """-E log sigmoid(c(x) - E c(g(z))) - E log(1 - sigmoid(c(g(z)) - E c(x))).

  The relativistic average form: each sample is compared with the mean score of the other kind.
  Unlike the form that compares pairs, it needs no batches of one size. The sum of both terms, not
  their mean. A constant added to all scores changes nothing.

  Args:
    real_scores: c(x), [n].
    fake_scores: c(g(z)), [m].

  Returns:
    The loss, [], in nats; 2 log 2 for a constant critic.

  References:
    [5] (RaSGAN).
  """
  _assert_scores(real_scores, fake_scores)
  return cross_entropy_critic_loss(
    real_scores - jnp.mean(fake_scores), fake_scores - jnp.mean(real_scores)
  )


def relativistic_generator_loss(fake_scores: jax.Array, real_scores: jax.Array) -> jax.Array:
  """The relativistic average critic loss with real and fake exchanged.

  Args:
    fake_scores: c(g(z)), [n].
    real_scores: c(x), [m], of samples drawn for the generator's update.

  Returns:
    The loss, [], in nats.

  References:
    [5] (RaSGAN).
  """
  return relativistic_critic_loss(fake_scores, real_scores)


def relativistic_estimate(real_scores: jax.Array, fake_scores: jax.Array) -> jax.Array:
  """(2 log 2 - L) / 2, with L the relativistic average critic loss.

  Half of what [6] proves to be a divergence, as the critic sees it. It is not the Jensen-Shannon
  divergence, and not a bound of it.

  Args:
    real_scores: c(x), [n].
    fake_scores: c(g(z)), [m].

  Returns:
    The estimate, [], in nats, at most log 2; 0 for a constant critic.

  References:
    [6] (relativistic average divergences).
  """
  return jnp.log(2.0) - relativistic_critic_loss(real_scores, fake_scores) / 2


class Loss(NamedTuple):
  """One choice of loss: what both networks minimise, and what the critic then estimates.

  Attributes:
    critic: (real_scores [n], fake_scores [m]) -> [], minimised by the critic.
    generator: (fake_scores [n]) -> [], minimised by the generator; with `generator_sees_real`
      (fake_scores [n], real_scores [m]) -> [].
    estimate: (real_scores [n], fake_scores [m]) -> [], larger for distributions further apart.
    estimate_name: what metrics, tables and plots call the estimate, such as
      'wasserstein_estimate'.
    unit: the estimate's unit, in words.
    generator_sees_real: draw real samples for the generator's update too, and score them.
  """

  critic: Callable[[jax.Array, jax.Array], jax.Array]
  generator: Callable[..., jax.Array]
  estimate: Callable[[jax.Array, jax.Array], jax.Array]
  estimate_name: str
  unit: str
  generator_sees_real: bool = False


_JENSEN_SHANNON = (jensen_shannon_estimate, "jensen_shannon_estimate", "nats")

LOSSES = {
  "wasserstein": Loss(
    wasserstein_critic_loss,
    wasserstein_generator_loss,
    wasserstein_estimate,
    "wasserstein_estimate",
    "units of the data, for a 1-Lipschitz critic",
  ),
  "nonsaturating": Loss(cross_entropy_critic_loss, nonsaturating_generator_loss, *_JENSEN_SHANNON),
  "minimax": Loss(cross_entropy_critic_loss, minimax_generator_loss, *_JENSEN_SHANNON),
  "hinge": Loss(
    hinge_critic_loss,
    wasserstein_generator_loss,
    total_variation_estimate,
    "total_variation_estimate",
    "probability",
  ),
  "relativistic_average": Loss(
    relativistic_critic_loss,
    relativistic_generator_loss,
    relativistic_estimate,
    "relativistic_estimate",
    "nats",
    generator_sees_real=True,
  ),
}
"""The losses by name."""


def _assert_scores(*scores: jax.Array) -> None:
  chex.assert_rank(scores, 1)
  chex.assert_type(scores, float)
