"""What a run tells of itself: what its steps told, and what is measured where the log has a line.

This is the one place where a measure is added: `make_boundary_measures` computes the fast ones,
`experiments.harness.exact` the slow ones, and `MEASURES` says how curves, tables and sweeps show
them.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.harness.datasets import Dataset
from experiments.harness.settings import Settings
from wgan_jax.data.toy import Mixture
from wgan_jax.diagnostics import clipped_share, generator_losses
from wgan_jax.losses import LOSSES
from wgan_jax.modes import mode_statistics
from wgan_jax.penalties import gradient_norms, interpolate
from wgan_jax.training import Config, Info, State, generate
from wgan_jax.transport import sliced_wasserstein
from wgan_jax.types import Pair

_N_PROJECTIONS = 256
# As many as published tables of modes are made with (Lin et al., 2017, arXiv 1712.04086).
N_MODE_SAMPLES = 2500
_N_DIRECTIONS = 1000
_BATCH = 500


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


def generate_many(
  networks: Pair,
  state: State,
  key: jax.Array,
  n: int,
  transform: Callable[[jax.Array], jax.Array] = lambda samples: samples,
) -> np.ndarray:
  """Any number of samples, transformed, on the host; the first of a larger n are the same."""

  @jax.jit
  def batch(state, key):
    return transform(generate(networks, state, key, _BATCH))

  # Folded in, not split, so that the first keys do not depend on n.
  keys = [jax.random.fold_in(key, i) for i in range(-(-n // _BATCH))]
  return np.concatenate([batch(state, key) for key in keys])[:n]


def measuring_keys(state: State) -> dict[str, jax.Array]:
  """The keys of everything that is measured at a step, by purpose."""
  # The training step splits this key; folding in its own number leaves those draws alone.
  key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 0x6D656173)
  purposes = ("held_out", "fake", "real", "epsilon")
  purposes += ("modes", "directions", "classes", "latents", "batch", "search")
  return dict(zip(purposes, jax.random.split(key, len(purposes)), strict=True))


def mode_measures(samples: jax.Array, modes: Mixture) -> dict[str, jax.Array]:
  """What samples tell of a mixture's modes, by name."""
  told = mode_statistics(samples, *modes)
  return {name: getattr(told, name) for name in ("n_modes", "high_quality", "reverse_kl")}


def sliced_distance(x: jax.Array, y: jax.Array) -> jax.Array:
  """The sliced distance on always the same lines: runs and steps are compared with less noise."""
  return sliced_wasserstein(jax.random.key(0x6C696E65), x, y, _N_PROJECTIONS)


def make_boundary_measures(
  config: Config, networks: Pair, dataset: Dataset
) -> Callable[..., dict[str, jax.Array]]:
  """Builds `measure(state, hparams, train, held_out) -> {name: []}`, what every line holds.

  The estimate on held-out data sets c(x) on held-out samples against c(g(z)) on generated ones. The
  sliced distance is between the same, and asks no critic. Without a penalty, the norms on x_hat are
  computed here too, on a training batch. Of points: the modes, where there are; the cosine with the
  optimal gradient, where it is known.

  Args:
    config: the run's static choices.
    networks: its networks.
    dataset: its data.

  Returns:
    The function, to be jitted. Its draws depend on the state's key and step alone.
  """
  toy = dataset.toy

  def measure(state: State, hparams, train, held_out) -> dict:
    keys = measuring_keys(state)
    critic_fn = functools.partial(networks.critic.apply, state.critic_params)
    scores = jax.vmap(critic_fn)
    fake = generate(networks, state, keys["held_out"], held_out.shape[0])
    estimate = config.loss_row.estimate(scores(held_out), scores(fake))
    measured = {
      f"held_out_{config.loss_row.estimate_name}": estimate,
      "sliced_wasserstein": sliced_distance(fake, held_out),
    }
    if config.penalty_row.cost is None:
      real = dataset.sample_real(keys["real"], train, config.batch_size)
      fake = generate(networks, state, keys["fake"], config.batch_size)
      norms = gradient_norms(critic_fn, interpolate(keys["epsilon"], real, fake))
      measured |= {"gradient_norm_mean": norms.mean(), "gradient_norm_max": norms.max()}
    if config.penalty == "clip":
      measured["clipped_share"] = clipped_share(state.critic_params, hparams.clip_value)
    if toy is not None and toy.modes is not None:
      samples = generate(networks, state, keys["modes"], N_MODE_SAMPLES)
      measured |= mode_measures(samples, toy.modes)
    if toy is not None and toy.generator is not None:
      real, _, optimal = toy.sample_coupling(keys["directions"], train, _N_DIRECTIONS)
      gradients = jax.vmap(jax.grad(critic_fn))(real)
      # Of the two as vector fields; the optimal one has norm 1 everywhere.
      size = jnp.sqrt(jnp.mean(jnp.sum(gradients**2, axis=1)))
      inner = jnp.mean(jnp.sum(gradients * optimal, axis=1))
      measured["gradient_cosine"] = inner / jnp.maximum(size, 1e-30)
      measured["true_wasserstein"] = jnp.float32(dataset.true_wasserstein)
    return measured

  return measure


def rows_of(info: Info) -> list[dict]:
  """One plain dict a step, of Info on the host; a float32 keeps its value as a Python float."""
  columns = {name: values.tolist() for name, values in info._asdict().items() if name != "finite"}
  return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def summarise(rows: list[dict], settings: Settings) -> dict:
  """The part of a line of metrics that the steps told: means; of the largest norms the largest."""
  means = {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}
  config = settings.config()
  line = {config.loss_row.estimate_name: means["estimate"]}
  if config.penalty_row.cost is not None:
    line["gradient_penalty"] = means["gradient_penalty"]
    line["gradient_norm_mean"] = means["gradient_norm_mean"]
    line["gradient_norm_max"] = max(row["gradient_norm_max"] for row in rows)
  return line | {name: means[name] for name in ("critic_loss", "generator_loss")}
