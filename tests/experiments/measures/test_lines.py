"""Lines of metrics, on networks whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measures.lines import make_measures, summarise
from experiments.measures.samples import _N_PROJECTIONS
from experiments.measures.training import rows_of
from experiments.spec.datasets import of_images
from wgan_jax import Config, Hparams, Info, Network, Pair, make_training
from wgan_jax.data.images import Images
from wgan_jax.losses import LOSSES

# White held-out images, mid-grey training images, and a generator that draws 0 in sampling mode.
IMAGE_SHAPE = (28, 28, 1)
HELD_OUT = np.full((5, *IMAGE_SHAPE), 255, np.uint8)
TRAIN = np.full((7, *IMAGE_SHAPE), 191, np.uint8)
DATASET = of_images(Images("digits", TRAIN, np.zeros(7, int), HELD_OUT, np.zeros(5, int)))
N_PIXELS = 28 * 28


def measure(config, critic_apply):
  def generate(params, batch_stats, latents, *, train):
    samples = jnp.full((latents.shape[0], *IMAGE_SHAPE), 9.0 if train else 0.0)
    return samples + 0 * params["a"], batch_stats

  pair = Pair(
    critic=Network(lambda key: {"w": jnp.ones(())}, critic_apply),
    generator=Network(lambda key: ({"a": jnp.ones(())}, {}), generate),
    latent_dim=1,
  )
  training = make_training(config, pair, DATASET.sample_real)
  state = training.init(jax.random.key(0), Hparams())
  options = {"xla_backend_optimization_level": 0}
  fast = jax.jit(make_measures(config, pair, DATASET).fast, compiler_options=options)
  measured = fast(state, Hparams(), DATASET.train, DATASET.held_out)
  return {name: float(value) for name, value in measured.items()}


def test_the_held_out_estimate_is_of_test_images_against_samples():
  measured = measure(Config(penalty="gp"), lambda params, x: params["w"] * jnp.sum(x))
  assert measured.pop("held_out_wasserstein_estimate") == N_PIXELS
  # Every pixel is 1 against 0: on a random line that is |<1, theta>|, near a half normal's mean.
  expected, spread = np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi)
  assert abs(measured.pop("sliced_wasserstein") - expected) < 4 * spread / np.sqrt(_N_PROJECTIONS)
  assert measured == {}


def test_norms_without_a_penalty_are_between_training_images_and_samples():
  """c = |x|^2 / 2: the norm at x_hat is epsilon |x|, and |x| is that of the training images."""
  measured = measure(Config(penalty="clip"), lambda params, x: jnp.sum(jnp.square(x)) / 2)
  longest = (191 / 127.5 - 1) * np.sqrt(N_PIXELS)
  assert 0.8 * longest < measured["gradient_norm_max"] < longest
  assert 0.3 * longest < measured["gradient_norm_mean"] < 0.7 * longest


def test_a_line_holds_means_over_steps_and_of_the_largest_norms_the_largest():
  info = Info(*(np.float32([k, 3 * k]) for k in range(1, 7)), finite=np.ones(2, bool))
  line = summarise(rows_of(info), Config(penalty="gp"))
  assert line == {
    "wasserstein_estimate": 2,
    "gradient_penalty": 4,
    "gradient_norm_mean": 10,
    "gradient_norm_max": 18,
    "critic_loss": 6,
    "generator_loss": 8,
  }
  without = summarise(rows_of(info), Config(penalty="clip"))
  assert set(without) == {"wasserstein_estimate", "critic_loss", "generator_loss"}


@pytest.mark.parametrize("loss", LOSSES)
def test_an_estimate_has_the_name_of_its_loss(loss):
  config = Config(loss=loss, penalty="none")
  name = config.loss_row.estimate_name
  steps = [dict.fromkeys(Info._fields, 1.0)]
  assert name in summarise(steps, config)
  names = set(measure(config, lambda params, x: params["w"] * jnp.sum(x)))
  assert {each for each in names if "estimate" in each} == {f"held_out_{name}"}
