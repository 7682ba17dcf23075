"""Penalties of a critic's gradients, per sample, and weight clipping.

`PENALTIES` holds by name what keeps a critic's slope bounded during training.

References:
  [1] Gulrajani et al., Improved Training of Wasserstein GANs, 2017, arXiv 1704.00028v3.
  [2] Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
  [3] Mescheder, Geiger and Nowozin, Which Training Methods for GANs do actually Converge?, 2018,
    arXiv 1801.04406.
  [4] Kodali et al., On Convergence and Stability of GANs, 2017, arXiv 1705.07215.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from wgan_jax.numerics import norm
from wgan_jax.types import CriticFn, Params


def interpolate(key: jax.Array, real: jax.Array, fake: jax.Array) -> jax.Array:
  """x_hat = epsilon x + (1 - epsilon) g(z), one epsilon ~ U[0, 1) per sample.

  All entries (pixels, channels) of a sample share its epsilon, so x_hat lies on the straight line
  between the pair.

  Args:
    key: a PRNG key.
    real: x, [batch, ...].
    fake: g(z), of the shape of `real`.

  Returns:
    x_hat, of the shape of `real`.

  References:
    [1], Algorithm 1, lines 4 and 6.
  """
  chex.assert_equal_shape([real, fake])
  chex.assert_type([real, fake], float)
  epsilon = jax.random.uniform(key, (real.shape[0],) + (1,) * (real.ndim - 1), real.dtype)
  return epsilon * real + (1 - epsilon) * fake


def perturb(key: jax.Array, real: jax.Array) -> jax.Array:
  """x + alpha u s / 2: points around the real data, at the scale of the data.

  u ~ U[0, 1) for each entry, alpha ~ U[0, 1) for each sample, and s is the standard deviation of
  all entries of the batch. This is the perturbation in the code of the authors of [4]; their paper
  adds Gaussian noise of a fixed variance instead.

  Args:
    key: a PRNG key.
    real: x, [batch, ...].

  Returns:
    The points, of the shape of `real`.
  """
  chex.assert_type(real, float)
  key_alpha, key_u = jax.random.split(key)
  alpha = jax.random.uniform(key_alpha, (real.shape[0],) + (1,) * (real.ndim - 1), real.dtype)
  deviation = norm((real - jnp.mean(real)).ravel()) / math.sqrt(real.size)
  return real + alpha * jax.random.uniform(key_u, real.shape, real.dtype) * deviation / 2


def gradient_norms(critic_fn: CriticFn, x: jax.Array, *labels: jax.Array) -> jax.Array:
  """||grad c(x_i)||_2 for each sample i, over all its entries.

  Differentiable of any order, with a zero (not NaN) gradient where the norm is zero.

  Args:
    critic_fn: maps one sample [...] to one score [].
    x: a batch of samples, [batch, ...].
    *labels: for a conditional critic, the samples' classes, integers [batch]. The gradient is with
      respect to the sample.

  Returns:
    The norms, [batch], in units of score per unit of data.
  """
  chex.assert_type(x, float)
  gradients = jax.vmap(jax.grad(critic_fn))(x, *labels)
  return norm(gradients.reshape(x.shape[0], -1))


def penalize(norms: jax.Array, *, target: float = 1.0, one_sided: bool = False) -> jax.Array:
  """E (norm - target)^2, or, one-sided, E max(norm - target, 0)^2.

  Args:
    norms: gradient norms, [batch].
    target: the norm that costs nothing.
    one_sided: leave norms below the target alone.

  Returns:
    The bare penalty, []; its weight lambda belongs to the caller.

  References:
    [1], equation 3; appendix C for the one-sided form.
  """
  chex.assert_rank(norms, 1)
  excess = norms - target
  if one_sided:
    excess = jax.nn.relu(excess)
  return jnp.mean(jnp.square(excess))


def penalize_squares(norms: jax.Array) -> jax.Array:
  """E norm^2 / 2: the R1 penalty of gradient norms at real samples, R2 at fake ones.

  The gradient is exact for a flat critic too: that of `gradient_norms` is zero where the norm is.

  Args:
    norms: gradient norms, [batch].

  Returns:
    The bare penalty, []; its weight, gamma in [3], belongs to the caller.

  References:
    [3], equations 9 and 10.
  """
  chex.assert_rank(norms, 1)
  return jnp.mean(jnp.square(norms)) / 2


def gradient_penalty(
  key: jax.Array,
  critic_fn: CriticFn,
  real: jax.Array,
  fake: jax.Array,
  *,
  target: float = 1.0,
  one_sided: bool = False,
) -> jax.Array:
  """E (||grad c(x_hat)||_2 - target)^2 on random points between real and fake.

  Add lambda times it to the critic's loss, which is minimised.

  Args:
    key: a PRNG key, for epsilon.
    critic_fn: maps one sample [...] to one score [].
    real: x, [batch, ...].
    fake: g(z), of the shape of `real`.
    target: the gradient norm that costs nothing.
    one_sided: leave norms below the target alone.

  Returns:
    The bare penalty, [].

  References:
    [1], equation 3.
  """
  norms = gradient_norms(critic_fn, interpolate(key, real, fake))
  return penalize(norms, target=target, one_sided=one_sided)


def clip_params(params: Params, clip_value: float | jax.Array) -> Params:
  """Clips every entry of every leaf, biases too, to [-clip_value, clip_value].

  Apply it after the critic's update. It makes the critic K-Lipschitz for some K that depends on the
  architecture, so the estimate is of K times the distance at most.

  Args:
    params: the critic's parameters.
    clip_value: c > 0, a number or a traced scalar.

  Returns:
    The clipped parameters.

  References:
    [2], Algorithm 1, line 7.
  """
  return jax.tree.map(
    lambda leaf: jnp.clip(leaf, -clip_value, clip_value).astype(leaf.dtype), params
  )


class Penalty(NamedTuple):
  """One way to keep a critic's slope bounded.

  Attributes:
    points: (key, real, fake) -> points [batch, ...], where gradient norms are taken; None for no
      penalty.
    cost: (norms [batch]) -> the bare penalty []; None for no penalty. Needs `points`.
    project: (critic_params, hparams) -> critic_params, applied after each critic update, `hparams`
      a `wgan_jax.Hparams`; None for nothing.
    lambda_gp: the weight of the penalty in its source; None where none is stated.
    loss: the loss that its source adds it to, a key of `wgan_jax.LOSSES`.
    reads: the fields of `wgan_jax.Hparams` that `project` reads, such as ("clip_value",).
  """

  points: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] | None = None
  cost: Callable[[jax.Array], jax.Array] | None = None
  project: Callable[[Params, NamedTuple], Params] | None = None
  lambda_gp: float | None = None
  loss: str = "wasserstein"
  reads: tuple[str, ...] = ()


PENALTIES = {
  # The weights: [1], section 4; appendix C has no other; [3], section 4; [4], section 2.
  "gp": Penalty(interpolate, penalize, lambda_gp=10.0),
  "gp_one_sided": Penalty(interpolate, functools.partial(penalize, one_sided=True), lambda_gp=10.0),
  "r1": Penalty(
    lambda key, real, fake: real, penalize_squares, lambda_gp=10.0, loss="nonsaturating"
  ),
  "r2": Penalty(
    lambda key, real, fake: fake, penalize_squares, lambda_gp=10.0, loss="nonsaturating"
  ),
  "dragan": Penalty(
    lambda key, real, fake: perturb(key, real), penalize, lambda_gp=10.0, loss="nonsaturating"
  ),
  "clip": Penalty(
    project=lambda params, hparams: clip_params(params, hparams.clip_value), reads=("clip_value",)
  ),
  "none": Penalty(),
}
"""The penalties by name, and weight clipping as one of them."""


def check_penalty(penalty: Penalty) -> None:
  """Refuses a penalty that cannot be trained with.

  Raises:
    ValueError: it has points but no cost, or a cost but no points.
  """
  if (penalty.points is None) != (penalty.cost is None):
    given, missing = ("cost", "points") if penalty.points is None else ("points", "cost")
    raise ValueError(
      f"Config.penalty has {given} but no {missing}: give both, such as"
      " Penalty(points=wgan_jax.interpolate, cost=wgan_jax.penalize), or neither"
    )
