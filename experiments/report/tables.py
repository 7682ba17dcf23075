"""Tables of a sweep: means with their intervals, results.csv and results.json."""

import csv
import dataclasses
import io
import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments.engine.groups import SweepFolder
from experiments.host.errors import UserError
from experiments.host.files import write_bytes, write_json
from experiments.measures.rows import BEST_BY
from experiments.measures.table import compared
from experiments.report.results import Member, by_setting, measures_of
from experiments.spec.settings import Settings


class MeanInterval(NamedTuple):
  """Mean over seeds, and its 95 % confidence interval: Student's, mean +- half_width."""

  n: int  # Number of values, of the members that finished.
  mean: float | None  # None without a value.
  half_width: float | None  # None below two values, and if one is not finite.

  def __str__(self) -> str:
    if self.mean is None:
      return "none"
    return f"{self.mean:.4g}" + ("" if self.half_width is None else f" ± {self.half_width:.2g}")


def mean_interval(values: list[float]) -> MeanInterval:
  """Mean of some values, and the interval that covers the mean of all seeds 19 times in 20."""
  n = len(values)
  mean = float(np.mean(values)) if values else None
  if n < 2 or not np.isfinite(values).all():
    return MeanInterval(n, mean, None)
  half_width = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n)
  return MeanInterval(n, mean, float(half_width))


def label(run: Settings, names: list[str]) -> str:
  """Some of the settings in words, without those that the method does not have."""
  values = {name: getattr(run, name) for name in names}
  return ", ".join(f"{k} {show(v)}" for k, v in values.items() if v is not None)


def show(value: object) -> str:
  """Text of a setting's value in a table; empty if the method has no such setting."""
  return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def write_results(folder: SweepFolder, members: list[Member]) -> None:
  """Writes results.csv and results.json.

  Raises:
    UserError: a file cannot be written.
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
      "end": _intervals([member.end for member in same]),
      "at_best": _intervals([member.best for member in same if member.status == "finished"]),
    }
    for same in by_setting(members)
  ]
  measures = compared()
  meanings = {name: f"{measures[name].title}, {measures[name].label}" for name in names}
  record = {"measures": meanings, "best_by": BEST_BY, "members": rows, "settings": settings}
  path = folder.path / "results.csv"
  try:
    write_bytes(path, text.getvalue().encode())
    path = folder.path / "results.json"
    write_json(path, record)
  except OSError as error:
    raise UserError(
      f"{path} cannot be written ({error.strerror}); the members' folders hold all of it: with room"
      f" made, --report_only --workdir={folder.path} writes it"
    ) from error


def _intervals(values: list[dict]) -> dict:
  found = {name: [each[name] for each in values if name in each] for name in compared()}
  return {name: mean_interval(own)._asdict() for name, own in found.items() if own}
