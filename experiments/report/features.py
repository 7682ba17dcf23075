"""Distances of samples in the features of a user's own network, or in features from elsewhere.

A file is either a function that `jax.export` serialised, images -> features, or an .npz of features
that any tool computed. What is measured is named after the first digits of the file's SHA-256: the
figures of two files do not compare.
"""

import hashlib
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from experiments.host.errors import UserError
from experiments.report.evaluation import (
  LEAST,
  N_EXACT,
  holds_array,
  read_array,
  read_content,
)
from experiments.spec.dataset import Dataset
from wgan_jax.data.images import to_uint8
from wgan_jax.frechet import Gaussian, fit_gaussian, gaussian_distance, precision_recall

TRAINING = "training data"
"""The column of the training data, the floor of each distance."""
_BATCH = 128  # Images at once, where the function takes any number.
_DIGITS = 8
_BLOCK = 1000


class FeatureFile(NamedTuple):
  """A user's features.

  Attributes:
    name: the file's name.
    sha256: of its content.
    n_features: k.
    extract: images, float32 [n, height, width, channels] in [-1, 1] -> batches of their features,
      float64 [batch, k]; None for a file of features.
    arrays: `samples` and `data`, and `training` if it is there, float [n, k]; else empty.
  """

  name: str
  sha256: str
  n_features: int
  extract: Callable[[np.ndarray], Iterator[np.ndarray]] | None
  arrays: dict[str, np.ndarray]

  def describe(self) -> dict:
    """What a record says of them; the numbers of an .npz's samples, where it is one."""
    counts = {name: len(array) for name, array in self.arrays.items()} or None
    record = {"file": self.name, "sha256": self.sha256, "n_features": self.n_features}
    return record | {"counts": counts, "precision_and_recall_of_at_most": N_EXACT}

  def titles(self) -> dict[str, str]:
    """Titles of what is measured, by name."""
    digest = self.sha256[:_DIGITS]
    words = {
      "frechet": "Fréchet distance to held out",
      "frechet_train": "Fréchet distance to training data",
      "precision": "precision",
      "recall": "recall",
    }
    source = f"in the features of {self.name} (sha256 {digest})"
    return {f"{name}_{digest}": f"{word} {source}" for name, word in words.items()}


class _Seen(NamedTuple):
  """What is kept of the features of many samples: their Gaussian, and the first of them."""

  gaussian: Gaussian
  first: np.ndarray


def load_features(path: pathlib.Path, dataset: Dataset) -> FeatureFile:
  """Reads a file of features, or of a function that computes them.

  Raises:
    UserError: it cannot be read, is damaged, or does not fit the data set or this machine; names
      --features.
  """
  flag = f"--features={path}"
  if dataset.images is None:
    raise UserError(f"--features does nothing with {dataset.name}: it is for images")
  content = read_content(path, flag)
  sha256 = hashlib.sha256(content).hexdigest()
  if path.suffix != ".npz":
    n = min(len(dataset.images.train_images), len(dataset.images.test_images))
    if n < LEAST:
      raise UserError(
        f"{flag}: {dataset.name} has only {n} images to compare with, to train on or held out: give"
        f" at least {LEAST}"
      )
    n_features, extract = _read_function(content, dataset.sample_shape, flag)
    return FeatureFile(path.name, sha256, n_features, extract, {})
  arrays = {name: read_array(content, name, flag) for name in ("samples", "data")}
  if holds_array(content, "training"):
    arrays["training"] = read_array(content, "training", flag)
  for name, array in arrays.items():
    if array.ndim != 2 or array.dtype.kind != "f":
      raise UserError(f"{flag}: {name} are {array.dtype} {array.shape}: give floats [n, features]")
    if len(array) < LEAST or not array.shape[1]:
      raise UserError(f"{flag}: {name} are {array.shape}: give at least {LEAST} rows of 1 or more")
    if array.shape[1] != arrays["data"].shape[1]:
      raise UserError(
        f"{flag}: {name} have {array.shape[1]} features, data {arrays['data'].shape[1]}: give"
        " equal numbers"
      )
    if not all(np.isfinite(block).all() for block in _blocks(array)):
      raise UserError(f"{flag}: {name} hold NaN or infinity")
  return FeatureFile(path.name, sha256, arrays["data"].shape[1], None, arrays)


