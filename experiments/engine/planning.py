"""Plans how members run: by map or vmap, how many at once, and over how many devices a batch."""

import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import psutil

from experiments.engine.engine import Engine
from experiments.engine.groups import Steps, last_step, recorded_steps
from experiments.host.errors import UserError
from experiments.host.processes import Team
from experiments.spec.dataset import Dataset
from experiments.spec.flags import MAX_STEPS
from experiments.spec.grid import grouped
from experiments.spec.settings import Settings
from wgan_jax.training import make_training

Loader = Callable[[Settings], Dataset]
"""Loads the data of a run, such as that of `make_loader`."""


class Layout(NamedTuple):
  """How the members of a program are trained.

  Attributes:
    batching: one of `wgan_jax.sweep.BATCHING`.
    at_once: the most members of a group; None for what memory allows.
    data_parallel: number of devices over which each batch is laid.
    team: the processes that train them; None for this one alone.
  """

  batching: str = "map"
  at_once: int | None = None
  data_parallel: int = 1
  team: Team | None = None


# A share of the free memory: the host needs some, and the compiler's account is of the chunk alone.
_SHARE = 0.6
# Members a device under "map": more are no faster, and a chunk of steps would take long to stop.
_MOST_MAPPED = 8
_TIMED_STEPS = 2  # Of each member in a turn.
_ROUNDS = 5


def default_batching() -> str:
  """Returns the batching that is faster on this kind of device.

  On a CPU that is "map", in which a member also has the bits of the run alone; elsewhere "vmap".
  """
  return "map" if jax.default_backend() == "cpu" else "vmap"


def choose_data_parallel(asked: int | None, runs: Sequence[Settings]) -> int:
  """Returns the number of devices over which each batch is laid.

  Args:
    asked: --data_parallel. If not given, a run alone gets as many accelerators as divide its
      batches; members of a sweep are laid over devices instead, and the cores of a CPU share a
      batch as they are. Of several processes a run alone takes equally many devices of each.
    runs: all that are trained.

  Raises:
    UserError: there are fewer devices, or they do not divide.
  """
  n_devices, n_processes = jax.device_count(), jax.process_count()
  sizes = {
    size // run.micro_batches
    for run in runs
    for size in (run.batch_size, run.generator_batch_size)
    if size
  }
  if asked is None:
    if len(runs) > 1:
      return 1
    most = n_processes if jax.default_backend() == "cpu" else n_devices
    fitting = [
      n for n in range(n_processes, most + 1, n_processes) if not any(size % n for size in sizes)
    ]
    if fitting:
      return max(fitting)
    asked = n_processes  # What does not divide is said below.
  if asked > n_devices:
    raise UserError(f"--data_parallel={asked}, but there are {n_devices} devices: lower it")
  if len(runs) == 1 and asked % n_processes:
    raise UserError(
      f"--data_parallel={asked} does not share out equally over {n_processes} processes: choose a"
      " multiple"
    )
  if len(runs) > 1 and n_devices % asked:
    raise UserError(
      f"--data_parallel={asked} does not divide {n_devices} devices into groups for the members:"
      " choose a divisor"
    )
  for size in sorted(sizes):
    if size % asked:
      raise UserError(
        f"--data_parallel={asked} does not divide {size} samples that pass the networks together:"
        " change it, --batch_size, --generator_batch_size or --micro_batches"
      )
  return asked


def by_program(runs: Sequence[Settings]) -> dict[str, list[Settings]]:
  """Groups runs by the program that they compile to."""
  return grouped(runs, Settings.program_name)


