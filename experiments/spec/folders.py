"""A folder of images as a data set: what its files decide, and its images."""

import os
from collections.abc import Callable
from typing import NamedTuple

import chex
import numpy as np

from experiments.host import listings, prepared
from experiments.spec.parsers import sides_of
from wgan_jax.data.folder import check_classes
from wgan_jax.data.images import Images
from wgan_jax.data.windows import make_windows

_MOST_BYTES = 2 * 10**9  # In memory; more are drawn from in windows, unless asked for.
_WINDOW_BYTES = 256 * 10**6
# Of images that do not fit in memory so many are measured with.
_MOST_MEASURED = {False: 50_000, True: 10_000}


class Found(NamedTuple):
  """The images of a folder.

  Attributes:
    images: all of them, or of those that do not fit in memory a part, to measure with.
    sha256: the digest of the files and of how they were prepared.
    changed: (an earlier digest) -> which files changed since, in words; "" if it is not known.
    description: how many there are, in words.
    window: (i) -> the i-th window of training images, with their classes if asked for; None where
      `images` holds all.
  """

  images: Images
  sha256: str
  changed: Callable[[str], str]
  description: str
  window: Callable[[int], chex.ArrayTree] | None


def inspect(given: dict, *, conditional: bool) -> dict:
  """Fills in the options of a folder of images from its files, without decoding them.

  Args:
    given: `folder`, and those of the other options in `spec.datasets.DATASETS["folder"]` that a
      user chose.
    conditional: whether the networks are to be told the images' classes.

  Returns:
    All options, by name.

  Raises:
    DataError: the folder or a file in it cannot be used.
  """
  folder = os.path.abspath(os.path.expanduser(given["folder"]))
  skip_corrupt, size = given.get("skip_corrupt", False), given.get("size", "32x32")
  found = listings.scan(folder, skip_corrupt=skip_corrupt)
  if conditional:
    check_classes(folder, found.classes, found.labels, found.held_out)
  channels = given.get("channels", found.channels)
  height, width = sides_of(size)
  each = height * width * channels
  window = given.get("window")
  if window is None:
    fits = len(found.files) * each <= _MOST_BYTES
    window = 0 if fits else max(1, _WINDOW_BYTES // each)
  return {
    "folder": folder,
    "size": size,
    "channels": channels,
    "n_classes": len(found.classes),
    "window": window,
    "skip_corrupt": skip_corrupt,
  }


def load(
  *,
  folder: str,
  size: str,
  channels: int,
  n_classes: int,
  window: int,
  skip_corrupt: bool,
  conditional: bool,
) -> Found:
  """Loads a folder of images with the options that `inspect` returns.

  Raises:
    DataError: the folder or a file in it cannot be used.
  """
  del n_classes  # The files say it.
  listing = listings.scan(folder, skip_corrupt=skip_corrupt)
  found = prepared.load(listing, size=sides_of(size), channels=channels, verify=not window)
  if conditional:  # Images that cannot be decoded may have been the last of their class.
    check_classes(folder, found.classes, found.labels, found.held_out)
  rows = {held_out: np.flatnonzero(found.held_out == held_out) for held_out in (False, True)}
  # The files stand class by class.
  order = np.random.default_rng(0).permutation(len(rows[True]))
  measured = {False: rows[False], True: rows[True][order]}
  draw = None
  if window:
    measured = {key: _thin(own, _MOST_MEASURED[key]) for key, own in measured.items()}
    labels = found.labels if conditional else None
    draw = make_windows(found.images, rows[False], window, labels=labels, crcs=found.crcs)
  arrays = []
  for own in measured.values():
    arrays += [found.images[own], None if found.labels is None else found.labels[own]]
  train, held_out = (len(own) for own in rows.values())
  description = f"{train} training images of {size} pixels, {held_out} held out"
  if found.skipped:
    description += f", {len(found.skipped)} files left out"
  if found.classes:
    description += f", {len(found.classes)} classes"
  if window:
    description += f"; {window} at a time"
  return Found(
    images=Images(os.path.basename(folder) or "folder", *arrays, classes=found.classes),
    sha256=found.sha256,
    changed=lambda sha256: listings.changed(listing, sha256) or "",
    description=description,
    window=draw,
  )


def _thin(rows: np.ndarray, most: int) -> np.ndarray:
  """At most so many of the rows, evenly spaced."""
  return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]
