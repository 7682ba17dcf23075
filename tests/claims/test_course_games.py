"""Claims of the course, rows 1 to 7: each clause of a criterion bites."""

import math

import numpy as np
import pytest
from helpers.claiming import changed, outcome

MODES = {
  "peaks": [12],
  "classes_with_a_peak": [list(range(10))],
  "share_of_class": [[0.9] * 10],
  "path": [[1.0, 0.2, 0.8]],
  "known": {"ring": 8, "grid": 25},
  "found": {"ring": 8, "grid": 25},
  "high_quality": {"ring": 0.988, "grid": 0.99},
  "perfect": 0.9889,
  "found_classes": {"digits": 10, "stacked digits": 1000},
}


def shares(*leaders):
  """Looks at 8 modes [looks, 8]: -1 for even shares, else the mode that has nearly all."""
  rows = np.full((len(leaders), 8), 1 / 8)
  for row, leader in zip(rows, leaders, strict=True):
    if leader >= 0:
      row[:] = 0.01
      row[leader] = 0.93
  return rows.tolist()


EVEN, MOVES, STAYS = shares(*[-1] * 7), shares(-1, 0, 0, 3, 3, 5, -1), shares(*[2] * 7)
MOST = [[0.13, 0.13, 0.13, 0.13, 0.13, 0.005, 0.005, 0.34], [0.34, *[0.13] * 5, 0.005, 0.005]] * 3
MOST.append(MOST[0])  # The lead passes, and no look has lost half of the modes.
COLLAPSE = {
  "steps": list(range(0, 601, 100)),
  "modes": {"minimax": [STAYS] * 3, "nonsaturating": [MOVES] * 3, "gp": [EVEN] * 3},
}
CROSS_ENTROPY = {
  "jensen_shannon": 0.13,
  "loss_known": 1.126,
  "loss": [1.128, 1.13],
  "off_optimum": [0.01, 0.02],
  "slopes": {"minimax": [-1e-6, -0.5, -1.0], "nonsaturating": [-1.0, -0.5, -1e-6]},
  "games": {
    name: {"start": [0.9, 0.8], "end": [0.1, 0.2], "loss": [1.386, 1.37]}
    for name in ("minimax", "nonsaturating")
  },
}
AHEAD = {
  "updates": [0, 10, 1000],
  "mean_d_real": [[0.5, 0.6, 0.999]] * 2,
  "mean_d_fake": [[0.5, 0.45, 0.001]] * 2,
  "overlap": [[1.0, 0.1, 0.0]] * 2,
  "mean_c_real": [[0.0, 0.5, 30.0]] * 2,
  "mean_c_fake": [[0.0, 0.1, -20.0]] * 2,
  "critic_gradient_norm": [1.1, 2.2],
}
VANISHING = {
  "updates": [0, 5, 50, 100],
  "norms": {
    "minimax": [[0.1, 2.0, 0.3, 0.01]] * 2,
    "nonsaturating": [[0.1, 3.0, 40.0, 60.0]] * 2,
    "wasserstein": [[0.1, 8.0, 90.0, 80.0]] * 2,
  },
  "jensen_shannon": [0.693, 0.693],
  "wasserstein": [54.0, 57.0],
}


def _of_set(exact, gp, nonsaturating):
  return {
    "exact": exact,
    "lambda_gp": 10.0,
    "gp": [[0.0, gp]] * 2,
    "nonsaturating": [[0.0, nonsaturating]] * 2,
    "critic_loss": [-gp] * 2,
    "swapped": [-gp] * 2,
    "real_above_fake": [gp] * 2,
    "lowest": [-3.0] * 2,
    "highest": [3.0] * 2,
    "last_layer_linear": True,
  }


