"""Mixed precision: networks that compute in bfloat16 on parameters that stay in float32.

References:
  Micikevicius et al., Mixed Precision Training, 2017, arXiv 1710.03740, section 3.1. bfloat16 has
  the range of float32, so no loss is scaled.
"""

import chex
import jax
import jax.numpy as jnp

from wgan_jax.types import Pair

COMPUTE_DTYPES = ("float32", "bfloat16")


def compute_in(networks: Pair, dtype: str) -> Pair:
  """Wraps both networks to compute in `dtype`; inputs, outputs and parameters keep their types.

  Gradients with respect to samples or parameters keep their types too: a gradient norm is a sum of
  squares in float32, of entries that were computed in bfloat16. So do the running statistics. A
  generator without parameters is data, and stays exact.

  Args:
    networks: the critic and the generator.
    dtype: one of `COMPUTE_DTYPES`; float32 changes nothing.

  Returns:
    The pair. Its `critic.layers` is None: the list would describe the float32 function.
  """
  if dtype == "float32":
    return networks
  critic, generator = networks.critic, networks.generator

  def score(params, x, *labels):
    return critic.apply(_cast(params, dtype), x.astype(dtype), *labels).astype(x.dtype)

  def classify(params, x):
    score, logits = critic.classify(_cast(params, dtype), x.astype(dtype))
    return score.astype(x.dtype), logits.astype(x.dtype)

  def generate(params, batch_stats, latents, *labels, train):
    if not jax.tree.leaves(params):
      return generator.apply(params, batch_stats, latents, *labels, train=train)
    samples, moved = generator.apply(
      _cast(params, dtype), batch_stats, latents.astype(dtype), *labels, train=train
    )
    moved = jax.tree.map(lambda new, old: new.astype(old.dtype), moved, batch_stats)
    return samples.astype(latents.dtype), moved

  cast = critic._replace(apply=score, layers=None)
  if critic.classify is not None:
    cast = cast._replace(classify=classify)
  return networks._replace(critic=cast, generator=generator._replace(apply=generate))


def _cast(params: chex.ArrayTree, dtype: str) -> chex.ArrayTree:
  return jax.tree.map(
    lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, params
  )
