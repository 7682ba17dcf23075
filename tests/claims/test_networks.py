"""Claims about what a critic is made of: each clause of a criterion bites, and a small run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.claiming import check_variants, judged, measured

from experiments.claims import exercise
from experiments.claims.wgan_gp import random_architectures
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


def test_random_architectures():
  good = {
    "thresholds": [1.0, 5.0, 9.0],
    "scores": {"gan": [[1.0], [6.0], [1.5], [7.0]], "wgan_gp": [[2.0], [8.0], [7.0], [4.0]]},
    "architectures": [{}] * 4,
  }
  # Only GAN 0, 1, 0; only WGAN-GP 1, 1, 0: more at one of the two where they differ is not most.
  assert judged("random_architectures", good) == "not reproduced"
  good["scores"]["wgan_gp"][3] = [8.0]
  variants = [
    ("scores", "wgan_gp", [[1.0], [8.0], [4.0], [8.0]]),  # The same everywhere.
    ("scores", "gan", [[2.0], [9.5], [7.0], [9.5]]),  # More at no threshold.
    # More at 1 and 5 by one, but fewer at 9 by three.
    ("scores", "gan", [[1.0], [9.5], [9.5], [9.5]]),
  ]
  check_variants("random_architectures", good, variants)


@pytest.mark.parametrize(("n", "told"), [(1, "not reproduced"), (2, "reproduced")])
def test_random_architectures_are_more_by_a_quarter(n, told):
  scores = {"gan": [[1.0]] * 8, "wgan_gp": [[6.0]] * n + [[1.0]] * (8 - n)}
  numbers = {"thresholds": [5.0], "scores": scores, "architectures": [{}] * 8}
  assert judged("random_architectures", numbers) == told


def test_a_score_of_classes(monkeypatch):
  """1 for one class or no idea, 10 for ten sure and even classes; nothing finite is asked."""

  class Judge:
    params = None

  class Outputs:
    def __init__(self, logits):
      self.logits = np.asarray(logits, np.float32)

  for logits, expected in [
    (100 * np.eye(10)[np.arange(50) % 10], 10),
    (100 * np.eye(10)[np.zeros(50, int)], 1),
    (np.zeros((50, 10)), 1),
  ]:
    monkeypatch.setattr(
      random_architectures, "classify_images", lambda _, images, told=logits: Outputs(told)
    )
    np.testing.assert_allclose(random_architectures._score(Judge, np.zeros(1)), expected, rtol=1e-3)
  assert random_architectures._score(Judge, np.array([np.nan])) == 1


@pytest.mark.slow
def test_random_architectures_run(tmp_path):
  scale = {"seeds": 1, "architectures": 2, "depths": [2], "widths": [2], "steps": 2}
  scale |= {"learning_rate": 1e-3, "n_samples": 16, "dataset": "digits"}
  evidence = measured("random_architectures", tmp_path, **scale)
  scores = np.array([evidence.numbers["scores"][method] for method in ("gan", "wgan_gp")])
  assert scores.shape == (2, 2, 1)
  assert (scores >= 1).all()
  assert (scores <= 10).all()


def test_course_exercise():
  own = {"edge": [0.1, 0.2], "least": [1e-4, 1e-4], "largest": [1.0, 1.0]}
  good = {
    "exercise": own
    | {"edge": [0.0, 0.0], "edge_through_batch": [1e-3, 1e-3]}
    | {"frechet": [[9, 8]] * 2, "class_kl": [[2, 1]] * 2},
    "padded": own | {"frechet": [[9, 9]] * 2, "class_kl": [[2, 0.5]] * 2},
    "dcgan": own | {"frechet": [[9, 7]] * 2, "class_kl": [[2, 0.5]] * 2},
  }
  variants = [
    ("exercise", "edge", 1, 1e-9),
    ("exercise", "largest", 0, 0.0),
    ("exercise", "edge_through_batch", 1, 0.0),
    ("padded", "least", 1, 0.0),
    ("dcgan", "least", 0, 0.0),
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
