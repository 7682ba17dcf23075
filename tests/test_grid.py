"""Which combinations a grid has."""

import pytest

from experiments.harness.errors import UserError
from experiments.harness.grid import Grid

METHOD = {"loss": ("wasserstein",), "penalty": ("gp",), "architecture": ("mlp",)}


def test_values_multiply_only_the_methods_that_have_them():
  grid = Grid(
    METHOD
    | {
      "penalty": ("clip", "gp", "none"),
      "clip_value": (0.001, 0.01, 0.1),
      "lambda_gp": (1.0, 10.0),
      "learning_rate": (1e-4, 1e-3),
    }
  )
  settings = grid.settings("digits", range(2))
  assert grid.size == (3 + 2 + 1) * 2
  assert len(settings) == len(set(settings)) == grid.size * 2
  told = {(s.penalty, s.clip_value, s.lambda_gp) for s in settings}
  assert told == {
    ("clip", 0.001, None),
    ("clip", 0.01, None),
    ("clip", 0.1, None),
    ("gp", None, 1.0),
    ("gp", None, 10.0),
    ("none", None, None),
  }
  assert {s.optimizer for s in settings if s.penalty == "clip"} == {"rmsprop"}
  assert {s.optimizer for s in settings if s.penalty == "gp"} == {"adam"}


def test_every_list_multiplies():
  choices = METHOD | {
    "architecture": ("mlp", "dcgan"),
    "width": (8, 16),
    "n_critic": (1, 5),
    "optimizer": ("adam", "rmsprop"),
    "beta1": (0.0, 0.5),
  }
  # beta1 belongs to Adam.
  assert Grid(choices).size == 2 * 2 * 2 * (2 + 1)


def test_seeds_of_a_combination_follow_each_other():
  settings = Grid(METHOD | {"lambda_gp": (1.0, 10.0)}).settings("digits", range(2))
  assert [(s.lambda_gp, s.seed) for s in settings] == [(1.0, 0), (1.0, 1), (10.0, 0), (10.0, 1)]


@pytest.mark.parametrize(
  ("choices", "message"),
  [
    ({"clip_value": (0.1,)}, "--clip_value does nothing with --penalty=gp"),
    ({"penalty": ("clip", "none"), "lambda_gp": (1.0,)}, "--lambda_gp .* --penalty=clip,none"),
    ({"optimizer": ("rmsprop",), "beta1": (0.5,)}, "--beta1 does nothing with --optimizer=rmsprop"),
  ],
)
def test_values_that_no_method_has_are_refused(choices, message):
  with pytest.raises(UserError, match=message):
    Grid(METHOD | choices)
