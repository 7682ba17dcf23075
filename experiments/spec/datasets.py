"""What a run learns: images or points, how a batch is drawn, and what is held out to judge it."""

import hashlib
import os
from typing import NamedTuple

import chex
import jax
import numpy as np

from experiments.host.cache import load_cached_images
from wgan_jax.data import images, toy
from wgan_jax.data.images import Images, sample_images, stack, to_unit
from wgan_jax.data.toy import Toy, load_toy, true_wasserstein
from wgan_jax.training import SampleRealFn

IMAGES, POINTS = images.NAMES, toy.NAMES
GIVEN_GENERATOR = ("two_gaussians", "funnels")  # Points that come with a fixed generator.
N_FUNNELS = 4
N_HELD_OUT = 500
_N_HELD_OUT_POINTS = 1000


class Dataset(NamedTuple):
  """A data set as the launchers use it.

  Attributes:
    name: one of `IMAGES` or `POINTS`.
    sample_shape: of one sample.
    train: arrays on the host, the argument `data` of the training step.
    held_out: float32 [n, ...], samples that training does not see, scaled as the critic takes them.
    sample_real: draws a batch from `train`.
    images: the pictures and their labels; None for points.
    base: the pictures that those are stacked of, else the same; None for points.
    toy: what is known of the points; None for images.
    true_wasserstein: between the data and a generator that is given with it; None elsewhere.
    description: how many there are, in words.
  """

  name: str
  sample_shape: tuple[int, ...]
  train: chex.ArrayTree
  held_out: np.ndarray
  sample_real: SampleRealFn
  images: Images | None
  base: Images | None
  toy: Toy | None
  true_wasserstein: float | None
  description: str

  @property
  def extent(self) -> float:
    """Half the side of the box of all data: images are in [-1, 1], points are drawn in it."""
    return 1.0 if self.images is not None else 1.25 * float(np.abs(self.held_out).max())

  @property
  def nbytes(self) -> int:
    """Memory of what lies on a device."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves((self.train, self.held_out)))

  def digest(self) -> str:
    """SHA-256 of all pixels; of points the name, as the settings decide all of them."""
    if self.images is None:
      return hashlib.sha256(self.name.encode()).hexdigest()
    content = self.images.train_images.tobytes() + self.images.test_images.tobytes()
    return hashlib.sha256(content).hexdigest()


def load_dataset(
  name: str,
  data_dir: str | os.PathLike | None = None,
  n_funnels: int | None = None,
  data_seed: int | None = None,
) -> Dataset:
  """Loads images, or makes the samplers of points.

  Args:
    name: one of `IMAGES` or `POINTS`.
    data_dir: TFDS folder of images; None for the usual one.
    n_funnels: of "funnels": how many.
    data_seed: of "funnels": which random pair of distributions.

  Raises:
    DataError: the images cannot be had.
  """
  if name in POINTS:
    return of_points(find_toy(name, n_funnels, data_seed))
  if name in images.STACKED_OF:
    base = load_cached_images(images.STACKED_OF[name], data_dir)
    return of_images(stack(base), base)
  return of_images(load_cached_images(name, data_dir))


def find_toy(name: str, n_funnels: int | None = None, data_seed: int | None = None) -> Toy:
  """What is known of points; the numbers are those of `load_dataset`."""
  if name != "funnels":
    return load_toy(name)
  n_funnels = N_FUNNELS if n_funnels is None else n_funnels
  return load_toy(name, n_funnels=n_funnels, seed=data_seed or 0)


def of_images(pictures: Images, base: Images | None = None) -> Dataset:
  """A data set of images that are in memory, perhaps stacked of others."""
  n_train, n_test = len(pictures.train_images), len(pictures.test_images)
  return Dataset(
    name=pictures.name,
    sample_shape=pictures.train_images.shape[1:],
    train=pictures.train_images,
    held_out=np.asarray(to_unit(pictures.test_images[:N_HELD_OUT])),
    sample_real=sample_images,
    images=pictures,
    base=base or pictures,
    toy=None,
    true_wasserstein=None,
    description=f"{n_train} training images, {n_test} held out",
  )


def of_points(toy: Toy) -> Dataset:
  """A data set of points."""
  # A stream of its own, the same for all runs.
  key_held_out, key_distance = jax.random.split(jax.random.key(0x68656C64))
  held_out = jax.jit(toy.sample_real, static_argnums=2)(key_held_out, toy.data, _N_HELD_OUT_POINTS)
  return Dataset(
    name=toy.name,
    sample_shape=(toy.dim,),
    train=jax.device_get(toy.data),
    held_out=np.asarray(held_out),
    sample_real=toy.sample_real,
    images=None,
    base=None,
    toy=toy,
    true_wasserstein=None if toy.generator is None else true_wasserstein(toy, key_distance)[0],
    description=f"points, {_N_HELD_OUT_POINTS} held out",
  )
