"""What is measured at a log boundary, on networks whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measures.boundary import make_boundary_measures, summarise
from experiments.measures.rows import BEST_BY, MEASURES
from experiments.measures.samples import _N_PROJECTIONS
from experiments.spec.datasets import of_images
from experiments.spec.grid import Grid
from wgan_jax import LOSSES, PENALTIES, Config, Hparams, Info, Network, Pair, make_training
from wgan_jax.data.images import Images

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
  measured = jax.jit(make_boundary_measures(config, pair, DATASET))(
    state, Hparams(), DATASET.train, DATASET.held_out
  )
  return {name: float(value) for name, value in measured.items()}


def test_the_held_out_estimate_is_of_test_images_against_samples():
  measured = measure(Config(penalty="gp"), lambda params, x: params["w"] * jnp.sum(x))
  assert measured.pop("held_out_wasserstein_estimate") == N_PIXELS
  # Every pixel is 1 against 0: on a random line that is |<1, theta>|, near a half normal's mean.
  expected, spread = np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi)
  assert abs(measured.pop("sliced_wasserstein") - expected) < 4 * spread / np.sqrt(_N_PROJECTIONS)
  assert measured == {}


def test_every_measure_of_the_table_is_measured():
  """By its name: those of every line here, the slow ones in `test_exact`."""
  names = set()
  for loss, penalty in [("wasserstein", "gp"), ("wasserstein", "clip"), ("minimax", "none")]:
    config = Config(loss=loss, penalty=penalty)
    names |= set(measure(config, lambda params, x: params["w"] * jnp.sum(x)))
  assert names - set(MEASURES) == {"gradient_norm_mean"}
  assert BEST_BY in MEASURES


def test_norms_without_a_penalty_are_between_training_images_and_samples():
  """c = |x|^2 / 2: the norm at x_hat is epsilon |x|, and |x| is that of the training images."""
  measured = measure(Config(penalty="clip"), lambda params, x: jnp.sum(jnp.square(x)) / 2)
  longest = (191 / 127.5 - 1) * np.sqrt(N_PIXELS)
  assert 0.8 * longest < measured["gradient_norm_max"] < longest
  assert 0.3 * longest < measured["gradient_norm_mean"] < 0.7 * longest


@pytest.mark.parametrize("name", [*LOSSES, "own"])
def test_an_estimate_is_logged_and_measured_under_its_losss_name(name, monkeypatch):
  """Also of a loss that was added: its name, and its estimate of held-out data."""
  own = LOSSES["wasserstein"]._replace(
    estimate=lambda real, fake: jnp.mean(real) - 3 * jnp.mean(fake), estimate_name="own_estimate"
  )
  monkeypatch.setitem(LOSSES, "own", own)
  loss = LOSSES[name]
  config = Config(loss=name, penalty="gp")
  measured = measure(config, lambda params, x: params["w"] * jnp.mean(x) + 0.25)
  expected = loss.estimate(jnp.full(5, 1.25), jnp.full(5, 0.25))
  assert measured[f"held_out_{loss.estimate_name}"] == pytest.approx(float(expected), abs=1e-6)
  assert sum("estimate" in key for key in measured) == 1
  (settings,) = Grid("digits", {"loss": (name,)}).settings([0])
  line = summarise([dict.fromkeys(Info._fields, 1.0)], settings)
  assert [key for key in line if "estimate" in key] == [loss.estimate_name]


def test_a_penalty_that_was_added_trains_with_its_own_weight(monkeypatch):
  """It is penalised, by its row's weight or else 10, and logged; --lambda_gp means something."""
  own = PENALTIES["gp"]._replace(cost=lambda norms: jnp.mean(norms), lambda_gp=3.0)
  monkeypatch.setitem(PENALTIES, "own", own)
  monkeypatch.setitem(PENALTIES, "unweighted", own._replace(lambda_gp=None))
  for penalty, weight in [("own", 3.0), ("unweighted", 10.0)]:
    choices = {"loss": ("wasserstein",), "penalty": (penalty,)}
    (settings,) = Grid("digits", choices).settings([0])
    assert settings.hparams().lambda_gp == settings.lambda_gp == weight
    assert settings.n_critic == 5
    assert settings.beta2 == 0.9
    (settings,) = Grid("digits", choices | {"lambda_gp": (7.0,)}).settings([0])
    assert settings.hparams().lambda_gp == 7
  assert "gradient_penalty" in summarise([dict.fromkeys(Info._fields, 1.0)], settings)
