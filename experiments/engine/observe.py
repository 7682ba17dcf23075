"""Members trained side by side, with anybody's networks, and looked at on the way.

For claims whose networks or data no flag has; a sweep's folder does the same for those that have.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from experiments.engine.program import rare_options
from experiments.spec.settings import Settings
from wgan_jax.sweep import make_sweep, members_mesh, shard_members
from wgan_jax.training import Config, Hparams, Info, SampleRealFn, State, Training, make_training
from wgan_jax.types import Pair

_LONGEST_CHUNK = 500  # Of steps: what a call may do before it can be stopped.

LookFn = Callable[[jax.Array, State, Any], dict[str, jax.Array]]
"""(key, state, data) -> arrays by name, to be jitted; `key` is of the member and the step."""


class Observed(NamedTuple):
  """What was seen.

  Attributes:
    at: the steps at which one looked, 0 for the start.
    seen: by name, [members, looks, ...], on the host.
    info: what each step told, [members, steps], on the host; of no meaning from where a member
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
  config: Config,
  networks: Pair,
  sample_real: SampleRealFn,
  data: Any,
  members: Sequence[tuple[Hparams, int]],
  at: Sequence[int],
  look: LookFn,
) -> Observed:
  """Trains members of one program, one after another on each device, and looks at them.

  A member is the run of `wgan_jax.make_training` with the same key, bit for bit on a CPU.

  Args:
    config: the static choices that all have in common.
    networks: their critic and generator.
    sample_real: draws real samples.
    data: its argument, and that of `look`.
    members: hyperparameters and seed of each.
    at: the steps to look at, rising; training ends at the last, which is at least 1.
    look: what is to be seen of a state.

  Returns:
    What was seen. A member that diverged is looked at as it was before it did.
  """
  training = make_training(config, networks, sample_real)
  return observe_training(training, data, members, at, look)


def observe_training(
  training: Training,
  data: Any,
  members: Sequence[tuple[Hparams, int]],
  at: Sequence[int],
  look: LookFn,
) -> Observed:
  """`observe` of a training of one's own, for a claim whose step is no `make_training`."""
  devices = jax.local_devices()[: len(members)]
  mesh = members_mesh(devices)
  laid_out = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
  padded = [*members, *members[-1:] * (-len(members) % len(devices))]
  keys = [jax.random.split(jax.random.key(seed)) for _, seed in padded]
  key_training, key_looks = (
    jax.device_put(jnp.stack(column), laid_out) for column in zip(*keys, strict=True)
  )
  hparams = [jax.tree.map(jnp.float32, each) for each, _ in padded]
  hparams = jax.device_put(jax.tree.map(lambda *leaves: jnp.stack(leaves), *hparams), laid_out)
  data = jax.device_put(data, NamedSharding(mesh, PartitionSpec()))
  gaps = np.diff([0, *at])
  capacity = max(1, min(int(gaps.max()), _LONGEST_CHUNK))
  sweep = make_sweep(training, capacity, batching="map", mesh=mesh)
  chunk = jax.jit(sweep.chunk, donate_argnums=0)

  def look_at_all(states, keys, data):
    def look_at(each):
      state, key = each
      return look(jax.random.fold_in(key, state.step), state, data)

    return jax.lax.map(look_at, (states, keys))

  look_all = jax.jit(shard_members(look_at_all, mesh, 2))
  state = jax.jit(sweep.init, compiler_options=rare_options())(key_training, hparams)
  seen, infos = [], []
  for gap in gaps:
    while gap > 0:
      n_steps = min(int(gap), capacity)
      state, info = chunk(state, hparams, data, n_steps)
      infos.append(jax.tree.map(lambda rows, n=n_steps: rows[:, :n], jax.device_get(info)))
      gap -= n_steps
    seen.append(jax.device_get(look_all(state.state, key_looks, data)))
  n = len(members)
  return Observed(
    at=list(at),
    seen=jax.tree.map(lambda *looks: np.stack(looks, 1)[:n], *seen),
    info=jax.tree.map(lambda *rows: np.concatenate(rows, 1)[:n], *infos),
    alive=np.asarray(state.alive)[:n],
    state=jax.tree.map(lambda leaf: leaf[:n], jax.device_put(state.state, devices[0])),
  )


def observe_settings(
  runs: Sequence[Settings], data_dir: str | None, at: Sequence[int], look: LookFn
) -> Observed:
  """`observe` of runs that flags can ask for, all of one program."""
  if len({run.program_name() for run in runs}) != 1:
    raise ValueError("the runs must differ in numbers and seeds only")
  first, dataset = runs[0], runs[0].load(data_dir)
  members = [(run.hparams(), run.seed) for run in runs]
  return observe(
    first.config(), first.networks(), dataset.sample_real, dataset.train, members, at, look
  )
