"""Claims about what a critic is made of: each clause of a criterion bites, and a small run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from claiming import check_variants, judged, measured

from experiments.claims import second_derivatives


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
  assert float(jnp.max(jnp.abs(second_derivatives._smooth(x) - jax.nn.elu(x)))) < 0.1


@pytest.mark.slow
def test_second_derivatives_run(tmp_path):
  evidence = measured("second_derivatives", tmp_path, seeds=1, steps=2, width=4, batch_size=4)
  assert np.isfinite(evidence.numbers["smooth"]["wasserstein"]).all()
