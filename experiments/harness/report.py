"""The report of a sweep: one HTML file with its pictures inside."""

import base64
import dataclasses
import math
import pathlib
from typing import NamedTuple

import jinja2
from matplotlib.figure import Figure

from experiments.harness.errors import UserError
from experiments.harness.files import read_json, read_lines, write_bytes
from experiments.harness.measures import BEST_BY, MEASURES
from experiments.harness.plots import render
from experiments.harness.results import (
  Member,
  Spread,
  by_setting,
  measures_of,
  spread_of,
  varied,
)
from experiments.harness.settings import STATIC
from experiments.harness.sweep_folder import SweepFolder
from wgan_jax.training import Hparams

_TEMPLATE = pathlib.Path(__file__).with_name("report.html.jinja")
_MOST_LINES = 10  # That one can tell apart in one picture.
_SIZE = (6.4, 3.6)


class _Picture(NamedTuple):
  caption: str
  source: str


def write_report(folder: SweepFolder, members: list[Member]) -> None:
  """Writes report.html.

  Raises:
    UserError: it cannot be written.
  """
  settings = by_setting(members)
  differ = varied(members)
  record = read_json(folder.config)
  environment = jinja2.Environment(
    autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
  )
  html = environment.from_string(_TEMPLATE.read_text()).render(
    members=members,
    run=members[0].run,
    common={
      k: v
      for k, v in dataclasses.asdict(members[0].run).items()
      if k not in (*differ, "seed") and v is not None
    },
    steps=record["flags"]["steps"],
    environment=record["environment"],
    n_seeds=max(len(same) for same in settings),
    diverged=[member for member in members if member.status == "diverged"],
    unfinished=[member for member in members if member.status == "unfinished"],
    differ=differ,
    measures={name: MEASURES[name] for name in measures_of(members)},
    best_by=MEASURES[BEST_BY],
    table=_table(settings, differ, measures_of(members)),
    curves=_curves(settings, measures_of(members)),
    sensitivity=_sensitivity(members, measures_of(members)),
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


def _table(settings, differ, names):
  rows = []
  for same in settings:
    finished = [member for member in same if member.status == "finished"]
    end = {name: [m.end[name] for m in finished if name in m.end] for name in names}
    rows.append(
      {
        "values": [_value(getattr(same[0].run, name)) for name in differ],
        "seeds": f"{len(finished)} of {len(same)}",
        "mean": spread_of(end[BEST_BY]).mean if BEST_BY in end else None,
        "end": [_spread(spread_of(end[name])) for name in names],
        "best": _spread(spread_of([m.best[BEST_BY] for m in finished])),
      }
    )
  means = [row["mean"] for row in rows if row["mean"] is not None]
  for row in rows:
    row["is_best"] = row["mean"] is not None and row["mean"] == min(means)
  return rows


def _curves(settings, names):
  """For each measure and program, the mean of each setting over its seeds, with its interval."""
  pictures = []
  for name in names:
    for program, group in _by_program(settings).items():
      group = [same for same in group if any(name in line for m in same for line in m.lines)]
      shown = sorted(group, key=_rank)[:_MOST_LINES]
      if not shown:
        continue
      figure, axes = _axes(MEASURES[name])
      differ = _telling([same[0] for same in group])
      for same in [each for each in group if each in shown]:
        _draw_band(axes, same, name, _label(same[0].run, differ))
      _scale(axes, [line[name] for same in shown for m in same for line in m.lines])
      axes.set_xlabel("step (generator updates)")
      if differ:
        axes.legend(fontsize=7)
      caption = f"{MEASURES[name].title}, {program}"
      if len(shown) < len(group):
        caption += f"; the {len(shown)} of {len(group)} settings with the least {BEST_BY}"
      pictures.append(_picture(figure, caption))
  return pictures


def _draw_band(axes, same, name, label):
  steps = sorted({line["step"] for member in same for line in member.lines})
  spreads = [
    spread_of([line[name] for m in same for line in m.lines if line["step"] == step])
    for step in steps
  ]
  means = [spread.mean for spread in spreads]
  halves = [spread.half_width or 0.0 for spread in spreads]
  (line,) = axes.plot(steps, means, label=label, linewidth=1.2)
  axes.fill_between(
    steps,
    [mean - half for mean, half in zip(means, halves, strict=True)],
    [mean + half for mean, half in zip(means, halves, strict=True)],
    color=line.get_color(),
    alpha=0.15,
    linewidth=0,
  )


def _sensitivity(members, names):
  """Each measure at the end against each hyperparameter that varies, the rest held."""
  pictures = []
  for hparam in [name for name in varied(members) if name in Hparams._fields]:
    lines = {}
    for member in members:
      rest = dataclasses.asdict(member.run) | {"seed": None, hparam: None}
      lines.setdefault(tuple(rest.values()), []).append(member)
    lines = [group for group in lines.values() if hparam in varied(group)]
    concerned = [member for group in lines for member in group]
    rest = [name for name in _telling(concerned) if name != hparam]
    for name in names:
      if not any(name in member.end for member in concerned):
        continue
      figure, axes = _axes(MEASURES[name])
      for group in lines[:_MOST_LINES]:
        _draw_sensitivity(axes, group, hparam, name, _label(group[0].run, rest))
      _scale(axes, [m.end[name] for m in concerned if name in m.end])
      values = sorted({getattr(member.run, hparam) for member in concerned})
      if values[0] > 0:
        axes.set_xscale("log")
      axes.set_xticks(values, [f"{value:g}" for value in values])
      axes.minorticks_off()
      axes.set_xlabel(hparam)
      if len(lines) > 1:
        axes.legend(fontsize=7)
      caption = f"{MEASURES[name].title} at the end against {hparam}"
      if len(lines) > _MOST_LINES:
        caption += f"; the first {_MOST_LINES} of {len(lines)} combinations of the rest"
      pictures.append(_picture(figure, caption))
  return pictures


def _draw_sensitivity(axes, group, hparam, name, label):
  points = {}
  for member in group:
    if name in member.end:
      points.setdefault(getattr(member.run, hparam), []).append(member.end[name])
  xs = sorted(points)
  spreads = [spread_of(points[x]) for x in xs]
  drawn = axes.errorbar(
    xs,
    [spread.mean for spread in spreads],
    [spread.half_width or 0.0 for spread in spreads],
    capsize=3,
    linewidth=1.2,
    label=label,
  )
  for x in xs:
    axes.plot([x] * len(points[x]), points[x], ".", color=drawn[0].get_color(), alpha=0.5)


def _samples(folder, settings):
  """The samples of one seed of each setting, as its run folder has them."""
  differ = _telling([same[0] for same in settings])
  pictures = []
  for same in settings:
    member = min(same, key=lambda member: (member.status != "finished", member.run.seed))
    path = folder.member(member.run).sample(member.steps)
    if path.exists():
      label = _label(member.run, differ) or member.name
      caption = f"{label}, seed {member.run.seed}, step {member.steps}"
      if member.status != "finished":
        caption += f" ({member.status})"
      pictures.append(_Picture(caption, _embed(path.read_bytes())))
  return pictures


def _times(folder):
  """Wall times by program: compiling, training, and the host's work between chunks."""
  times = {}
  for line in read_lines(folder.timing):
    row = times.setdefault(
      line["program"], {"ways": set(), "compile": 0.0, "chunk": 0.0, "host": 0.0, "steps": 0}
    )
    row["compile"] += line.get("compile_seconds", 0.0)
    row["chunk"] += line.get("chunk_seconds", 0.0)
    row["host"] += line.get("host_seconds", 0.0)
    row["steps"] += line.get("member_steps", 0)
    row["ways"] |= {line["way"]} if "way" in line else set()
  return times


def _by_program(settings):
  differ = [name for name in _telling([same[0] for same in settings]) if name in STATIC]
  programs = {}
  for same in settings:
    label = _label(same[0].run, differ) or f"{same[0].run.loss} {same[0].run.penalty}"
    programs.setdefault(label, []).append(same)
  return programs


def _rank(same):
  values = [member.end[BEST_BY] for member in same if BEST_BY in member.end]
  return spread_of(values).mean if values else math.inf


def _telling(members):
  """The settings that tell members apart, less what loss and penalty bring with them."""
  methods = {}
  for member in members:
    methods.setdefault((member.run.loss, member.run.penalty), []).append(member)
  within = {name for group in methods.values() for name in varied(group)}
  return [name for name in varied(members) if name in within | {"loss", "penalty"}]


def _label(run, names):
  values = {name: getattr(run, name) for name in names}
  return ", ".join(f"{k} {_value(v)}" for k, v in values.items() if v is not None)


def _axes(measure):
  figure = Figure(figsize=_SIZE, layout="constrained")
  axes = figure.add_subplot()
  axes.set_ylabel(measure.label)
  return figure, axes


def _scale(axes, values):
  """Logarithmic where one could not read the small values beside the large ones."""
  if min(values) > 0 and max(values) / min(values) > 50:
    axes.set_yscale("log")
  elif max(map(abs, values)) > 50 * sorted(map(abs, values))[len(values) // 2]:
    axes.set_yscale("symlog", linthresh=sorted(map(abs, values))[len(values) // 2])


def _picture(figure, caption):
  return _Picture(caption, _embed(render(figure)))


def _embed(png: bytes) -> str:
  return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _value(value):
  return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _spread(spread: Spread) -> str:
  if spread.mean is None:
    return "none"
  if spread.half_width is None:
    return f"{spread.mean:.4g}"
  return f"{spread.mean:.4g} ± {spread.half_width:.2g}"
