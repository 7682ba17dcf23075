"""How each measure is shown in curves, tables and sweeps."""

from typing import NamedTuple

from wgan_jax.diagnostics import generator_losses
from wgan_jax.losses import LOSSES


class Measure(NamedTuple):
  """How a measure is shown.

  Attributes:
    title: its name in words.
    label: of an axis, with the unit.
    meaning: what a reader of a report must know of it.
  """

  title: str
  label: str
  meaning: str


_OF_SAMPLES = {
  "sliced_wasserstein": Measure(
    "sliced distance, samples to held out",
    "SW1",
    "The mean Earth Mover's Distance of projections on 256 random lines. It asks no critic, so it"
    " compares all settings; of images it sees pixels, not whether a digit can be read.",
  ),
  "exact_wasserstein": Measure(
    "exact distance, samples to held out",
    "W1",
    "The Earth Mover's Distance between the two samples themselves, Euclidean. Two samples of one"
    " distribution are not at distance 0; in many dimensions they are far apart.",
  ),
  "n_modes": Measure(
    "modes found", "modes", "Modes that at least one of 2,500 samples hits within 3 sigma."
  ),
  "high_quality": Measure(
    "share of samples within 3 sigma of a mode", "share", "0.989 for the data themselves."
  ),
  "reverse_kl": Measure(
    "reverse KL, samples' modes to uniform",
    "nats",
    "Each sample counts for its nearest mode. 0 at best; log of the modes after a full collapse.",
  ),
  "n_classes": Measure("classes found", "classes", "By a classifier of the data's classes."),
  "class_kl": Measure(
    "KL, samples' classes to the data's", "nats", "0 at best; stacked images: to uniform."
  ),
  "frechet": Measure(
    "classifier Fréchet distance, samples to held out",
    "squared features",
    "Between Gaussians fitted to that classifier's features. It is no FID, and not 0 for the data"
    " themselves: experiments.evaluate tells its floor.",
  ),
  "precision": Measure(
    "precision in classifier features",
    "share",
    "Samples that lie among the held-out data: whether they are good.",
  ),
  "recall": Measure(
    "recall in classifier features",
    "share",
    "Held-out data that lie among the samples: whether all kinds are there.",
  ),
}


_OF_CRITICS = {
  "held_out_wasserstein_estimate": Measure(
    "held-out Wasserstein estimate",
    "E c(x) - E c(g(z))",
    "What the critic says of data that it was not trained on. It is in units of the critic's own"
    " slope: between clip values, or between clipping and a penalty, its sizes do not compare.",
  ),
  "held_out_jensen_shannon_estimate": Measure(
    "held-out Jensen-Shannon estimate",
    "nats",
    "At most log 2 = 0.693, where the discriminator is sure.",
  ),
  "held_out_total_variation_estimate": Measure(
    "held-out total variation estimate",
    LOSSES["hinge"].unit,
    "At most 1, where the critic's scores are beyond the margins of the hinge loss.",
  ),
  "held_out_relativistic_estimate": Measure(
    "held-out relativistic estimate",
    LOSSES["relativistic_average"].unit,
    "At most log 2 = 0.693. It is not the Jensen-Shannon divergence.",
  ),
  "estimate_gap": Measure(
    "held-out estimate less the exact distance",
    "W1",
    "Of the same two samples. Above 0, the critic is steeper than 1.",
  ),
  "certified_wasserstein": Measure(
    "certified lower bound of the exact distance",
    "W1",
    "The critic's difference of mean scores over its certified Lipschitz bound: proven, and loose.",
  ),
  "certified_gap": Measure(
    "exact distance less the certified bound", "W1", "Never below 0; how much is not proven."
  ),
  "true_wasserstein": Measure(
    "true distance", "W1", "Known: between the data and the generator that comes with them."
  ),
  "gradient_cosine": Measure(
    "cosine of the critic's gradient and the optimal one",
    "cosine",
    "Of the two as vector fields over real points, E <g, g*> / sqrt(E |g|^2 E |g*|^2); 1 for the"
    " optimal critic, 0 for one that teaches nothing.",
  ),
  "gradient_norm_max": Measure(
    "largest gradient norm on x_hat",
    "gradient norm",
    "On points between real and generated samples. With a penalty it should be near 1; under"
    " clipping it tells how the bound on the weights bounds the slope.",
  ),
  "gradient_norm_found": Measure(
    "largest gradient norm found in the data's box",
    "gradient norm",
    "By a search: the critic's Lipschitz constant is at least that.",
  ),
  "lipschitz_bound": Measure(
    "certified Lipschitz bound of the critic", "slope", "The constant is at most that, proven."
  ),
}


_OF_TRAINING = {
  "clipped_share": Measure(
    "share of the critic's weights at the clipping bound", "share", "Near 1, clipping decides them."
  ),
  "update_cosine": Measure(
    "cosine of the critic's step and its negative gradient",
    "cosine",
    "Below 0, momentum carries the critic uphill.",
  ),
  **{
    f"generator_gradient_{loss}": Measure(
      f"generator's gradient norm, {loss} loss",
      "norm",
      "What this loss would teach the generator, with the critic as it is.",
    )
    for loss in generator_losses()
  },
}


# What a sweep compares its members by, in groups that are read together.
GROUPS = {"Samples": _OF_SAMPLES, "Critics": _OF_CRITICS, "Training": _OF_TRAINING}


MEASURES = _OF_SAMPLES | _OF_CRITICS | _OF_TRAINING


# A run is at its best where this is smallest: it judges the samples, whatever the loss and penalty.
BEST_BY = "sliced_wasserstein"
