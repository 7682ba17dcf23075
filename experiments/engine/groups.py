"""The sweep's folder: many run folders, and what they have in common.

config.json      every member's settings, flags and environment
members/NAME/    a run folder each: metrics.jsonl, samples/, a checkpoint at the end, summary.json
group/           the members that are being trained: which they are, and their checkpoints
timing.jsonl     the wall-clock figures
results.csv, results.json, report.html
"""

import contextlib
import dataclasses
import operator
import pathlib
import statistics
from collections.abc import Iterator, Mapping

from experiments.engine.folder import RunFolder
from experiments.engine.opening import (
  check_outside,
  is_unused,
  locked,
  read_record,
  read_recorded,
  write_record,
)
from experiments.engine.records import GroupConfig, TimingLine
from experiments.host import checkpoints
from experiments.host.errors import UserError
from experiments.host.files import (
  is_partial,
  read_json,
  read_lines,
  remove_file,
  remove_folder,
  write_json,
)
from experiments.spec.dataset import Dataset
from experiments.spec.grid import grouped
from experiments.spec.settings import Settings


@dataclasses.dataclass(frozen=True)
class Group:
  """Members that are trained side by side.

  Attributes:
    runs: all of one program.
    start: the step that all of them were at when the group was made.
    batching: one of `wgan_jax.sweep.BATCHING`.
  """

  runs: list[Settings]
  start: int
  batching: str


Steps = int | Mapping[str, int]
"""The last step: of all members, or of those of each program, by its name."""


def last_step(steps: Steps, run: Settings) -> int | None:
  """Returns the last step of a member; None where a record lacks it."""
  return steps.get(run.program_name()) if isinstance(steps, Mapping) else steps


class SweepFolder:
  """The paths of a sweep, and what is recorded there."""

  def __init__(self, path: pathlib.Path):
    self.path, self.config, self.timing = path, path / "config.json", path / "timing.jsonl"
    self._group = path / "group"
    self.group_checkpoints = self._group / "checkpoints"

  def member(self, run: Settings) -> RunFolder:
    """Returns the run folder of a member."""
    return RunFolder(self.path / "members" / run.run_name())

  def read_runs(self) -> list[Settings]:
    """Reads the settings of all members; errors as in `opening.read_recorded`."""
    return read_recorded(self.config, "sweep")

  def times(self) -> list[dict]:
    """Reads the wall-clock figures; raises UserError for damaged ones."""
    return read_lines(self.timing, TimingLine)

  def step_seconds(self) -> dict[str, float]:
    """By program, the wall time of a member's step, the median of all chunks."""
    chunks = grouped(
      (line for line in self.times() if "chunk_seconds" in line), operator.itemgetter("program")
    )
    return {
      program: statistics.median(
        line["chunk_seconds"] / line["steps"] / line["members"] for line in own
      )
      for program, own in chunks.items()
    }

  def read_group(self) -> Group | None:
    """The group that is being trained, as the last start left it; None where there is none."""
    path = self._group / "config.json"
    if not path.exists():
      return None
    try:
      record = read_json(path, GroupConfig)
      runs = [Settings.of_record(each) for each in record["runs"]]
      return Group(runs, record["start"], record["batching"])
    except (UserError, ValueError) as error:
      if not path.exists():  # Ended by another process in this moment.
        return None
      raise UserError(
        f"{path}: damaged, or an earlier version's; remove {self._group} to train its members again"
      ) from error

  def write_group(self, group: Group) -> None:
    """Begins a group."""
    self.remove_group()
    self._group.mkdir()
    write_json(self._group / "config.json", dataclasses.asdict(group))

  def remove_group(self) -> None:
    """Ends the group, and removes what a kill may have left of one.

    Raises:
      UserError: other files are there; nothing is removed.
    """
    config, kept = self._group / "config.json", self.group_checkpoints
    children = [*self._group.glob("*"), *kept.glob("*")]
    for child in children:
      if child not in (config, kept) and not is_partial(child) and not checkpoints.is_own(child):
        raise UserError(f"{child} is not the sweep's: move it elsewhere")
    checkpoints.check_own(kept)
    remove_file(config)  # Without it, what is left is no group.
    remove_folder(self._group)


