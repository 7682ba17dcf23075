"""Members of one program, compiled, on all devices: a run alone is one member."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from experiments.host.digest import to_numpy
from experiments.host.processes import Team
from wgan_jax.config import Hparams
from wgan_jax.parallel import MEMBERS, batch_devices, make_mesh
from wgan_jax.saving import with_keys
from wgan_jax.sweep import Members, advance, make_sweep, map_members, shard_members
from wgan_jax.types import Info, Training


def quick_compile_options() -> dict | None:
  """Compiler options for programs that run rarely (up to 3x faster to compile on a CPU)."""
  return {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None


def checkpoint_compile_options() -> dict | None:
  """Compiler options that keep rematerialisation, which else a CPU's compiler undoes."""
  cpu = jax.default_backend() == "cpu"
  return {"xla_disable_hlo_passes": "cse_barrier_expander"} if cpu else None


def lay_mesh(n_members: int, data_parallel: int = 1) -> Mesh:
  """Lays members over groups of `data_parallel` devices, as many groups as members can use.

  Of several processes each has equally many devices in use: a run alone is laid over the first ones
  of each process; of a sweep all groups are in use, perhaps with copies of a member.
  """
  devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
  n_groups, n_processes = len(devices) // data_parallel, jax.process_count()
  if n_processes == 1:
    n_groups = min(n_members, n_groups)
  elif n_members == 1 and data_parallel % n_processes == 0:
    grid = np.array(devices).reshape(n_processes, -1)
    n_groups, devices = 1, list(grid[:, : data_parallel // n_processes].flat)
  return make_mesh(devices[: n_groups * data_parallel], data_parallel)


class Program:
  """One training of n >= 1 members that differ in seed and hyperparameters only.

  Members are laid over groups of devices in equal shares. The last member is repeated to fill the
  last share: `Members` on the devices have these copies, what comes to the host has not. Under
  "map" a member's bits are those of the run alone.

  Args:
    training: `init` and `step`.
    data: what `step` takes as data.
    members: hyperparameters and seed of each.
    capacity: the most steps of one call of `chunk`.
    batching: one of `wgan_jax.sweep.BATCHING`.
    mesh: the devices, of `lay_mesh`, as given to the training; None for all of them, a group each.
    team: the processes whose devices these are. All make the same calls, in the same order.
    compiler_options: of `chunk`.

  Attributes:
    n_members: number of members, without copies.
    n_devices: number of devices in use.
    keys: a second key of each member, apart from those of its training.
    hparams: the hyperparameters of each member, stacked.
    data: the data, on every device.
    compile_seconds: wall time that compiling `chunk` took.
    memory: the compiler's memory analysis of `chunk`, in bytes a device.
  """

  def __init__(
    self,
    training: Training,
    data: Any,
    members: Sequence[tuple[Hparams, int]],
    capacity: int,
    batching: str = "map",
    mesh: Mesh | None = None,
    team: Team | None = None,
    compiler_options: dict | None = None,
  ):
    self._team = team or Team()
    self._mesh = lay_mesh(len(members)) if mesh is None else mesh
    self._n_groups = self._mesh.shape[MEMBERS]
    self.n_members, self.n_devices = len(members), self._mesh.size
    padded = [*members, *members[-1:] * (-len(members) % self._n_groups)]
    self._whole = NamedSharding(self._mesh, PartitionSpec())
    self._laid_out = NamedSharding(self._mesh, PartitionSpec(MEMBERS))
    if self.n_devices == 1:  # Programs for it compile and start faster.
      self._whole = self._laid_out = SingleDeviceSharding(self._mesh.devices.item())
    # Left to itself, the compiler may divide what comes out over the devices of a group.
    shared = batch_devices(self._mesh) > 1 or self._team.n > 1
    self._out = {"out_shardings": self._laid_out} if shared else {}
    # What the host reads: every process has all of it.
    self._out_read = {"out_shardings": self._whole} if self._team.n > 1 else self._out
    seeds = np.array([seed for _, seed in padded], np.uint32)
    self._keys_training, self.keys = _put(_make_keys(seeds), self._laid_out)
    # By numpy: each small operation of JAX's own would be a program to compile.
    hparams = jax.tree.map(
      lambda *leaves: np.array(leaves, np.float32), *[hparams for hparams, _ in padded]
    )
    self.hparams = _put(hparams, self._laid_out)
    self.data = self.put(data)
    sweep = make_sweep(training, capacity, batching=batching, mesh=self._mesh)
    init = jax.jit(sweep.init, compiler_options=quick_compile_options(), **self._out)
    self._init = self._together(init)
    out = {"out_shardings": (self._laid_out, self._whole)} if self._team.n > 1 else self._out
    chunk = jax.jit(sweep.chunk, compiler_options=compiler_options, **out)
    self._chunk = self._together(chunk)
    self._gather = self._together(jax.jit(lambda tree: tree, out_shardings=self._whole))
    started = time.perf_counter()
    compiled = self._chunk.compile(self.init(), self.hparams, self.data, np.int32(0))
    self.memory = compiled.memory_analysis()
    self.compile_seconds = time.perf_counter() - started

  def init(self) -> Members:
    """Returns the members before the first step."""
    return self._init(self._keys_training, self.hparams)

  def chunk(self, members: Members, n_steps: int) -> tuple[Members, Info]:
    """Does `n_steps` more of all that are alive; Info is on the host, [members, n_steps].

    A member that diverges is brought back to its last finite step.
    """
    members, info = advance(self._chunk, members, self.hparams, self.data, n_steps)
    return members, jax.tree.map(lambda rows: rows[: self.n_members, :n_steps], info)

  def mapped(self, function: Callable) -> Callable:
    """Jits a function of one member so that it runs for each of them, one after another.

    It is for what runs rarely and is large for a member, such as measuring.

    Args:
      function: its first two arguments are a member's own; the others are whole.
    """

    def run_all(first, second, *whole):
      return map_members(lambda *own: function(*own, *whole), first, second)

    sharded = shard_members(run_all, self._mesh, 2)
    options = quick_compile_options()
    return self._together(jax.jit(sharded, compiler_options=options, **self._out_read))

  def put(self, arrays: chex.ArrayTree) -> chex.ArrayTree:
    """Lays arrays whole on every device."""
    return _put(arrays, self._whole)

  def share(self, arrays: chex.ArrayTree) -> chex.ArrayTree:
    """Lays what process 0 has of arrays whole on every device."""
    return self.put(_broadcast(arrays) if self._team.n > 1 else arrays)

  def read(self, laid_out: chex.ArrayTree) -> chex.ArrayTree:
    """Brings what is laid out over the members to this process."""
    if self._team.n == 1:
      return laid_out
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), self._gather(laid_out))

  def fetch(self, members: Members) -> Members:
    """Brings the members to one device, without the copies that fill the last share."""
    members = jax.device_put(self.read(members), jax.local_devices()[0])
    copies = self.n_members % self._n_groups
    return jax.tree.map(lambda leaf: leaf[: self.n_members], members) if copies else members

  def lay_out(self, members: Members) -> Members:
    """Puts what `fetch` gave back on all devices: what process 0 has of it."""
    if self._team.n > 1:
      members = _broadcast(members)
    if missing := -self.n_members % self._n_groups:
      fill = np.minimum(np.arange(self.n_members + missing), self.n_members - 1)
      members = jax.tree.map(lambda leaf: leaf[fill], members)
    return _put(members, self._laid_out)

  def _together(self, jitted):
    return _Together(jitted, self._team)


