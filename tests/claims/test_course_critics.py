"""Claims of the course, rows 8 to 12, and its exercise: each clause of a criterion bites."""

import math

import pytest
from helpers.claiming import changed, check_clauses, outcome


def _function(name, constant):
  return {"name": name, "constant": constant, "found": [constant] * 2, "secant": constant}


def _setting(name, penalty, frechet, recall, sliced):
  end = {"frechet": frechet, "recall": recall, "sliced_wasserstein": sliced}
  end |= {"precision": [0.6, 0.6, 0.6], "class_kl": [0.1, 0.1, 0.1]}
  return {"name": name, "penalty": penalty, "end": end, "sliced": [[[1, 0.1]]] * 3}


def _norms(mean, near, on_lines, in_box):
  norms = {"mean": mean, "near": near, "largest_on_lines": on_lines, "largest_in_box": in_box}
  return {name: [value] * 2 for name, value in norms.items()}


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
]


@pytest.mark.parametrize("name", HOLDS)
def test_what_the_source_says_is_reproduced(name):
  assert outcome(name, HOLDS[name]) == "reproduced"


@pytest.mark.parametrize(("name", "path", "value"), CHANGES)
def test_each_clause_bites(name, path, value):
  assert outcome(name, changed(HOLDS[name], *path, value)) == "not reproduced"


def test_one_seed_is_inconclusive():
  numbers = changed(HOLDS["penalty_against_clipping"], "seeds", 1)
  assert outcome("penalty_against_clipping", numbers) == "not at this scale"


def test_no_recall_is_inconclusive():
  numbers = HOLDS["penalty_against_clipping"]
  for i in range(3):
    numbers = changed(numbers, "settings", i, "end", "recall", [0.0] * 3)
  assert outcome("penalty_against_clipping", numbers) == "not at this scale"


def test_the_exercises_critic_is_blind_and_the_others_see():
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
  check_clauses("course_exercise", good, variants)
