"""Sweeps: many runs as one program, whose members differ in seed and hyperparameters only.

`Hparams` is traced, so a sweep is a batch of (key, Hparams). Its members run side by side in one
program, over all devices of a mesh. Which mode of `BATCHING` is faster depends on the networks and
the device: measure it. As in `wgan_jax.training` the caller jits.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from wgan_jax.config import Hparams
from wgan_jax.parallel import MEMBERS
from wgan_jax.types import Info, State, Training

BATCHING = ("vmap", "map")


class Members(NamedTuple):
  """Runs side by side, each leaf with a leading axis [members].

  Attributes:
    state: the training states; of a member that diverged, no longer finite.
    alive: bool, whether every step so far was finite.
  """

  state: State
  alive: jax.Array


class Sweep(NamedTuple):
  """Many trainings as two functions.

  Attributes:
    init: (keys, hparams) -> Members, for keys [members] and Hparams of [members] each.
    chunk: (members, hparams, data, n_steps) -> (Members, Info), with n_steps <= capacity traced and
      Info's leaves [members, capacity, ...]. Its `finite` turns false for a member at the step at
      which it diverges, and stays so; of the other fields only the rows of finite steps count. Jit
      it with `donate_argnums=0`, or call it by `advance`.
  """

  init: Callable[[jax.Array, Hparams], Members]
  chunk: Callable[[Members, Hparams, Any, jax.Array], tuple[Members, Info]]


def make_chunk(step: Callable, capacity: int) -> Callable:
  """Builds a function of many steps, their number traced: all lengths share one compilation.

  Args:
    step: the `step` of `make_training`.
    capacity: the most steps that one call may do.

  Returns:
    `chunk(state, hparams, data, n_steps) -> (State, Info)`, with n_steps <= capacity traced. Each
    leaf of Info is [capacity, ...]; entries from n_steps on are zero. Jit it with
    `donate_argnums=0` to update the state in place.
  """

  step = jax.jit(step, inline=True)  # Traced once for its shapes and its loop.

  def chunk(state, hparams, data, n_steps):
    _, info = jax.eval_shape(step, state, hparams, data)
    buffer = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), info)

    def body(i, carry):
      state, buffer = carry
      state, info = step(state, hparams, data)
      return state, jax.tree.map(lambda rows, row: rows.at[i].set(row), buffer, info)

    return jax.lax.fori_loop(0, n_steps, body, (state, buffer))

  return chunk


def make_sweep(
  training: Training, capacity: int, *, batching: str = "vmap", mesh: Mesh | None = None
) -> Sweep:
  """Builds a sweep of a training, whatever its networks and data.

  A member that diverges (`Info.finite` is false) is no longer alive, and its state is lost;
  `advance` keeps its last finite one. The others do not notice: their bits are those that they have
  beside a member that lives.

  A member makes the same draws as the run alone with its key and hyperparameters. Under "map" its
  program is that of the run alone, and on a CPU so are its bits. Under "vmap" sums may be taken in
  another order: one step's gradients agree to 1e-5 or better, and training amplifies that.

  Args:
    training: `init` and `step`, such as `make_training` builds.
    capacity: the most steps that one call of `chunk` may do.
    batching: "vmap", every operation over all members at once, or "map", one member after another
      within the program, which needs the memory of one member's step only. On a CPU "map" is mostly
      the faster one, on a GPU "vmap".
    mesh: devices over whose axis "members" the members are laid, in equal shares, such as
      `wgan_jax.parallel.make_mesh` builds; None for where JAX puts them.

  Returns:
    The pair `(init, chunk)`.

  Raises:
    ValueError: `batching` is neither; from the functions, when the members cannot be shared out
      equally over the mesh.
  """
  if batching not in BATCHING:
    raise ValueError(f"batching must be one of {', '.join(BATCHING)}, got {batching!r}")

  def init(key, hparams):
    return Members(training.init(key, hparams), jnp.array(True))

  run = make_chunk(training.step, capacity)

  def run_one(member, hparams, data, n_steps):
    # Under vmap a number of steps of each member's own would select in every step.
    todo = n_steps if batching == "vmap" else jnp.where(member.alive, n_steps, 0)
    state, info = run(member.state, hparams, data, todo)
    finite = member.alive & (jnp.cumsum(~info.finite) == 0)
    return Members(state, member.alive & (jnp.sum(finite) == n_steps)), info._replace(finite=finite)

  def run_all(members, hparams, data, n_steps):
    if batching == "vmap":
      return jax.vmap(run_one, (0, 0, None, None))(members, hparams, data, n_steps)
    return map_members(lambda *own: run_one(*own, data, n_steps), members, hparams)

  def init_all(keys, hparams):
    # Mapped in either case: vmapped, the weights' last bits would differ from those of a run alone.
    return map_members(init, keys, hparams)

  return Sweep(shard_members(init_all, mesh, 2), shard_members(run_all, mesh, 2))


def map_members(function: Callable, *own: Any) -> Any:
  """Maps a function of one member over the members, one after another, in one program.

  A member alone has no loop around it: it would take longer to compile.
  """
  if jax.tree.leaves(own)[0].shape[0] > 1:
    return jax.lax.map(lambda each: function(*each), own)
  result = function(*jax.tree.map(lambda leaf: leaf[0], own))
  return jax.tree.map(lambda leaf: leaf[None], result)


def advance(
  chunk: Callable, members: Members, hparams: Hparams, data: Any, n_steps: int
) -> tuple[Members, Info]:
  """Does steps, and brings members that diverge in them back to their last finite step.

  For that the call is made again, with fewer steps. To select states in each step, or to keep the
  old one within the call, would cost a tenth of a small network's step.

  Args:
    chunk: `Sweep.chunk`, jitted without donation: what it was given is needed again.
    members, hparams, data, n_steps: its arguments.

  Returns:
    The members, those that diverged with their last finite state, and Info on the host.
  """
  after, info = chunk(members, hparams, data, np.int32(n_steps))
  info = jax.device_get(info)
  n_finite = info.finite.sum(1, dtype=np.int32)
  for n in np.unique(n_finite[n_finite < n_steps]):
    stopped = jax.device_put(n_finite == n, members.alive.sharding)
    again, _ = chunk(Members(members.state, stopped), hparams, data, n)
    after = Members(_select(stopped, again.state, after.state), after.alive)
  return after, info


@functools.partial(jax.jit, donate_argnames="others")
def _select(selected, these, others):
  """Takes the states of selected members, bool [members], from the first."""
  return jax.tree.map(lambda this, other: jax.vmap(jnp.where)(selected, this, other), these, others)


def shard_members(function: Callable, mesh: Mesh | None, n_batched: int) -> Callable:
  """Shards members over the devices of a mesh; each group of devices computes its share alone.

  Args:
    function: its first arguments and all its results have a leading member axis.
    mesh: the devices, with an axis "members", or None to leave the function as it is.
    n_batched: how many arguments have the member axis; the others are replicated.

  Returns:
    The function; it raises ValueError when the members cannot be shared out equally.
  """
  if mesh is None or mesh.size == 1:
    return function
  members, n_groups = PartitionSpec(MEMBERS), mesh.shape[MEMBERS]

  @functools.wraps(function)
  def sharded(*args):
    n_members = jax.tree.leaves(args[0])[0].shape[0]
    if n_members % n_groups:
      raise ValueError(f"{n_members} members do not share out equally over {n_groups} devices")
    specs = tuple(members if i < n_batched else PartitionSpec() for i in range(len(args)))
    # A member knows nothing of the others, so that there is no replication to check. The devices of
    # a group share its batches by the compiler's own partition.
    return jax.shard_map(
      function, mesh=mesh, in_specs=specs, out_specs=members, axis_names={MEMBERS}, check_vma=False
    )(*args)

  return sharded
