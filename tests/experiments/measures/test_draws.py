"""Draws for measurements."""

import jax
import jax.numpy as jnp

from experiments.measures.draws import measuring_keys
from wgan_jax import State


def test_each_run_step_and_purpose_has_its_own_measuring_key():
  def keys(seed, step):
    state = State(jnp.int32(step), jax.random.key(seed), *[None] * 6)
    return [jax.random.key_data(key).tobytes() for key in measuring_keys(state).values()]

  found = [key for seed in (0, 1) for step in (0, 1) for key in keys(seed, step)]
  assert len(set(found)) == len(found)
