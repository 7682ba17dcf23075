"""Measures of samples without a critic: distances to held-out data, and modes."""

import functools
import math

import jax
import numpy as np

from experiments.measures.rows import BEST_BY, SAMPLES, Measure, Run, View
from wgan_jax.modes import mode_statistics
from wgan_jax.training import generate
from wgan_jax.transport import sliced_wasserstein, wasserstein_exact

_N_PROJECTIONS = 256
# As many as published tables of modes are made with (Lin et al., 2017, arXiv 1712.04086).
N_MODE_SAMPLES = 2500


def rows() -> list[Measure]:
  """The measures of samples."""
  of_modes = functools.partial(Measure, group=SAMPLES, applies=_has_modes, compute=_modes)
  return [
    Measure(BEST_BY, "sliced distance, samples to held out", "SW1",
      "The mean Earth Mover's Distance of projections on 256 random lines. It asks no critic, so it"
      " compares all settings; of images it sees pixels, not whether a digit can be read.",
      SAMPLES, "sliced distance, samples to held out", short="SW",
      compute=lambda view: sliced_distance(view.once(fake), view.held_out)),
    Measure("exact_wasserstein", "exact distance, samples to held out", "W1",
      "The Earth Mover's Distance between the two samples themselves, Euclidean. Two samples of one"
      " distribution are not at distance 0; in many dimensions they are far apart.",
      SAMPLES, "Wasserstein estimate, and the distance", order=1, short="exact W1", slow=True,
      needs=(fake,), finish=exact_distance),
    Measure("exact_floor", "exact distance, training data to held out", "W1",
      "What the exact distance is without any difference, with as many samples: it says nothing of"
      " a generator where it is not far above that.",
      SAMPLES, "Wasserstein estimate, and the distance", order=1, slow=True,
      applies=lambda run: run.config is not None,
      finish=lambda view: view.run.dataset.floor()),
    of_modes("n_modes", "modes found", "modes",
      "Modes that at least one of 2,500 samples hits within 3 sigma.",
      panel="modes found", short="modes"),
    of_modes("high_quality", "share of samples within 3 sigma of a mode", "share",
      "0.989 for the data themselves.", panel="quality of modes", short="good"),
    of_modes("reverse_kl", "reverse KL, samples' modes to uniform", "nats",
      "Each sample counts for its nearest mode. 0 at best; log of the modes after a full collapse.",
      panel="quality of modes"),
  ]  # fmt: skip


def fake(view: View) -> jax.Array:
  """Samples, as many as are held out: those of all distances, and of the held-out estimate."""
  n, key = view.held_out.shape[0], view.keys["held_out"]
  return generate(view.run.networks, view.state, key, n, labels=view.run.labels)


def mode_samples(view: View) -> jax.Array:
  """Samples in which modes are counted, [N_MODE_SAMPLES, d]."""
  return generate(view.run.networks, view.state, view.keys["modes"], N_MODE_SAMPLES)


def exact_distance(view: View) -> float:
  """Exact W1 from the held-out data to `fake`, on the host; NaN if a sample is not finite."""
  # Finite parameters may give samples that are not.
  finite = np.isfinite(view.once(fake)).all()
  return wasserstein_exact(view.held_out, view.once(fake)) if finite else math.nan


def sliced_distance(x: jax.Array, y: jax.Array) -> jax.Array:
  """Sliced distance on always the same lines: runs and steps are compared with less noise."""
  return sliced_wasserstein(jax.random.key(0x6C696E65), x, y, _N_PROJECTIONS)


def _has_modes(run: Run) -> bool:
  return run.dataset.toy is not None and run.dataset.toy.modes is not None


def _modes(view: View) -> dict[str, jax.Array]:
  return mode_statistics(view.once(mode_samples), *view.run.dataset.toy.modes)._asdict()
