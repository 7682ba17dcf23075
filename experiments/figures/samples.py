"""Pictures of samples: grids of images, points on a critic's level sets."""

import math
import pathlib

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.pictures import DPI, render
from experiments.host.files import write_bytes
from experiments.measures.draws import Snapshot
from experiments.spec.dataset import Dataset

_GRID_SIDE = 672
_TITLE_HEIGHT = 24


def draw_samples(path: pathlib.Path, snapshot: Snapshot, dataset: Dataset, title: str) -> None:
  """Draws a run's samples: a grid of images, or points on the critic's level sets."""
  if snapshot.levels is None:
    draw_grid(path, snapshot.samples, title)
  else:
    draw_points(path, snapshot.samples, dataset, title, snapshot.levels)


def draw_points(
  path: pathlib.Path, points: np.ndarray, dataset: Dataset, title: str, levels=None
) -> None:
  """Draws points [n, d] and the data set's held-out points on level sets of a critic.

  Of more than two dimensions the first two are seen.

  `levels` are scores on the square of the data set's extent, rows from its lower end, or None.
  """
  # Fixed margins here and below: finding a layout takes as long as drawing.
  figure = Figure(figsize=(6, 5.2))
  axes = figure.add_axes((0.1, 0.06, 0.86, 0.87))
  fill_points(figure, axes, points, dataset, levels)
  axes.set_title(title, fontsize=9)
  write_bytes(path, render(figure))


def fill_points(figure: Figure, axes, points: np.ndarray, dataset: Dataset, levels) -> None:
  """Draws the content of `draw_points` into axes of a figure."""
  extent = dataset.extent
  if levels is not None:
    side = np.linspace(-extent, extent, len(levels))
    drawn = axes.contourf(side, side, levels, levels=24, cmap="Greys", alpha=0.55)
    figure.colorbar(drawn, ax=axes, shrink=0.75, label="critic's score")
  axes.plot(*dataset.held_out.T[:2], ".", color="tab:orange", markersize=3, label="held out")
  axes.plot(*points.T[:2], ".", color="tab:green", markersize=3, label="generated")
  axes.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
  axes.legend(fontsize=7, loc="upper right", markerscale=2)


def draw_grid(path: pathlib.Path, images: np.ndarray, title: str) -> None:
  """Draws images of 1 or 3 channels in the grid of `compose_grid`."""
  grid = compose_grid(images)
  # Every pixel of a sample is a square of whole screen pixels.
  scale = max(1, _GRID_SIDE // grid.shape[1])
  height, width = scale * grid.shape[0], scale * grid.shape[1]
  total = height + _TITLE_HEIGHT
  figure = Figure(figsize=(width / DPI, total / DPI))
  axes = figure.add_axes((0, 0, 1, height / total))
  axes.imshow(grid, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
  axes.set_axis_off()
  figure.text(0.5, 1 - _TITLE_HEIGHT / total / 2, title, ha="center", va="center", fontsize=9)
  write_bytes(path, render(figure))


def compose_grid(images: np.ndarray) -> np.ndarray:
  """Composes images to one, [rows height, columns width, 3], or without channels if grey.

  Args:
    images: uint8 [n, height, width, channels], for a grid as square as can be, or [rows, columns,
      height, width, channels], such as a row a class.
  """
  *rows, columns, height, width, channels = images.shape
  n = columns * math.prod(rows)
  columns = columns if rows else math.ceil(math.sqrt(n))
  rows = math.ceil(n / columns)
  grid = np.zeros((rows, columns, height, width, channels), np.uint8)
  places = grid.reshape(-1, height, width, channels)
  places[:n] = images.reshape(n, height, width, channels)
  grid = grid.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
  return grid[..., 0] if channels == 1 else grid
