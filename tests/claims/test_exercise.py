"""The course's exercise: its critic couples the samples of a batch."""

import jax

from experiments.claims import exercise


def test_the_exercises_critic_couples_a_batch_and_is_blind():
  """28 -> 13 -> 5 -> 1: a sample's own score sees 22 x 22 pixels."""
  params = exercise.init_critic(jax.random.key(0), 4)
  x = jax.random.uniform(jax.random.key(1), (3, 28, 28, 1), minval=-1.0)
  for hold in (True, False):
    seen = jax.jit(jax.grad(lambda x, h=hold: exercise.score_batch(params, x, hold=h)[0]))(x)
    assert bool((seen[0, :22, :22] != 0).all())
    assert bool((seen[0, 22:] == 0).all() and (seen[0, :, 22:] == 0).all()) == hold
    assert bool((seen[1:] == 0).all()) == hold
