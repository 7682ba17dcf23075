"""The results of a sweep: a row a member, and the members that belong together."""

import dataclasses
import math
from operator import attrgetter
from typing import NamedTuple

from experiments.engine.folder import RunFolder
from experiments.engine.groups import SweepFolder, last_step
from experiments.engine.opening import read_record
from experiments.measures.rows import BEST_BY
from experiments.measures.table import all_rows, compared
from experiments.spec.grid import grouped
from experiments.spec.settings import SETTINGS, Settings


class Member(NamedTuple):
  """Outcome of one member.

  Its best line is that with the least `BEST_BY`, of lines with slow measures if there are any.
  """

  name: str  # Name of its folder.
  run: Settings
  status: str  # "finished", "diverged", or "unfinished".
  steps: int  # Steps done.
  end: dict[str, float]  # Measures at the end, by name; empty if not "finished".
  best_step: int | None  # Step of the best line; None without a line.
  best: dict[str, float]  # Measures at `best_step`.
  lines: list[dict]  # Its lines of metrics.

  def row(self, names: list[str]) -> dict:
    """Flat row for results.csv, with the measures of these names."""
    row = {"member": self.name} | dataclasses.asdict(self.run)
    row |= {"status": self.status, "steps": self.steps}
    row |= {name: self.end.get(name) for name in names} | {"best_step": self.best_step}
    return row | {f"{name}_at_best": self.best.get(name) for name in names}


def read_members(folder: SweepFolder) -> list[Member]:
  """Reads all members of a sweep from their folders.

  Raises:
    UserError: there is no sweep, or a file is damaged.
  """
  wanted = read_record(folder.config)["flags"]["steps"]
  return [
    _read_member(folder.member(run), run, last_step(wanted, run)) for run in folder.read_runs()
  ]


def _read_member(own: RunFolder, run: Settings, wanted: int) -> Member:
  ended, diverged = own.reached()
  lines = own.final_lines() if diverged or (ended and ended == wanted) else own.lines()
  steps, end = lines[-1]["step"] if lines else 0, {}
  if diverged:
    status, steps = "diverged", ended
  elif lines and steps == ended == wanted:
    status, end = "finished", _measures(lines[-1])
  else:  # A sweep that was extended and then stopped has finished members that lack steps.
    status = "unfinished"
  # Lines with the slow measures, so that the best one holds all measures.
  slow = {row.name for row in all_rows() if row.slow}
  best = min([line for line in lines if slow & line.keys()] or lines, key=_badness, default={})
  return Member(own.path.name, run, status, steps, end, best.get("step"), _measures(best), lines)


def by_setting(members: list[Member]) -> list[list[Member]]:
  """Groups the members that differ in their seed only."""
  return list(grouped(members, lambda each: dataclasses.replace(each.run, seed=0)).values())


def varied(members: list[Member]) -> list[str]:
  """Names of the settings, other than the seed, in which members differ."""
  values = {name: {getattr(member.run, name) for member in members} for name in SETTINGS}
  return [name for name, own in values.items() if name != "seed" and len(own) > 1]


def distinguishing_settings(members: list[Member]) -> list[str]:
  """Settings that vary between members, other than those implied by loss, penalty and critic."""
  methods = grouped(members, attrgetter("run.method"))
  within = {name for group in methods.values() for name in varied(group)}
  return [name for name in varied(members) if name in within | {"loss", "penalty", "critic"}]


def measures_of(members: list[Member]) -> list[str]:
  """Names of the measures that any of the members has."""
  logged = {name for member in members for line in member.lines for name in line}
  return [name for name in compared() if name in logged]


def _badness(line: dict) -> float:
  return line[BEST_BY] if math.isfinite(line[BEST_BY]) else math.inf


def _measures(line: dict) -> dict[str, float]:
  return {name: line[name] for name in compared() if name in line}
