"""The results of a sweep: a row a member, and the members that belong together."""

import dataclasses
import math
from typing import NamedTuple

from experiments.engine.groups import SweepFolder
from experiments.host.files import read_json, read_lines
from experiments.measures.rows import BEST_BY
from experiments.measures.table import all_rows, compared
from experiments.spec.settings import Settings

_FIELDS = [field.name for field in dataclasses.fields(Settings)]


class Member(NamedTuple):
  """Outcome of one member.

  Attributes:
    name: name of its folder.
    run: its settings.
    status: "finished", "diverged", or "unfinished".
    steps: steps done.
    end: measures at the end, by name; empty if not "finished".
    best_step: step of the line with the least `BEST_BY`, of lines with slow measures if there are
      any; None without a line.
    best: measures at `best_step`.
    lines: its lines of metrics.
  """

  name: str
  run: Settings
  status: str
  steps: int
  end: dict[str, float]
  best_step: int | None
  best: dict[str, float]
  lines: list[dict]

  def row(self, names: list[str]) -> dict:
    """Flat row for results.csv, with the measures of these names."""
    row = {"member": self.name} | dataclasses.asdict(self.run)
    row |= {"status": self.status, "steps": self.steps}
    row |= {name: self.end.get(name) for name in names}
    row["best_step"] = self.best_step
    return row | {f"{name}_at_best": self.best.get(name) for name in names}


def read_members(folder: SweepFolder) -> list[Member]:
  """Reads all members of a sweep from their folders.

  Raises:
    UserError: there is no sweep, or a file is damaged.
  """
  members, slow = [], [row.name for row in all_rows() if row.slow]
  wanted = read_json(folder.config).get("flags", {}).get("steps")
  for run in folder.read_runs():
    own = folder.member(run)
    lines = read_lines(own.metrics)
    summary = read_json(own.summary) if own.summary.exists() else {"status": "unfinished"}
    status = summary.get("status")
    at = lines[-1]["step"] if lines else 0
    # A sweep that was extended and then stopped has members that lack steps.
    finished = status == "finished" and at == summary["steps"] == wanted
    if not finished and status != "diverged":
      status = "unfinished"
    if status == "finished":
      steps = at
    elif status == "diverged":
      steps = summary["first_bad_step"] - 1
    else:
      steps = at
    # Lines with the slow measures, so that the best one holds all measures.
    measured_lines = [line for line in lines if any(name in line for name in slow)] or lines
    best = min(measured_lines, key=_badness) if lines else {}
    members.append(
      Member(
        name=own.path.name,
        run=run,
        status=status,
        steps=steps,
        end=_measures(lines[-1]) if finished else {},
        best_step=best.get("step"),
        best=_measures(best),
        lines=lines,
      )
    )
  return members


def by_setting(members: list[Member]) -> list[list[Member]]:
  """Groups the members that differ in their seed only."""
  settings = {}
  for member in members:
    settings.setdefault(dataclasses.replace(member.run, seed=0), []).append(member)
  return list(settings.values())


def varied(members: list[Member]) -> list[str]:
  """Names of the settings, other than the seed, in which members differ."""
  return [
    name
    for name in _FIELDS
    if name != "seed" and len({getattr(member.run, name) for member in members}) > 1
  ]


def distinguishing_settings(members: list[Member]) -> list[str]:
  """Settings that vary between members, other than those implied by loss and penalty."""
  methods = {}
  for member in members:
    methods.setdefault((member.run.loss, member.run.penalty), []).append(member)
  within = {name for group in methods.values() for name in varied(group)}
  return [name for name in varied(members) if name in within | {"loss", "penalty"}]


def measures_of(members: list[Member]) -> list[str]:
  """Names of the measures that any of the members has."""
  logged = {name for member in members for line in member.lines for name in line}
  return [name for name in compared() if name in logged]


def _badness(line: dict) -> float:
  return line[BEST_BY] if math.isfinite(line[BEST_BY]) else math.inf


def _measures(line: dict) -> dict[str, float]:
  return {name: line[name] for name in compared() if name in line}