def measure_features(
  file: FeatureFile, columns: dict[str, np.ndarray], held_out: np.ndarray
) -> dict[str, dict[str, float]]:
  """Measures images, or the features of an .npz, against held-out and training data.

  Args:
    file: the features.
    columns: images in [-1, 1] by the name of their column, the samples first and the training data
      last.
    held_out: images.

  Returns:
    By column, values by name. Training data have the distance to held-out data in both rows of
    distances. Of an .npz there are the first column, and the last if it holds `training`.

  Raises:
    UserError: the features are not finite, or cannot be computed.
  """
  flag = f"--features={file.name}"
  if file.extract is None:
    seen = {next(iter(columns)): _see(_blocks(file.arrays["samples"]), flag, "samples")}
    if "training" in file.arrays:
      seen[TRAINING] = _see(_blocks(file.arrays["training"]), flag, TRAINING)
    real = _see(_blocks(file.arrays["data"]), flag, "data")
  else:
    seen = {name: _see(file.extract(each), flag, name) for name, each in columns.items()}
    real = _see(file.extract(held_out), flag, "held-out data")
  digest, measured = file.sha256[:_DIGITS], {}
  for name, each in seen.items():
    distance = gaussian_distance(each.gaussian, real.gaussian)
    precision, recall = precision_recall(real.first, each.first)
    values = {"frechet": distance, "precision": precision, "recall": recall}
    if name == TRAINING:
      values["frechet_train"] = distance
    elif TRAINING in seen:
      values["frechet_train"] = gaussian_distance(each.gaussian, seen[TRAINING].gaussian)
    measured[name] = {f"{row}_{digest}": value for row, value in values.items()}
  return measured


def _see(batches: Iterable[np.ndarray], flag: str, what: str) -> _Seen:
  """Sees features in one pass; raises UserError if they are not finite."""
  first = []

  def passing():
    for batch in batches:
      if not np.isfinite(batch).all():
        raise UserError(f"{flag}: the features of the {what} hold NaN or infinity")
      if sum(map(len, first)) < N_EXACT:
        first.append(batch)
      yield batch

  try:
    gaussian = fit_gaussian(passing())
  except ValueError as error:
    raise UserError(f"{flag}: {what}: {error}") from error
  return _Seen(gaussian, np.concatenate(first)[:N_EXACT])


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
  return (array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK))


def _read_function(content: bytes, shape: tuple[int, ...], flag: str):
  """Reads and tries an exported function; -> its number of features, and `FeatureFile.extract`."""
  exported = _deserialize(content, flag)
  platform = export.default_export_platform()
  if platform not in exported.platforms:
    raise UserError(
      f"{flag} was exported for {', '.join(exported.platforms)}, and this is {platform}: export it"
      f" with platforms=[{platform!r}, ...]"
    )
  one = jax.tree.structure(((0,), {})), jax.tree.structure(0)
  if (exported.in_tree, exported.out_tree) != one:
    raise UserError(f"{flag}: its inputs or outputs are not one array each: export f(images)")
  (given,), (found,) = exported.in_avals, exported.out_avals
  if given.shape[1:] != shape or given.shape[0] == 0 or given.dtype not in (jnp.float32, jnp.uint8):
    raise UserError(
      f"{flag} takes {given.str_short()}: export it for float32 or uint8 images"
      f" (n, {', '.join(map(str, shape))})"
    )
  n, k = (*found.shape, None, None)[:2]
  is_batch = len(found.shape) == 2 and n == given.shape[0] and not export.is_symbolic_dim(k)
  if not is_batch or not k or not jnp.issubdtype(found.dtype, jnp.floating):
    raise UserError(
      f"{flag} gives {found.str_short()} of {given.str_short()}: export one that gives floats"
      " (n, features)"
    )
  size = _BATCH if export.is_symbolic_dim(given.shape[0]) else given.shape[0]
  call = jax.jit(exported.call)

  def compute(images):
    try:
      return np.asarray(call(images)).astype(np.float64)
    except Exception as error:  # A damaged module is read at the first call.
      if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        raise
      words = (str(error) or type(error).__name__).splitlines()[0]
      raise UserError(f"{flag} cannot be computed here: {words}") from error

  def extract(images):
    for start in range(0, len(images), size):
      batch = images[start : start + size]
      padded = np.zeros((size, *shape), np.float32)
      padded[: len(batch)] = batch
      yield compute(to_uint8(padded) if given.dtype == jnp.uint8 else padded)[: len(batch)]

  compute(np.zeros((size, *shape), given.dtype))
  return k, extract


def _deserialize(content: bytes, flag: str) -> export.Exported:
  try:
    return export.deserialize(bytearray(content))
  except ImportError as error:
    raise UserError("--features needs flatbuffers: pip install flatbuffers") from error
  except Exception as error:
    raise UserError(
      f"{flag} is damaged, or no function that jax.export serialised, nor an .npz"
    ) from error
