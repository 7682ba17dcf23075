"""A loaded data set, as the launchers use it: batches to train on, and held-out samples."""

import hashlib
import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import numpy as np

from wgan_jax.data.images import Images
from wgan_jax.data.toy import Toy
from wgan_jax.types import SampleRealFn


class Windows(NamedTuple):
  """Training data larger than memory: of these, one window after another is on the device.

  Attributes:
    draw: (i) -> the i-th window, in the form of `Dataset.train`; a function of i alone.
    n: the samples in each.
  """

  draw: Callable[[int], chex.ArrayTree]
  n: int


class Dataset(NamedTuple):
  """A loaded data set, as the launchers use it.

  Attributes:
    name: a key of `DATASETS`, or a folder's own name.
    sample_shape: the shape of one sample.
    train: arrays on the host, the argument `data` of the training step; the first of `windows`.
    held_out: float32 [n, ...], samples that training does not see, scaled as the critic takes them.
    sample_real: draws a batch from `train`.
    description: how many samples there are, in words.
    images: the images and their labels; None for points.
    base: the images that those are stacked of, else the same; None for points.
    toy: the known truth of points; None for images.
    true_wasserstein: distance between the data and the generator given with them; None elsewhere.
    held_out_labels: the classes of `held_out`, int32 [n]; None without classes.
    windows: of data larger than memory; None for others, which `train` holds whole.
    source_sha256: the digest of the files that the data come from; None: of the data themselves.
    floor: the exact distance from `held_out` to as many training samples; computed once.
    changed: (an earlier `digest`) -> which files changed since, in words; "" if it is not known.
  """

  name: str
  sample_shape: tuple[int, ...]
  train: chex.ArrayTree
  held_out: np.ndarray
  sample_real: SampleRealFn
  description: str
  images: Images | None = None
  base: Images | None = None
  toy: Toy | None = None
  true_wasserstein: float | None = None
  held_out_labels: np.ndarray | None = None
  windows: Windows | None = None
  source_sha256: str | None = None
  floor: Callable[[], float] = lambda: math.nan
  changed: Callable[[str], str] = lambda sha256: ""

  @property
  def extent(self) -> float:
    """Half the side of the box of all data: images are in [-1, 1], points are drawn in it."""
    return 1.0 if self.images is not None else 1.25 * float(np.abs(self.held_out).max())

  @property
  def nbytes(self) -> int:
    """Bytes that the data take on a device."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves((self.train, self.held_out)))

  def named_classes(self) -> dict[str, list[str]]:
    """What a config.json says of the classes, to draw samples of one by its name."""
    classes = () if self.images is None else self.images.classes
    return {"classes": list(classes)} if classes else {}

  def digest(self) -> str:
    """SHA-256 of all pixels, or of a folder's files.

    For points it is that of the name, as the settings decide all of them.
    """
    if self.source_sha256 is not None:
      return self.source_sha256
    if self.images is None:
      return hashlib.sha256(self.name.encode()).hexdigest()
    content = self.images.train_images.tobytes() + self.images.test_images.tobytes()
    return hashlib.sha256(content).hexdigest()
