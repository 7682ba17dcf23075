"""Folders of images as arrays: decoded once, kept in the user's cache, read back by memory map.

The decoded images are one file of bytes. An index beside it, written last, makes it ready.
"""

import contextlib
import functools
import hashlib
import math
import os
import sys
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import psutil

from experiments.host.cache import read_arrays, write_arrays
from experiments.host.files import map_bytes, write_chunks
from experiments.host.listings import Scan, cache_folder, progress_bar, scan
from wgan_jax.data import folder as folders
from wgan_jax.data.decoding import decode
from wgan_jax.data.prepare import DataError

_FORMAT = 1  # Of pixels and index: raised when either would come out differently.


class Prepared(NamedTuple):
  """A folder's images as one array.

  Attributes:
    images: uint8 [n, height, width, channels]: a read-only memory map, or an array if the cache
      cannot be written.
    crcs: `zlib.crc32` of each image, uint32 [n].
    labels: int32 [n], or None without classes.
    classes: those of the scan, even if no image of one is left.
    held_out: bool [n].
    files: path of each image, relative to the folder.
    skipped: paths left out: of headers that cannot be read, then of images that cannot be decoded.
    channels: 1 or 3.
    sha256: digest of the folder's files and the options.
  """

  images: np.ndarray
  crcs: np.ndarray
  labels: np.ndarray | None
  classes: tuple[str, ...]
  held_out: np.ndarray
  files: tuple[str, ...]
  skipped: tuple[str, ...]
  channels: int
  sha256: str


def load_folder(
  folder: str | os.PathLike,
  *,
  size: tuple[int, int],
  channels: int | None = None,
  skip_corrupt: bool = False,
  verify: bool = True,
) -> Prepared:
  """Scans a folder and loads its images; see `scan` and `load`."""
  return load(scan(folder, skip_corrupt=skip_corrupt), size=size, channels=channels, verify=verify)


def load(
  scan: Scan, *, size: tuple[int, int], channels: int | None = None, verify: bool = True
) -> Prepared:
  """Loads a folder's images from the cache; decodes them if they are not in it or damaged.

  Args:
    scan: the folder.
    size: height and width.
    channels: 1 or 3; None for those of the scan.
    verify: read all images and compare their checksums. Without, `wgan_jax.data.windows` compares
      those that it reads.

  Raises:
    DataError: a file cannot be decoded, or has changed since the scan, or fewer than two are left,
      or there is room neither in the cache nor in memory.
  """
  channels = channels or scan.channels
  sha256 = identify(scan, size=size, channels=channels)
  path = cache_folder() / f"{sha256}.images"
  with contextlib.suppress(Exception):  # Missing, or damaged in one of many ways.
    prepared = _open(scan, path, (*size, channels), sha256)
    if not verify or is_intact(prepared):
      return prepared
  rows, crcs = [], []
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(_decode_all(scan, size, channels, rows, crcs)) as images:
      write_chunks(path, images)
    index = {"rows": np.array(rows), "crcs": np.array(crcs, np.uint32)}
    write_arrays(path.with_suffix(".npz"), {**index, "listing": np.array(scan.sha256)})
    return _open(scan, path, (*size, channels), sha256)
  except OSError as error:
    reason = f"{error.filename or path}: {error.strerror or error}"
  array = _make_array((len(scan.files), *size, channels), reason)
  with contextlib.closing(_decode_all(scan, size, channels, rows, crcs)) as images:
    for i, image in enumerate(images):
      array[i] = image
  return _gather(scan, array[: len(rows)], np.array(rows), np.array(crcs, np.uint32), sha256)


def identify(scan: Scan, *, size: tuple[int, int], channels: int | None = None) -> str:
  """Digest of a folder's files and the options, which is that of the loaded images."""
  height, width = size
  options = (_FORMAT, scan.sha256, height, width, channels or scan.channels, scan.skip_corrupt)
  return hashlib.sha256(repr(options).encode()).hexdigest()


def is_intact(prepared: Prepared) -> bool:
  """Whether all images have their checksums; reads them all."""
  pairs = zip(np.asarray(prepared.images), prepared.crcs, strict=True)
  return all(zlib.crc32(image) == crc for image, crc in pairs)


def _open(scan, path, shape, sha256):
  """Opens what the cache holds; raises nearly anything if it is missing or damaged."""
  index = read_arrays(path.with_suffix(".npz"))
  images = map_bytes(path, (len(index["rows"]), *shape))
  return _gather(scan, images, index["rows"], index["crcs"], sha256)


def _gather(scan, images, rows, crcs, sha256):
  files = [scan.files[row] for row in rows]
  left_out = np.setdiff1d(np.arange(len(scan.files)), rows)
  return Prepared(
    images=images,
    crcs=crcs,
    labels=None if scan.labels is None else scan.labels[rows],
    classes=scan.classes,
    held_out=folders.held_out(files),
    files=tuple(file.path for file in files),
    skipped=(*scan.skipped, *(scan.files[row].path for row in left_out)),
    channels=images.shape[-1],
    sha256=sha256,
  )


def _decode_all(scan, size, channels, rows, crcs) -> Iterator[np.ndarray]:
  """Yields the images; fills `rows`, their indices in the scan, and `crcs`, both from empty."""

  def decode_row(row):
    # Outside `try`: a file that has gone or changed is never left out.
    with folders.open_listed(scan.folder, scan.files[row]) as file:
      try:
        return np.ascontiguousarray(decode(file, size, channels))
      except DataError as error:
        return error

  rows.clear()
  crcs.clear()
  n, error = len(scan.files), None
  with contextlib.closing(folders.map_in_threads(decode_row, range(n))) as results:
    for row, image in enumerate(progress_bar("decoding")(results, n)):
      if isinstance(image, np.ndarray):
        rows.append(row)
        crcs.append(zlib.crc32(image))
        yield image
      elif not scan.skip_corrupt:
        error = image
        break  # Raised below, so that the progress bar is closed before the message.
  if error:
    raise DataError(f"{error}; --skip_corrupt leaves such files out") from error
  if len(rows) < 2:
    raise DataError(f"{str(scan.folder)!r}: fewer than two images can be decoded: add images")


def _make_array(shape, reason):
  """Makes an array in memory if there is room for it, with one warning."""
  if math.prod(shape) > 0.8 * psutil.virtual_memory().available:
    raise DataError(
      f"{reason}: {math.prod(shape) / 2**30:.1f} GiB of images fit neither there nor in memory: set"
      " XDG_CACHE_HOME to a folder with room"
    )
  _warn(reason)
  return np.empty(shape, np.uint8)


@functools.cache
def _warn(reason):
  print(
    f"warning: {reason}: the images stay in memory and are decoded again at each start; set"
    " XDG_CACHE_HOME to a folder with room",
    file=sys.stderr,
  )
