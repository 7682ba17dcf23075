"""Pictures of a sweep: curves with bands, and measures against hyperparameters."""

import dataclasses
import math

from matplotlib.figure import Figure

from experiments.figures.pictures import Picture, render
from experiments.measures.rows import BEST_BY, Measure
from experiments.measures.table import compared
from experiments.report.results import Member, distinguishing_settings, varied
from experiments.report.tables import label, mean_interval
from experiments.spec.settings import STATIC
from wgan_jax.training import Hparams

_MOST_LINES = 10  # More cannot be distinguished in one picture.
_SIZE = (6.4, 3.6)


def draw_curves(settings: list[list[Member]], names: list[str]) -> list[Picture]:
  """Draws the mean of each setting over its seeds, with its interval; a picture a measure."""
  measures, pictures = compared(), []
  # A diverged member enters no mean. If none has finished, all are drawn as far as they are.
  finished = [[m for m in same if m.status == "finished"] or same for same in settings]
  # More settings than can be distinguished are drawn program by program.
  groups = {"": finished} if len(finished) <= _MOST_LINES else _by_program(finished)
  for name in names:
    for program, group in groups.items():
      group = [same for same in group if any(name in line for m in same for line in m.lines)]
      shown = sorted(group, key=_rank)[:_MOST_LINES]
      steps = {line["step"] for same in shown for m in same for line in m.lines if name in line}
      if len(steps) < 2:  # Tables have what was measured once.
        continue
      figure, axes = _axes(measures[name])
      differ = distinguishing_settings([same[0] for same in group])
      for same in [each for each in group if each in shown]:
        _draw_band(axes, same, name, label(same[0].run, differ))
      _scale(axes, [line[name] for same in shown for m in same for line in m.lines if name in line])
      axes.set_xlabel("step (generator updates)")
      if differ:
        axes.legend(fontsize=7)
      caption = f"{measures[name].title}, {program}".removesuffix(", ")
      if len(shown) < len(group):
        caption += f"; the {len(shown)} of {len(group)} settings with the least {BEST_BY}"
      pictures.append(Picture(caption, render(figure)))
  return pictures


def _draw_band(axes, same, name, text):
  lines = [line for member in same for line in member.lines if name in line]
  steps = sorted({line["step"] for line in lines})
  intervals = [
    mean_interval([line[name] for line in lines if line["step"] == step]) for step in steps
  ]
  means = [interval.mean for interval in intervals]
  halves = [interval.half_width or 0.0 for interval in intervals]
  (line,) = axes.plot(steps, means, label=text, linewidth=1.2)
  axes.fill_between(
    steps,
    [mean - half for mean, half in zip(means, halves, strict=True)],
    [mean + half for mean, half in zip(means, halves, strict=True)],
    color=line.get_color(),
    alpha=0.15,
    linewidth=0,
  )


def draw_sensitivity(members: list[Member], names: list[str]) -> list[Picture]:
  """Draws each measure at the end against each hyperparameter that varies, the rest held."""
  measures, pictures = compared(), []
  for hparam in [name for name in varied(members) if name in Hparams._fields]:
    lines = {}
    for member in members:
      rest = dataclasses.asdict(member.run) | {"seed": None, hparam: None}
      lines.setdefault(tuple(rest.values()), []).append(member)
    lines = [group for group in lines.values() if hparam in varied(group)]
    concerned = [member for group in lines for member in group]
    rest = [name for name in distinguishing_settings(concerned) if name != hparam]
    for name in names:
      if not any(name in member.end for member in concerned):
        continue
      figure, axes = _axes(measures[name])
      for group in lines[:_MOST_LINES]:
        _draw_sensitivity(axes, group, hparam, name, label(group[0].run, rest))
      _scale(axes, [m.end[name] for m in concerned if name in m.end])
      values = sorted({getattr(member.run, hparam) for member in concerned})
      if values[0] > 0:
        axes.set_xscale("log")
      axes.set_xticks(values, [f"{value:g}" for value in values])
      axes.minorticks_off()
      axes.set_xlabel(hparam)
      if len(lines) > 1:
        axes.legend(fontsize=7)
      caption = f"{measures[name].title} at the end against {hparam}"
      if len(lines) > _MOST_LINES:
        caption += f"; the first {_MOST_LINES} of {len(lines)} combinations of the rest"
      pictures.append(Picture(caption, render(figure)))
  return pictures


def _draw_sensitivity(axes, group, hparam, name, text):
  points = {}
  for member in group:
    if name in member.end:
      points.setdefault(getattr(member.run, hparam), []).append(member.end[name])
  xs = sorted(points)
  intervals = [mean_interval(points[x]) for x in xs]
  drawn = axes.errorbar(
    xs,
    [interval.mean for interval in intervals],
    [interval.half_width or 0.0 for interval in intervals],
    capsize=3,
    linewidth=1.2,
    label=text,
  )
  for x in xs:
    axes.plot([x] * len(points[x]), points[x], ".", color=drawn[0].get_color(), alpha=0.5)


def _by_program(settings):
  differ = [
    name for name in distinguishing_settings([same[0] for same in settings]) if name in STATIC
  ]
  programs = {}
  for same in settings:
    text = label(same[0].run, differ) or f"{same[0].run.loss} {same[0].run.penalty}"
    programs.setdefault(text, []).append(same)
  return programs


def _rank(same):
  values = [member.end[BEST_BY] for member in same if BEST_BY in member.end]
  mean = mean_interval(values).mean if values else math.inf
  return mean if math.isfinite(mean) else math.inf


def _axes(measure: Measure):
  figure = Figure(figsize=_SIZE, layout="constrained")
  axes = figure.add_subplot()
  axes.set_ylabel(measure.label)
  return figure, axes


def _scale(axes, values):
  """Makes an axis logarithmic if small values could not be read beside large ones."""
  sizes = sorted(abs(value) for value in values if math.isfinite(value)) or [0.0]
  middle = sizes[len(sizes) // 2]
  positive = all(value > 0 for value in values if math.isfinite(value))
  if positive and sizes[-1] > 50 * sizes[0] > 0:
    axes.set_yscale("log")
  elif sizes[-1] > 50 * middle > 0:
    axes.set_yscale("symlog", linthresh=middle)
