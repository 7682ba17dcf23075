"""All measures of one checkpoint, or of samples from elsewhere."""

import functools
import io
import pathlib
import sys
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.engine.program import quick_compile_options
from experiments.host.errors import UserError
from experiments.host.files import read_bytes
from experiments.measures.classes import LEAST, ClassifierMeasures, classified
from experiments.measures.critics import has_layers
from experiments.measures.lines import measured_rows, on_device, on_host
from experiments.measures.rows import SAMPLES, Measure, Run, View
from experiments.measures.samples import exact_distance, fake, mode_samples
from experiments.spec.dataset import Dataset
from experiments.spec.settings import Settings
from wgan_jax.data.images import to_unit
from wgan_jax.diagnostics import activation_gradient_norms
from wgan_jax.types import Pair, State

_MOST_BYTES = 4 * 10**9  # A small file may claim, or unpack to, more than there is memory.
_LARGEST = 1e30  # Larger points have distances that float32 does not hold.
N_EXACT = 2000  # Samples of each side in a distance: the exact one's time grows with the cube.


class SampleMeasures(NamedTuple):
  """Measures of samples against held-out data."""

  measures: dict[str, float]  # By name.
  shares: np.ndarray | None  # Share of each class, [classes]; None without classes.


def read_samples(path: pathlib.Path, dataset: Dataset) -> np.ndarray:
  """Reads samples from an .npz, float32 [n, ...], images in [-1, 1].

  Raises:
    UserError: the file cannot be read, or holds no samples of the data set's shape.
  """
  name, flag = "points" if dataset.images is None else "images", f"--samples={path}"
  samples = read_array(read_content(path, flag), name, flag)
  if samples.shape[1:] != dataset.sample_shape:
    shape = ", ".join(map(str, dataset.sample_shape))
    raise UserError(f"{flag}: {name} are {samples.shape}, of {dataset.name} they are (n, {shape})")
  if len(samples) < LEAST:
    raise UserError(f"{flag}: {len(samples)} samples are too few: give at least {LEAST}")
  if samples.dtype == np.uint8 and dataset.images is not None:
    return np.asarray(to_unit(samples))
  if samples.dtype.kind != "f":
    raise UserError(f"{flag}: {name} are {samples.dtype}: give uint8 images, or floats")
  with np.errstate(over="ignore"):
    samples = samples.astype(np.float32)
  low, high = samples.min(), samples.max()
  if not np.isfinite([low, high]).all():
    raise UserError(f"{flag}: {name} hold NaN or infinity")
  if dataset.images is None:
    if max(-low, high) > _LARGEST:
      raise UserError(f"{flag}: points from {low:.4g} to {high:.4g}: scale them as the data are")
    return samples
  if max(-low, high) > 1 + 1e-3:
    raise UserError(
      f"{flag}: floats from {low:.4g} to {high:.4g}: scale images to [-1, 1], or give uint8"
    )
  if low >= 0:
    print(f"warning: {flag}: no value is below 0; black is -1 here", file=sys.stderr)
  return np.clip(samples, -1, 1)


def read_content(path: pathlib.Path, flag: str) -> bytes:
  """Reads a user's file; raises UserError, which names the flag, if it cannot be read."""
  try:
    return read_bytes(path.resolve())
  except OSError as error:
    raise UserError(f"{flag} cannot be read ({error.strerror or error})") from error
  except MemoryError as error:
    raise UserError(f"{flag} is too large for the memory here") from error


def read_array(content: bytes, name: str, flag: str) -> np.ndarray:
  """Reads an array of an .npz, whoever wrote it.

  Raises:
    UserError: it is not there, damaged, or too large; names the flag.
  """
  try:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
      entry = next((each for each in archive.infolist() if each.filename in _of(name)), None)
      if entry is None:
        there = ", ".join(each.removesuffix(".npy") for each in archive.namelist()) or "nothing"
        raise UserError(f"{flag} holds no array {name!r}, but {there}")
      if entry.file_size > _MOST_BYTES:
        raise UserError(f"{flag}: {name} take more than {_MOST_BYTES / 1e9:g} GB: give fewer")
      with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
  except UserError:
    raise
  except MemoryError as error:
    raise UserError(f"{flag}: {name} are too large for the memory here: give fewer") from error
  except Exception as error:  # A flipped bit makes zipfile raise nearly anything.
    raise UserError(f"{flag} is damaged, or no .npz: {error or type(error).__name__}") from error


