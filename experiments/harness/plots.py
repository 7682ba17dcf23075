"""Pictures: grids of samples and curves of metrics, the same bytes for the same numbers."""

import io
import math
import pathlib
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from experiments.harness.datasets import Dataset
from experiments.harness.files import write_bytes
from experiments.harness.program import Drawing
from wgan_jax.diagnostics import generator_losses
from wgan_jax.losses import LOSSES

_DPI = 100
_GRID_SIDE = 672
_TITLE_HEIGHT = 24

_PANELS = [
  (
    "Wasserstein estimate, and the distance",
    "E c(x) - E c(g(z)); W1",
    ["wasserstein_estimate", "exact_wasserstein", "certified_wasserstein", "true_wasserstein"],
  ),
  ("Jensen-Shannon estimate", "divergence (nats)", ["jensen_shannon_estimate"]),
  ("total variation estimate", LOSSES["hinge"].unit, ["total_variation_estimate"]),
  ("relativistic estimate", LOSSES["relativistic_average"].unit, ["relativistic_estimate"]),
  ("sliced distance, samples to held out", "SW1", ["sliced_wasserstein"]),
  ("modes found", "modes", ["n_modes"]),
  ("quality of modes", "share; nats", ["high_quality", "reverse_kl"]),
  ("classes found", "classes", ["n_classes"]),
  ("classifier Fréchet distance", "squared features", ["frechet"]),
  ("precision and recall; KL of classes", "share; nats", ["precision", "recall", "class_kl"]),
  ("gradient norms on x_hat", "gradient norm", ["gradient_norm_mean", "gradient_norm_max"]),
  ("gradient penalty, without lambda", "penalty", ["gradient_penalty"]),
  ("losses, both minimised", "loss", ["critic_loss", "generator_loss"]),
  ("Lipschitz constant of the critic", "slope", ["gradient_norm_found", "lipschitz_bound"]),
  (
    "generator's gradient by loss",
    "norm",
    [f"generator_gradient_{loss}" for loss in generator_losses()],
  ),
  ("cosines", "cosine", ["gradient_cosine", "update_cosine"]),
  ("weights at the clipping bound", "share", ["clipped_share"]),
]


class Picture(NamedTuple):
  """A PNG and what it shows."""

  caption: str
  png: bytes


def draw_samples(path: pathlib.Path, drawing: Drawing, dataset: Dataset, title: str) -> None:
  """Draws a run's own picture: a grid of images, or points on the critic's level sets."""
  if drawing.levels is None:
    draw_grid(path, drawing.samples, title)
  else:
    draw_points(path, drawing.samples, dataset, title, drawing.levels)


def draw_points(
  path: pathlib.Path,
  points: np.ndarray,
  dataset: Dataset,
  title: str,
  levels: np.ndarray | None = None,
) -> None:
  """Draws points beside those that are held out, on level sets of a critic.

  Args:
    path: the PNG to write.
    points: [n, 2].
    dataset: has the held-out points.
    title: stands above.
    levels: the critic on the square of the data set's extent, rows from its lower end, or None.
  """
  # Fixed margins here and below: finding a layout takes as long as drawing.
  figure = Figure(figsize=(6, 5.2))
  axes = figure.add_axes((0.1, 0.06, 0.86, 0.87))
  fill_points(figure, axes, points, dataset, levels)
  axes.set_title(title, fontsize=9)
  write_bytes(path, render(figure))


def fill_points(figure: Figure, axes, points: np.ndarray, dataset: Dataset, levels) -> None:
  """Draws what `draw_points` does into axes of a figure."""
  extent = dataset.extent
  if levels is not None:
    side = np.linspace(-extent, extent, len(levels))
    drawn = axes.contourf(side, side, levels, levels=24, cmap="Greys", alpha=0.55)
    figure.colorbar(drawn, ax=axes, shrink=0.75, label="critic's score")
  axes.plot(*dataset.held_out.T, ".", color="tab:orange", markersize=3, label="held out")
  axes.plot(*points.T, ".", color="tab:green", markersize=3, label="generated")
  axes.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
  axes.legend(fontsize=7, loc="upper right", markerscale=2)


