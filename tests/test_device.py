"""What an accelerator must share with the CPU: draws to the bit, values to float32's rounding."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest
from helpers.problems import points, points_pair, sample_points

import wgan_jax
from wgan_jax import Config, Hparams
from wgan_jax.data.images import sample_images
from wgan_jax.networks.dcgan import dcgan

# On a CPU they compare it with itself: not in the short suite.
pytestmark = [pytest.mark.device, pytest.mark.campaign]
HERE, CPU = jax.local_devices()[0], jax.local_devices(backend="cpu")[0]


def on(device, function, *operands):
  """Computes on a device; returns the result on the host."""
  with jax.default_device(device):
    return jax.device_get(jax.jit(function)(*jax.device_put(operands, device)))


@pytest.mark.parametrize(
  "draw",
  [jax.random.uniform, jax.random.bits],
  ids=["uniform", "bits"],
)
def test_draws_are_those_of_the_cpu_to_the_bit(draw):
  def many(seed):
    return draw(jax.random.fold_in(jax.random.key(seed), 3), (7, 1000))

  chex.assert_trees_all_equal(on(HERE, many, 5), on(CPU, many, 5))


def test_real_batches_are_those_of_the_cpu_to_the_bit():
  data = jnp.arange(50 * 4 * 4, dtype=jnp.uint8).reshape(50, 4, 4, 1)

  def batch(seed, data):
    return sample_images(jax.random.key(seed), data, 16)

  chex.assert_trees_all_equal(on(HERE, batch, 1, data), on(CPU, batch, 1, data))


@pytest.mark.parametrize("penalty", ["gp", "r1", "dragan"])
def test_a_step_is_that_of_the_cpu(penalty):
  # Adam and RMSProp would divide the rounding of gradients that are zero by itself.
  config = Config(
    penalty=penalty, batch_size=8, n_critic=2, optimizer=lambda rate, hparams: optax.sgd(rate)
  )
  training = wgan_jax.make_training(config, points_pair(depth=2), sample_points)
  hparams = Hparams(learning_rate=1e-2)

  def two(data):
    state = training.init(jax.random.key(0), hparams)
    state, _ = training.step(state, hparams, data)
    state, info = training.step(state, hparams, data)
    return state._replace(key=jax.random.key_data(state.key)), info

  chex.assert_trees_all_close(on(HERE, two, points()), on(CPU, two, points()), rtol=1e-4, atol=1e-5)


def test_the_penalty_of_a_convolutional_critic_is_that_of_the_cpu():
  pair = dcgan((28, 28, 1), latent_dim=4, width=8)
  key = jax.random.key(0)

  def penalty(params, real, fake):
    return wgan_jax.gradient_penalty(key, lambda x: pair.critic.apply(params, x), real, fake)

  def evaluate(params, samples):
    return jax.value_and_grad(penalty)(params, *samples)

  params = on(CPU, pair.critic.init, key)
  params = jax.tree.map(lambda leaf: 2 * leaf + 0.01, params)
  samples = on(CPU, lambda key: jax.random.uniform(key, (2, 8, 28, 28, 1), minval=-1), key)
  value, gradient = on(HERE, evaluate, params, samples)
  expected, expected_gradient = on(CPU, evaluate, params, samples)
  chex.assert_trees_all_close(value, expected, rtol=1e-5)
  scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected_gradient))
  chex.assert_trees_all_close(gradient, expected_gradient, atol=1e-5 * scale, rtol=1e-4)
