"""Members of one program, compiled, on all devices: a run alone is one member."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from wgan_jax.config import Hparams
from wgan_jax.parallel import MEMBERS, batch_devices, make_mesh
from wgan_jax.sweep import Members, advance, make_sweep, map_members, shard_members
from wgan_jax.types import Info, Training


def quick_compile_options() -> dict | None:
  """Compiler options for programs that run rarely (up to 3x faster to compile on a CPU)."""
  return {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None


def lay_mesh(n_members: int, data_parallel: int = 1) -> Mesh:
  """Lays members over groups of `data_parallel` devices, as many groups as members can use."""
  devices = jax.local_devices()
  n_groups = min(n_members, len(devices) // data_parallel)
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
  ):
    self._mesh = lay_mesh(len(members)) if mesh is None else mesh
    self._n_groups = self._mesh.shape[MEMBERS]
    self.n_members, self.n_devices = len(members), self._mesh.size
    padded = [*members, *members[-1:] * (-len(members) % self._n_groups)]
    self._whole = NamedSharding(self._mesh, PartitionSpec())
    self._laid_out = NamedSharding(self._mesh, PartitionSpec(MEMBERS))
    if self.n_devices == 1:  # Programs for it compile and start faster.
      self._whole = self._laid_out = SingleDeviceSharding(self._mesh.devices.item())
    # Left to itself, the compiler may divide what comes out over the devices of a group.
    self._out = {"out_shardings": self._laid_out} if batch_devices(self._mesh) > 1 else {}
    seeds = np.array([seed for _, seed in padded], np.uint32)
    self._keys_training, self.keys = jax.device_put(_make_keys(seeds), self._laid_out)
    # By numpy: each small operation of JAX's own would be a program to compile.
    hparams = jax.tree.map(
      lambda *leaves: np.array(leaves, np.float32), *[hparams for hparams, _ in padded]
    )
    self.hparams = jax.device_put(hparams, self._laid_out)
    self.data = self.put(data)
    sweep = make_sweep(training, capacity, batching=batching, mesh=self._mesh)
    self._init = jax.jit(sweep.init, compiler_options=quick_compile_options(), **self._out)
    self._chunk = jax.jit(sweep.chunk, **self._out)
    started = time.perf_counter()
    lowered = self._chunk.lower(self.init(), self.hparams, self.data, np.int32(0))
    self.memory = lowered.compile().memory_analysis()  # A call compiles no second time.
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
    return jax.jit(sharded, compiler_options=quick_compile_options(), **self._out)

  def put(self, arrays: chex.ArrayTree) -> chex.ArrayTree:
    """Lays arrays whole on every device."""
    return jax.device_put(arrays, self._whole)

  def fetch(self, members: Members) -> Members:
    """Brings the members to one device, without the copies that fill the last share."""
    members = jax.device_put(members, jax.local_devices()[0])
    copies = self.n_members % self._n_groups
    return jax.tree.map(lambda leaf: leaf[: self.n_members], members) if copies else members

  def lay_out(self, members: Members) -> Members:
    """Puts what `fetch` gave back on all devices."""
    if missing := -self.n_members % self._n_groups:
      fill = np.minimum(np.arange(self.n_members + missing), self.n_members - 1)
      members = jax.tree.map(lambda leaf: leaf[fill], members)
    return jax.device_put(members, self._laid_out)


@jax.jit
def _make_keys(seeds: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Makes two keys of each seed: those of training, and those of everything else."""
  keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(seeds)
  return keys[:, 0], keys[:, 1]
