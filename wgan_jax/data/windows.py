"""Windows of images for folders larger than memory: an endless shuffled stream, read ahead."""

import functools
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from wgan_jax.data.prepare import DataError, check_installed

_END = 2**31


def make_windows(
  images: np.ndarray,
  rows: np.ndarray,
  n: int,
  *,
  labels: np.ndarray | None = None,
  crcs: np.ndarray | None = None,
) -> Callable[[int], Any]:
  """Cuts an endless stream of images into windows of n.

  The stream is one pass over `rows` after the other, each in an order of its own. A window may span
  passes. It is a pure function of its number, the same in every run. While one is used, a thread of
  grain's reads the next.

  Args:
    images: uint8 [m, height, width, channels], such as a memory map.
    rows: indices of the images of the stream.
    n: images in a window.
    labels: int32 [m], or None.
    crcs: `zlib.crc32` of each image, uint32 [m], to be compared; None not to compare.

  Returns:
    window(i): uint8 [n, height, width, channels], and with labels a tuple of it and int32 [n]. Call
    it from one thread at a time.

  Raises:
    ValueError: `rows` is empty or has indices outside `images`, or n is below 1.
    DataError: grain is missing. `window` raises it if an image does not have its checksum.
  """
  rows = np.asarray(rows)
  if rows.size == 0 or rows.min() < 0 or rows.max() >= len(images):
    raise ValueError(f"rows must be indices of the {len(images)} images, and at least one")
  if n < 1:
    raise ValueError(f"a window must hold at least one image, got n={n}")
  check_installed("windows of images", "grain")
  import grain

  pixels = np.asarray(images)  # The same memory; a memory map's own indexing is slower.
  order = functools.lru_cache(2)(lambda each: rows[shuffle(each, len(rows))])

  def read(i):
    chosen = _cut(order, i * n, n, len(rows))
    window = np.take(pixels, chosen, axis=0)
    if crcs is not None:
      _check(window, crcs[chosen], images)
    return window if labels is None else (window, labels[chosen])

  following, stream = 0, None

  def window(i):
    nonlocal following, stream
    if not 0 <= i < _END:
      raise ValueError(f"windows are numbered from 0 to {_END - 1}, got {i}")
    if stream is None or i != following:
      options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
      stream = iter(grain.MapDataset.range(i, _END).map(read).to_iter_dataset(options))
    following = i + 1
    try:
      return next(stream)
    except BaseException:
      stream = None  # It would go on with the window after this one.
      raise

  return window


def shuffle(i: int, n: int) -> np.ndarray:
  """The order of the i-th pass over n rows, int64 [n].

  It sorts random numbers of Philox, whose stream does not depend on numpy's version.

  References:
    Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011.
  """
  return np.argsort(np.random.Philox(key=i).random_raw(n), kind="stable")


def _cut(order, start, n, length):
  """Rows at n positions of the stream from `start`, across passes of `length`."""
  parts = []
  while n > 0:
    each, position = divmod(start, length)
    parts.append(order(each)[position : position + n])
    start, n = start + len(parts[-1]), n - len(parts[-1])
  return np.concatenate(parts)


def _check(window, crcs, images):
  for image, crc in zip(window, crcs, strict=True):
    if zlib.crc32(image) != crc:
      name = getattr(images, "filename", None) or "the array of images"
      raise DataError(f"{name}: damaged, an image has changed: delete it and run again")
