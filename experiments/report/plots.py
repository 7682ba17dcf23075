"""Pictures of a sweep: curves with bands, and measures against hyperparameters."""

import math
from operator import attrgetter, itemgetter

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.pictures import Picture, render
from experiments.measures.rows import BEST_BY, Measure
from experiments.measures.table import compared
from experiments.report.results import Member, distinguishing_settings, varied
from experiments.report.tables import label, mean_interval
from experiments.spec.grid import grouped
from experiments.spec.settings import SETTINGS, STATIC
from wgan_jax.config import Hparams

_MOST_LINES = 10  # More cannot be distinguished in one picture.


def draw_curves(settings: list[list[Member]], names: list[str]) -> list[Picture]:
  """Draws the mean of each setting over its seeds, with its interval; a picture a measure."""
  measures, pictures = compared(), []
  # A diverged member enters no mean. If none has finished, all are drawn as far as they are.
  finished = [[m for m in same if m.status == "finished"] or same for same in settings]
  # More settings than can be distinguished are drawn program by program.
  groups = {"": finished} if len(finished) <= _MOST_LINES else _by_program(finished)
  for name in names:
    for program, group in groups.items():
      group = [same for same in group if _points(same, name)]
      shown = sorted(group, key=_rank)[:_MOST_LINES]
      points = [point for same in shown for point in _points(same, name)]
      if len({step for step, _ in points}) < 2:  # Tables have what was measured once.
        continue
      figure, axes = _axes(measures[name])
      differ = distinguishing_settings([same[0] for same in group])
      for same in [each for each in group if each in shown]:
        _draw_band(axes, same, name, label(same[0].run, differ))
      _scale(axes, [value for _, value in points])
      axes.set_xlabel("step (generator updates)")
      if differ:
        axes.legend(fontsize=7)
      caption = f"{measures[name].title}, {program}".removesuffix(", ")
      if len(shown) < len(group):
        caption += f"; the {len(shown)} of {len(group)} settings with the least {BEST_BY}"
      pictures.append(Picture(caption, render(figure)))
  return pictures


def _points(same, name):
  """(step, value) of all lines of some members that have the measure."""
  return [(line["step"], line[name]) for each in same for line in each.lines if name in line]


def _draw_band(axes, same, name, text):
  steps, means, halves = _intervals(_points(same, name))
  (line,) = axes.plot(steps, means, label=text, linewidth=1.2)
  color = line.get_color()
  axes.fill_between(steps, means - halves, means + halves, color=color, alpha=0.15, linewidth=0)


def _intervals(points):
  """From (x, value): each x in order, and there the mean and half its interval, 0 for one value."""
  at = grouped(points, itemgetter(0))
  xs = sorted(at)
  intervals = [mean_interval([value for _, value in at[x]]) for x in xs]
  halves = [interval.half_width or 0.0 for interval in intervals]
  return xs, np.array([interval.mean for interval in intervals]), np.array(halves)


def draw_sensitivity(members: list[Member], names: list[str]) -> list[Picture]:
  """Draws each measure at the end against each hyperparameter that varies, the rest held."""
  measures, pictures = compared(), []
  for hparam in [name for name in varied(members) if name in Hparams._fields]:
    held = [f"run.{name}" for name in SETTINGS if name not in ("seed", hparam)]
    lines = grouped(members, attrgetter(*held)).values()
    lines = [group for group in lines if hparam in varied(group)]
    concerned = [member for group in lines for member in group]
    rest = [name for name in distinguishing_settings(concerned) if name != hparam]
    for name in names:
      ends = [member.end[name] for member in concerned if name in member.end]
      if not ends:
        continue
      figure, axes = _axes(measures[name])
      for group in lines[:_MOST_LINES]:
        _draw_sensitivity(axes, group, hparam, name, label(group[0].run, rest))
      _scale(axes, ends)
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
  points = [(getattr(each.run, hparam), each.end[name]) for each in group if name in each.end]
  drawn = axes.errorbar(*_intervals(points), capsize=3, linewidth=1.2, label=text)
  xs, values = [x for x, _ in points], [value for _, value in points]
  axes.plot(xs, values, ".", color=drawn[0].get_color(), alpha=0.5)


def _by_program(settings):
  differ = distinguishing_settings([same[0] for same in settings])
  differ = [name for name in differ if name in STATIC]

  def name(same):
    return label(same[0].run, differ) or same[0].run.method.replace(",", "")

  return grouped(settings, name)


def _rank(same):
  mean = mean_interval([each.end[BEST_BY] for each in same if BEST_BY in each.end]).mean
  return mean if mean is not None and math.isfinite(mean) else math.inf


def _axes(measure: Measure):
  figure = Figure(figsize=(6.4, 3.6), layout="constrained")
  return figure, figure.add_subplot(ylabel=measure.label)


def _scale(axes, values):
  """Makes an axis logarithmic if small values could not be read beside large ones."""
  finite = [value for value in values if math.isfinite(value)] or [0.0]
  sizes = sorted(map(abs, finite))
  middle = sizes[len(sizes) // 2]
  if min(finite) > 0 and sizes[-1] > 50 * sizes[0]:
    axes.set_yscale("log")
  elif sizes[-1] > 50 * middle > 0:
    axes.set_yscale("symlog", linthresh=middle)