def recorded_steps(path: pathlib.Path, budget_seconds: int) -> dict[str, int]:
  """Reads the steps by program that an earlier start measured; empty where there was none.

  Raises:
    UserError: the folder cannot be used, or its sweep has another budget.
  """
  if is_unused(path, "sweep"):
    return {}
  there = read_record(path / "config.json")["flags"]
  _refuse_other("budget_seconds", budget_seconds, there, path)
  if not isinstance(there["steps"], dict):
    raise UserError(f"{path}/config.json: damaged: it lacks the steps of its budget")
  return there["steps"]


def _refuse_other(name: str, value: int | None, there: dict, path: pathlib.Path) -> None:
  if there.get(name) != value:
    raise UserError(
      f"--{name}={value}, but the sweep in {path} has {there.get(name)}: its members would not"
      " compare; agree with it or name another folder"
    )


def check_sweep_folder(path: pathlib.Path, runs: list[Settings], flags: dict) -> None:
  """Refuses a folder in which a sweep of these members may not begin or go on; writes nothing.

  Args:
    path: the folder, which need not exist.
    runs: the members.
    flags: `steps`, see `Steps`; `log_every`, `slow_every`; `budget_seconds`, where there is one.

  Raises:
    UserError: it is a file, holds other files, a sweep with members that these are not, lines at
      other steps, which would not compare, or a member that is beyond `steps`.
  """
  check_outside(path, runs[0])
  if is_unused(path, "sweep"):
    return
  folder = SweepFolder(path)
  wanted = set(runs)
  group = folder.read_group()
  begun = [run for run in folder.read_runs() if folder.member(run).metrics.exists()]
  begun += [] if group is None else group.runs
  there = read_record(folder.config)["flags"]
  there = {"slow_every": there.get("exact_every")} | there  # Its earlier name.
  for name in ("log_every", "slow_every", "budget_seconds") if begun else ():
    _refuse_other(name, flags.get(name), there, path)
  missing = list(dict.fromkeys(run.run_name() for run in begun if run not in wanted))
  if missing:
    raise UserError(
      f"--workdir={path} holds another sweep: {len(missing)} of its members are not among these,"
      f" such as {missing[0]}: add their values and seeds, or name another folder"
    )
  for run in runs:
    own = folder.member(run)
    step, _ = own.reached()
    if step > last_step(flags["steps"], run):
      raise UserError(
        f"{own.path} is at step {step} already: --steps={last_step(flags['steps'], run)} asks for"
        " less"
      )


@contextlib.contextmanager
def open_sweep(
  path: pathlib.Path, runs: list[Settings], dataset: Dataset, flags: dict, environment: dict
) -> Iterator[SweepFolder]:
  """Makes a sweep's folder, or opens that of an earlier start, perhaps of fewer members; locked.

  Args:
    path, runs, flags: as in `check_sweep_folder`; all flags are recorded.
    dataset: must be the recorded one.
    environment: `describe_environment()`, recorded; a change is reported.

  Yields:
    The folder, its config.json and those of the members written.

  Raises:
    UserError: the folder cannot be used, is in use, or holds another sweep.
  """
  folder = SweepFolder(path)
  with locked(path):
    check_sweep_folder(path, runs, flags)
    for run in runs if folder.read_group() is None else ():
      folder.member(run).check_saved_lines()  # Before anything is written.
    digest = dataset.digest()
    record = {"members": [dataclasses.asdict(run) for run in runs], "flags": flags}
    write_record(folder.config, record, digest, environment, changed=dataset.changed)
    for run in runs:
      member = folder.member(run)
      member.samples.mkdir(parents=True, exist_ok=True)
      own = {"settings": dataclasses.asdict(run), "flags": flags} | dataset.named_classes()
      write_record(member.config, own, digest, environment, warn=False)
    yield folder
