"""Claims of the course, rows 8 to 12, and around: each clause of a criterion bites; a small run."""

import math

import pytest
from helpers.claiming import changed, judged, measured


def _function(name, constant):
  return {"name": name, "constant": constant, "found": [constant] * 2, "secant": constant}


def _setting(name, penalty, frechet, recall, sliced):
  end = {"frechet": frechet, "recall": recall, "sliced_wasserstein": sliced}
  end |= {"precision": [0.6, 0.6, 0.6], "class_kl": [0.1, 0.1, 0.1]}
  return {"name": name, "penalty": penalty, "end": end, "sliced": [[[1, 0.1]]] * 3}


def _modes(found, reverse_kl):
  return {
    "n_modes": [found] * 2,
    "high_quality": [0.9] * 2,
    "reverse_kl": [reverse_kl] * 2,
    "found": [[[1, found]]] * 2,
  }


def _norms(mean, near, on_lines, in_box):
  told = {"mean": mean, "near": near, "largest_on_lines": on_lines, "largest_in_box": in_box}
  return {name: [value] * 2 for name, value in told.items()}


CROSS_ENTROPY = {"minimax": _modes(20.0, 0.4), "nonsaturating": _modes(14.0, 0.8)}
PENALTIES = {"gp": _modes(25.0, 0.005), "gp_one_sided": _modes(25.0, 0.005)}
HOLDS = {
  "lipschitz_condition": {
    "functions": [_function("x^2", 4.0), _function("sin x", 1.0)],
    "critics": [{"width": 16, "seed": 0, "found": 2.0, "bound": 9.0}],
  },
  "weight_clipping": {
    "clip_values": [0.001, 0.01, 0.03, 0.1],
    "true": 4.0,
    "estimate": [[1e-5, 1e-5], [0.1, 0.1], [3.9, 4.1], [400.0, 500.0]],
    "norm_at_fake": [[1e-6, 1e-6], [0.02, 0.02], [1.0, 1.0], [100.0, 100.0]],
    "norm_found": [[1e-6, 1e-6], [0.03, 0.03], [1.1, 1.2], [100.0, 110.0]],
    "largest_weight": [0.001, 0.01, 0.03, 0.1],
  },
  "gradient_penalty": {
    "points, penalty": _norms(1.02, 0.95, 1.4, 1.6),
    "points, no penalty": _norms(40.0, 0.01, 90.0, 200.0),
    "digits, penalty": _norms(1.05, 0.97, 1.3, 1.9),
  },
  "whole_objective": {
    "at": [0, 10],
    "lambda_gp": 10.0,
    "off": [1e-7, 2e-7],
    "penalty_share": [0.2, 0.2],
    "sliced": [[0.4, 0.1], [0.5, 0.1]],
    "norm": [1.02, 1.03],
    "finished": [True, True],
  },
  "penalty_against_clipping": {
    "seeds": 3,
    "settings": [
      _setting("clip 0.1", "clip", [150.0, 160.0, 155.0], [0.5, 0.5, 0.4], [0.07, 0.06, 0.07]),
      _setting("gp 1", "gp", [80.0, 70.0, 90.0], [0.6, 0.6, 0.6], [0.05, 0.05, 0.05]),
      _setting("gp 10", "gp", [60.0, 55.0, 65.0], [0.7, 0.8, 0.7], [0.05, 0.04, 0.05]),
    ],
  },
  "one_sided_penalty": {
    "seeds": 3,
    **{
      name: {"exact_wasserstein": values, "n_modes": [8.0] * 3, "high_quality": [0.9] * 3}
      for name, values in {"gp": [0.11, 0.12, 0.13], "gp_one_sided": [0.11, 0.13, 0.12]}.items()
    },
  },
  "known_distance": {
    "funnels": [4, 16],
    "true": [[1.0, 0.9], [0.5, 0.5]],
    "cosine": {
      "clip": [[0.6, 0.6], [0.4, 0.4]],
      "gp": [[0.82, 0.82], [0.6, 0.6]],
      "gp_one_sided": [[0.86, 0.86], [0.8, 0.7]],
    },
    "ratio": {
      "clip": [[0.3, 0.2], [0.1, 0.1]],
      "gp": [[1.04, 1.03], [0.8, 0.9]],
      "gp_one_sided": [[1.05, 1.05], [0.97, 0.96]],
    },
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
  ("lipschitz_condition", ("functions", 0), _function("x^2", 0.9) | {"constant": 4.0}),
  ("lipschitz_condition", ("functions", 0, "found", 1), 1.5),
  ("lipschitz_condition", ("functions", 0, "secant"), 3.0),
  ("lipschitz_condition", ("functions", 0), _function("sin x", 1.0)),
  ("lipschitz_condition", ("functions", 1, "found", 1), 1.005),
  ("lipschitz_condition", ("functions", 1, "secant"), 1.01),
  ("lipschitz_condition", ("critics", 0, "bound"), 1.9),
  ("lipschitz_condition", ("critics", 0, "bound"), math.inf),
  ("lipschitz_condition", ("critics", 0, "found"), 0.0),
  ("weight_clipping", ("largest_weight", 1), 0.011),
  ("weight_clipping", ("largest_weight", 1), math.nan),
  ("weight_clipping", ("estimate", 0, 1), 1.0),
  ("weight_clipping", ("norm_at_fake", 0, 1), 0.1),
  ("weight_clipping", ("estimate", 3, 1), 5.0),
  ("weight_clipping", ("norm_found", 3, 0), 2.0),
  ("weight_clipping", ("estimate", 1), [4.0, 4.0]),
  ("weight_clipping", ("estimate", 2), [3.9, 40.0]),
  ("gradient_penalty", ("points, penalty", "mean", 1), 0.7),
  ("gradient_penalty", ("digits, penalty", "mean", 0), 1.5),
  ("gradient_penalty", ("digits, penalty", "near", 0), 0.5),
  ("gradient_penalty", ("points, penalty", "largest_on_lines", 0), 0.99),
  ("gradient_penalty", ("points, no penalty", "mean", 1), 1.0),
  ("whole_objective", ("off", 1), 0.4),
  ("whole_objective", ("off", 1), math.nan),
  ("whole_objective", ("penalty_share", 0), 0.0),
  ("whole_objective", ("sliced", 1, 1), 0.3),
  ("whole_objective", ("norm", 0), 3.0),
  ("whole_objective", ("norm", 0), 0.1),
  ("whole_objective", ("finished", 1), False),
  ("penalty_against_clipping", ("settings", 0, "end", "frechet"), [50.0, 160.0, 70.0]),
  ("penalty_against_clipping", ("settings", 0, "end", "frechet"), [20.0, 22.0, 21.0]),
  ("penalty_against_clipping", ("settings", 0, "end", "recall"), [0.9, 0.9, 0.9]),
  ("penalty_against_clipping", ("settings", 0, "end", "sliced_wasserstein"), [0.01] * 3),
  ("penalty_against_clipping", ("settings", 0, "end", "frechet"), [150.0, 160.0]),
  ("one_sided_penalty", ("gp", "exact_wasserstein"), [0.3, 0.31, 0.32]),
  ("one_sided_penalty", ("gp_one_sided", "exact_wasserstein"), [0.1, 0.1]),
  ("one_sided_penalty", ("gp_one_sided", "exact_wasserstein"), [0.1, 0.1, 2.0]),
  ("one_sided_penalty", ("gp_one_sided", "exact_wasserstein", 0), math.nan),
  ("known_distance", ("cosine", "gp_one_sided", 0), [0.7, 0.7]),
  ("known_distance", ("cosine", "gp_one_sided", 1), [0.59, 0.59]),
  ("known_distance", ("cosine", "clip"), [[0.6, 0.6], [0.58, 0.7]]),
  ("known_distance", ("cosine", "clip", 0), [0.3, 0.3]),
  ("known_distance", ("ratio", "clip", 0), [0.9, 0.9]),
  ("known_distance", ("ratio", "gp", 0), [1.3, 1.3]),
  ("known_distance", ("ratio", "gp_one_sided", 1), [0.6, 0.6]),
  ("known_distance", ("ratio", "gp", 0, 0), math.nan),
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
  assert judged(name, HOLDS[name]) == "reproduced"


@pytest.mark.parametrize(("name", "path", "value"), CHANGES)
def test_each_clause_bites(name, path, value):
  assert judged(name, changed(HOLDS[name], *path, value)) == "not reproduced"


SMALL = {
  "lipschitz_condition": {"seeds": 1, "points": 51},
  "weight_clipping": {"seeds": 1, "steps": 4, "width": 4, "clip_values": (0.01, 1.0)},
  "gradient_penalty": {"seeds": 1, "steps": 2, "width": 4, "image_steps": 1, "image_width": 1},
  "whole_objective": {"seeds": 1, "steps": 2, "width": 1},
  "penalty_against_clipping": {
    "seeds": 1,
    "steps": 2,
    "width": 1,
    "clip_values": (0.1,),
    "lambdas": (10.0,),
  },
  "one_sided_penalty": {"seeds": 1, "steps": 2, "width": 4},
  "known_distance": {
    "seeds": 1,
    "funnels": (2,),
    "steps": 2,
    "clip_steps": 2,
    "batch_size": 8,
    "width": 4,
  },
  "mode_coverage": {"seeds": 1} | {key: {"steps": 2, "width": 4} for key in ("ring", "grid")},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_it_runs(name, tmp_path):
  measured(name, tmp_path, **SMALL[name])


def test_one_seed_does_not_tell():
  for name in ("penalty_against_clipping", "one_sided_penalty"):
    assert judged(name, changed(HOLDS[name], "seeds", 1)) == "not at this scale"


def test_what_is_too_little_to_tell():
  numbers = HOLDS["penalty_against_clipping"]
  for i in range(3):
    numbers = changed(numbers, "settings", i, "end", "recall", [0.0] * 3)
  assert judged("penalty_against_clipping", numbers) == "not at this scale"
  wide = [0.05, 0.13, 0.22]  # The same mean, and an interval beyond a quarter of it.
  numbers = changed(HOLDS["one_sided_penalty"], "gp_one_sided", "exact_wasserstein", wide)
  assert judged("one_sided_penalty", numbers) == "not at this scale"
