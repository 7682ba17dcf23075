"""`observe`: the same training as anybody's, looked at on the way."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.engine.observe import observe
from wgan_jax.config import Config, Hparams
from wgan_jax.data.toy import load_toy
from wgan_jax.networks import mlp
from wgan_jax.sweep import make_chunk
from wgan_jax.training import make_training
from wgan_jax.types import Training

CONFIG = Config(n_critic=2, batch_size=8)
PAIR = mlp((2,), latent_dim=2, width=4, depth=1)
RING = load_toy("ring")


def look(key, state, data):
  del data
  return {"params": state.critic_params, "step": state.step, "draw": jax.random.normal(key)}


def watch(members, at=(0, 2, 5)):
  training = make_training(CONFIG, PAIR, RING.sample_real)
  return observe(training, RING.data, members, at, look)


@pytest.fixture(scope="module")
def observed():
  return watch([(Hparams(), 3), (Hparams(learning_rate=1e-2), 4), (Hparams(), 4)])


def test_a_member_is_the_run_alone(observed):
  training = make_training(CONFIG, PAIR, RING.sample_real)
  hparams = jax.tree.map(jnp.float32, Hparams(learning_rate=1e-2))
  key, _ = jax.random.split(jax.random.key(4))
  state, info = jax.jit(make_chunk(training.step, 5))(
    jax.jit(training.init)(key, hparams), hparams, RING.data, 5
  )
  last = jax.tree.map(lambda leaf: leaf[1, -1], observed.seen["params"])
  chex.assert_trees_all_equal(last, jax.device_get(state.critic_params))
  chex.assert_trees_all_equal(observed.info.estimate[1], np.asarray(info.estimate))
  chex.assert_trees_all_equal(
    jax.tree.map(lambda leaf: leaf[1], observed.state.critic_params), state.critic_params
  )


def test_it_looks_where_it_is_asked_to(observed):
  assert observed.at == [0, 2, 5]
  assert observed.seen["step"].tolist() == [[0, 2, 5]] * 3
  assert observed.info.estimate.shape == (3, 5)
  assert observed.alive.all()


def test_each_look_draws_its_own(observed):
  draws = observed.seen["draw"]
  assert len(set(draws[:2].ravel().tolist())) == 6
  # The seed decides the draws, not the numbers of the method.
  chex.assert_trees_all_equal(draws[1], draws[2])


def test_one_that_diverges_is_told_and_its_neighbour_does_not_notice(observed):
  found = watch([(Hparams(learning_rate=1e30), 3), (Hparams(), 3)])
  assert found.alive.tolist() == [False, True]
  assert found.seen["step"][0, -1] < 5
  assert np.isfinite(found.seen["params"]["Dense_0"]["kernel"]).all()
  chex.assert_trees_all_equal(
    jax.tree.map(lambda leaf: leaf[1], found.seen["params"]),
    jax.tree.map(lambda leaf: leaf[0], observed.seen["params"]),
  )


@pytest.mark.campaign
def test_a_training_of_ones_own():
  training = make_training(CONFIG, PAIR, RING.sample_real)

  def slower(state, hparams, data):
    return training.step(state, hparams._replace(learning_rate=hparams.learning_rate / 10), data)

  members = [(Hparams(learning_rate=1e-2), 4)]
  own = observe(Training(training.init, slower), RING.data, members, [2], look)
  usual = watch([(Hparams(learning_rate=1e-3), 4)], at=[2])
  chex.assert_trees_all_close(own.seen["params"], usual.seen["params"], rtol=1e-5)
