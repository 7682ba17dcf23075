"""What the critic and the generator minimise, as functions of their parameters.

References:
  [1] Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
  [2] Gulrajani et al., Improved Training of Wasserstein GANs, 2017, arXiv 1704.00028v3.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from wgan_jax.losses import LOSSES
from wgan_jax.penalties import gradient_norms, interpolate
from wgan_jax.types import Pair


class Objectives(NamedTuple):
  """Both are to be differentiated with respect to their first argument, with `has_aux`.

  Attributes:
    critic: (critic_params, key, real, fake, lambda_gp) -> (objective [], told): the critic's loss
      plus lambda_gp times the penalty on x_hat, which `key` draws; `told` has by name what
      `wgan_jax.training.Info` tells of it.
    generator: (generator_params, batch_stats, critic_params, latents) -> (loss [], batch_stats): of
      samples in training mode, with the running statistics as they move.
  """

  critic: Callable
  generator: Callable


def make_objectives(
  loss: str, penalty_fn: Callable[[jax.Array], jax.Array] | None, networks: Pair
) -> Objectives:
  """Builds both objectives.

  Args:
    loss: a key of `LOSSES`.
    penalty_fn: of the gradient norms on x_hat, [batch] -> []; None for no penalty.
    networks: the critic and the generator.

  Returns:
    The pair.

  References:
    [1], Algorithm 1; [2], equation 3 and Algorithm 1.
  """
  critic, generator, _ = networks
  loss = LOSSES[loss]

  def critic_objective(critic_params, key, real, fake, lambda_gp):
    critic_fn = functools.partial(critic.apply, critic_params)
    real_scores, fake_scores = jax.vmap(critic_fn)(real), jax.vmap(critic_fn)(fake)
    objective = loss.critic(real_scores, fake_scores)
    penalty, norms = jnp.zeros(()), jnp.zeros(1)
    if penalty_fn is not None:
      norms = gradient_norms(critic_fn, interpolate(key, real, fake))
      penalty = penalty_fn(norms)
      objective += lambda_gp * penalty
    told = {
      "estimate": loss.estimate(real_scores, fake_scores),
      "gradient_penalty": penalty,
      "critic_loss": objective,
      "gradient_norm_mean": jnp.mean(norms),
      "gradient_norm_max": jnp.max(norms),
    }
    return objective, told

  def generator_objective(generator_params, batch_stats, critic_params, latents):
    fake, batch_stats = generator.apply(generator_params, batch_stats, latents, train=True)
    scores = jax.vmap(functools.partial(critic.apply, critic_params))(fake)
    return loss.generator(scores), batch_stats

  return Objectives(critic_objective, generator_objective)
