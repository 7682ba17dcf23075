"""Plans how the members of a program run: by map or vmap, and how many of them at once."""

import statistics
import time
from collections.abc import Callable, Sequence

import jax
import psutil

from experiments.engine.engine import Engine
from experiments.engine.groups import Steps, last_step
from experiments.host.errors import UserError
from experiments.spec.datasets import Dataset
from experiments.spec.flags import MAX_STEPS
from experiments.spec.grid import grouped
from experiments.spec.settings import Settings
from wgan_jax.training import make_training

Loader = Callable[[Settings], Dataset]
"""Loads the data of a run, such as that of `make_loader`."""

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


def by_program(runs: Sequence[Settings]) -> dict[str, list[Settings]]:
  """Groups runs by the program that they compile to."""
  return grouped(runs, Settings.program_name)


def members_at_once(runs: Sequence[Settings], dataset: Dataset, batching: str) -> int:
  """Returns how many members of one program are trained at once, as far as memory allows.

  Raises:
    UserError: not even one member a device fits in memory.
  """
  n_devices = min(len(jax.local_devices()), len(runs))
  training = make_training(runs[0].config(), runs[0].networks(), dataset.sample_real)
  state = jax.eval_shape(training.init, jax.random.key(0), runs[0].hparams())
  # Before a call, after it, and again where a member diverges in it.
  n_bytes = 3 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
  if batching == "vmap":
    n_bytes += Engine(runs[:1], dataset, 1, batching).program.memory.temp_size_in_bytes
  free = free_bytes(n_devices) / n_devices - dataset.nbytes
  fitting = int(free / n_bytes)
  if fitting < 1:
    raise UserError(
      f"a member needs {n_bytes / 1e9:.2g} GB, of {max(free, 0) / 1e9:.2g} GB that are free:"
      " lower --batch_size or --width"
    )
  return n_devices * (fitting if batching == "vmap" else min(fitting, _MOST_MAPPED))


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

  def __init__(self, members: Sequence[Settings], load: Loader, batching: str, at_once: int | None):
    self.dataset = load(members[0])
    n = at_once or members_at_once(members, self.dataset, batching)
    self.n_members = min(n, len(members))
    self.engine = Engine(members[: self.n_members], self.dataset, _TIMED_STEPS, batching)
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
  batching: str,
  at_once: int | None,
  *,
  seconds: float,
  multiple: int,
) -> dict[str, int]:
  """Measures how many steps of each program a member does in the same time.

  Programs take turns, so that a busy machine slows all of them; the median of the rounds counts.

  Args:
    runs: the members.
    load: loads the data of a member.
    batching, at_once: how they are to be trained, see `train_sweep`.
    seconds: wall time for each member, were its share of the machine the whole.
    multiple: steps are a multiple of this.

  Returns:
    The steps, by the name of the program.

  Raises:
    UserError: the time is too short for `multiple` steps.
  """
  timed = {
    name: Timed(members, load, batching, at_once) for name, members in by_program(runs).items()
  }
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


def print_plan(
  runs: list[Settings], load: Loader, batching: str, at_once: int | None, *, steps: Steps
) -> None:
  """Prints, for each program, its members, memory, and how long all steps take, as measured now."""
  for name, members in by_program(runs).items():
    timed = Timed(members, load, batching, at_once)
    seconds, n_steps = timed.seconds(), last_step(steps, members[0])
    hours, rest = divmod(seconds * len(members) * n_steps, 3600)
    print(
      f"program {name}: {len(members)} members, up to {timed.n_members} at once by {batching},"
      f" {bytes_of(timed.engine, timed.dataset) / 1e9:.2g} GB, {1000 * seconds:.3g} ms a member's"
      f" step, {hours:.0f} h {rest / 60:.1f} min for all steps, {n_steps:,} each",
      flush=True,
    )
