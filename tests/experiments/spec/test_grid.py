"""Which combinations a grid has."""

import pytest

from experiments.host.errors import UserError
from experiments.spec.grid import Grid

METHOD = {"loss": ("wasserstein",), "penalty": ("gp",), "architecture": ("mlp",)}


def test_values_multiply_only_the_methods_that_have_them():
  grid = Grid(
    "digits",
    METHOD
    | {
      "penalty": ("clip", "gp", "none"),
      "clip_value": (0.001, 0.01, 0.1),
      "lambda_gp": (1.0, 10.0),
      "learning_rate": (1e-4, 1e-3),
    },
  )
  settings = grid.settings(range(2))
  assert grid.size == (3 + 2 + 1) * 2
  assert len(settings) == len(set(settings)) == grid.size * 2
  found = {(s.penalty, s.clip_value, s.lambda_gp) for s in settings}
  assert found == {
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
  assert Grid("digits", choices).size == 2 * 2 * 2 * (2 + 1)


def test_seeds_of_a_combination_follow_each_other():
  settings = Grid("digits", METHOD | {"lambda_gp": (1.0, 10.0)}).settings(range(2))
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
    Grid("digits", METHOD | choices)


def test_methods_stand_for_pairs_of_loss_and_penalty():
  grid = Grid("ring", {"methods": ("minimax", "clip", "gp"), "clip_value": (0.01, 0.1)})
  found = [(s.loss, s.penalty, s.clip_value) for s in grid.settings([0])]
  assert found == [
    ("minimax", "none", None),
    ("wasserstein", "clip", 0.01),
    ("wasserstein", "clip", 0.1),
    ("wasserstein", "gp", None),
  ]


@pytest.mark.parametrize(
  ("dataset", "choices", "message"),
  [
    ("ring", {"n_funnels": (4,)}, "--n_funnels does nothing with --dataset=ring"),
    ("funnels", {"latent_dim": (4,)}, "--latent_dim does nothing with --dataset=funnels"),
    ("grid", {"architecture": ("dcgan",)}, "--architecture=dcgan draws images"),
    ("digits", {"architecture": ("dcgan",), "depth": (2,)}, "--depth .* --architecture=dcgan"),
    (
      "digits",
      {"fixed_generator": (True,), "ema_half_life": (9.0,)},
      "--ema_half_life does nothing with --fixed_generator=True: leave it out",
    ),
    ("funnels", {"critic_learning_rate": (1.0,)}, "--critic_learning_rate does nothing with"),
  ],
)
def test_what_a_data_set_does_not_have_is_refused(dataset, choices, message):
  with pytest.raises(UserError, match=message):
    Grid(dataset, METHOD | choices)


def test_points_with_a_generator_train_the_critic_alone():
  (settings,) = Grid("funnels", METHOD | {"n_funnels": (16,)}).settings([0])
  assert (settings.fixed_generator, settings.latent_dim, settings.n_funnels) == (True, None, 16)
  assert settings.lambda_gp == 10
  (settings,) = Grid("ring", METHOD).settings([0])
  assert (settings.fixed_generator, settings.latent_dim, settings.n_funnels) == (False, 2, None)
  assert settings.lambda_gp == 0.1
