"""Images decoded once: TFDS takes 8 s for the 70,000 PNGs of MNIST, at every start."""

import contextlib
import hashlib
import os
import pathlib

from experiments.harness.user_cache import read_arrays, user_cache_folder, write_arrays
from wgan_jax.data import prepare
from wgan_jax.data.images import Images, load_images


def load_cached_images(name: str, data_dir: str | os.PathLike | None = None) -> Images:
  """Does what `wgan_jax.data.images.load_images` does, from the user's cache folder where it can.

  A cache file's name has the digest of the prepared files in it, so that other or damaged data are
  read by TFDS, and told. A damaged or missing cache file is made again; one that cannot be written
  is done without.

  Args:
    name: of a data set that is not stacked of another.
    data_dir: TFDS folder; None for the usual one.

  Raises:
    DataError: the images cannot be had.
  """
  if name not in prepare.NAMES:
    return load_images(name, data_dir)
  folder = prepare.prepared_dir(name, prepare.data_root(data_dir))
  if not prepare.has_array_records(folder):
    return load_images(name, data_dir)
  try:
    path = user_cache_folder() / "images" / f"{name}-{_digest(folder)}.npz"
  except OSError:  # TFDS tells what is wrong with the file.
    return load_images(name, data_dir)
  with contextlib.suppress(Exception):  # Missing, or damaged in one of many ways.
    return Images(name, **read_arrays(path))
  images = load_images(name, data_dir)
  with contextlib.suppress(OSError):
    write_arrays(path, {field: getattr(images, field) for field in Images._fields[1:]})
  return images


def _digest(folder: pathlib.Path) -> str:
  """Of the names and contents of all files of a prepared data set."""
  digest = hashlib.sha256()
  for path in sorted(path for path in folder.iterdir() if path.is_file()):
    content = path.read_bytes()
    digest.update(f"{path.name} {len(content)}\n".encode())
    digest.update(content)
  return digest.hexdigest()[:16]
