"""Images decoded once: at each start TFDS takes 8 s for MNIST, and importing scikit-learn 2 s."""

import contextlib
import hashlib
import importlib.metadata
import os
import pathlib

from experiments.host.cache import read_arrays, user_cache_folder, write_arrays
from wgan_jax.data import prepare
from wgan_jax.data.images import Images, load_images


def load_cached_images(name: str, data_dir: str | os.PathLike | None = None) -> Images:
  """Does what `wgan_jax.data.images.load_images` does, from the user's cache folder where it can.

  A cache file's name has the digest of the prepared files in it, so that other or damaged data are
  read by TFDS, and told; that of the embedded digits has scikit-learn's version. A damaged or
  missing cache file is made again; one that cannot be written is done without.

  Args:
    name: of a data set that is not stacked of another.
    data_dir: TFDS folder; None for the usual one.

  Raises:
    DataError: the images cannot be had.
  """
  version = _version(name, data_dir)
  if version is None:
    return load_images(name, data_dir)
  path = user_cache_folder() / "images" / f"{name}-{version}.npz"
  with contextlib.suppress(Exception):  # Missing, or damaged in one of many ways.
    return Images(name, **read_arrays(path))
  images = load_images(name, data_dir)
  with contextlib.suppress(OSError):
    write_arrays(path, {field: getattr(images, field) for field in Images._fields[1:]})
  return images


def _version(name: str, data_dir: str | os.PathLike | None) -> str | None:
  """What tells these images from others of the name; None where there are none to be read."""
  if name == "digits":
    return f"scikit-learn-{importlib.metadata.version('scikit-learn')}"
  if name not in prepare.NAMES:
    return None
  folder = prepare.prepared_dir(name, prepare.data_root(data_dir))
  if not prepare.has_array_records(folder):
    return None
  with contextlib.suppress(OSError):  # TFDS tells what is wrong with the file.
    return _digest(folder)
  return None


def _digest(folder: pathlib.Path) -> str:
  """Of the names and contents of all files of a prepared data set."""
  digest = hashlib.sha256()
  for path in sorted(path for path in folder.iterdir() if path.is_file()):
    content = path.read_bytes()
    digest.update(f"{path.name} {len(content)}\n".encode())
    digest.update(content)
  return digest.hexdigest()[:16]
