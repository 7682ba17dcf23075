"""Diagnostics of a critic that trains badly: gradient norms, clipped weights, optimiser steps.

References:
  [1] Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
  [2] Gulrajani et al., Improved Training of Wasserstein GANs, 2017, arXiv 1704.00028v3.
"""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from wgan_jax.layers import Conv, Dense, Layer, Sum
from wgan_jax.losses import LOSSES
from wgan_jax.numerics import norm
from wgan_jax.types import Pair, Params


def activation_gradient_norms(
  layers: Sequence[Layer],
  critic_loss: Callable[[jax.Array, jax.Array], jax.Array],
  real: jax.Array,
  fake: jax.Array,
) -> jax.Array:
  """|dL / dh_i| for the output h_i of each linear layer or block, before its activation.

  The norm is taken over all entries of both batches at once. With a loss that is a mean it falls as
  one over the root of the batch size, so compare layers, or runs of one batch size. Weight clipping
  makes it grow or decay exponentially from layer to layer ([2]).

  Args:
    layers: the critic's layers, such as `critic.layers(params)`.
    critic_loss: (real_scores [n], fake_scores [m]) -> [], such as `wasserstein_critic_loss`.
    real: x, [n, ...].
    fake: g(z), [m, ...].

  Returns:
    The norms, [dense and convolutional layers, and blocks], input to output.

  References:
    [2], figure 1b, left.
  """
  chex.assert_equal_shape_suffix([real, fake], real.ndim - 1)

  def outputs(x, offsets):
    """-> each linear layer's output, moved by its offset, and the scores."""
    found = []
    for layer in layers:
      x = jax.vmap(layer.__call__)(x)
      if isinstance(layer, Dense | Conv | Sum):
        x = x + offsets[len(found)] if offsets else x
        found.append(x)
    return found, x.reshape(x.shape[0])

  def loss(offsets):
    _, scores = outputs(samples, offsets)
    return critic_loss(scores[: real.shape[0]], scores[real.shape[0] :])

  samples = jnp.concatenate([real, fake])
  shapes, _ = jax.eval_shape(lambda x: outputs(x, ()), samples)
  gradients = jax.grad(loss)([jnp.zeros(leaf.shape, leaf.dtype) for leaf in shapes])
  return jnp.stack([norm(gradient.ravel()) for gradient in gradients])


def generator_losses() -> dict[str, Callable[[jax.Array], jax.Array]]:
  """Distinct generator losses in `LOSSES` that need fake scores only.

  Losses that share one function stand under the first of their names.

  Returns:
    By name, (fake_scores [n]) -> [].
  """
  found = {}
  for name, loss in LOSSES.items():
    if not loss.generator_sees_real and loss.generator not in found.values():
      found[name] = loss.generator
  return found


def generator_gradient_norms(
  networks: Pair,
  critic_params: Params,
  generator_params: Params,
  batch_stats: chex.ArrayTree,
  latents: jax.Array,
  *labels: jax.Array,
) -> dict[str, jax.Array]:
  """Gradient norm of each generator loss, for one critic and the same latents.

  With a discriminator that is sure of its case, minimax's vanishes. The generator runs as in its
  own update, on the statistics of this batch.

  Args:
    networks: the pair.
    critic_params: the critic's or discriminator's parameters.
    generator_params: the generator's parameters, by which the losses are differentiated.
    batch_stats: the generator's running statistics.
    latents: z, [n, latent_dim].
    *labels: for conditional networks, the samples' classes, integers [n].

  Returns:
    By name, as in `generator_losses`, the norm over all parameters, [].

  References:
    [1], figure 2.
  """

  def score(generator_params):
    fake, _ = networks.generator.apply(generator_params, batch_stats, latents, *labels, train=True)
    return jax.vmap(lambda x, *label: networks.critic.apply(critic_params, x, *label))(
      fake, *labels
    )

  scores, pull = jax.vjp(score, generator_params)
  gradients = {name: pull(jax.grad(loss)(scores)) for name, loss in generator_losses().items()}
  return {name: norm(ravel_pytree(gradient)[0]) for name, gradient in gradients.items()}


def clipped_share(params: Params, clip_value: float | jax.Array) -> jax.Array:
  """Share of a critic's entries at the clipping bound: |w| >= c (1 - 1e-6).

  Args:
    params: the critic's parameters, after `clip_params`.
    clip_value: c > 0, a number or a traced scalar.

  Returns:
    The share, [], in [0, 1].

  References:
    [2], figure 1b, right.
  """
  flat, _ = ravel_pytree(params)
  return jnp.mean(jnp.abs(flat) >= clip_value * (1 - 1e-6))


def update_cosine(updates: Params, gradients: Params) -> jax.Array:
  """cos(u, -g): whether an optimiser's step u descends the gradient g that it was given.

  1 for gradient descent. Negative when momentum carries the parameters uphill.

  Args:
    updates: u, what is added to the parameters, of their structure.
    gradients: g of what is minimised, of the same structure.

  Returns:
    The cosine, []; 0 if either is zero.

  References:
    [1], section 4 (on Adam's critic).
  """
  chex.assert_trees_all_equal_shapes(updates, gradients)
  u, g = (ravel_pytree(tree)[0] for tree in (updates, gradients))
  u, g = (x / jnp.where(norm(x) > 0, norm(x), 1) for x in (u, g))
  return -jnp.vdot(u, g)
