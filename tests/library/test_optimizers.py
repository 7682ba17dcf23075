"""Optimisers by name: each update against its formula, and the hyperparameters it reads."""

import jax.numpy as jnp
import numpy as np
import pytest

from wgan_jax import Hparams
from wgan_jax.optimizers import OPTIMIZERS

READ = ("learning_rate", "beta1", "beta2")


def moves(name, gradients=(1.0, 0.2), **changed):
  """The updates of one weight, by one gradient after another."""
  hparams = Hparams(**OPTIMIZERS[name].defaults)._replace(**changed)
  optimizer = OPTIMIZERS[name].make(hparams.learning_rate, hparams)
  state, found = optimizer.init(jnp.zeros(())), []
  for gradient in gradients:
    update, state = optimizer.update(jnp.float32(gradient), state)
    found.append(float(update))
  return found


def test_adam_is_its_formula():
  """With its bias correction, after gradients of 1 and 0.2."""
  mean = (0.5 * 0.5 + 0.5 * 0.2) / (1 - 0.5**2)
  square = (0.9 * 0.1 + 0.1 * 0.2**2) / (1 - 0.9**2)
  np.testing.assert_allclose(
    moves("adam"), [-2e-4, -2e-4 * mean / (np.sqrt(square) + 1e-8)], rtol=1e-4
  )


def test_rmsprop_has_epsilon_outside_the_root():
  """-lr g / (sqrt((1 - beta2) g^2) + 1e-8), for a tiny gradient g."""
  (update,) = moves("rmsprop", [1e-8])
  np.testing.assert_allclose(update, -5e-5 * 1e-8 / (0.1 * 1e-8 + 1e-8), rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("field", READ)
def test_defaults_name_what_an_optimizer_reads(name, field):
  """A field changes the updates if, and only if, it has a default."""
  changed = moves(name, **{field: 0.3}) != moves(name)
  assert changed == (field in OPTIMIZERS[name].defaults)
