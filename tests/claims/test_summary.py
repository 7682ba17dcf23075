"""What claims share for tables, sentences and figures."""

import numpy as np
import pytest

from experiments.claims.figures import (
  dots_with_interval,
  image_grid,
  label_panel,
  legend_of_twins,
  lines_by_seed,
  make_panels,
  outline,
  overlaid_histograms,
  picture,
)
from experiments.claims.summary import by_column, by_seed, even_steps, rows_by_seed, sigmoid, span


def test_rows_hold_json_values_and_share_their_labels():
  rows = rows_by_seed({"critic": "clip"}, {"mean_norm": np.float32([1.5, 2.5]), "text": ["a", "b"]})
  assert rows[1] == {"critic": "clip", "seed": 1, "mean norm": 2.5, "text": "b"}
  assert type(rows[0]["mean norm"]) is float
  assert rows_by_seed({}, {"norm on x_hat": [1]}) == [{"seed": 0, "norm on x_hat": 1}]


def test_columns_hold_the_values_of_all_rows_in_their_order():
  assert by_column([{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]) == {"x": [1, 2], "y": ["a", "b"]}


def test_values_in_words():
  assert by_seed([1.25, 2], ".2f") == "1.25, 2.00"
  assert span([3, 1, 2]) == "1 to 3"


@pytest.mark.parametrize(("steps", "n", "expected"), [(100, 4, [25, 50, 75, 100]), (2, 9, [1, 2])])
def test_even_steps_end_at_the_last_and_never_at_0(steps, n, expected):
  assert even_steps(steps, n) == expected


def test_sigmoid_does_not_overflow():
  np.testing.assert_allclose(sigmoid(np.float32([-1e6, 0, 1e6])), [0, 0.5, 1], atol=1e-12)


def test_only_the_first_seed_is_in_the_legend_and_equal_legends_are_not_repeated():
  figure, panels = make_panels(1, 3, size=(3, 1))
  for axes in panels[:2]:
    lines_by_seed(axes, [1, 2], [[1, 2], [3, 4]], "estimate", color="C0")
  lines_by_seed(panels[2], None, [[(1, 2)], []], "points")
  assert picture(figure, "Lines.").png.startswith(b"\x89PNG")
  assert len(panels[0].lines) == 2
  assert len(panels[2].lines) == 1
  texts = [axes.get_legend() and axes.get_legend().get_texts() for axes in panels]
  assert [each and [text.get_text() for text in each] for each in texts] == [
    ["estimate"],
    None,
    ["points"],
  ]


def test_a_panel_has_a_small_title_and_the_labels_that_it_is_given():
  _, axes = make_panels(size=(1, 1))
  label_panel(axes, "Norms", xlabel="steps", ylim=(0, 2))
  assert (axes.get_title(), axes.title.get_fontsize()) == ("Norms", 9)
  assert (axes.get_xlabel(), axes.get_ylim()) == ("steps", (0, 2))


def test_twins_have_one_legend():
  figure, axes = make_panels(size=(2, 1))
  twin = axes.twinx()
  axes.plot([1, 2], label="left")
  twin.plot([1, 2], label="right")
  legend_of_twins(axes, twin)
  picture(figure, "Twins.")
  assert [text.get_text() for text in axes.get_legend().get_texts()] == ["left", "right"]
  assert twin.get_legend() is None


def test_values_beyond_the_edges_are_in_the_last_bins():
  _, axes = make_panels(size=(1, 1))
  outline(axes, np.array([-1.0, 0.5, 9.0, 9.0]), np.array([0.0, 1.0, 2.0]))
  np.testing.assert_allclose(axes.patches[0].get_data().values, [0.5, 0.5])


def test_a_side_that_diverged_is_not_drawn():
  _, axes = make_panels(size=(1, 1))
  overlaid_histograms(axes, {"real": np.ones(4), "fake": np.array([np.nan, 1.0])}, 2)
  assert axes.get_legend_handles_labels()[1] == ["real"]


def test_an_interval_needs_a_value():
  _, axes = make_panels(size=(1, 1))
  dots_with_interval(axes, 0, [], "C0")
  assert not axes.containers
  dots_with_interval(axes, 1, [1.0, 2.0], "C0")
  assert len(axes.containers) == 1


def test_images_in_a_grid_keep_their_range():
  _, axes = make_panels(size=(1, 1))
  image_grid(axes, np.stack([np.full((2, 2, 1), value) for value in (-1, np.nan, 1, 9)]), "Four")
  # One pixel of each image, from the upper left.
  np.testing.assert_array_equal(axes.images[0].get_array()[::2, ::2], [[0, 127], [255, 255]])
