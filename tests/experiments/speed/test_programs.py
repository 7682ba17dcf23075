"""Programs that are timed: they train as a run does, in the precision that is asked for."""

import chex
import jax
import numpy as np
import pytest

from experiments.speed import programs, steps
from experiments.speed.programs import CAPACITY, PRECISIONS, paced, start_state, trace


def tiny(**choices):
  return steps.settings_of("grid", width=2, depth=1, batch_size=2, n_critic=1, **choices)


@pytest.mark.campaign
def test_a_traced_member_trains_as_the_engine_does():
  settings = tiny()
  dataset, state = settings.load(), start_state(settings)
  traced = trace(settings, dataset, state, n_members=2)
  compiled = programs.compile_together({"two": traced.lowered})["two"]
  members, info = compiled(traced.members, traced.hparams, traced.data, np.int32(3))
  assert members.state.step.tolist() == [3, 3]
  assert info.estimate.shape == (2, CAPACITY)
  first, second = (jax.tree.map(lambda leaf, i=i: leaf[i], members.state) for i in range(2))
  chex.assert_trees_all_equal(first.critic_params, second.critic_params)
  way = traced.way(compiled)
  way.run()
  assert way.units % 2 == 0


def test_precisions_reach_the_program():
  settings = tiny()
  dataset, state = settings.load(), start_state(settings)
  texts = {
    name: trace(settings, dataset, state, precision=name).lowered.as_text() for name in PRECISIONS
  }
  assert "bf16" in texts["bfloat16"]
  assert "bf16" not in texts["tf32"] + texts["float32"]
  assert "HIGHEST" in texts["float32"]
  assert "HIGHEST" not in texts["tf32"]


@pytest.mark.parametrize(("cost", "steps_a_turn"), [(1.0, 1), (0.01, 10), (1e-9, CAPACITY)])
def test_turns_last_a_tenth_of_a_second_where_they_can(cost, steps_a_turn, monkeypatch):
  now, done = [0.0], []

  def advance(n_steps):
    now[0] += cost * n_steps
    done.append(n_steps)

  monkeypatch.setattr(programs.time, "perf_counter", lambda: now[0])
  way = paced(advance, units=3)
  assert way.units == 3 * steps_a_turn
  done.clear()
  way.run()
  assert done == [steps_a_turn]
