"""Training of members side by side, with anybody's networks, looked at on the way.

It is for claims whose networks or data no flag has. A sweep does the same for those that have.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.engine.program import Program
from wgan_jax import Hparams, Info, State, Training

_LONGEST_CHUNK = 500  # Steps that a call may do before it can be stopped.

LookFn = Callable[[jax.Array, State, Any], dict[str, jax.Array]]
"""(key, state, data) -> arrays by name, to be jitted; `key` is of the member and the step."""


class Observed(NamedTuple):
  """What was seen of members.

  Attributes:
    at: the steps at which one looked, 0 for the start.
    seen: by name, [members, looks, ...], on the host.
    info: metrics of each step, [members, steps], on the host; without meaning from where a member
      diverged.
    alive: whether each member's steps were all finite, [members].
    state: the members at the end, each leaf [members, ...].
  """

  at: list[int]
  seen: dict[str, np.ndarray]
  info: Info
  alive: np.ndarray
  state: State


def observe(
  training: Training, data: Any, members: Sequence[tuple[Hparams, int]], at: Sequence[int], look
) -> Observed:
  """Trains members of one program and looks at them.

  A member is the run alone of the same training and key, bit for bit on a CPU.

  Args:
    training: of `make_training`, or a claim's own.
    data: what its `step` takes as data, and the argument of `look`.
    members: hyperparameters and seed of each.
    at: the steps to look at, rising; training ends at the last, which is at least 1.
    look: a `LookFn`, computes what is to be seen of a state.

  Returns:
    What was seen. A member that diverged is looked at as it was before it did.
  """
  gaps = np.diff([0, *at])
  capacity = max(1, min(int(gaps.max()), _LONGEST_CHUNK))
  program = Program(training, data, members, capacity)
  look_all = program.mapped(
    lambda state, key, data: look(jax.random.fold_in(key, state.step), state, data)
  )
  current, seen, infos = program.init(), [], []
  for gap in map(int, gaps):
    while gap > 0:
      current, info = program.chunk(current, min(gap, capacity))
      infos.append(info)
      gap -= capacity
    seen.append(jax.device_get(look_all(current.state, program.keys, program.data)))
  current = program.fetch(current)
  seen = jax.tree.map(lambda *looks: np.stack(looks, 1)[: program.n_members], *seen)
  info = jax.tree.map(lambda *rows: np.concatenate(rows, 1), *infos)
  return Observed(list(at), seen, info, np.asarray(current.alive), current.state)