def draw_grid(path: pathlib.Path, images: np.ndarray, title: str) -> None:
  """Draws images in a square grid.

  Args:
    path: the PNG to write.
    images: uint8 [n, height, width, channels], of 1 or 3 channels.
    title: stands above the grid.
  """
  grid = compose_grid(images)
  # Every pixel of a sample is a square of whole screen pixels.
  scale = max(1, _GRID_SIDE // grid.shape[1])
  image_width, image_height = scale * grid.shape[1], scale * grid.shape[0]
  total = image_height + _TITLE_HEIGHT
  figure = Figure(figsize=(image_width / _DPI, total / _DPI))
  axes = figure.add_axes((0, 0, 1, image_height / total))
  axes.imshow(grid, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
  axes.set_axis_off()
  figure.text(0.5, 1 - _TITLE_HEIGHT / total / 2, title, ha="center", va="center", fontsize=9)
  write_bytes(path, render(figure))


def compose_grid(images: np.ndarray) -> np.ndarray:
  """Images [n, height, width, channels] in a square grid, [rows height, columns width, ...]."""
  n, height, width, channels = images.shape
  columns = math.ceil(math.sqrt(n))
  rows = math.ceil(n / columns)
  grid = np.zeros((rows, columns, height, width, channels), np.uint8)
  grid.reshape(-1, height, width, channels)[:n] = images
  grid = grid.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
  return grid[..., 0] if channels == 1 else grid


def draw_curves(path: pathlib.Path, rows: list[dict], title: str) -> None:
  """Draws the metrics of a run against its steps, each panel what one reads together.

  Args:
    path: the PNG to write.
    rows: lines of metrics.jsonl.
    title: stands above the panels.
  """
  names = {name for row in rows for name in row}
  panels = [
    (head, label, [name for name in wanted if name in names]) for head, label, wanted in _PANELS
  ]
  panels = [panel for panel in panels if panel[2]]
  n_rows = math.ceil(len(panels) / 2)
  height = 3.2 * n_rows
  figure = Figure(figsize=(10, height))
  figure.suptitle(title, fontsize=10, y=1 - 0.1 / height, va="top")
  figure.subplots_adjust(
    left=0.08, right=0.98, bottom=0.5 / height, top=1 - 0.65 / height, wspace=0.22, hspace=0.42
  )
  for place, (head, label, shown) in enumerate(panels, 1):
    axes = figure.add_subplot(n_rows, 2, place)
    for name in [each for base in shown for each in (base, f"held_out_{base}")]:
      points = [(row["step"], row[name]) for row in rows if name in row]
      if points:
        marker = "." if len(points) == 1 else None
        words = name.replace("_", " ")
        axes.plot(*zip(*points, strict=True), label=words, linewidth=1.2, marker=marker)
    if head.startswith("gradient norms"):
      axes.axhline(1, color="gray", linewidth=0.8, linestyle=":")
    axes.set(title=head, xlabel="step (generator updates)", ylabel=label)
    axes.legend(fontsize=7)
  write_bytes(path, render(figure))


def draw_ratios(path: pathlib.Path, rows: list[dict], ways: list[str]) -> None:
  """Draws how much faster members are than runs alone, against their number.

  Args:
    path: the PNG to write.
    rows: dicts of `network`, `members` and, for each way, the least, median and largest ratio.
    ways: the keys of the ratios.
  """
  networks = list(dict.fromkeys(row["network"] for row in rows))
  figure = Figure(figsize=(5 * len(networks), 3.6), layout="constrained")
  for place, network in enumerate(networks, 1):
    axes = figure.add_subplot(1, len(networks), place)
    own = [row for row in rows if row["network"] == network]
    members = [row["members"] for row in own]
    for way in ways:
      low, middle, high = zip(*(row[way] for row in own), strict=True)
      (line,) = axes.plot(members, middle, ".-", label=way)
      axes.fill_between(members, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.axhline(1, color="gray", linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks(members, members)
    axes.set_ylim(bottom=0)
    axes.set(title=network, xlabel="members", ylabel="times faster than runs alone")
    axes.legend(fontsize=8)
  write_bytes(path, render(figure))


def render(figure: Figure) -> bytes:
  """A figure as PNG, the same bytes for the same figure."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
  return buffer.getvalue()
