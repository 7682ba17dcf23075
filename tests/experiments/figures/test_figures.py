"""Pictures show the numbers, pixel for pixel where pixels are the numbers."""

import numpy as np
import pytest
from PIL import Image

from experiments.figures.curves import draw_curves
from experiments.figures.samples import draw_grid


@pytest.mark.parametrize(("n", "channels"), [(9, 1), (5, 3), (1, 1)])
def test_a_grid_holds_every_pixel_of_every_sample(tmp_path, n, channels):
  """Row by row, each pixel a square of whole screen pixels; empty places are black.

  To one level in 255: the grey colour map rounds.
  """
  images = np.random.default_rng(0).integers(0, 256, (n, 28, 28, channels), np.uint8)
  draw_grid(tmp_path / "grid.png", images, "title")
  with Image.open(tmp_path / "grid.png") as picture:
    shown = np.asarray(picture.convert("RGB"))
  columns = int(np.ceil(np.sqrt(n)))
  rows = int(np.ceil(n / columns))
  shown = shown[shown.shape[0] - rows * shown.shape[1] // columns :]  # Below the title.
  scale = shown.shape[1] // (columns * 28)
  shown = shown[scale // 2 :: scale, scale // 2 :: scale]
  for place in range(rows * columns):
    top, left = place // columns * 28, place % columns * 28
    expected = images[place] if place < n else np.zeros((28, 28, channels), np.uint8)
    expected = np.broadcast_to(expected, (28, 28, 3))
    difference = shown[top : top + 28, left : left + 28].astype(int) - expected
    assert abs(difference).max() <= 1


def test_the_same_numbers_draw_the_same_bytes_and_others_do_not(tmp_path):
  rows = [{"step": 1, "critic_loss": 1.0}, {"step": 2, "critic_loss": 3.0}]
  other = [rows[0], {"step": 2, "critic_loss": 3.5}]
  pictures = []
  for place, drawn in enumerate((rows, rows, other)):
    draw_curves(tmp_path / f"{place}.png", drawn, "title")
    pictures.append((tmp_path / f"{place}.png").read_bytes())
  assert pictures[0] == pictures[1]
  assert pictures[0] != pictures[2]


def test_a_curve_of_one_point_is_seen(tmp_path):
  """Its line has no length; the picture must have its colour beside the legend's."""
  rows = [{"step": 1, "critic_loss": 1.0}, {"step": 2, "critic_loss": 1.5, "generator_loss": 9.0}]
  draw_curves(tmp_path / "curves.png", rows, "title")
  with Image.open(tmp_path / "curves.png") as picture:
    shown = np.asarray(picture.convert("RGB")).astype(int)
  orange = abs(shown - [255, 127, 14]).sum(axis=2) < 30  # The second colour of matplotlib's cycle.
  legend = np.flatnonzero(orange.sum(axis=1) > 8)  # A row with a whole stroke of the legend.
  assert orange.any()
  assert np.delete(orange, legend, axis=0).sum() > 4