def members_at_once(runs: Sequence[Settings], dataset: Dataset, layout: Layout) -> int:
  """Returns how many members of one program are trained at once, as far as memory allows.

  Raises:
    UserError: not even one member a device fits in memory.
  """
  n_devices = min(jax.device_count() // layout.data_parallel, len(runs))
  training = make_training(runs[0].config(), runs[0].networks(), dataset.sample_real)
  state = jax.eval_shape(training.init, jax.random.key(0), runs[0].hparams())
  # Before a call, after it, and again where a member diverges in it.
  n_bytes = 3 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
  if layout.batching == "vmap":
    engine = Engine(
      runs[:1], dataset, 1, "vmap", data_parallel=layout.data_parallel, team=layout.team
    )
    n_bytes += engine.program.memory.temp_size_in_bytes
  free = free_bytes(n_devices) / n_devices - dataset.nbytes
  fitting = int(free / n_bytes)
  if fitting < 1:
    raise UserError(
      f"a member needs {n_bytes / 1e9:.2g} GB, of {max(free, 0) / 1e9:.2g} GB that are free:"
      " lower --batch_size or --width"
    )
  return n_devices * (fitting if layout.batching == "vmap" else min(fitting, _MOST_MAPPED))


def bytes_of(engine: Engine, dataset: Dataset) -> int:
  """Returns the memory of one call on all devices together, by the compiler's account."""
  memory = engine.program.memory
  each = memory.temp_size_in_bytes + 2 * memory.output_size_in_bytes + dataset.nbytes
  return engine.program.n_devices * each


def free_bytes(n_devices: int) -> float:
  """Returns the memory of some devices together that members may take.

  CPU devices share the host's memory.
  """
  stats = jax.local_devices()[0].memory_stats()
  if stats and "bytes_limit" in stats:
    return _SHARE * n_devices * (stats["bytes_limit"] - stats.get("bytes_in_use", 0))
  return _SHARE * psutil.virtual_memory().available


class Timed:
  """As many members of one program as are trained at once, to be timed."""

  def __init__(self, members: Sequence[Settings], load: Loader, layout: Layout):
    self.dataset = load(members[0])
    n = layout.at_once or members_at_once(members, self.dataset, layout)
    self.n_members = min(n, len(members))
    self.engine = Engine(
      members[: self.n_members],
      self.dataset,
      _TIMED_STEPS,
      layout.batching,
      data_parallel=layout.data_parallel,
      team=layout.team,
    )
    self._states, _ = self.engine.chunk(self.engine.init(), 1)

  def seconds(self) -> float:
    """Wall time of a member's step: that of a step of all, over their number."""
    started = time.perf_counter()
    self._states, _ = self.engine.chunk(self._states, _TIMED_STEPS)
    jax.block_until_ready(self._states)
    return (time.perf_counter() - started) / _TIMED_STEPS / self.n_members


def fit_budget(
  runs: Sequence[Settings],
  load: Loader,
  layout: Layout,
  *,
  seconds: float,
  multiple: int,
) -> dict[str, int]:
  """Measures how many steps of each program a member does in the same time.

  Programs take turns, so that a busy machine slows all of them; the median of the rounds counts.

  Args:
    runs: the members.
    load: loads the data of a member.
    layout: how they are to be trained.
    seconds: wall time for each member, were its share of the machine the whole.
    multiple: steps are a multiple of this.

  Returns:
    The steps, by the name of the program.

  Raises:
    UserError: the time is too short for `multiple` steps.
  """
  timed = {name: Timed(members, load, layout) for name, members in by_program(runs).items()}
  taken = {name: [] for name in timed}
  for _ in range(_ROUNDS):
    for name, program in timed.items():
      taken[name].append(program.seconds())
  found = {}
  for name, each in taken.items():
    step = statistics.median(each)
    found[name] = min(int(seconds / step), MAX_STEPS) // multiple * multiple
    if not found[name]:
      raise UserError(
        f"--budget_seconds={seconds:g} is too short for {multiple} steps, a line of metrics, of"
        f" {name}: they take {multiple * step:.2g} s; give more, or lower --log_every or"
        " --slow_every"
      )
  return found


def budget_steps(
  path: pathlib.Path,
  runs: Sequence[Settings],
  load: Loader,
  layout: Layout,
  *,
  seconds: int,
  multiple: int,
) -> dict[str, int]:
  """Returns the steps of each program in the same time: as recorded by an earlier start, or fitted.

  Args:
    path: the sweep's folder, which need not exist.
    runs, load, layout, seconds, multiple: as in `fit_budget`.

  Raises:
    UserError: the folder cannot be used, its sweep has another budget, or the time is too short.
  """
  steps = recorded_steps(path, seconds)
  new = [run for run in runs if run.program_name() not in steps]
  return steps | fit_budget(new, load, layout, seconds=seconds, multiple=multiple)


def print_plan(runs: list[Settings], load: Loader, layout: Layout, *, steps: Steps) -> None:
  """Prints, for each program, its members, memory, and how long all steps take, as measured now."""
  for name, members in by_program(runs).items():
    timed = Timed(members, load, layout)
    seconds, n_steps = timed.seconds(), last_step(steps, members[0])
    hours, rest = divmod(seconds * len(members) * n_steps, 3600)
    n_bytes = bytes_of(timed.engine, timed.dataset)
    print(
      f"program {name}: {len(members)} members, up to {timed.n_members} at once by"
      f" {layout.batching}, {n_bytes / 1e9:.2g} GB, {1000 * seconds:.3g} ms a member's step,"
      f" {hours:.0f} h {rest / 60:.1f} min for all steps, {n_steps:,} each",
      flush=True,
    )