EARTH_MOVERS = {
  "separation": [0.0, 2.0, 4.0, 8.0],
  "wasserstein": [0.0, 2.0, 4.0, 8.0],
  "amount_times_distance": [0.0, 2.0, 4.0, 8.0],
  "jensen_shannon": [0.0, 0.4, 0.69, 0.6931],
}
W_LOSS = {
  "updates": [0, 10],
  "sets": {"two_gaussians": _of_set(4.0, 4.1, 0.69), "funnels": _of_set(1.07, 1.1, 0.4)},
}
PROBABILITIES = {"lowest": [0.0, -3.0], "highest": [1.0, 3.0]}  # The first seed's scores.
HOLDS = {
  "modes": MODES,
  "mode_collapse": COLLAPSE,
  "cross_entropy": CROSS_ENTROPY,
  "discriminator_ahead": AHEAD,
  "vanishing_gradients": VANISHING,
  "earth_movers_distance": EARTH_MOVERS,
  "w_loss": W_LOSS,
}
# By claim, what is changed, as a path into the numbers, and to what.
CHANGES = [
  ("modes", ("classes_with_a_peak", 0), list(range(9))),
  ("modes", ("path", 0), [1.0, 0.6, 0.8]),
  ("modes", ("path", 0), []),
  ("modes", ("found", "ring"), 7),
  ("modes", ("high_quality", "grid"), 0.97),
  ("modes", ("found_classes", "digits"), 9),
  ("modes", ("found_classes", "stacked digits"), 999),
  ("mode_collapse", ("modes", "nonsaturating"), [EVEN] * 3),
  ("mode_collapse", ("modes", "nonsaturating"), [STAYS] * 3),
  ("mode_collapse", ("modes", "nonsaturating"), [MOST] * 3),
  ("mode_collapse", ("modes", "nonsaturating"), [MOVES, EVEN, EVEN]),
  ("mode_collapse", ("modes", "gp", 1), shares(*[-1] * 6, 0)),
  ("mode_collapse", ("modes", "gp"), [MOVES] * 3),
  ("cross_entropy", ("loss", 0), 1.17),
  ("cross_entropy", ("loss", 0), 1.12),
  ("cross_entropy", ("loss", 0), math.nan),
  ("cross_entropy", ("off_optimum", 1), 0.05),
  ("cross_entropy", ("slopes", "minimax", 0), -1.0),
  ("cross_entropy", ("slopes", "nonsaturating", 0), -0.5),
  ("cross_entropy", ("slopes", "nonsaturating", 1), 0.5),
  ("cross_entropy", ("slopes", "minimax", 1), -1.0),
  ("cross_entropy", ("games", "minimax", "end", 1), 0.5),
  ("cross_entropy", ("games", "nonsaturating", "loss", 1), 1.0),
  ("discriminator_ahead", ("mean_d_real", 0), [0.7, 0.8, 0.999]),
  ("discriminator_ahead", ("overlap", 0), [0.4, 0.1, 0.0]),
  ("discriminator_ahead", ("mean_d_real", 0), [0.5, 0.45, 0.999]),
  ("discriminator_ahead", ("mean_d_real", 0), [0.5, 0.6, 0.98]),
  ("discriminator_ahead", ("mean_d_fake", 1), [0.5, 0.4, 0.02]),
  ("discriminator_ahead", ("overlap", 1), [1.0, 0.1, 0.02]),
  ("discriminator_ahead", ("mean_c_real", 1), [0.0, 0.5, -20.0]),
  ("discriminator_ahead", ("critic_gradient_norm", 1), 0.3),
  ("vanishing_gradients", ("norms", "minimax", 0), [0.1, 0.15, 0.1, 0.01]),
  ("vanishing_gradients", ("norms", "minimax", 1), [0.1, 20.0, 3.0, 0.5]),
  ("vanishing_gradients", ("norms", "nonsaturating", 1), [0.1, 70.0, 40.0, 60.0]),
  ("vanishing_gradients", ("norms", "wasserstein", 1), [0.1, 8.0, 90.0, 20.0]),
  ("vanishing_gradients", ("norms", "wasserstein", 1), [0.1, 8.0, 30.0, 80.0]),
  ("vanishing_gradients", ("norms", "wasserstein", 1), [0.1, 170.0, 90.0, 80.0]),
  ("vanishing_gradients", ("norms", "wasserstein", 1), [0.1, 8.0, 90.0, math.nan]),
  ("earth_movers_distance", ("wasserstein", 2), 4.1),
  ("earth_movers_distance", ("amount_times_distance", 2), 3.9),
  ("earth_movers_distance", ("jensen_shannon", 2), 0.6),
  ("earth_movers_distance", ("jensen_shannon", 3), 0.7),
  ("w_loss", ("sets", "two_gaussians"), _of_set(4.0, 3.5, 0.69)),
  ("w_loss", ("sets", "two_gaussians"), _of_set(4.0, 5.2, 0.69)),
  ("w_loss", ("sets", "funnels"), _of_set(1.07, 1.3, 0.4)),
  ("w_loss", ("sets", "funnels"), _of_set(-1.07, -1.1, 0.4) | {"exact": 1.07}),
  ("w_loss", ("sets", "funnels", "swapped"), [1.1, -1.1]),
  ("w_loss", ("sets", "funnels", "critic_loss"), [1.1, 1.1]),
  ("w_loss", ("sets", "funnels", "real_above_fake"), [-1.1, 1.1]),
  ("w_loss", ("sets", "funnels", "last_layer_linear"), False),
  ("w_loss", ("sets", "funnels"), _of_set(1.07, 1.1, 0.4) | PROBABILITIES),
  ("w_loss", ("sets", "funnels", "nonsaturating"), [[0.0, 0.8]]),
  ("w_loss", ("sets", "two_gaussians", "nonsaturating"), [[0.0, 0.6]]),
]


@pytest.mark.parametrize("name", HOLDS)
def test_what_the_source_says_is_reproduced(name):
  assert outcome(name, HOLDS[name]) == "reproduced"


@pytest.mark.parametrize(("name", "path", "value"), CHANGES)
def test_each_clause_bites(name, path, value):
  assert outcome(name, changed(HOLDS[name], *path, value)) == "not reproduced"
