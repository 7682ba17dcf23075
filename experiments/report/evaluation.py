"""All measures of one checkpoint, or of samples from elsewhere."""

import functools
import io
import pathlib
import sys
import zipfile
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.host.errors import UserError
from experiments.measures.boundary import make_boundary_measures
from experiments.measures.classes import Judge
from experiments.measures.samples import mode_measures, sliced_distance
from experiments.measures.slow import certified_measures, make_exact_measures
from experiments.spec.datasets import Dataset
from experiments.spec.settings import Settings
from wgan_jax.data.images import to_unit
from wgan_jax.diagnostics import activation_gradient_norms
from wgan_jax.losses import wasserstein_estimate
from wgan_jax.training import State
from wgan_jax.transport import wasserstein_exact

LEAST = 4  # A neighbourhood has three neighbours.
# Of each side, what the exact distance is taken of: its time grows with the cube.
N_EXACT = 2000


class Judged(NamedTuple):
  """What was found of samples.

  Attributes:
    measures: against held-out data, by name.
    shares: of each class, [classes]; None without classes.
  """

  measures: dict[str, float]
  shares: np.ndarray | None


def read_samples(path: pathlib.Path, dataset: Dataset) -> np.ndarray:
  """Samples from an .npz, float32 [n, ...], images in [-1, 1].

  Raises:
    UserError: the file cannot be read, or what it holds are no samples of the data set's shape.
  """
  name = "points" if dataset.images is None else "images"
  try:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
      samples = archive[name]
  except OSError as error:
    raise UserError(f"--samples={path} cannot be read ({error.strerror or error})") from error
  except KeyError as error:
    raise UserError(
      f"--samples={path} holds no array {name!r}, as {dataset.name} asks for"
    ) from error
  except (TypeError, ValueError, zipfile.BadZipFile) as error:
    raise UserError(f"--samples={path} is damaged, or no .npz") from error
  if samples.shape[1:] != dataset.sample_shape:
    raise UserError(
      f"--samples={path}: {name} are {samples.shape}, of {dataset.name} they are"
      f" (n, {', '.join(map(str, dataset.sample_shape))})"
    )
  if len(samples) < LEAST:
    raise UserError(f"--samples={path}: {len(samples)} samples are too few: give at least {LEAST}")
  if samples.dtype == np.uint8 and dataset.images is not None:
    return np.asarray(to_unit(samples))
  if samples.dtype.kind != "f":
    raise UserError(f"--samples={path}: {name} are {samples.dtype}: give uint8 images, or floats")
  with np.errstate(over="ignore"):
    samples = samples.astype(np.float32)
  if not np.isfinite(samples).all():
    raise UserError(f"--samples={path}: {name} hold NaN or infinity")
  if dataset.images is None:
    return samples
  if np.abs(samples).max() > 1 + 1e-3:
    raise UserError(
      f"--samples={path}: floats from {samples.min():.4g} to {samples.max():.4g}: scale images to"
      " [-1, 1], or give uint8"
    )
  if samples.min() >= 0:
    print(f"warning: --samples={path}: no value is below 0; black is -1 here", file=sys.stderr)
  return np.clip(samples, -1, 1)


def real_samples(dataset: Dataset, key: jax.Array, n: int) -> tuple[np.ndarray, np.ndarray]:
  """Training samples, n, and held-out ones, at most n; points are drawn anew for both."""
  draw = jax.jit(dataset.sample_real, static_argnums=2)
  if dataset.images is None:
    keys = jax.random.split(key)
    return tuple(np.asarray(draw(key, dataset.train, n)) for key in keys)
  # Without replacement: doubles would raise the floor.
  order = np.asarray(jax.random.permutation(key, len(dataset.images.train_images)))[:n]
  train = to_unit(dataset.images.train_images[order])
  return np.asarray(train), np.asarray(to_unit(dataset.images.test_images[:n]))


def evaluate_samples(
  dataset: Dataset, judge: Judge | None, samples: np.ndarray, held_out: np.ndarray
) -> Judged:
  """The measures of samples that need no critic."""
  x, y = samples[:N_EXACT], held_out[:N_EXACT]
  measured = {
    "sliced_wasserstein": float(jax.jit(sliced_distance)(x, y)),
    "exact_wasserstein": wasserstein_exact(x, y),
  }
  if judge is not None:
    seen = judge.inspect(samples)
    counts = np.bincount(seen["classes"], minlength=len(judge.shares))
    return Judged(measured | judge.measure(seen), counts / len(samples))
  if dataset.toy.modes is not None:
    modes = mode_measures(jnp.asarray(samples), dataset.toy.modes)
    measured |= {name: float(value) for name, value in modes.items()}
  return Judged(measured, None)


def evaluate_critic(
  settings: Settings,
  dataset: Dataset,
  state: State,
  samples: np.ndarray,
  held_out: np.ndarray,
  exact: float,
) -> dict[str, float | list[float]]:
  """The measures of a critic, on the samples whose exact distance was taken."""
  config, networks, hparams = settings.config(), settings.networks(), settings.hparams()
  critic_fn = functools.partial(networks.critic.apply, state.critic_params)
  x, y = jnp.asarray(held_out[:N_EXACT]), jnp.asarray(samples[:N_EXACT])
  scores = jax.jit(jax.vmap(critic_fn))
  difference = float(wasserstein_estimate(scores(x), scores(y)))
  layers = networks.critic.layers(state.critic_params)
  estimate = float(config.loss_row.estimate(scores(x), scores(y)))
  measured = {f"held_out_{config.loss_row.estimate_name}": estimate}
  if config.loss_row.estimate is wasserstein_estimate:
    measured["estimate_gap"] = estimate - exact
  measured |= certified_measures(layers, dataset.sample_shape, difference, exact)
  batch = min(config.batch_size, len(x), len(y))

  @jax.jit
  def activation_norms(params, x, y):
    layers = networks.critic.layers(params)
    return activation_gradient_norms(layers, config.loss_row.critic, x, y)

  norms = activation_norms(state.critic_params, x[:batch], y[:batch])
  measured["activation_gradient_norms"] = np.asarray(norms, float).tolist()
  arguments = (state, hparams, dataset.train, dataset.held_out)
  boundary = jax.jit(make_boundary_measures(config, networks, dataset))(*arguments)
  told = ("gradient_norm_max", "clipped_share", "gradient_cosine", "true_wasserstein")
  measured |= {name: float(boundary[name]) for name in told if name in boundary}
  slow = make_exact_measures(config, networks, dataset, None)
  diagnosed = jax.jit(slow.compute)(*arguments, None)["told"]
  return measured | {name: float(value) for name, value in diagnosed.items()}