class _Together:
  """A jitted function that all processes call; the first call waits until each has compiled it.

  Else the fastest would wait for the others in the middle of a computation, where patience ends.
  """

  def __init__(self, jitted, team):
    self._jitted, self._team, self._met = jitted, team, team.n == 1

  def compile(self, *arguments):
    """Compiles for arguments like these; a call compiles no second time."""
    return self._jitted.lower(*arguments).compile()

  def __call__(self, *arguments):
    if not self._met:
      self.compile(*arguments)
      self._team.agree()
      self._met = True
    return self._jitted(*arguments)


def _put(tree, sharding):
  """As `jax.device_put`, for devices of several processes, all of which have the whole tree."""
  if sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)

  def put(leaf):
    return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

  return with_keys(jax.tree.map(put, to_numpy(tree)), tree)


def _broadcast(tree):
  """Returns what process 0 has, bit for bit: summed as bytes, for as floats -0 + 0 is 0."""
  leaves, structure = jax.tree.flatten(to_numpy(tree))
  joined = np.concatenate([np.frombuffer(leaf.tobytes(), np.uint8) for leaf in leaves])
  received = np.asarray(multihost_utils.broadcast_one_to_all(joined))
  parts = np.split(received, np.cumsum([leaf.nbytes for leaf in leaves])[:-1])
  found = [
    np.frombuffer(part.tobytes(), leaf.dtype).reshape(leaf.shape)
    for part, leaf in zip(parts, leaves, strict=True)
  ]
  return with_keys(jax.tree.unflatten(structure, found), tree)


@jax.jit
def _make_keys(seeds: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Makes two keys of each seed: those of training, and those of everything else."""
  keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(seeds)
  return keys[:, 0], keys[:, 1]
