"""Less memory for the same numbers: a batch goes through the networks in parts.

What a part computes on its way to a derivative is not kept, but computed again (rematerialisation):
a third more arithmetic, and the memory of one part.

References:
  Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, arXiv 1604.06174.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from wgan_jax.types import Network


def in_parts(function: Callable, n_parts: int) -> Callable:
  """Makes a function of samples work through them in parts, one after another.

  Part i holds samples i, i + n_parts, ..., so that samples which lie on several devices stay there.

  Args:
    function: of arrays [batch, ...], each sample by itself; returns arrays [batch, ...].
    n_parts: how many, a divisor of the batch.

  Returns:
    The function; with one part, as it was given.
  """
  if n_parts == 1:
    return function

  def mapped(*samples):
    parts = jax.tree.map(lambda x: _split(x, n_parts), samples)
    results = jax.lax.map(lambda part: jax.checkpoint(function)(*part), parts)
    return jax.tree.map(_join, results)

  return mapped


def generate_in_parts(generator: Network, n_parts: int) -> Network:
  """Makes a generator draw its training batches in parts; see `in_parts`.

  Batch normalisation sees the samples of one part. The running statistics move by the mean of what
  each part moves them by: the running mean is that of the whole batch, the running variance lacks
  the variance between the parts.

  Args:
    generator: with `apply(params, batch_stats, latents, *labels, train) -> (samples, batch_stats)`.
    n_parts: how many, a divisor of the batch.

  Returns:
    The generator; with one part, as it was given.
  """
  if n_parts == 1:
    return generator

  def apply(params, batch_stats, *latents_and_labels, train):
    draw = jax.checkpoint(
      lambda params, batch_stats, part: generator.apply(params, batch_stats, *part, train=train)
    )
    parts = jax.tree.map(lambda x: _split(x, n_parts), latents_and_labels)
    samples, moved = jax.lax.map(lambda part: draw(params, batch_stats, part), parts)
    return _join(samples), jax.tree.map(_mean, moved)

  return generator._replace(apply=apply)


def check_parts(n: int, n_parts: int, name: str) -> None:
  """Refuses a number of parts that does not divide a batch.

  Raises:
    ValueError: it does not; `name` is that of the batch's size.
  """
  if n % n_parts:
    raise ValueError(f"Config.micro_batches={n_parts} does not divide Config.{name}={n}")


def _split(x: jax.Array, n_parts: int) -> jax.Array:
  return jnp.swapaxes(x.reshape(-1, n_parts, *x.shape[1:]), 0, 1)


def _join(x: jax.Array) -> jax.Array:
  return jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])


def _mean(each: jax.Array) -> jax.Array:
  """The mean over parts; of a count, which all of them moved alike, the first."""
  return jnp.mean(each, 0) if jnp.issubdtype(each.dtype, jnp.floating) else each[0]
