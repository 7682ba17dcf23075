"""The user's cache folder: arrays and decoded images, kept from one run to the next."""

import contextlib
import functools
import importlib.metadata
import io
import os
import pathlib
import sys

import numpy as np

from experiments.host.digest import digest_files, digest_state
from experiments.host.files import read_bytes, write_bytes
from wgan_jax.data import prepare
from wgan_jax.data.images import Images, class_names, load_images

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def user_cache_folder() -> pathlib.Path:
  """The folder of this project's cache, whether it exists or not.

  It is in XDG_CACHE_HOME, which must be absolute to count, as its specification says. For a user
  without a home it is a path at which nothing can be read or written.
  """
  base = os.environ.get("XDG_CACHE_HOME", "")
  if os.path.isabs(base):
    return pathlib.Path(base) / "wgan_jax"
  try:
    return pathlib.Path.home() / ".cache" / "wgan_jax"
  except RuntimeError:
    _warn_homeless()
    return pathlib.Path(os.devnull) / "wgan_jax"


@functools.cache
def _warn_homeless():
  print(
    "warning: this user has no home folder: nothing is cached; set XDG_CACHE_HOME to a folder",
    file=sys.stderr,
  )


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads and verifies the arrays that `write_arrays` wrote.

  Raises:
    OSError: the file cannot be read.
    Exception: the file is damaged. A flipped bit makes zipfile raise nearly anything.
  """
  with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as file:
    arrays = dict(file)
  if str(arrays.pop("digest")) != digest_state(arrays):
    raise ValueError("the digest does not agree with the content")
  return arrays


def write_arrays(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
  """Writes arrays with their digest, whole or not at all.

  Raises:
    OSError: the file cannot be written.
  """
  content = io.BytesIO()
  np.savez(content, digest=np.str_(digest_state(arrays)), **arrays)
  path.parent.mkdir(parents=True, exist_ok=True)
  write_bytes(path, content.getvalue())


def load_cached_images(name: str, data_dir: str | os.PathLike | None = None) -> Images:
  """Loads images as `wgan_jax.data.images.load_images` does, from the cache if possible.

  Decoding MNIST takes TFDS 8 s, importing scikit-learn 2 s. A cache file's name holds the digest of
  the prepared files, so TFDS reads data that has changed or is damaged, and reports the damage. For
  the digits it holds scikit-learn's version. A missing or damaged cache file is written again. One
  that cannot be written is ignored.

  Args:
    name: a data set that is not stacked from another.
    data_dir: TFDS folder; None for the default one.

  Raises:
    DataError: as in `load_images`.
  """
  version = _version(name, data_dir)
  if version is None:
    return load_images(name, data_dir)
  path = user_cache_folder() / "images" / f"{name}-{version}.npz"
  with contextlib.suppress(Exception):  # Missing, or damaged in one of many ways.
    return Images(name, **read_arrays(path), classes=class_names(name))
  images = load_images(name, data_dir)
  with contextlib.suppress(OSError):
    write_arrays(path, {field: getattr(images, field) for field in _ARRAYS})
  return images


def _version(name: str, data_dir: str | os.PathLike | None) -> str | None:
  """Identifies the images that would be read, or None if there are none to read."""
  if name == "digits":
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      return f"scikit-learn-{importlib.metadata.version('scikit-learn')}"
  if name in prepare.NAMES:
    folder = prepare.prepared_dir(name, prepare.data_root(data_dir))
    if prepare.has_array_records(folder):
      with contextlib.suppress(OSError):  # TFDS reports what is wrong with the file.
        return digest_files(folder.iterdir(), folder)[:16]
  return None
