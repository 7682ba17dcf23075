"""Less memory for the same numbers: rematerialisation, and a batch in parts.

What a pass through a network computes on its way to a derivative is not kept, but computed again
(rematerialisation): a third more arithmetic, and of several passes the memory of one. A batch that
goes through the networks in parts needs that of one part.

The compiler for CPUs merges what is computed again with the first time, unless told not to:
`jax.jit(step, compiler_options={"xla_disable_hlo_passes": "cse_barrier_expander"})`. In the loop
over parts it does not.

References:
  Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, arXiv 1604.06174.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from wgan_jax.types import Network


def in_parts(function: Callable, n_parts: int, *, rematerialize: bool = False) -> Callable:
  """Makes a function of samples work through them in parts, one after another.

  Part i holds samples i, i + n_parts, ..., so that samples which lie on several devices stay there.

  Args:
    function: of arrays [batch, ...], each sample by itself; returns arrays [batch, ...].
    n_parts: how many, a divisor of the batch.
    rematerialize: whether it is computed again for its derivative in one part, too.

  Returns:
    The function; with one part and without rematerialisation, as it was given.
  """
  if n_parts == 1:
    return jax.checkpoint(function) if rematerialize else function

  def mapped(*samples):
    parts = jax.tree.map(lambda x: _split(x, n_parts), samples)
    results = jax.lax.map(lambda part: jax.checkpoint(function)(*part), parts)
    return jax.tree.map(_join, results)

  return mapped


def generate_in_parts(generator: Network, n_parts: int, *, rematerialize: bool = False) -> Network:
  """Makes a generator draw its training batches in parts; see `in_parts`.

  Batch normalisation sees the samples of one part. The running statistics move by the mean of what
  each part moves them by: the running mean is that of the whole batch, the running variance lacks
  the variance between the parts.

  Args:
    generator: with `apply(params, batch_stats, latents, *labels, train) -> (samples, batch_stats)`.
    n_parts: how many, a divisor of the batch.
    rematerialize: as in `in_parts`.

  Returns:
    The generator; with one part and without rematerialisation, as it was given.
  """
  if n_parts == 1 and not rematerialize:
    return generator

  def apply(params, batch_stats, *latents_and_labels, train):
    draw = jax.checkpoint(
      lambda params, batch_stats, part: generator.apply(params, batch_stats, *part, train=train)
    )
    if n_parts == 1:
      return draw(params, batch_stats, latents_and_labels)
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
