"""Measures of critics, on networks whose answers are known."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measures.critics import certified_measures, rows
from experiments.measures.lines import make_measures, measured_rows
from experiments.measures.rows import Run, View
from experiments.spec.datasets import load_dataset
from wgan_jax import Config, Hparams, Network, Pair, make_training
from wgan_jax.layers import Dense
from wgan_jax.networks import mlp

SHIFT = np.array([3.0, 4.0], np.float32)


DATASET = load_dataset("swiss_roll")


@functools.cache
def program(loss):
  """-> a state, and the slow measures in both parts; one compilation for all that is asked."""
  direction = jnp.asarray(-SHIFT / 5)[:, None]

  def layers(params):
    return [Dense(params["slope"] * direction, params["offset"])]

  def score(params, x):
    return layers(params)[0](x)[0]

  def generate(params, batch_stats, latents, *, train):
    points = jnp.asarray(DATASET.held_out)[: latents.shape[0]]
    return points + params["shift"][None] + 0 * latents, batch_stats

  networks = Pair(
    Network(lambda key: {"slope": jnp.ones(()), "offset": jnp.zeros(1)}, score, layers),
    Network(lambda key: ({"shift": jnp.zeros(2)}, {}), generate),
    latent_dim=2,
  )
  config = Config(loss=loss, penalty="none", batch_size=8)
  state = make_training(config, networks, DATASET.sample_real).init(jax.random.key(0), Hparams())
  measures = make_measures(config, networks, DATASET)
  options = {"xla_backend_optimization_level": 0}
  return state, jax.jit(measures.slow, compiler_options=options), measures.finish


def measure(loss, *, slope=2.0, shift=SHIFT, offset=0.0):
  """A critic of slope 2 along the shift, and held-out points, shifted, for samples."""
  state, slow, finish = program(loss)
  state = state._replace(
    critic_params={"slope": jnp.float32(slope), "offset": jnp.full(1, offset)},
    generator_params={"shift": jnp.asarray(shift)},
    ema=({"shift": jnp.asarray(shift)}, {}),
  )
  return finish(jax.device_get(slow(state, Hparams(), DATASET.train, DATASET.held_out, None)))


@pytest.mark.parametrize("loss", ["wasserstein", "minimax"])
def test_a_shift_is_certified_by_a_linear_critic_to_the_last(loss):
  """The distance is |shift| = 5; the critic says 10, its slope is 2."""
  values = measure(loss)
  assert values["exact_wasserstein"] == pytest.approx(5, rel=1e-5)
  assert values["lipschitz_bound"] == pytest.approx(2, rel=1e-5)
  assert values["gradient_norm_found"] == pytest.approx(2, rel=1e-5)
  assert values["certified_wasserstein"] == pytest.approx(5, rel=1e-5)
  assert values["certified_gap"] == pytest.approx(0, abs=1e-4)
  assert 0.9 * 5 < values["confident_wasserstein"] < 5
  assert 0 < values["exact_floor"] < 1
  assert values["certified_wasserstein"] <= values["exact_wasserstein"] * (1 + 1e-6)
  if loss == "wasserstein":
    assert values["estimate_gap"] == pytest.approx(5, rel=1e-5)
    assert values["generator_gradient_wasserstein"] == pytest.approx(2, rel=1e-5)
  else:
    assert "estimate_gap" not in values
  assert 0 < values["update_cosine"] <= 1 + 1e-6  # Adam's first step descends.


def test_a_critic_that_points_the_wrong_way_certifies_as_much():
  """Its negative is as Lipschitz."""
  values = measure("wasserstein", slope=-2.0)
  assert values["certified_wasserstein"] == pytest.approx(5, rel=1e-5)
  assert values["estimate_gap"] == pytest.approx(-15, rel=1e-5)


def test_scores_that_overflow_leave_the_exact_distance():
  values = measure("wasserstein", offset=3e38)  # Their sum is infinite.
  assert values["exact_wasserstein"] == pytest.approx(5, rel=1e-5)
  for name in ("certified_wasserstein", "certified_gap", "estimate_gap"):
    assert math.isnan(values[name])


def test_samples_that_overflow_end_no_run():
  values = measure("wasserstein", shift=np.array([np.inf, 0], np.float32))
  assert math.isnan(values["exact_wasserstein"])
  assert math.isnan(values["certified_wasserstein"])


def test_a_critic_that_does_not_list_its_layers_has_no_certificate():
  networks = mlp((2,), latent_dim=2, width=1)
  bare = networks._replace(critic=networks.critic._replace(layers=None))
  names, left = (
    {row.name for row in measured_rows(Run(Config(), pair, DATASET))} for pair in (networks, bare)
  )
  assert names - left == {
    "certified_wasserstein",
    "certified_gap",
    "confident_wasserstein",
    "lipschitz_bound",
  }


def test_the_gap_is_what_the_certificate_leaves_open():
  """A slope of 2 and a difference of 4 prove 2, of a distance of 5."""
  layers = [Dense(jnp.full((1, 1), 2.0), jnp.zeros(1))]
  real = np.array([3.0, 5.0])
  values = certified_measures(layers, (1,), (real, np.zeros(5)), 5.0)
  # Welch's interval of two scores of variance 2 has one degree of freedom: t = 6.3138.
  assert values.pop("confident_wasserstein") == 0 < 6.3138 * 1 - 4
  assert values == pytest.approx(
    {"certified_wasserstein": 2, "certified_gap": 3, "lipschitz_bound": 2}, rel=1e-5
  )
  values = certified_measures(layers, (1,), (10 + real, np.zeros(5)), 15.0)
  assert values["confident_wasserstein"] == pytest.approx((14 - 6.313752) / 2, rel=1e-5)


@functools.cache
def gaussians():
  return load_dataset("two_gaussians")


def compute(name, score):
  """The measure of this name, of a critic x -> score(x) on the pair of Gaussians."""
  dataset = gaussians()
  critic = Network(lambda key: {}, lambda params, x: score(x))
  networks = Pair(critic, dataset.toy.generator, latent_dim=2)
  config = Config(penalty="none", batch_size=8, fixed_generator=True)
  state = make_training(config, networks, dataset.sample_real).init(jax.random.key(0), Hparams())
  view = View(Run(config, networks, dataset), dataset.held_out, state, train=dataset.train)
  (row,) = [row for row in rows() if row.name == name]
  return float(row.compute(view))


@pytest.mark.parametrize("a", [3.0, -0.5])
def test_the_cosine_with_the_optimal_gradient_is_that_of_vector_fields(a):
  """c(x) = a x_0^2 / 2 at N((2, 0), I / 4), g* = (1, 0): sign(a) E x_0 / sqrt(E x_0^2)."""
  cosine = compute("gradient_cosine", lambda x: a * x[0] ** 2 / 2)
  assert cosine == pytest.approx(math.copysign(2 / math.sqrt(4.25), a), abs=0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_steepest_place_is_looked_for_in_the_whole_box(sign):
  """|grad| of (x_0 + s r)^2 / 2 is largest at x_0 = s r, 2 r, with r half the side of the box."""
  r = gaussians().extent
  norm = compute("gradient_norm_found", lambda x: (x[0] + sign * r) ** 2 / 2)
  assert norm == pytest.approx(2 * r, rel=1e-5)
