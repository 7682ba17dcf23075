"""The claims of the course and the papers, a file each, in the order in which they are told."""

import importlib

from experiments.harness.claim import Claim

NAMES = (
  # The course, row by row.
  "modes",
  "mode_collapse",
  "cross_entropy",
  "discriminator_ahead",
  "vanishing_gradients",
  "earth_movers_distance",
  "w_loss",
  "lipschitz_condition",
  "weight_clipping",
  "gradient_penalty",
  "whole_objective",
  "penalty_against_clipping",
  "course_exercise",
  # Wasserstein GAN.
  "parallel_lines",
  "critic_of_two_gaussians",
  "estimate_follows_quality",
  "robustness",
  "adam_instability",
  # Improved Training of Wasserstein GANs.
  "optimal_critic",
  "level_sets",
  "gradients_by_layer",
  "overfitting_critic",
  "random_architectures",
  "one_sided_penalty",
  "second_derivatives",
  "batch_norm_critic",
  # Benchmarks around them.
  "known_distance",
  "mode_coverage",
)


def load_claim(name: str) -> Claim:
  """The claim of a name in `NAMES`."""
  return importlib.import_module(f"{__name__}.{name}").CLAIM
