"""Claims of "Wasserstein GAN": each clause of a criterion bites."""

import math

import numpy as np
from helpers.claiming import changed, check_clauses, outcome

from experiments.claims.wgan import critic_of_two_gaussians


def test_parallel_lines():
  theta = [-1.0, -0.001, 0.0, 0.5]
  good = {
    "theta": theta,
    "wasserstein": [abs(each) for each in theta],
    "jensen_shannon": [math.log(2), math.log(2), 0.0, math.log(2)],
    "total_variation": [1.0, 1.0, 0.0, 1.0],
    "kl_infinite": [True, True, False, True],
  }
  variants = [
    ("wasserstein", 0, 0.9),
    ("jensen_shannon", 1, 0.5),
    ("jensen_shannon", 2, 0.1),
    ("total_variation", 3, 0.5),
    ("kl_infinite", 3, False),
    ("kl_infinite", 2, True),
  ]
  check_clauses("parallel_lines", good, variants)


def test_critic_of_two_gaussians():
  x = critic_of_two_gaussians._X
  straight = {"value": [x.tolist()] * 2, "slope": [[1.0] * len(x)] * 2}
  straight["largest_weight"] = [0.01] * 2
  saturated = {"value": [np.sign(x).tolist()] * 2, "slope": [(np.abs(x) < 0.2).tolist()] * 2}
  good = {"discriminator": saturated, "clipping": straight, "penalty": straight}
  bent = {"value": straight["value"], "slope": [np.exp(-4 * np.abs(x)).tolist()] * 2}
  curved = {"value": [(x**2).tolist()] * 2, "slope": straight["slope"]}
  nowhere = {"value": [[math.nan] * len(x)] * 2, "slope": straight["slope"]}
  variants = [
    ("discriminator", straight),
    ("clipping", bent | {"largest_weight": [0.01] * 2}),
    ("penalty", bent),
    ("penalty", curved),
    ("clipping", nowhere | {"largest_weight": [0.01] * 2}),
    ("clipping", "largest_weight", 1, 0.02),
    ("clipping", "largest_weight", 1, math.nan),
  ]
  check_clauses("critic_of_two_gaussians", good, variants)


def test_estimate_follows_quality():
  own = {"estimate": [[0.1, 0.65], [0.1, 0.65]]}
  good = {
    f"{architecture}_{loss}": own | {"rank_correlation": [r, r]}
    for architecture in ("mlp", "dcgan")
    for loss, r in (("gp", 0.8), ("nonsaturating", -0.2))
  }
  variants = [
    ("mlp_gp", "rank_correlation", [0.2, 0.8]),
    ("dcgan_gp", "rank_correlation", [-0.8, 0.8]),
    ("mlp_nonsaturating", "rank_correlation", [0.5, 0.4]),
    ("dcgan_gp", "rank_correlation", [math.nan, 0.8]),
    ("dcgan_nonsaturating", "estimate", [[0.65, 0.02], [0.65, 0.03]]),
  ]
  check_clauses("estimate_follows_quality", good, variants)


def test_robustness():
  fine = {"n_classes": [10, 10], "class_kl": [0.1, 0.2], "finite": [True, True]}
  good = {
    f"{generator}_{loss}": fine | {"frechet": [frechet] * 2}
    for generator in ("no_batch_norm", "mlp")
    for loss, frechet in (("wasserstein", 100.0), ("nonsaturating", 120.0))
  }
  good["mlp_nonsaturating"]["frechet"] = [200.0, 220.0]
  good["steps"] = 5000
  variants = [
    ("mlp_wasserstein", "n_classes", 1, 9),
    ("no_batch_norm_wasserstein", "class_kl", 0, 0.4),
    ("no_batch_norm_wasserstein", "finite", 0, False),
    ("mlp_nonsaturating", "frechet", [140.0, 150.0]),
    ("mlp_wasserstein", "class_kl", 0, math.nan),
  ]
  check_clauses("robustness", good, variants)
  early = good | {"steps": 4999}
  assert outcome("robustness", early) == "reproduced"
  assert outcome("robustness", changed(early, *variants[0])) == "not at this scale"
  diverged = changed(changed(early, *variants[0]), *variants[2])
  assert outcome("robustness", diverged) == "not reproduced"


def test_adam_instability():
  good = {
    "adam": {
      "learning_rate": [5e-5, 5e-5, 1e-3, 1e-3],
      "least_cosine": [0.1, 0.2, -0.3, -0.1],
      "share_of_negative_cosines": [0.0, 0.0, 0.3, 0.1],
      "largest_change": [0.1, 0.1, 3.0, 2.0],
      "finite": [True] * 4,
    },
    "rmsprop": {
      "share_of_negative_cosines": [0.0, 0.0, 0.01, 0.0],
      "largest_change": [0.1, 0.1, 1.0, 0.5],
    },
  }
  variants = [
    ("adam", "least_cosine", 2, 0.1),
    ("adam", "largest_change", [0.1, 0.1, 0.5, 0.5]),
    ("rmsprop", "share_of_negative_cosines", [0.1, 0.1, 0.1, 0.1]),
    ("adam", "share_of_negative_cosines", [0.0, 0.0, 0.005, 0.005]),
  ]
  check_clauses("adam_instability", good, variants)
