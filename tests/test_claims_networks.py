"""Claims about what a critic is made of: each clause of a criterion bites, and a small run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from claiming import check_variants, judged, measured

from experiments.harness import exercise
from wgan_jax.networks import smooth_elu


def test_batch_norm_critic():
  good = {
    "batch": {"off_diagonal": [0.2, 0.3], "norm_error": [0.5, 0.6]},
    "layer": {"off_diagonal": [1e-7, 0.0], "norm_error": [1e-7, 1e-6]},
    "none": {"off_diagonal": [0.0, 0.0], "norm_error": [0.0, 1e-6]},
  }
  variants = [
    ("batch", "off_diagonal", 1, 0.01),
    ("batch", "norm_error", 0, 0.001),
    ("layer", "off_diagonal", 0, 0.2),
    ("none", "norm_error", 1, 0.1),
    ("none", "off_diagonal", 1, float("nan")),
  ]
  check_variants("batch_norm_critic", good, variants)


def test_batch_norm_critic_run(tmp_path):
  """At any size: it is no matter of scale."""
  evidence = measured("batch_norm_critic", tmp_path, seeds=1, width=8, batch_size=4)
  assert judged("batch_norm_critic", evidence.numbers) == "reproduced"


def test_second_derivatives():
  good = {
    "elu": {"jump_of_second_derivative": [1.0] * 2, "wasserstein": [None, 1.2]},
    "smooth": {"jump_of_second_derivative": [4e-4] * 2, "wasserstein": [0.2, 0.3]},
    "relu": {"jump_of_second_derivative": [0.0] * 2, "wasserstein": [0.2, 0.3]},
  }
  variants = [
    ("elu", "wasserstein", 1, 0.3),
    ("smooth", "wasserstein", 0, None),
    ("smooth", "wasserstein", 0, 0.7),
    ("smooth", "jump_of_second_derivative", [0.4] * 2),
    ("elu", "jump_of_second_derivative", [0.1] * 2),
  ]
  check_variants("second_derivatives", good, variants)


def test_the_softplus_is_near_elu():
  x = jnp.linspace(-4, 4, 81)
  assert float(jnp.max(jnp.abs(smooth_elu(x) - jax.nn.elu(x)))) < 0.1


@pytest.mark.slow
def test_second_derivatives_run(tmp_path):
  evidence = measured("second_derivatives", tmp_path, seeds=1, steps=2, width=4, batch_size=4)
  assert np.isfinite(evidence.numbers["smooth"]["wasserstein"]).all()


def test_course_exercise():
  own = {"edge": [0.1, 0.2], "least": [1e-4, 1e-4], "largest": [1.0, 1.0]}
  good = {
    "exercise": own | {"edge": [0.0, 0.0], "frechet": [[9, 8]] * 2, "class_kl": [[2, 1]] * 2},
    "padded": own | {"frechet": [[9, 9]] * 2, "class_kl": [[2, 0.5]] * 2},
    "dcgan": own | {"frechet": [[9, 7]] * 2, "class_kl": [[2, 0.5]] * 2},
  }
  variants = [
    ("exercise", "edge", 1, 1e-9),
    ("exercise", "largest", 0, 0.0),
    ("padded", "least", 1, 0.0),
    ("dcgan", "least", 0, 0.0),
    ("dcgan", "frechet", [[9, 9]] * 2),
    ("dcgan", "class_kl", [[2, 1.5]] * 2),
    ("dcgan", "frechet", [[9, float("inf")]] * 2),
  ]
  check_variants("course_exercise", good, variants)


def test_the_exercises_critic_couples_a_batch_and_is_blind():
  """28 -> 13 -> 5 -> 1: a sample's own score sees 22 x 22 pixels."""
  params = exercise.init_critic(jax.random.key(0), 4)
  x = jax.random.uniform(jax.random.key(1), (3, 28, 28, 1), minval=-1.0)
  for hold in (True, False):
    seen = jax.jit(jax.grad(lambda x, h=hold: exercise.score_batch(params, x, hold=h)[0]))(x)
    assert bool((seen[0, :22, :22] != 0).all())
    assert bool((seen[0, 22:] == 0).all() and (seen[0, :, 22:] == 0).all()) == hold
    assert bool((seen[1:] == 0).all()) == hold


@pytest.mark.slow
def test_course_exercise_run(tmp_path):
  scale = {"seeds": 1, "dataset": "digits", "steps": 2, "width": 2, "batch_size": 4, "looks": 2}
  evidence = measured("course_exercise", tmp_path, **scale)
  assert evidence.numbers["exercise"]["edge"] == [0.0]
  assert len(evidence.pictures) == 3
