"""Figures that claims share: panels, lines and histograms by seed, dots with intervals, images."""

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.pictures import Picture, render
from experiments.figures.samples import compose_grid
from experiments.report.tables import mean_interval


def make_panels(rows: int = 1, columns: int = 1, *, size: tuple[float, float], **shared):
  """Makes a figure, its size in inches, and its axes, one or an array; see `Figure.subplots`."""
  figure = Figure(figsize=size, layout="constrained")
  return figure, figure.subplots(rows, columns, **shared)


def picture(figure: Figure, caption: str) -> Picture:
  """Renders a figure; gives panels with labels a legend, unless an earlier panel has the same."""
  seen = [[]]
  for axes in figure.axes:
    labels = axes.get_legend_handles_labels()[1]
    if labels not in seen and axes.get_legend() is None:
      axes.legend(fontsize=7)
    seen.append(labels)
  return Picture(caption, render(figure))


def lines_by_seed(axes, x, rows, label: str | None = None, *, marker: str = "-", **style) -> None:
  """Draws a line for each seed, the first of which has the label.

  The rows are y, [seeds, n], over x, [n]; where x is None, a list of (x, y) for each seed.
  """
  for seed, row in enumerate(rows):
    if x is None and not row:
      continue
    points = zip(*row, strict=True) if x is None else (x, row)
    axes.plot(*points, marker, **{"linewidth": 1, "label": None if seed else label} | style)


def mark(axes, *, x: float | None = None, y: float | None = None, label: str | None = None) -> None:
  """Marks a known value with a dotted grey line across the panel."""
  draw, at = (axes.axhline, y) if x is None else (axes.axvline, x)
  draw(at, color="gray", linewidth=0.8, linestyle=":", label=label)


def label_panel(axes, title: str, **labels) -> None:
  """Gives a panel a small title, and the labels, limits and scales that `Axes.set` takes."""
  axes.set_title(title, fontsize=9)
  axes.set(**labels)


def outline(axes, values, edges, label: str | None = None, **style) -> None:
  """Draws a histogram of shares as an outline; values beyond the edges are in the last bins."""
  shares = np.histogram(np.clip(values, *edges[[0, -1]]), edges)[0] / len(values)
  axes.stairs(shares, edges, label=label, **style)


def overlaid_histograms(axes, sides: dict[str, np.ndarray], bins) -> None:
  """Draws histograms of shares of real and of fake over each other; none that is not finite."""
  for side, colour in (("real", "tab:green"), ("fake", "tab:red")):
    if np.isfinite(values := sides[side]).all():
      weights = np.full(len(values), 1 / len(values))
      axes.hist(values, bins, weights=weights, alpha=0.5, color=colour, label=side)


def dots_with_interval(axes, place: float, values: list[float], color: str) -> None:
  """Draws a dot for each seed, and beside them their mean and its 95 % interval."""
  _, mean, half_width = mean_interval(values)
  axes.plot([place] * len(values), values, "o", color=color, alpha=0.6, markersize=4)
  if mean is not None:
    axes.errorbar(place + 0.15, mean, half_width or 0.0, fmt="_", color=color, capsize=4)


def image_grid(axes, images: np.ndarray, title: str) -> None:
  """Draws images [n, height, width, channels] in [-1, 1] in a square grid; NaN is grey."""
  pixels = np.clip((np.nan_to_num(images) + 1) * 127.5, 0, 255).astype(np.uint8)
  axes.imshow(compose_grid(pixels), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
  axes.set_title(title, fontsize=9)
  axes.set_axis_off()


def image_grids(images: dict[str, np.ndarray], caption: str, *, size, rows: int = 1) -> Picture:
  """Draws a picture of images in square grids, a panel for each title."""
  figure, panels = make_panels(rows, len(images) // rows, size=size)
  for axes, (title, own) in zip(panels.ravel(), images.items(), strict=True):
    image_grid(axes, own, title)
  return picture(figure, caption)


def log_map(axes, values: np.ndarray):
  """Draws an array in units of its largest entry, from a thousandth of it; red: exactly 0."""
  if not values.all():
    axes.set_facecolor("red")
  shown = np.where(values > 0, np.maximum(values / values.max(), 1e-9), np.nan)
  return axes.imshow(shown, norm="log", vmin=1e-3, vmax=1)


def legend_of_twins(axes, twin) -> None:
  """Puts the lines of two axes of one panel (see `twinx`) into one legend."""
  lines = [each for each in [*axes.lines, *twin.lines] if not each.get_label().startswith("_")]
  axes.legend(lines, [line.get_label() for line in lines], fontsize=7)
  for line in twin.lines:
    line.set_label(None)
