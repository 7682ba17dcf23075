"""The report of a sweep: one HTML file with its pictures inside."""

import dataclasses
import math
import pathlib
import sys

from experiments.engine.groups import SweepFolder
from experiments.engine.opening import read_record
from experiments.figures.pictures import Picture
from experiments.host.errors import UserError
from experiments.host.files import read_bytes, write_bytes
from experiments.measures.rows import BEST_BY
from experiments.measures.table import compared, groups
from experiments.report import results
from experiments.report.pages import render_page
from experiments.report.plots import draw_curves, draw_sensitivity
from experiments.report.results import Member
from experiments.report.tables import label, mean_interval, show
from experiments.spec.grid import grouped

_TEMPLATE = pathlib.Path(__file__).with_name("sweep.html.jinja")


def write_report(folder: SweepFolder, members: list[Member]) -> None:
  """Writes report.html.

  Raises:
    UserError: the file cannot be written.
  """
  settings = results.by_setting(members)
  names, differ = results.measures_of(members), results.varied(members)
  distinguishing = results.distinguishing_settings(members)
  tables = {}
  for title, group in groups().items():
    rows = {name: row for name, row in group.items() if name in names}
    if rows:
      tables[title] = rows, _table(settings, distinguishing, rows)
  common = dataclasses.asdict(members[0].run)
  implied = [name for name in differ if name not in distinguishing]  # By loss, penalty and critic.
  methods = {each.run.method: each.run for each in members if implied}
  html = render_page(
    _TEMPLATE,
    members=members,
    common={k: v for k, v in common.items() if k not in (*differ, "seed") and v is not None},
    record=read_record(folder.config),
    settings=settings,
    distinguishing=distinguishing,
    brought={method: label(run, implied) for method, run in methods.items()},
    tables=tables,
    best_by=compared()[BEST_BY],
    curves=draw_curves(settings, names),
    sensitivity=draw_sensitivity(members, names),
    samples=_samples(folder, settings),
    times=_times(folder),
  )
  path = folder.path / "report.html"
  try:
    write_bytes(path, html.encode())
  except OSError as error:
    raise UserError(
      f"{path} cannot be written ({error.strerror}): with room made, --report_only"
      f" --workdir={folder.path} writes it"
    ) from error


def _table(settings, distinguishing, names):
  rows = []
  for same in settings:
    finished = [member for member in same if member.status == "finished"]
    end = {name: mean_interval([m.end[name] for m in finished if name in m.end]) for name in names}
    values = [show(getattr(same[0].run, name)) for name in distinguishing]
    best = mean_interval([m.best[BEST_BY] for m in finished])
    seeds = f"{len(finished)} of {len(same)}"
    rows.append({"values": values, "seeds": seeds, "end": end, "best": best})
  means = [row["end"][BEST_BY].mean for row in rows if BEST_BY in row["end"]]
  finite = [mean for mean in means if mean is not None and math.isfinite(mean)]
  for row in rows:
    row["is_best"] = bool(finite) and row["end"][BEST_BY].mean == min(finite)
  return rows


def _samples(folder, settings):
  """Sample pictures of one seed of each setting, from its run folder."""
  differ = results.distinguishing_settings([same[0] for same in settings])
  pictures = []
  for same in settings:
    member = min(same, key=lambda member: (member.status != "finished", member.run.seed))
    path = folder.member(member.run).sample(member.steps)
    if path.exists():
      words = label(member.run, differ) or member.name
      caption = f"{words}, seed {member.run.seed}, step {member.steps}"
      if member.status != "finished":
        caption += f" ({member.status})"
      try:
        pictures.append(Picture(caption, read_bytes(path, inside=folder.path)))
      except OSError as error:
        print(f"warning: the report lacks {path} ({error.strerror})", file=sys.stderr)
  return pictures


def _times(folder):
  """Wall times by program: compiling, training, and the host's work between chunks."""
  times = {}
  for program, lines in grouped(folder.times(), lambda line: line.get("program")).items():
    parts = ("compile", "chunk", "host")
    row = {part: sum(line.get(f"{part}_seconds", 0.0) for line in lines) for part in parts}
    row["steps"] = sum(line.get("steps", 0) * line.get("members", 1) for line in lines)
    times[program] = row | {"batching": {line["batching"] for line in lines if "batching" in line}}
  return times
