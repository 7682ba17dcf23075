"""Curves of a run's metrics."""

import math
import pathlib

from matplotlib.figure import Figure

from experiments.figures.pictures import render
from experiments.host.files import write_bytes
from experiments.measures.rows import PANELS, Panel
from experiments.measures.table import all_rows


def draw_curves(path: pathlib.Path, rows: list[dict], title: str) -> None:
  """Draws lines of metrics.jsonl against their steps, a panel for measures read together."""
  panels = _panels({name for row in rows for name in row})
  n_rows = math.ceil(len(panels) / 2)
  height = 3.2 * n_rows
  figure = Figure(figsize=(10, height))
  figure.suptitle(title, fontsize=10, y=1 - 0.1 / height, va="top")
  figure.subplots_adjust(
    left=0.08, right=0.98, bottom=0.5 / height, top=1 - 0.65 / height, wspace=0.22, hspace=0.42
  )
  for place, (head, (panel, names)) in enumerate(panels.items(), 1):
    axes = figure.add_subplot(n_rows, 2, place)
    for name in names:
      points = [(row["step"], row[name]) for row in rows if name in row]
      style = {"linewidth": 1.2, "marker": "." if len(points) == 1 else None}
      axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), **style)
    if panel.marked is not None:
      axes.axhline(panel.marked, color="gray", linewidth=0.8, linestyle=":")
    axes.set(title=head, xlabel="step (generator updates)", ylabel=panel.label)
    axes.legend(fontsize=7)
  write_bytes(path, render(figure))


def _panels(logged: set[str]) -> dict[str, tuple[Panel, list[str]]]:
  """Panels with the measures that were logged, by title; those that rows add come last."""
  shown = [row for row in all_rows() if row.panel is not None and row.name in logged]
  panels = {}
  for title in [*PANELS, *(row.panel for row in shown)]:
    own = sorted((row for row in shown if row.panel == title), key=lambda row: row.order)
    if own:
      names = dict.fromkeys(row.name for row in own)
      panels[title] = PANELS.get(title, Panel(own[0].label)), list(names)
  return panels
