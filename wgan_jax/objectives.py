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

from wgan_jax.losses import Loss
from wgan_jax.penalties import Penalty, gradient_norms
from wgan_jax.types import Pair


class Objectives(NamedTuple):
  """The critic's and the generator's objective, for `jax.grad` with `has_aux`.

  Attributes:
    critic: (critic_params, key, real, fake, lambda_gp) -> (objective [], metrics). The objective is
      the critic's loss plus lambda_gp times the penalty, whose points `key` draws. `metrics` holds
      the critic's fields of `wgan_jax.types.Info`, by name.
    generator: (generator_params, batch_stats, critic_params, latents, real=None) ->
      (loss [], batch_stats). The generator runs in training mode, and the running statistics are
      those after the pass. `real` is needed by a loss with `generator_sees_real`, and by no other.
  """

  critic: Callable
  generator: Callable


def make_objectives(loss: Loss, penalty: Penalty, networks: Pair) -> Objectives:
  """Builds both objectives.

  Args:
    loss: the loss, such as `LOSSES["wasserstein"]` or `config.loss_row`.
    penalty: the penalty, such as `PENALTIES["gp"]` or `config.penalty_row`.
    networks: the critic and the generator.

  Returns:
    The pair.

  References:
    [1], Algorithm 1; [2], equation 3 and Algorithm 1.
  """
  critic, generator, _ = networks

  def critic_objective(critic_params, key, real, fake, lambda_gp):
    critic_fn = functools.partial(critic.apply, critic_params)
    scores = jax.vmap(critic_fn)(jnp.concatenate([real, fake]))  # One pass is faster than two.
    if scores.ndim != 1:
      raise ValueError(
        f"a critic maps ONE sample to ONE score, of shape [], got {list(scores.shape[1:])}"
      )
    real_scores, fake_scores = jnp.split(scores, 2)
    objective = loss.critic(real_scores, fake_scores)
    cost, norms = jnp.zeros(()), jnp.zeros(1)
    if penalty.cost is not None:
      norms = gradient_norms(critic_fn, penalty.points(key, real, fake))
      cost = penalty.cost(norms)
      if jnp.shape(cost):
        raise ValueError(
          f"Penalty.cost must map norms [batch] to one number [], got shape {jnp.shape(cost)}:"
          " take the mean over the batch"
        )
      objective += lambda_gp * cost
    metrics = {
      "estimate": loss.estimate(real_scores, fake_scores),
      "gradient_penalty": cost,
      "critic_loss": objective,
      "gradient_norm_mean": jnp.mean(norms),
      "gradient_norm_max": jnp.max(norms),
    }
    return objective, metrics

  def generator_objective(generator_params, batch_stats, critic_params, latents, real=None):
    scores = jax.vmap(functools.partial(critic.apply, critic_params))
    fake, batch_stats = generator.apply(generator_params, batch_stats, latents, train=True)
    if loss.generator_sees_real:
      return loss.generator(scores(fake), scores(real)), batch_stats
    return loss.generator(scores(fake)), batch_stats

  return Objectives(critic_objective, generator_objective)
