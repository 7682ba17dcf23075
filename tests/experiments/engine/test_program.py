"""A program's members: what each does does not depend on the others, nor on how they are laid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.engine.program import Program
from wgan_jax.config import Hparams
from wgan_jax.sweep import BATCHING
from wgan_jax.types import Info, Training


def counting():
  """Counts up to the step at which a member's learning rate says that it diverges."""

  def init(key, hparams):
    return {"key": key, "step": jnp.zeros((), jnp.int32), "trace": jnp.zeros(2)}

  def step(state, hparams, data):
    finite = state["step"] + 1 != hparams.learning_rate
    key, own = jax.random.split(state["key"])
    trace = jnp.where(finite, state["trace"] + data * jax.random.normal(own, (2,)), jnp.nan)
    state = {"key": key, "step": state["step"] + 1, "trace": trace}
    info = dict.fromkeys(Info._fields, jnp.float32(state["step"]))
    return state, Info(**info | {"finite": finite})

  return Training(init, step)


def run(first_bad, batching, *chunks):
  """The members' states and their `finite` after calls of so many steps."""
  members = [(Hparams(learning_rate=bad), seed) for seed, bad in enumerate(first_bad)]
  program = Program(counting(), jnp.ones(2), members, 5, batching)
  current, finite = program.init(), []
  for n_steps in chunks:
    current, info = program.chunk(current, n_steps)
    finite.append(info.finite)
  current = program.fetch(current)
  states = current.state | {"key": jax.random.key_data(current.state["key"])}
  return jax.device_get((states, current.alive)), np.concatenate(finite, 1)


@pytest.mark.parametrize("batching", BATCHING)
@pytest.mark.parametrize("first_bad", [(3, 0, 5, 5, 1), (3,)])
def test_who_diverges_stays_at_its_last_finite_step(batching, first_bad):
  (states, alive), finite = run(first_bad, batching, 4, 2, 3)
  ends = [(bad or 10) - 1 for bad in first_bad]
  assert alive.tolist() == [end == 9 for end in ends]
  assert finite.sum(1).tolist() == states["step"].tolist() == ends
  assert not np.isnan(states["trace"]).any()
  # Nobody diverges in as many steps as each did: the same draws, to the bit.
  for i, end in enumerate(ends):
    (expected, _), _ = run((0,) * len(ends), batching, 0, *(1,) * end)
    for name, leaf in states.items():
      np.testing.assert_array_equal(leaf[i], expected[name][i], err_msg=name)


@pytest.mark.parametrize("n_members", [1, 3])
def test_a_program_is_compiled_once(n_members, caplog):
  members = [(Hparams(learning_rate=4.0), seed) for seed in range(n_members)]
  with jax.log_compiles():
    program = Program(counting(), jnp.ones(2), members, 5)
    current = program.init()
    for n_steps in (1, 5, 2):
      current, _ = program.chunk(current, n_steps)
    program.chunk(program.lay_out(program.fetch(current)), 1)
  compiled = [record.args[0] for record in caplog.records if "Compiling" in record.msg]
  assert compiled.count("jit(run_all)") == 1
