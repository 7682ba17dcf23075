"""Claims around the papers: each clause of a criterion bites."""

import math

import pytest
from helpers.claiming import changed, outcome


def _modes(found, reverse_kl):
  return {
    "n_modes": [found] * 2,
    "high_quality": [0.9] * 2,
    "reverse_kl": [reverse_kl] * 2,
    "found": [[[1, found]]] * 2,
  }


def _of_methods(clip, gp, one_sided, by_construction):
  """A number of each method and problem, the same of both pairs."""
  rows = {"clip": clip, "gp": gp, "gp_one_sided": one_sided}
  rows |= dict.fromkeys(("spectral", "aol", "orthonormal"), by_construction)
  return {name: [[each, each] for each in row] for name, row in rows.items()}


CROSS_ENTROPY = {"minimax": _modes(20.0, 0.4), "nonsaturating": _modes(14.0, 0.8)}
PENALTIES = {"gp": _modes(25.0, 0.005), "gp_one_sided": _modes(25.0, 0.005)}


def _raced(frechet, proven):
  ends = {"precision": [0.5, 0.6], "recall": [0.4, 0.5], "sliced_wasserstein": [0.05, 0.06]}
  return ends | {"frechet": [frechet - 5, frechet + 5], "proven": [proven, 1.1 * proven]}


HOLDS = {
  "norm_preservation": {
    "dims": [2, 16],
    "ReLU": {"certified": [[0.5, 0.6], [0.3, 0.4]]},
    "MaxMin": {"certified": [[0.99, 0.98], [0.6, 0.7]]},
  },
  "spectral_normalization": {
    "seeds": 2,
    "clip": _raced(160.0, 0.02),
    "gp": _raced(90.0, 0.002),
    "spectral": _raced(85.0, 0.02),
  },
  "tight_estimates": {
    "seeds": 2,
    "gp": _raced(90.0, 0.002),
    "orthonormal": _raced(95.0, 0.04),
  },
  "known_distance": {
    "problems": [[2, 4], [2, 16], [16, 16]],
    "true": [[1.0, 0.9], [0.5, 0.5], [1.8, 1.7]],
    "cosine": _of_methods([0.6, 0.4, 0.3], [0.82, 0.6, 0.9], [0.86, 0.75, 0.9], [0.8, 0.6, 0.8]),
    "ratio": _of_methods([0.25, 0.1, 0.3], [1.04, 0.8, 1.0], [1.05, 0.96, 1.0], [0.9, 0.7, 0.8]),
    "certified": _of_methods([0.1] * 3, [0.05] * 3, [0.05] * 3, [0.8, 0.6, 0.7])
    | {"orthonormal": [[0.9, 0.9], [0.7, 0.7], [0.8, 0.8]]},
    "bound": _of_methods([0.5] * 3, [9.0] * 3, [9.0] * 3, [1.0] * 3),
    "clipping": {"a start": [0.1, 0.5]},
  },
  "mode_coverage": {
    "ring": {
      "minimax": _modes(8.0, 0.1),
      "nonsaturating": _modes(7.0, 0.1),
      "clip": _modes(8.0, 0.01),
      "gp": _modes(8.0, 0.001),
      "gp_one_sided": _modes(8.0, 0.001),
    },
    "grid": {**CROSS_ENTROPY, "clip": _modes(22.0, 0.1), **PENALTIES},
    "stacked_mnist": {
      **CROSS_ENTROPY,
      "clip": _modes(500.0, 1.0),
      "gp": _modes(960.0, 0.7),
      "gp_one_sided": _modes(960.0, 0.7),
    },
  },
}
# By claim, what is changed, as a path into the numbers, and to what.
CHANGES = [
  ("norm_preservation", ("MaxMin", "certified", 0), [0.99, 0.94]),
  ("norm_preservation", ("ReLU", "certified", 1), [0.3, 0.55]),
  ("norm_preservation", ("MaxMin", "certified", 1), [0.6, math.nan]),
  ("spectral_normalization", ("spectral", "frechet"), [95.0, 104.0]),
  ("spectral_normalization", ("clip", "frechet"), [70.0, 75.0]),
  ("spectral_normalization", ("spectral", "frechet"), [80.0]),
  ("spectral_normalization", ("gp", "frechet"), [90.0, math.nan]),
  ("tight_estimates", ("orthonormal", "frechet"), [80.0, 81.0]),
  ("tight_estimates", ("orthonormal", "proven"), [0.005, 0.006]),
  ("tight_estimates", ("gp", "frechet"), [90.0]),
  ("known_distance", ("cosine", "gp_one_sided", 0), [0.7, 0.7]),
  ("known_distance", ("cosine", "gp_one_sided", 1), [0.59, 0.59]),
  ("known_distance", ("cosine", "clip"), [[0.6, 0.6], [0.58, 0.7], [0.3, 0.3]]),
  ("known_distance", ("cosine", "clip", 0), [0.3, 0.3]),
  ("known_distance", ("ratio", "clip", 0), [0.9, 0.9]),
  ("known_distance", ("ratio", "gp", 0), [1.3, 1.3]),
  ("known_distance", ("ratio", "gp_one_sided", 1), [0.6, 0.6]),
  ("known_distance", ("ratio", "gp", 0, 0), math.nan),
  ("known_distance", ("certified", "orthonormal", 2), [0.25, 0.25]),
  ("known_distance", ("certified", "aol", 1), [0.71, 0.71]),
  ("known_distance", ("bound", "spectral", 2, 1), 1.00002),
  ("mode_coverage", ("ring", "gp", "n_modes", 1), 7.0),
  ("mode_coverage", ("grid", "gp_one_sided", "n_modes", 0), 24.0),
  ("mode_coverage", ("grid", "gp", "n_modes"), [25.0]),
  ("mode_coverage", ("grid", "minimax", "n_modes"), [25.0, 25.0]),
  ("mode_coverage", ("grid", "gp", "reverse_kl"), [0.5, 0.5]),
  ("mode_coverage", ("stacked_mnist", "gp", "n_modes"), [100.0, 100.0]),
  ("mode_coverage", ("stacked_mnist", "minimax", "n_modes"), [990.0, 990.0]),
]


@pytest.mark.parametrize("name", HOLDS)
def test_what_the_source_says_is_reproduced(name):
  assert outcome(name, HOLDS[name]) == "reproduced"


@pytest.mark.parametrize(("name", "path", "value"), CHANGES)
def test_each_clause_bites(name, path, value):
  assert outcome(name, changed(HOLDS[name], *path, value)) == "not reproduced"
