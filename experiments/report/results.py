"""The results of a sweep: a row a member, and what the seeds of a setting have in common."""

import csv
import dataclasses
import io
import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments.engine.groups import SweepFolder
from experiments.host.errors import UserError
from experiments.host.files import read_json, read_lines, write_bytes, write_json
from experiments.measures.rows import BEST_BY, MEASURES
from experiments.spec.settings import Settings

_FIELDS = [field.name for field in dataclasses.fields(Settings)]


class Member(NamedTuple):
  """What became of a member.

  Attributes:
    name: its folder.
    run: its settings.
    status: "finished", "diverged", or "unfinished".
    steps: the steps that it did.
    end: the measures at the end, by name; empty where it is not "finished".
    best_step: where `BEST_BY` was smallest, of the lines of metrics, those with the slow measures
      where there are any; None without a line.
    best: the measures there.
    lines: its metrics.
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
    """A flat row, as results.csv has it, with the measures of these names."""
    row = {"member": self.name} | dataclasses.asdict(self.run)
    row |= {"status": self.status, "steps": self.steps}
    row |= {name: self.end.get(name) for name in names}
    row["best_step"] = self.best_step
    return row | {f"{name}_at_best": self.best.get(name) for name in names}


class Spread(NamedTuple):
  """A mean over seeds and its 95 % confidence interval.

  Attributes:
    n: values that entered; the others' members did not finish.
    mean: None without a value.
    half_width: of the interval by Student's t, mean +- half_width; None below two values, and where
      one is not finite.
  """

  n: int
  mean: float | None
  half_width: float | None

  def __str__(self) -> str:
    if self.mean is None:
      return "none"
    return f"{self.mean:.4g}" + ("" if self.half_width is None else f" ± {self.half_width:.2g}")


def spread_of(values: list[float]) -> Spread:
  """The mean of some values, and the interval that covers the mean of all seeds 19 times in 20."""
  n = len(values)
  mean = float(np.mean(values)) if values else None
  if n < 2 or not np.isfinite(values).all():
    return Spread(n, mean, None)
  half_width = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n)
  return Spread(n, mean, float(half_width))


def read_members(folder: SweepFolder) -> list[Member]:
  """What the members' folders tell.

  Raises:
    UserError: there is no sweep, or a file is damaged.
  """
  members = []
  for run in folder.read_runs():
    own = folder.member(run)
    lines = read_lines(own.metrics)
    summary = read_json(own.summary) if own.summary.exists() else {"status": "unfinished"}
    status = summary.get("status")
    at = lines[-1]["step"] if lines else 0
    finished = status == "finished" and at == summary["steps"]
    if not finished and status != "diverged":
      status = "unfinished"
    if status == "finished":
      steps = summary["steps"]
    elif status == "diverged":
      steps = summary["first_bad_step"] - 1
    else:
      steps = at
    # Where the slow measures are told, so that a row at its best holds all of them.
    judged = [line for line in lines if "exact_wasserstein" in line] or lines
    best = min(judged, key=_badness) if lines else {}
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
  """The members that differ in their seed only, together."""
  settings = {}
  for member in members:
    settings.setdefault(dataclasses.replace(member.run, seed=0), []).append(member)
  return list(settings.values())


def varied(members: list[Member]) -> list[str]:
  """The settings, the seed apart, in which members differ."""
  return [
    name
    for name in _FIELDS
    if name != "seed" and len({getattr(member.run, name) for member in members}) > 1
  ]


def telling(members: list[Member]) -> list[str]:
  """The settings that tell members apart, less what loss and penalty bring with them."""
  methods = {}
  for member in members:
    methods.setdefault((member.run.loss, member.run.penalty), []).append(member)
  within = {name for group in methods.values() for name in varied(group)}
  return [name for name in varied(members) if name in within | {"loss", "penalty"}]


def label(run: Settings, names: list[str]) -> str:
  """Some of the settings in words, those that the method does not have left out."""
  values = {name: getattr(run, name) for name in names}
  return ", ".join(f"{k} {show(v)}" for k, v in values.items() if v is not None)


def show(value: object) -> str:
  """A setting's value in a table; empty for what a method does not have."""
  return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def measures_of(members: list[Member]) -> list[str]:
  """The measures that any of them has."""
  return [
    name for name in MEASURES if any(name in line for member in members for line in member.lines)
  ]


def write_results(folder: SweepFolder, members: list[Member]) -> None:
  """Writes results.csv and results.json.

  Raises:
    UserError: they cannot be written.
  """
  names = measures_of(members)
  rows = [member.row(names) for member in members]
  text = io.StringIO()
  writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  settings = [
    {
      "settings": {k: v for k, v in dataclasses.asdict(same[0].run).items() if k != "seed"},
      "seeds": [member.run.seed for member in same],
      "status": {member.name: member.status for member in same},
      "end": _spreads([member.end for member in same]),
      "at_best": _spreads([member.best for member in same if member.status == "finished"]),
    }
    for same in by_setting(members)
  ]
  meanings = {
    name: f"{measure.title}, {measure.label}" for name, measure in MEASURES.items() if name in names
  }
  path = folder.path / "results.csv"
  try:
    write_bytes(path, text.getvalue().encode())
    path = folder.path / "results.json"
    write_json(
      path, {"measures": meanings, "best_by": BEST_BY, "members": rows, "settings": settings}
    )
  except OSError as error:
    raise UserError(
      f"{path} cannot be written ({error.strerror}); the members' folders hold all of it: with room"
      f" made, --report_only --workdir={folder.path} writes it"
    ) from error


def _badness(line: dict) -> float:
  return line[BEST_BY] if math.isfinite(line[BEST_BY]) else math.inf


def _measures(line: dict) -> dict[str, float]:
  return {name: line[name] for name in MEASURES if name in line}


def _spreads(values: list[dict]) -> dict:
  names = [name for name in MEASURES if any(name in each for each in values)]
  return {
    name: spread_of([each[name] for each in values if name in each])._asdict() for name in names
  }
