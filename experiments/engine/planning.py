"""Plans how the members of a program run: by map or vmap, and how many of them at once."""

import time
from collections.abc import Callable, Sequence

import jax
import psutil

from experiments.engine.engine import Engine
from experiments.host.errors import UserError
from experiments.spec.datasets import Dataset
from experiments.spec.grid import grouped
from experiments.spec.settings import Settings
from wgan_jax.training import make_training

Loader = Callable[[Settings], Dataset]
"""Loads the data of a run, such as that of `make_loader`."""

# A share of the free memory: the host needs some, and the compiler's account is of the chunk alone.
_SHARE = 0.6
# Members a device under "map": more are no faster, and a chunk of steps would take long to stop.
_MOST_MAPPED = 8


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


def print_plan(
  runs: list[Settings], load: Loader, batching: str, at_once: int | None, *, steps: int
) -> None:
  """Prints, for each program, its members, memory, and how long all steps take, as measured now."""
  for name, members in by_program(runs).items():
    dataset = load(members[0])
    n = min(at_once or members_at_once(members, dataset, batching), len(members))
    engine = Engine(members[:n], dataset, 2, batching)
    states, _ = engine.chunk(engine.init(), 1)
    started = time.perf_counter()
    states, _ = engine.chunk(states, 2)
    jax.block_until_ready(states)
    seconds = (time.perf_counter() - started) / 2 / n
    hours, rest = divmod(seconds * len(members) * steps, 3600)
    print(
      f"program {name}: {len(members)} members, up to {n} at once by {batching},"
      f" {bytes_of(engine, dataset) / 1e9:.2g} GB, {1000 * seconds:.3g} ms a member's step,"
      f" {hours:.0f} h {rest / 60:.1f} min for all steps",
      flush=True,
    )
