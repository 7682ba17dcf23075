"""The slow measures, on networks whose answers are known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measures.rows import MEASURES
from experiments.measures.slow import certified_measures, make_exact_measures
from experiments.spec.datasets import load_dataset
from wgan_jax import Config, Hparams, Network, Pair, make_training
from wgan_jax.layers import Dense

SHIFT = np.array([3.0, 4.0], np.float32)


def measure(loss, *, slope=2.0, shift=SHIFT):
  """A critic of slope 2 along the shift, and held-out points, shifted, for samples."""
  dataset = load_dataset("swiss_roll")
  direction = jnp.asarray(-SHIFT / 5)[:, None]

  def layers(params):
    return [Dense(params["slope"] * direction, jnp.zeros(1))]

  def score(params, x):
    return layers(params)[0](x)[0]

  def generate(params, batch_stats, latents, *, train):
    points = jnp.asarray(dataset.held_out)[: latents.shape[0]]
    return points + params["shift"][None] + 0 * latents, batch_stats

  networks = Pair(
    Network(lambda key: {"slope": jnp.float32(slope)}, score, layers),
    Network(lambda key: ({"shift": jnp.asarray(shift)}, {}), generate),
    latent_dim=2,
  )
  config = Config(loss=loss, penalty="none", batch_size=8)
  training = make_training(config, networks, dataset.sample_real)
  state = training.init(jax.random.key(0), Hparams())
  exact = make_exact_measures(config, networks, dataset, None)
  arrays = jax.jit(exact.compute)(state, Hparams(), dataset.train, dataset.held_out, None)
  return exact.finish(jax.device_get(arrays))


@pytest.mark.parametrize("loss", ["wasserstein", "minimax"])
def test_a_shift_is_certified_by_a_linear_critic_to_the_last(loss):
  """The distance is |shift| = 5; the critic says 10, its slope is 2."""
  told = measure(loss)
  assert told["exact_wasserstein"] == pytest.approx(5, rel=1e-5)
  assert told["lipschitz_bound"] == pytest.approx(2, rel=1e-5)
  assert told["gradient_norm_found"] == pytest.approx(2, rel=1e-5)
  assert told["certified_wasserstein"] == pytest.approx(5, rel=1e-5)
  assert told["certified_gap"] == pytest.approx(0, abs=1e-4)
  assert told["certified_wasserstein"] <= told["exact_wasserstein"] * (1 + 1e-6)
  if loss == "wasserstein":
    assert told["estimate_gap"] == pytest.approx(5, rel=1e-5)
    assert told["generator_gradient_wasserstein"] == pytest.approx(2, rel=1e-5)
  else:
    assert "estimate_gap" not in told
  assert -1 <= told["update_cosine"] <= 1
  assert set(told) <= set(MEASURES)


def test_a_critic_that_points_the_wrong_way_certifies_as_much():
  """Its negative is as Lipschitz."""
  told = measure("wasserstein", slope=-2.0)
  assert told["certified_wasserstein"] == pytest.approx(5, rel=1e-5)
  assert told["estimate_gap"] == pytest.approx(-15, rel=1e-5)


def test_samples_that_overflow_end_no_run():
  told = measure("wasserstein", shift=np.array([np.inf, 0], np.float32))
  assert math.isnan(told["exact_wasserstein"])
  assert math.isnan(told["certified_wasserstein"])


def test_the_gap_is_what_the_certificate_leaves_open():
  """A slope of 2 and a difference of 4 prove 2, of a distance of 5."""
  layers = [Dense(jnp.full((1, 1), 2.0), jnp.zeros(1))]
  told = certified_measures(layers, (1,), 4.0, 5.0)
  assert told == pytest.approx(
    {"certified_wasserstein": 2, "certified_gap": 3, "lipschitz_bound": 2}, rel=1e-5
  )
