"""What the critic and the generator minimise, as functions of their parameters.

References:
  [1] Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
  [2] Gulrajani et al., Improved Training of Wasserstein GANs, 2017, arXiv 1704.00028v3.
  [3] Odena, Olah and Shlens, Conditional Image Synthesis with Auxiliary Classifier GANs, 2016,
    arXiv 1610.09585.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from wgan_jax.losses import Loss
from wgan_jax.memory import generate_in_parts, in_parts
from wgan_jax.penalties import Penalty, gradient_norms
from wgan_jax.types import Pair


class Objectives(NamedTuple):
  """The critic's and the generator's objective, for `jax.grad` with `has_aux`.

  Attributes:
    critic: (critic_params, key, real, fake, lambda_gp, *labels) -> (objective [], metrics). The
      objective is the critic's loss plus lambda_gp times the penalty, whose points `key` draws.
      `metrics` holds the critic's fields of `wgan_jax.types.Info`, by name.
    generator: (generator_params, batch_stats, critic_params, latents, real=None, *labels) ->
      (loss [], batch_stats). The generator runs in training mode, and the running statistics are
      those after the pass. `real` is needed by a loss with `generator_sees_real`, and by no other.

  With conditional networks `labels` are the classes, integers [batch], that a real sample, the fake
  one beside it and the penalty's point between them share.
  """

  critic: Callable
  generator: Callable


AC_CRITIC_WEIGHT = 1.0
"""Weight of an auxiliary classifier's cross-entropy on real samples, in the critic's objective."""
AC_GENERATOR_WEIGHT = 0.1
"""Weight of its cross-entropy on fake ones, in the generator's; both as in the code of [2]."""


def make_objectives(
  loss: Loss,
  penalty: Penalty,
  networks: Pair,
  *,
  micro_batches: int = 1,
  rematerialize: bool = False,
) -> Objectives:
  """Builds both objectives.

  A critic with an auxiliary classifier learns the classes of real samples beside its scores, and
  the generator to be recognised [3]; the metrics do not count that.

  Args:
    loss: the loss, such as `LOSSES["wasserstein"]` or `config.loss_row`.
    penalty: the penalty, such as `PENALTIES["gp"]` or `config.penalty_row`.
    networks: the critic and the generator.
    micro_batches: parts in which samples go through the networks; losses and penalties are those of
      the whole batch, whatever they compare. See `wgan_jax.memory`.
    rematerialize: whether each pass is computed again for its derivatives.

  Returns:
    The pair.

  References:
    [1], Algorithm 1; [2], equation 3 and Algorithm 1, appendix F for the auxiliary classifier.
  """
  critic = networks.critic
  options = {"n_parts": micro_batches, "rematerialize": rematerialize}
  generator = generate_in_parts(networks.generator, **options)
  piecewise = functools.partial(in_parts, **options)

  def inspect(critic_params, x, *labels):
    """Scores [n], and the logits of the classes [n, n_classes], if there is a classifier."""
    if critic.classify is not None:
      return piecewise(jax.vmap(functools.partial(critic.classify, critic_params)))(x)
    return piecewise(jax.vmap(functools.partial(critic.apply, critic_params)))(x, *labels), None

  def critic_objective(critic_params, key, real, fake, lambda_gp, *labels):
    critic_fn = functools.partial(critic.apply, critic_params)
    # One pass is faster than two.
    scores, logits = inspect(
      critic_params, jnp.concatenate([real, fake]), *(jnp.concatenate([y, y]) for y in labels)
    )
    if scores.ndim != 1:
      raise ValueError(
        f"a critic maps ONE sample to ONE score, of shape [], got {list(scores.shape[1:])}"
      )
    real_scores, fake_scores = jnp.split(scores, 2)
    objective = loss.critic(real_scores, fake_scores)
    cost, norms = jnp.zeros(()), jnp.zeros(1)
    if penalty.cost is not None:
      inspect_slope = piecewise(functools.partial(gradient_norms, critic_fn))
      norms = inspect_slope(penalty.points(key, real, fake), *labels)
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
    if logits is not None:
      objective += AC_CRITIC_WEIGHT * _cross_entropy(logits[: len(real)], *labels)
    return objective, metrics

  def generator_objective(
    generator_params, batch_stats, critic_params, latents, real=None, *labels
  ):
    fake, batch_stats = generator.apply(generator_params, batch_stats, latents, *labels, train=True)
    scores, logits = inspect(critic_params, fake, *labels)
    if loss.generator_sees_real:
      objective = loss.generator(scores, inspect(critic_params, real, *labels)[0])
    else:
      objective = loss.generator(scores)
    if logits is not None:
      objective += AC_GENERATOR_WEIGHT * _cross_entropy(logits, *labels)
    return objective, batch_stats

  return Objectives(critic_objective, generator_objective)


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