def holds_array(content: bytes, name: str) -> bool:
  """Whether an .npz that `read_array` reads has an array of a name."""
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    return any(each in _of(name) for each in archive.namelist())


def _of(name: str) -> tuple[str, str]:
  """The names of an array's entry in an .npz."""
  return f"{name}.npy", name


class RealSamples(NamedTuple):
  """Samples of the data: n of training, at most n held out, and the classes of the former."""

  train: np.ndarray
  held_out: np.ndarray
  train_labels: np.ndarray | None = None


def labels_for(dataset: Dataset, networks: Pair, n: int) -> np.ndarray | None:
  """The classes of n samples: those of the held-out images in turn; None if networks take none."""
  return np.resize(dataset.images.test_labels, n) if networks.n_classes else None


def real_samples(dataset: Dataset, key: jax.Array, n: int) -> RealSamples:
  """Draws n training samples and at most n held-out ones; points are drawn anew for both."""
  draw = jax.jit(dataset.sample_real, static_argnums=2)
  if dataset.images is None:
    keys = jax.random.split(key)
    return RealSamples(*(np.asarray(draw(key, dataset.train, n)) for key in keys))
  # Without replacement: doubles would raise the floor.
  order = np.asarray(jax.random.permutation(key, len(dataset.images.train_images)))[:n]
  train = to_unit(dataset.images.train_images[order])
  labels = dataset.images.train_labels
  held_out = np.asarray(to_unit(dataset.images.test_images[:n]))
  return RealSamples(np.asarray(train), held_out, None if labels is None else labels[order])


def evaluate_samples(
  dataset: Dataset,
  classifier: ClassifierMeasures | None,
  samples: np.ndarray,
  held_out: np.ndarray,
  labels: np.ndarray | None = None,
) -> SampleMeasures:
  """Measures samples by all that needs no critic; `labels` are the classes asked for, [n]."""
  run = Run(None, None, dataset, classifier, labels)
  known, shares = {fake: samples[:N_EXACT], mode_samples: samples}, None
  if classifier is not None:
    known[classified] = classifier.inspect(samples)
    known[classified] |= {} if labels is None else {"asked": labels}
    counts = np.bincount(known[classified]["classes"], minlength=len(classifier.shares))
    shares = counts / len(samples)
  view = View(run, held_out[:N_EXACT], known=known)
  return SampleMeasures(_measure(measured_rows(run), view), shares)


def evaluate_critic(
  settings: Settings,
  dataset: Dataset,
  state: State,
  samples: np.ndarray,
  held_out: np.ndarray,
  exact: float,
  labels: np.ndarray | None = None,
) -> dict[str, float | list[float]]:
  """Measures a critic on samples and held-out data whose exact distance is known.

  A critic that does not list its layers has no certificate and no "activation_gradient_norms".
  `labels` are those of the samples, [n], and of as many held-out data.
  """
  config, networks = settings.config(), settings.networks()
  run, x, y = Run(config, networks, dataset, labels=labels), held_out[:N_EXACT], samples[:N_EXACT]
  rows = [row for row in measured_rows(run) if row.group not in (None, SAMPLES)]
  view = View(run, x, state, settings.hparams(), dataset.train, known={fake: y})
  measured = _measure(rows, view, {exact_distance: exact})
  if not has_layers(run):
    return measured

  @jax.jit
  def activation_norms(params, x, y):
    layers = networks.critic.layers(params)
    return activation_gradient_norms(layers, config.loss_row.critic, x, y)

  batch = min(config.batch_size, len(x), len(y))
  norms = activation_norms(state.critic_params, x[:batch], y[:batch])
  return measured | {"activation_gradient_norms": np.asarray(norms, float).tolist()}


def _measure(
  rows: Sequence[Measure], view: View, on_the_host: dict[Callable, Any] | None = None
) -> dict[str, float]:
  """Values of measures of a view whose arrays are concrete; what is known is not computed."""
  functions = list(view.known)

  @functools.partial(jax.jit, compiler_options=quick_compile_options())
  def compute(held_out, state, hparams, train, known):
    known = dict(zip(functions, known, strict=True))
    return on_device(rows, View(view.run, held_out, state, hparams, train, known=known))

  found = compute(view.held_out, view.state, view.hparams, view.train, list(view.known.values()))
  host = View(view.run, view.held_out, known=dict(on_the_host or {}))
  return on_host(rows, host, jax.device_get(found))
