"""How the members of one program are run: how many at once, and in which way; measured, once.

vmap   every operation over all members at once: pays on a GPU, and for small networks
map    one member after another within one program, each device its share; on a CPU a member's bits
       are those of the run alone, and no way is faster
loop   as many members as there are devices, then the next ones: for what does not fit
"""

import dataclasses
import time

import jax
import psutil

from experiments.engine.program import MembersProgram
from experiments.host.errors import UserError
from experiments.spec.datasets import Dataset
from experiments.spec.settings import Settings

WAYS = ("vmap", "map", "loop")

# A share of the free memory: the host needs some, and the compiler's account is of the chunk alone.
_SHARE = 0.6
# Members a device. More do not make map faster, and a chunk of steps would take too long to stop;
# for vmap it is the size of the trial.
_MEMBERS = 8
_ROUNDS = 3
# vmap gives up that a member is the run alone to the bit, and must pay for it.
_LEAST_GAIN = 1.05


@dataclasses.dataclass(frozen=True)
class Batching:
  """How the members of a program are run.

  Attributes:
    way: one of `WAYS`.
    at_once: the most members in one call.
    seconds: for a step of one member, as measured.
    bytes: memory of all devices together for one call, by the compiler's account.
    members: for how many members it was chosen.
    asked: the way and the members at once that were asked for, None each where they were left to
      measuring.
    devices: for which devices it was chosen.
  """

  way: str
  at_once: int
  seconds: float
  bytes: int
  members: int
  asked: list
  devices: str

  def holds(self, n_members: int, way: str | None, at_once: int | None) -> bool:
    """Whether it need not be chosen again, for these devices and what is asked for."""
    return (
      self.devices == describe_devices()
      and self.members >= n_members
      and self.asked == [way, at_once]
    )


def describe_devices() -> str:
  """The kind and number of the local devices."""
  devices = jax.local_devices()
  return f"{len(devices)} x {devices[0].device_kind}"


def choose_batching(
  runs: list[Settings],
  dataset: Dataset,
  capacity: int,
  *,
  way: str | None = None,
  at_once: int | None = None,
) -> Batching:
  """Measures what is possible, and chooses the fastest.

  Args:
    runs: the members, all of one program.
    dataset: the data.
    capacity: the most steps of one chunk.
    way: one of `WAYS` that is wanted, or None to choose.
    at_once: members at once that are wanted, or None for as many as memory allows.

  Returns:
    The choice. What the compiler tells of one member's step decides how many fit in memory.

  Raises:
    UserError: not even one member a device fits in memory.
  """
  n_devices = min(len(jax.local_devices()), len(runs))
  programs = {"loop": MembersProgram(runs[:n_devices], dataset, capacity, "map")}
  memory = _Memory(programs["loop"].memory, dataset)
  free = _free_bytes() / n_devices
  if memory.of(1, "map") > free:
    raise UserError(
      f"a member needs {memory.of(1, 'map') / 1e9:.2g} GB, of {free / 1e9:.2g} GB that are free:"
      " lower --batch_size or --width"
    )
  if way is not None:
    ways = [way]
  elif at_once is not None:
    ways = ["map", "vmap"]
  else:
    ways = WAYS if len(runs) > n_devices else ["loop"]
  sizes = {}
  for each in ways:
    fitting = {"loop": 1, "map": min(memory.most(free, "map"), _MEMBERS)}
    sizes[each] = at_once or n_devices * fitting.get(each, memory.most(free, each))
  for each, size in sizes.items():
    if each not in programs:
      trial = runs[: min(size, _MEMBERS * n_devices, len(runs))]
      programs[each] = MembersProgram(trial, dataset, capacity, each)
  seconds = _time({each: programs[each] for each in sizes}, min(capacity, 2))
  best = min(sizes, key=lambda each: seconds[each] * (_LEAST_GAIN if each == "vmap" else 1))
  return Batching(
    way=best,
    at_once=sizes[best],
    seconds=seconds[best],
    bytes=n_devices * memory.of(-(-min(sizes[best], len(runs)) // n_devices), best),
    members=len(runs),
    asked=[way, at_once],
    devices=describe_devices(),
  )


def plan_members(
  runs: list[Settings],
  dataset: Dataset,
  recorded: dict[str, Batching],
  *,
  steps: int,
  capacity: int,
  way: str | None = None,
  at_once: int | None = None,
) -> dict[str, Batching]:
  """How the members of each program run; measured where it is not recorded for these devices.

  Args:
    runs: all members.
    dataset: their data.
    recorded: what was chosen before, by `Settings.program_name`.
    steps: of a member, for the time that is told.
    capacity: the most steps of one chunk.
    way: one of `WAYS` that is wanted, or None to choose.
    at_once: members at once that are wanted, or None for as many as memory allows.

  Returns:
    By program name. A line is printed for each.
  """
  programs = {}
  for run in runs:
    programs.setdefault(run.program_name(), []).append(run)
  batching = {}
  for name, members in programs.items():
    known = recorded.get(name)
    if known is None or not known.holds(len(members), way, at_once):
      known = choose_batching(members, dataset, capacity, way=way, at_once=at_once)
    batching[name] = known
    hours, seconds = divmod(known.seconds * len(members) * steps, 3600)
    print(
      f"program {name}: {len(members)} members, up to {known.at_once} at once by {known.way},"
      f" {known.bytes / 1e9:.2g} GB, {1000 * known.seconds:.3g} ms a member's step,"
      f" {hours:.0f} h {seconds / 60:.1f} min for all steps",
      flush=True,
    )
  return batching


class _Memory:
  """Bytes on one device for any number of members there, from the account of one."""

  def __init__(self, analysis, dataset: Dataset):
    self._data = dataset.nbytes
    self._step = analysis.temp_size_in_bytes
    # Updated in place, and copied where the compiler cannot.
    self._state = 2 * max(analysis.output_size_in_bytes, 1)

  def of(self, n: int, way: str) -> int:
    return self._data + n * self._state + (n if way == "vmap" else 1) * self._step

  def most(self, free: float, way: str) -> int:
    if way == "vmap":
      return max(1, int((free - self._data) / (self._state + self._step)))
    return max(1, int((free - self._data - self._step) / self._state))


def _free_bytes() -> float:
  """Of all devices together; CPU devices share the host's memory."""
  devices = jax.local_devices()
  stats = devices[0].memory_stats()
  if stats and "bytes_limit" in stats:
    return _SHARE * len(devices) * (stats["bytes_limit"] - stats.get("bytes_in_use", 0))
  return _SHARE * psutil.virtual_memory().available


def _time(programs: dict[str, MembersProgram], n_steps: int) -> dict[str, float]:
  """Seconds for a step of one member: the best of some rounds, the ways taking turns."""
  members = {way: program.chunk(program.init(), 1)[0] for way, program in programs.items()}
  seconds = dict.fromkeys(programs, float("inf"))
  for _ in range(_ROUNDS):
    for way, program in programs.items():
      started = time.perf_counter()
      members[way], _ = program.chunk(members[way], n_steps)
      jax.block_until_ready(members[way])
      each = (time.perf_counter() - started) / n_steps / program.n_members
      seconds[way] = min(seconds[way], each)
  return seconds
