"""`wgan_jax.config.Config`: names and rows of one's own, and what is refused at the door."""

import re

import optax
import pytest

import wgan_jax
from wgan_jax import LOSSES, OPTIMIZERS, PENALTIES, Config, Hparams, Optimizer, Penalty


def sgd(learning_rate, hparams):
  return optax.sgd(learning_rate)


@pytest.mark.parametrize(
  ("field", "rows"), [("loss", LOSSES), ("penalty", PENALTIES), ("optimizer", OPTIMIZERS)]
)
def test_a_name_and_its_row_are_the_same_choice(field, rows):
  for name, row in rows.items():
    for value in (name, row):
      config = Config(**{field: value})
      assert getattr(config, field) is value  # Kept as given.
      assert getattr(config, f"{field}_row") is row


def test_an_optimizer_may_be_any_function_of_learning_rate_and_hparams():
  assert Config(optimizer=sgd).optimizer_row == Optimizer(sgd, {})


def test_a_config_has_a_hash_whatever_its_rows_are():
  rows = {
    "loss": LOSSES["hinge"],
    "penalty": Penalty(wgan_jax.interpolate, wgan_jax.penalize),
    "optimizer": OPTIMIZERS["adam"],
  }
  assert len({Config(**rows), Config(**rows), Config(), Config(optimizer=sgd)}) == 3


def test_defaults_of_hparams_are_adams_and_the_gradient_penaltys():
  defaults = Hparams()._asdict()
  assert OPTIMIZERS["adam"].defaults.items() <= defaults.items()
  assert defaults["lambda_gp"] == PENALTIES["gp"].lambda_gp


BAD = [
  ({"loss": "wgan"}, "Config.loss must be one of wasserstein, .* or a wgan_jax.Loss, got 'wgan'"),
  ({"loss": (1, 2, 3)}, "Config.loss must be .* a wgan_jax.Loss, got (1, 2, 3)"),
  ({"loss": PENALTIES["gp"]}, "Config.loss must be .* a wgan_jax.Loss, got Penalty"),
  ({"penalty": "spectral"}, "Config.penalty must be one of gp, .* a wgan_jax.Penalty, got 'spec"),
  ({"penalty": 3}, "Config.penalty must be .* a wgan_jax.Penalty, got 3"),
  ({"penalty": None}, "Config.penalty must be .* a wgan_jax.Penalty, got None"),
  ({"penalty": ["gp"]}, "Config.penalty must be .* a wgan_jax.Penalty, got ['gp']"),
  ({"penalty": wgan_jax.penalize}, "Config.penalty must be .* a wgan_jax.Penalty, got <function"),
  ({"penalty": Penalty(cost=wgan_jax.penalize)}, "Config.penalty has cost but no points: give"),
  ({"penalty": Penalty(wgan_jax.interpolate)}, "Config.penalty has points but no cost: give both"),
  ({"optimizer": "sgd"}, "Config.optimizer must be one of adam, rmsprop or a wgan_jax.Optimizer"),
  ({"optimizer": 3}, "Config.optimizer must be .* a wgan_jax.Optimizer, got 3"),
  ({"optimizer": optax.sgd(0.1)}, "Config.optimizer must be .* a wgan_jax.Optimizer, got Grad"),
  ({"optimizer": optax.adam}, "write lambda learning_rate, hparams: optax.adam(learning_rate)"),
  ({"optimizer": lambda rate: sgd(rate, None)}, "Config.optimizer must be .* too many positional"),
  ({"optimizer": lambda rate, hparams: rate}, "Config.optimizer must be .* it returned 0.0002"),
  ({"optimizer": Optimizer(lambda rate, hparams: None)}, "Config.optimizer .* it returned None"),
  ({"compute_dtype": "float16"}, "Config.compute_dtype must be one of float32, bfloat16, got"),
  ({"n_critic": 0}, "Config.n_critic must be at least 1, got 0"),
  ({"unroll": 0}, "Config.unroll must be at least 1, got 0"),
  ({"batch_size": 0}, "Config.batch_size must be at least 1, got 0"),
]


@pytest.mark.parametrize(("choice", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_what_cannot_be_used_is_refused_in_one_line(choice, message):
  pattern = ".*".join(re.escape(part) for part in message.split(" .* "))
  with pytest.raises(ValueError, match=pattern) as error:
    Config(**choice)
  assert "\n" not in str(error.value)
